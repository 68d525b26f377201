"""Type hints as JSON Schema (2020-12), and JSON as what the hints say. It refuses hints that JSON cannot hold."""

import dataclasses
import datetime
import enum
import types
import typing

from .errors import DagError, InvalidInput

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def of_hint(hint) -> dict:
    """The schema of one type hint; an empty schema accepts anything."""
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (list, tuple, set) or origin in (list, tuple, set):
        return {"type": "array", "items": of_hint(arguments[0])} if arguments else {"type": "array"}
    if hint is dict or origin is dict:
        schema = {"type": "object"}
        return {**schema, "additionalProperties": of_hint(arguments[1])} if arguments else schema
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [of_hint(argument) for argument in arguments]}
    if hint is datetime.datetime:
        return {"type": "string", "format": "date-time"}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if dataclasses.is_dataclass(hint):
        return _of_dataclass(hint)
    return {}


def _of_dataclass(cls) -> dict:
    hints = typing.get_type_hints(cls)
    properties, required = {}, []
    for field in dataclasses.fields(cls):
        schema = of_hint(hints[field.name])
        if "doc" in field.metadata:
            schema = {**schema, "description": field.metadata["doc"]}
        if field.default is not dataclasses.MISSING:
            schema = {**schema, "default": encode(field.default)}
        elif field.default_factory is dataclasses.MISSING:
            required.append(field.name)
        properties[field.name] = schema
    return object_schema(properties, required)


def object_schema(properties: dict, required: list) -> dict:
    """An object with these members and no others."""
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def encode(value):
    """A value as JSON can hold it; raises `DagError` where it cannot."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): encode(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [encode(member) for member in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise DagError(f"{type(value).__name__} is no JSON: {value!r}")


def decode(value, hint, field: str):
    """JSON as the hint says; raises `InvalidInput` that names `field` where it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is typing.Any or isinstance(hint, (str, typing.TypeVar)):
        return value
    if origin in (typing.Union, types.UnionType):
        return _first_fit(value, arguments, field)
    if origin is typing.Literal:
        return value if value in arguments else _wrong(field, value, f"one of {list(arguments)}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in _PLAIN:
        fits = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
        return value if fits else _wrong(field, value, f"of type {_PLAIN[hint]}")
    if hint in (list, tuple, set) or origin in (list, tuple, set):
        if not isinstance(value, list):
            _wrong(field, value, "a list")
        inner = arguments[0] if arguments else typing.Any
        return (origin or hint)(decode(member, inner, f"{field}[{at}]") for at, member in enumerate(value))
    if hint is dict or origin is dict:
        if not isinstance(value, dict):
            _wrong(field, value, "an object")
        inner = arguments[1] if arguments else typing.Any
        return {key: decode(member, inner, f"{field}.{key}") for key, member in value.items()}
    return _decode_class(value, hint, field)


def _decode_class(value, hint, field: str):
    if hint is datetime.datetime and isinstance(value, str):
        try:
            return datetime.datetime.fromisoformat(value)
        except ValueError:
            return _wrong(field, value, "a date and time such as 2026-01-05T02:00:00Z")
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError:
            return _wrong(field, value, f"one of {[member.value for member in hint]}")
    if dataclasses.is_dataclass(hint):
        return decode_members(value, hint, field)
    return value


def decode_members(value, cls, field: str = ""):
    """A JSON object as a dataclass; unknown and missing members are named."""
    if not isinstance(value, dict):
        _wrong(field or "config", value, "an object")
    prefix = f"{field}." if field else ""
    hints = typing.get_type_hints(cls)
    known = {one.name: one for one in dataclasses.fields(cls)}
    for name in value:
        if name not in known:
            raise InvalidInput(prefix + name, f"there is no such member; there are {', '.join(known)}")
    for name, one in known.items():
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise InvalidInput(prefix + name, "it is missing")
    return cls(**{name: decode(member, hints[name], prefix + name) for name, member in value.items()})


def _first_fit(value, hints, field: str):
    if value is None and type(None) in hints:
        return None
    problem = None
    for hint in hints:
        try:
            return decode(value, hint, field)
        except InvalidInput as error:
            problem = error
    raise problem or InvalidInput(field, "nothing fits")


def _wrong(field: str, value, expected: str):
    raise InvalidInput(field, f"must be {expected}; found {str(value)[:80]!r}")
