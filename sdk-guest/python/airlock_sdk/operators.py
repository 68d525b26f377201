"""`@operator`: a function becomes an operator of the plugin. Its parameters are its config, and their types its schema."""

import dataclasses
import functools
import inspect
import typing

from . import context as contexts
from .errors import DagError, InvalidInput
from .outcomes import sensed
from .schema import decode, decode_members, encode, object_schema, of_hint

OPERATORS: dict = {}
"""Every operator of this component, by name."""


class Operator:
    """One operator. It can be called like the function that it was."""

    def __init__(self, function, name: str, summary: str, is_sensor: bool):
        self.function, self.name, self.is_sensor = function, name, is_sensor
        self.summary = summary or (inspect.getdoc(function) or name).splitlines()[0]
        self.hints = typing.get_type_hints(function)
        parameters = inspect.signature(function).parameters.values()
        for one in parameters:
            if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
                raise DagError(f"operator {name!r}: *{one.name} has no place in a schema; name each parameter")
        self.members = [one for one in parameters if one.name not in contexts.NAMES and one.name != "context"]
        self.asked = [one.name for one in parameters if one.name in contexts.NAMES or one.name == "context"]
        self.whole = self._whole()
        functools.update_wrapper(self, function)

    def _whole(self):
        """The dataclass that is the whole config, where the only parameter is one called `config`."""
        hint = self.hints.get("config")
        alone = len(self.members) == 1 and self.members[0].name == "config"
        return hint if alone and dataclasses.is_dataclass(hint) else None

    def schema(self) -> dict:
        """The JSON Schema of its config."""
        if self.whole is not None:
            return of_hint(self.whole)
        properties, required = {}, []
        for one in self.members:
            schema = of_hint(self.hints.get(one.name, typing.Any))
            if one.default is one.empty:
                required.append(one.name)
            elif one.default is not None:
                schema = {**schema, "default": encode(one.default)}
            properties[one.name] = schema
        return object_schema(properties, required)

    def call(self, attempt, host, config: dict):
        """Runs it with a config from the host."""
        import json
        context = contexts.build(attempt, host, None, None, json.loads(attempt.params), {})
        arguments = {name: context if name == "context" else context[name] for name in self.asked}
        arguments.update(self._arguments(config))
        with contexts.entered(context):
            from .python_task import called
            result = called(self.function, (), arguments)
        return sensed(result) if self.is_sensor else result

    def _arguments(self, config: dict) -> dict:
        if self.whole is not None:
            return {"config": decode_members(config, self.whole)}
        known = {one.name: one for one in self.members}
        for name in config:
            if name not in known:
                raise InvalidInput(name, f"there is no such member; there are {', '.join(known) or 'none'}")
        for one in self.members:
            if one.default is one.empty and one.name not in config:
                raise InvalidInput(one.name, "it is missing")
        return {name: decode(value, self.hints.get(name, typing.Any), name) for name, value in config.items()}

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)


def operator(function=None, /, *, name: str | None = None, summary: str = "", sensor: bool = False):
    """Makes a function an operator of this plugin. Parameters named like the context (`ti`, `ds`, ...) are filled in and are no
    part of the config; `sensor=True` for one whose result says whether its condition holds."""

    def wrap(function):
        called = name or getattr(function, "__name__", "<lambda>")
        if called == "<lambda>":
            raise DagError("@operator needs a named function, not a lambda: its name is the operator's")
        if called in OPERATORS:
            raise DagError(f"two operators are called {called!r}; rename one")
        made = Operator(function, called, summary, sensor)
        OPERATORS[called] = made
        return made

    return wrap if function is None else wrap(function)
