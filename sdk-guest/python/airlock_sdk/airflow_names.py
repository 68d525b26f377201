"""Airflow's module paths, of 2.x and 3.x, and what of ours stands under each. It holds no code of Airflow's, and refuses names
that are not in the table with a sentence."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types

from .partitions import NAMES

_EXCEPTIONS = {
    "AirflowException": "errors.TaskFailed", "AirflowSkipException": "errors.SkipTask", "AirflowFailException": "errors.FailTask",
    "AirflowSensorTimeout": "errors.FailTask", "AirflowTaskTimeout": "errors.TaskFailed", "AirflowNotFoundException": "errors.NotFound",
    "AirflowBadRequest": "errors.Invalid", "AirflowOptionalProviderFeatureException": "errors.DagError",
    "AirflowRuntimeError": "errors.TaskFailed", "AirflowRescheduleException": "errors.NotYet", "TaskDeferred": "errors.Defer",
    "AirflowConfigException": "errors.DagError", "DagNotFound": "errors.NotFound", "ParamValidationError": "errors.Invalid"}
_BASES = {"BaseOperator": "task.BaseOperator", "BaseSensorOperator": "task.BaseSensorOperator", "PokeReturnValue": "task.PokeReturnValue",
          "SkipMixin": "airflow_names.Empty", "BaseBranchOperator": "python_task.BaseBranchOperator"}
_EDGES = {"chain": "edges.chain", "chain_linear": "edges.chain_linear", "cross_downstream": "edges.cross_downstream"}
_DECORATORS = {"dag": "dag.dag", "task": "decorators.task", "task_group": "group.task_group", "setup": "decorators.setup",
               "teardown": "decorators.teardown"}
_PYTHON = {name: f"python_task.{name}" for name in (
    "PythonOperator BranchPythonOperator ShortCircuitOperator PythonVirtualenvOperator ExternalPythonOperator "
    "BranchPythonVirtualenvOperator BranchExternalPythonOperator").split()}
_PYTHON["get_current_context"] = "context.get_current_context"
_EMPTY = {"EmptyOperator": "classic.EmptyOperator", "DummyOperator": "classic.EmptyOperator"}
_EXTERNAL = {"ExternalTaskSensor": "classic.ExternalTaskSensor", "ExternalTaskMarker": "classic.ExternalTaskMarker"}
_WEEKDAY = {"BranchDayOfWeekOperator": "classic.BranchDayOfWeekOperator"}
_HUMAN = {name: f"human.{name}" for name in "HITLOperator HITLEntryOperator ApprovalOperator HITLBranchOperator".split()}
_TIMETABLES = {name: f"timetables.{name}" for name in (
    "CronTriggerTimetable CronDataIntervalTimetable DeltaTriggerTimetable DeltaDataIntervalTimetable ContinuousTimetable OnceTimetable "
    "NullTimetable AssetOrTimeSchedule DatasetOrTimeSchedule Timetable").split()}
_ASSETS = {"Asset": "assets.Asset", "AssetAlias": "assets.AssetAlias", "AssetAll": "assets.All", "AssetAny": "assets.Any",
           "AssetWatcher": "assets.AssetWatcher", "Dataset": "assets.Asset", "DatasetAlias": "assets.AssetAlias",
           "DatasetAll": "assets.All", "DatasetAny": "assets.Any", "Metadata": "assets.Metadata", "Model": "assets.Model",
           "AssetAccessControl": "assets.AssetAccessControl"}
_STATES = {name: f"names.{name}" for name in "TaskInstanceState DagRunState State DagRunType".split()}
_VARIABLES = {"Variable": "variables.Variable", "Connection": "variables.Connection", "BaseHook": "variables.BaseHook"}
_PARAMS = {"Param": "params.Param", "ParamsDict": "params.ParamsDict", "DagParam": "params.DagParam"}
_XCOM = {"XComArg": "xcom_arg.XComArg"}
_RETRY = {name: f"retry_policy.{name}" for name in "ExceptionRetryPolicy RetryAction RetryRule".split()}
_RULES = {"TriggerRule": "names.TriggerRule", "WeightRule": "names.WeightRule"}
_LABEL = {"Label": "names.Label"}
_GROUP = {"TaskGroup": "group.TaskGroup", "task_group": "group.task_group"}
_CONTEXT = {"Context": "context.Context", "get_current_context": "context.get_current_context"}
_DAG = {"DAG": "dag.DAG", "dag": "dag.dag"}
_NOTIFIER = {"BaseNotifier": "airflow_names.BaseNotifier"}
_PARTITIONS = {name: f"partitions.{name}" for name in ("CronPartitionTimetable", "PartitionedAtRuntime", "PartitionedAssetTimetable")}
_PARTITIONS.update({name: "partitions.Meaningless" for name in NAMES})
_SDK = {**_PARTITIONS, **_BASES, **_EDGES, **_DECORATORS, **_ASSETS, **_STATES, **_VARIABLES, **_PARAMS, **_XCOM, **_RETRY, **_RULES, **_LABEL,
        **_GROUP, **_CONTEXT, **_DAG, **_TIMETABLES, **_NOTIFIER, "asset": "assets.asset", "timezone": "airflow_names.timezone",
        "BaseXCom": "airflow_names.Empty", **_EXCEPTIONS}

TABLE = {
    "airflow": {"DAG": "dag.DAG", "XComArg": "xcom_arg.XComArg", "Dataset": "assets.Asset", "Asset": "assets.Asset"},
    "airflow.sdk": _SDK, "airflow.providers.common.compat.sdk": _SDK, "airflow.sdk.definitions.asset": {**_ASSETS, "asset": "assets.asset"},
    "airflow.sdk.definitions.asset.decorators": {"asset": "assets.asset"}, "airflow.sdk.definitions.asset.metadata": _ASSETS,
    "airflow.sdk.definitions.dag": _DAG, "airflow.sdk.definitions.param": _PARAMS, "airflow.sdk.definitions.xcom_arg": _XCOM,
    "airflow.sdk.definitions.taskgroup": _GROUP, "airflow.sdk.definitions.context": _CONTEXT, "airflow.sdk.definitions.edges": _LABEL,
    "airflow.sdk.definitions.variable": _VARIABLES, "airflow.sdk.bases.operator": {**_BASES, **_EDGES}, "airflow.sdk.bases.sensor": _BASES,
    "airflow.sdk.bases.notifier": _NOTIFIER, "airflow.sdk.bases.hook": _VARIABLES, "airflow.sdk.exceptions": _EXCEPTIONS,
    "airflow.sdk.bases.decorator": {}, "airflow.sdk.api.datamodels._generated": _STATES, "airflow.sdk.timezone": {},
    "airflow.decorators": _DECORATORS, "airflow.decorators.base": {}, "airflow.exceptions": _EXCEPTIONS,
    "airflow.models": {**_BASES, **_DAG, **_VARIABLES, **_PARAMS, **_XCOM, "TaskInstance": "context.TaskInstance",
                       "DagRun": "context.DagRun"},
    "airflow.models.dag": _DAG, "airflow.models.baseoperator": {**_BASES, **_EDGES}, "airflow.models.param": _PARAMS,
    "airflow.models.variable": _VARIABLES, "airflow.models.connection": _VARIABLES, "airflow.models.xcom_arg": _XCOM,
    "airflow.models.taskinstance": {"TaskInstance": "context.TaskInstance"}, "airflow.models.dagrun": {"DagRun": "context.DagRun"},
    "airflow.hooks.base": _VARIABLES, "airflow.hooks.base_hook": _VARIABLES, "airflow.utils.context": _CONTEXT,
    "airflow.utils.trigger_rule": _RULES, "airflow.utils.weight_rule": _RULES, "airflow.task.trigger_rule": _RULES,
    "airflow.task.weight_rule": _RULES, "airflow.utils.edgemodifier": _LABEL, "airflow.utils.task_group": _GROUP,
    "airflow.utils.helpers": _EDGES, "airflow.utils.state": _STATES, "airflow.utils.types": {**_STATES},
    "airflow.utils.dates": {"days_ago": "airflow_names.days_ago"}, "airflow.utils.timezone": {}, "airflow.utils.weekday": {"WeekDay": "names.WeekDay"},
    "airflow.datasets": _ASSETS, "airflow.datasets.metadata": _ASSETS, "airflow.assets": _ASSETS, "airflow.timetables.base": _TIMETABLES,
    "airflow.timetables.trigger": _TIMETABLES, "airflow.timetables.interval": _TIMETABLES, "airflow.timetables.assets": _TIMETABLES,
    "airflow.timetables.datasets": _TIMETABLES, "airflow.timetables.simple": _TIMETABLES, "airflow.notifications.basenotifier": _NOTIFIER,
    "airflow.operators.python": _PYTHON, "airflow.operators.python_operator": _PYTHON, "airflow.operators.bash": {"BashOperator": "bash.BashOperator"},
    "airflow.operators.bash_operator": {"BashOperator": "bash.BashOperator"}, "airflow.operators.empty": _EMPTY,
    "airflow.operators.dummy": _EMPTY, "airflow.operators.dummy_operator": _EMPTY, "airflow.operators.branch": _BASES,
    "airflow.operators.latest_only": {"LatestOnlyOperator": "classic.LatestOnlyOperator"}, "airflow.operators.weekday": _WEEKDAY,
    "airflow.operators.datetime": {"BranchDateTimeOperator": "classic.BranchDateTimeOperator"},
    "airflow.operators.trigger_dagrun": {"TriggerDagRunOperator": "classic.TriggerDagRunOperator"},
    "airflow.sensors.base": _BASES, "airflow.sensors.external_task": _EXTERNAL, "airflow.sensors.external_task_sensor": _EXTERNAL,
    "airflow.sensors.python": {"PythonSensor": "python_task.PythonSensor"}, "airflow.sensors.bash": {"BashSensor": "bash.BashSensor"},
    "airflow.sensors.filesystem": {"FileSensor": "classic.FileSensor"}, "airflow.sensors.s3_key_sensor": {"S3KeySensor": "classic.S3KeySensor"},
    "airflow.sensors.date_time": {"DateTimeSensor": "classic.DateTimeSensor"}, "airflow.sensors.time_sensor": {"TimeSensor": "classic.TimeSensor"},
    "airflow.sensors.time_delta": {"TimeDeltaSensor": "classic.TimeDeltaSensor"}, "airflow.sensors.weekday": {"DayOfWeekSensor": "classic.DayOfWeekSensor"},
    "airflow.providers.amazon.aws.sensors.s3": {"S3KeySensor": "classic.S3KeySensor"},
    "airflow.configuration": {"conf": "airflow_names.configuration"},
}
for _old, _new in (
        ("operators.python", "operators.python"), ("operators.bash", "operators.bash"), ("operators.empty", "operators.empty"),
        ("operators.branch", "operators.branch"), ("operators.latest_only", "operators.latest_only"), ("operators.weekday", "operators.weekday"),
        ("operators.datetime", "operators.datetime"), ("operators.trigger_dagrun", "operators.trigger_dagrun"),
        ("sensors.external_task", "sensors.external_task"), ("sensors.python", "sensors.python"), ("sensors.bash", "sensors.bash"),
        ("sensors.filesystem", "sensors.filesystem"), ("sensors.date_time", "sensors.date_time"), ("sensors.time_sensor", "sensors.time"),
        ("sensors.time_delta", "sensors.time_delta"), ("sensors.weekday", "sensors.weekday"), ("utils.weekday", "utils.weekday")):
    TABLE[f"airflow.providers.standard.{_new}"] = TABLE[f"airflow.{_old}"]
TABLE["airflow.providers.standard.operators.hitl"] = _HUMAN
TABLE["airflow.providers.standard.operators.python"] = _PYTHON

_WHOLE = {"airflow.utils.timezone": "dates", "airflow.sdk.timezone": "dates", "airflow.macros": "macros", "pendulum": "dates"}
"""Modules that are one of ours as it is."""


class Empty:
    """Stands for a class that has no meaning here."""


class BaseNotifier:
    """A callback as a class: `notify(self, context)` is called."""

    template_fields = ()

    def __init__(self, **_):
        pass

    @property
    def log(self):
        import logging
        return logging.getLogger("airflow.notifier")

    def notify(self, context):
        raise NotImplementedError

    def __call__(self, context):
        from .context import fill_in
        for field in self.template_fields:
            setattr(self, field, fill_in(getattr(self, field), context))
        self.notify(context)


class _Configuration:
    """Airflow's settings: none of them are here."""

    def get(self, _section, _key, fallback="", **_):
        return fallback

    getboolean = getint = getfloat = get


