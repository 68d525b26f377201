"""What a task is told about its run, under Airflow's names: as arguments by name, as a mapping, and by `get_current_context()`."""

import inspect
import re

from .errors import AirlockError, FailTask, NotFound
from .dates import UTC, DateTime, parse
from .params import ParamsDict

NAMES = frozenset("""
ds ds_nodash ts ts_nodash ts_nodash_with_tz logical_date execution_date data_interval_start data_interval_end prev_ds next_ds
prev_data_interval_start_success prev_data_interval_end_success prev_start_date_success prev_end_date_success
dag dag_run run_id task ti task_instance task_instance_key_str params var conn macros inlets outlets inlet_events outlet_events
triggering_asset_events triggering_dataset_events templates_dict test_mode map_index_template conf task_reschedule_count
expanded_ti_count start_date end_date partition_key exception reason""".split())
"""Names of the context. A parameter of a task that is called so is filled in."""

FROM_TEMPLATES = {
    "conf": "{{ dag_run.conf }}",
    "triggering_asset_events": "{{ triggering_asset_events }}",
}
"""What only the host's templates know; the config brings it for tasks that ask for it."""

_CURRENT: list = []


def current() -> dict:
    """The context of the task that runs; an error where none does."""
    if not _CURRENT:
        raise AirlockError("there is no current context: no task runs here")
    return _CURRENT[-1]


get_current_context = current


class entered:
    """`with entered(context):` makes it the current one."""

    def __init__(self, context):
        self.context = context

    def __enter__(self):
        _CURRENT.append(self.context)
        return self.context

    def __exit__(self, *_):
        _CURRENT.pop()


class Context(dict):
    """The context as a mapping."""

    def __missing__(self, name):
        if name in ("prev_start_date_success", "prev_end_date_success", "prev_data_interval_start_success",
                    "prev_data_interval_end_success", "map_index_template", "partition_key", "exception", "reason"):
            return None
        raise KeyError(name)


class DagRun:
    """The run."""

    def __init__(self, attempt, conf):
        self.dag_id, self.run_id, self.run_type = attempt.dag_id, attempt.run_id, attempt.run_type
        self.logical_date = parse(attempt.logical_date)
        self.execution_date = self.logical_date
        self.data_interval_start, self.data_interval_end = parse(attempt.data_interval_start), parse(attempt.data_interval_end)
        self.run_after = self.start_date = self.logical_date
        self.conf = conf
        self.partition_key = self.partition_date = None
        self.external_trigger = attempt.run_type == "manual"

    def __repr__(self) -> str:
        return f"<DagRun {self.dag_id} @ {self.run_id}>"


class TaskInstance:
    """The task instance: its XComs above all."""

    def __init__(self, attempt, host, task=None, dag_run=None):
        self.dag_id, self.run_id, self.task_id = attempt.dag_id, attempt.run_id, attempt.task_id
        self.map_index, self.try_number, self.max_tries = attempt.map_index, attempt.try_number, attempt.max_tries - 1
        self.task, self.dag_run, self._host = task, dag_run, host
        self.key = f"{self.dag_id}__{self.task_id}__{self.run_id}"
        self.state, self.hostname, self.start_date = "running", "", None
        self.log_url = self.mark_success_url = ""
        self.log = getattr(task, "log", None)

    def xcom_push(self, key: str, value, **_) -> None:
        """Durable and visible to others when it returns; at most 48 KiB of JSON."""
        self._host.xcom_push(key, value)

    def xcom_pull(self, task_ids=None, dag_id=None, key: str = "return_value", default=None, map_indexes=None,
                  include_prior_dates=False, run_id=None, session=None):
        """The value of one task, or a list for several; `default` where there is none. Without `task_ids` the task's own."""
        if dag_id not in (None, self.dag_id) or run_id not in (None, self.run_id) or include_prior_dates:
            raise FailTask("xcom_pull reads this run only; hand values between runs over by storage or dag_run.conf")
        task_ids = self.task_id if task_ids is None else task_ids
        single = isinstance(task_ids, str) and not isinstance(map_indexes, (list, tuple, range))
        names = [task_ids] if isinstance(task_ids, str) else list(task_ids)
        indexes = list(map_indexes) if isinstance(map_indexes, (list, tuple, range)) else [map_indexes]
        values = [self._host.xcom_pull(name, key, index, default) for name in names for index in indexes]
        return values[0] if single else values

    def get_dagrun(self):
        return self.dag_run

    get_template_context = staticmethod(current)

    def __repr__(self) -> str:
        return f"<TaskInstance: {self.dag_id}.{self.task_id} {self.run_id} [running]>"


