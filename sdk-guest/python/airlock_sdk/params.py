"""Params: the named inputs of a run, with JSON schemas."""

from .schema import encode

_NOT_SET = object()


class Param:
    """A default and a JSON Schema; without a default the run's conf must name it."""

    def __init__(self, default=_NOT_SET, description=None, **schema):
        self.default = default
        self.schema = {**schema.pop("schema", {}), **schema}
        self.description = description
        if description is not None:
            self.schema["description"] = description

    @property
    def has_default(self) -> bool:
        return self.default is not _NOT_SET

    @property
    def value(self):
        return self.default if self.has_default else None

    def document(self) -> dict:
        """As the DAG's document has it."""
        schema = encode(self.schema)
        if not self.has_default:
            return schema or {"not": {"const": {"airlock": "never"}}}
        return {**schema, "default": encode(self.default)}


class DagParam:
    """A param of the run, as an argument of a task."""

    def __init__(self, name: str):
        self.name = name

    def __str__(self) -> str:
        return "{{ params." + self.name + " }}"

    template = __str__


class ParamsDict(dict):
    """Params by name; `Param`s in it are read as their values."""

    def __getitem__(self, name):
        value = super().__getitem__(name)
        return value.value if isinstance(value, Param) else value

    def get_param(self, name) -> Param:
        value = super().__getitem__(name)
        return value if isinstance(value, Param) else Param(value)


def as_param(value) -> Param:
    return value if isinstance(value, Param) else Param(value)
