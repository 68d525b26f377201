"""Assets: what tasks read and update, and what a DAG may wait for."""

import dataclasses
import re


def _uri(name: str) -> str:
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", name)
    return name if scheme else "asset:" + "".join(one if one.isascii() and one.isprintable() and one != " " else "_" for one in name)


class Condition:
    """Assets with `&` and `|` between them."""

    def __and__(self, other):
        return All(self, other)

    def __or__(self, other):
        return Any(self, other)


_BY_NAME: dict = {}


class Asset(Condition):
    """An asset, by its URI; one with a name alone gets the URI `asset:NAME`."""

    def __init__(self, name=None, uri=None, *, group="asset", extra=None, watchers=None, **_):
        if uri is None:
            uri = name
        self.name, self.given_uri, self.extra, self.watchers = name or uri, uri, extra or {}, watchers or []
        self.uri, self.group = _uri(uri), group
        _BY_NAME.setdefault(self.name, self)

    def __eq__(self, other) -> bool:
        return isinstance(other, Asset) and other.uri == self.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    def __repr__(self) -> str:
        return f"Asset(name={self.name!r}, uri={self.uri!r})"

    @staticmethod
    def ref(name=None, uri=None):
        """An asset that is defined elsewhere in the component, by its name or URI."""
        return _BY_NAME.get(name) or Asset(name, uri)

    def document(self):
        return self.uri


class Model(Asset):
    """An asset that is a model."""


class AssetAlias(Asset):
    """A name under which a task may update assets that it learns only when it runs. Its events are events of `asset-alias:NAME`."""

    def __init__(self, name: str, group="", **_):
        super().__init__(name, "asset-alias:" + name)


class All(Condition):
    """All of them must be updated."""

    key = "all"

    def __init__(self, *parts):
        self.parts = parts

    def document(self):
        return {self.key: [part.document() for part in self.parts]}


class Any(All):
    """One of them must be updated."""

    key = "any"


@dataclasses.dataclass
class Metadata:
    """What a task says about an asset that it updated: `yield Metadata(asset, {...})`."""

    asset: object
    extra: dict = dataclasses.field(default_factory=dict)
    alias: object = None


class AssetEvent:
    """What a task says about one of its outlets."""

    def __init__(self):
        self.extra, self.asset_alias_events = {}, []

    def add_partitions(self, keys):
        """Airlock's assets have no partitions: the keys go to the log."""
        self.extra.setdefault("partitions", []).append(keys)

    def add(self, asset, extra=None):
        self.asset_alias_events.append((asset, extra or {}))


class OutletEvents(dict):
    """By asset, what the task says about it; kept in the task's log."""

    def __missing__(self, asset):
        self[asset] = AssetEvent()
        return self[asset]


class InletEvents(dict):
    """Earlier events of inlets. The host does not hand them to tasks: there are none."""

    def __missing__(self, asset):
        return []


class AssetWatcher:
    """Watches something outside by a trigger of Airflow's. Airlock has no triggerer: a sensor does this."""

    def __init__(self, name, trigger, **_):
        self.name, self.trigger = name, trigger


class AssetAccessControl:
    """Which teams may produce and consume; Airlock has no teams."""

    def __init__(self, *_, **__):
        pass


def asset(function=None, /, *, name=None, uri=None, schedule=None, **arguments):
    """A function that makes an asset: a DAG of its name with one task that updates it. Parameters of assets' names are inlets."""

    def wrap(body):
        from . import context as contexts
        from .dag import DAG
        from .python_task import PythonOperator
        import inspect
        made = Asset(name or body.__name__, uri)
        names = [one for one in inspect.signature(body).parameters if one not in contexts.NAMES and one not in ("self", "context")]

        def run(**context):
            known = {**context, "self": made, "context": context}
            return body(**{one: known[one] if one in known else Asset.ref(one) for one in inspect.signature(body).parameters})

        settings = {key: arguments[key] for key in ("dag_id", "tags", "description", "default_args") if key in arguments}
        with DAG(settings.pop("dag_id", None) or made.name, schedule=schedule, **settings):
            PythonOperator(task_id=body.__name__, python_callable=run, outlets=[made], inlets=[Asset.ref(one) for one in names])
        return made

    return wrap if function is None else wrap(function)