class _Variables:
    """`var.value.name` and `var.json.name`."""

    def __init__(self, parsed: bool):
        self._parsed = parsed

    def __getattr__(self, name: str):
        from .variables import Variable
        return Variable.get(name, deserialize_json=self._parsed)

    def get(self, name: str, default=None):
        from .variables import Variable
        return Variable.get(name, default, deserialize_json=self._parsed)


class _Var:
    value, json = _Variables(False), _Variables(True)


class _Connections:
    def __getattr__(self, name: str):
        raise NotFound(f"conn.{name}: connections are read by the host; write '{{{{ conn.{name}.host }}}}' in a template field")


def _asked_at(run_id: str):
    """The date in a run's id, for a run that is about no date."""
    found = re.search(r"\d{4}-\d\d-\d\dT[0-9:]{8}", run_id)
    return parse(found.group()) if found else DateTime(1970, 1, 1, tzinfo=UTC)


def build(attempt, host, task, dag, params: dict, extra: dict) -> Context:
    """The context of one attempt; `extra` is what the config brought from templates."""
    from . import macros
    from .assets import InletEvents, OutletEvents
    run = DagRun(attempt, extra.get("conf") or {})
    about = run.logical_date or _asked_at(attempt.run_id)
    ti = TaskInstance(attempt, host, task, run)
    context = Context(
        dag=dag, dag_run=run, run_id=run.run_id, task=task, ti=ti, task_instance=ti, params=ParamsDict(params),
        ds=about.strftime("%Y-%m-%d"), ds_nodash=about.strftime("%Y%m%d"), ts=about.isoformat(),
        ts_nodash=about.strftime("%Y%m%dT%H%M%S"), ts_nodash_with_tz=about.isoformat().replace("-", "").replace(":", ""),
        logical_date=about, execution_date=about,
        data_interval_start=run.data_interval_start or about, data_interval_end=run.data_interval_end or about,
        task_instance_key_str=f"{run.dag_id}__{attempt.task_id}__{about.strftime('%Y%m%d')}",
        var=_Var(), conn=_Connections(), macros=macros, test_mode=False, conf=None, templates_dict=None,
        inlets=getattr(task, "inlets", []), outlets=getattr(task, "outlets", []),
        inlet_events=InletEvents(), outlet_events=OutletEvents(),
        triggering_asset_events=extra.get("triggering_asset_events") or {}, task_reschedule_count=attempt.poke_number - 1,
        start_date=None, end_date=None, expanded_ti_count=None)
    context["triggering_dataset_events"] = context["triggering_asset_events"]
    return context


def arguments_for(function, args, kwargs: dict, context) -> dict:
    """`kwargs` with what the function's parameters ask of the context; everything where it takes `**kwargs`."""
    parameters = inspect.signature(function).parameters
    if "*" in kwargs:
        args.extend(kwargs.pop("*"))
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    taken = set(list(parameters)[:len(args)]) | set(kwargs)
    clash = [name for name in list(parameters)[:len(args)] if name in kwargs]
    if clash:
        raise TypeError(f"argument {clash[0]!r} is given twice")
    own = {name: value for name, value in context.items() if name in parameters and name not in taken}
    for name in ("map_index_template", "exception", "prev_start_date_success"):
        if name in parameters and name not in taken and name not in own:
            own[name] = None
    rest = {name: value for name, value in context.items() if name not in taken} if takes_all else {}
    positional_only = {one.name for one in parameters.values() if one.kind is one.POSITIONAL_ONLY}
    return {name: value for name, value in {**rest, **own, **kwargs}.items() if name not in positional_only}


def asks_for(function) -> set:
    """Which names of `FROM_TEMPLATES` a function may want."""
    parameters = inspect.signature(function).parameters
    names = set(parameters)
    code = getattr(inspect.unwrap(function), "__code__", None)
    reads_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    reads_all = reads_all or code is not None and "get_current_context" in code.co_names
    wanted = set()
    if reads_all or names & {"dag_run", "ti", "task_instance", "context"}:
        wanted.add("conf")
    if reads_all or names & {"triggering_asset_events", "triggering_dataset_events"}:
        wanted.add("triggering_asset_events")
    return wanted


_PLACE = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")


def fill_in(content, context):
    """A text with `{{ name }}` and `{{ a.b }}` filled in, and the like in lists and mappings."""
    if isinstance(content, dict):
        return {key: fill_in(value, context) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return type(content)(fill_in(value, context) for value in content)
    if not isinstance(content, str):
        return content

    def value(match):
        first, *rest = match.group(1).split(".")
        found = context[first]
        for name in rest:
            found = found[name] if isinstance(found, dict) else getattr(found, name)
        return str(found)

    return _PLACE.sub(value, content)
