"""Variables and connections. Their values are the host's: a template brings them into a task, in text that the author wrote."""

import json

from .errors import FailTask, NotFound

_NONE = object()
KNOWN: dict = {}
"""Variables that the running task's config brought, by name."""


class Variable:
    """`Variable.get("name")` in a task reads what the host put into its config; the name must stand there as a plain text."""

    @staticmethod
    def get(key: str, default_var=_NONE, deserialize_json: bool = False, default=_NONE):
        default = default_var if default is _NONE else default
        value = KNOWN.get(key)
        if value is None:
            if default is _NONE:
                raise NotFound(f"there is no variable {key!r}; set it with `airlock variables set {key} VALUE`")
            return default
        return json.loads(value) if deserialize_json and isinstance(value, str) else value

    @staticmethod
    def set(key: str, value, description=None, serialize_json: bool = False):
        raise FailTask("a task cannot set variables; push an XCom, or write to storage")

    delete = setdefault = set


class Connection:
    """A connection's fields; a template such as `{{ conn.name.host }}` reads them."""

    def __init__(self, conn_id=None, **fields):
        self.conn_id = conn_id
        self.__dict__.update(fields)

    @classmethod
    def get(cls, conn_id: str):
        raise NotFound(f"connection {conn_id!r}: read its fields by templates, for example '{{{{ conn.{conn_id}.host }}}}'")


class BaseHook:
    """Hooks of providers are not here; this says what to do instead."""

    @classmethod
    def get_connection(cls, conn_id: str):
        return Connection.get(conn_id)