configuration = _Configuration()


class _Timezone:
    def __getattr__(self, name: str):
        from . import dates
        return {"utcnow": dates.now, "utc": dates.UTC, "make_aware": dates.instance}.get(name) or getattr(dates, name)


timezone = _Timezone()


def days_ago(days: int):
    """Midnight, so many days ago."""
    from . import dates
    return dates.today().subtract(days=days)


class _Module(types.ModuleType):
    def __getattr__(self, name: str):
        place = TABLE.get(self.__name__, {}).get(name)
        if place is None:
            if name.startswith("__") or f"{self.__name__}.{name}" in _PARENTS:
                raise AttributeError(name)
            raise ImportError(f"{self.__name__} has no {name} in Airlock; `airlock plugins list` shows the host's operators, "
                              f"and README.md of the SDK what of Airflow is there")
        module, _, member = place.rpartition(".")
        value = getattr(importlib.import_module(f"airlock_sdk.{module}"), member)
        setattr(self, name, value)
        return value


_PARENTS = {name.rsplit(".", at)[0] for name in [*TABLE, *_WHOLE] for at in range(1, name.count(".") + 1)} | set(TABLE) | set(_WHOLE)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds Airflow's modules in the table, and folders called `airflow` on the path behind them."""

    def find_spec(self, name, path=None, target=None):
        from .scan import NATIVE
        if name in NATIVE and importlib.machinery.PathFinder.find_spec(name) is None:
            raise ModuleNotFoundError(f"{name} has native code, which a sandboxed component cannot load", name=name)
        if name == "pendulum" and importlib.machinery.PathFinder.find_spec(name) is not None:
            return None
        if name in _PARENTS:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        if name.startswith("airflow."):
            found = importlib.machinery.PathFinder.find_spec(name, self._folders(name))
            if found is None:
                raise ModuleNotFoundError(f"{name} is not in Airlock; README.md of the SDK lists what of Airflow is there", name=name)
            return found
        return None

    @staticmethod
    def _folders(name: str) -> list:
        inner = name.split(".")[:-1]
        return ["/".join((folder or ".", *inner)) for folder in sys.path]

    def create_module(self, spec):
        if spec.name in _WHOLE:
            ours = importlib.import_module(f"airlock_sdk.{_WHOLE[spec.name]}")
            module = types.ModuleType(spec.name)
            module.__dict__.update({key: value for key, value in vars(ours).items() if not key.startswith("__")})
            if spec.name.endswith("timezone"):
                module.utcnow, module.utc, module.make_aware = ours.now, ours.UTC, ours.instance
            return module
        return _Module(spec.name)

    def exec_module(self, module):
        module.__path__ = []
        if module.__name__ == "airflow":
            module.__version__ = "3.0.0"


def install() -> None:
    """From now on `import airflow` finds what is here; in an environment with Airflow itself leave this out."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
