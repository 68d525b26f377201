"""Airflow's classic operators and sensors that an operator of the host carries out. It refuses arguments that the host's has not."""

import datetime

from .assets import Asset
from .dates import DateTime
from .errors import DagError
from .names import WeekDay
from .task import BaseOperator, BaseSensorOperator
from .xcom_arg import XComArg


def seconds(span):
    """A timedelta or a number as seconds."""
    return span.total_seconds() if isinstance(span, datetime.timedelta) else span


def _days(days) -> list:
    days = days if isinstance(days, (list, tuple, set)) else [days]
    names = []
    for day in days:
        name = day.name if isinstance(day, WeekDay) else str(day)
        names.append(name.capitalize())
    return names


class _Native:
    """A task whose `operator` is the host's. `config()` is what that one reads, `needs()` the grants it takes."""

    def config(self) -> dict:
        return {}

    def needs(self) -> dict:
        return {}


class EmptyOperator(_Native, BaseOperator):
    """Does nothing."""

    native = "probe"

    def execute(self, context):
        return None


class LatestOnlyOperator(_Native, BaseOperator):
    """Skips what is directly downstream unless the run is the newest."""

    native = "branch.latest_only"


class BranchDayOfWeekOperator(_Native, BaseOperator):
    """Branches by the day of the week."""

    native = "branch.branch_day_of_week"

    def __init__(self, *, follow_task_ids_if_true, follow_task_ids_if_false, week_day, use_task_logical_date=False,
                 use_task_execution_day=False, **kwargs):
        super().__init__(**kwargs)
        self.chosen = dict(
            follow_task_ids_if_true=follow_task_ids_if_true, follow_task_ids_if_false=follow_task_ids_if_false,
            week_day=_days(week_day), use_task_logical_date=use_task_logical_date or use_task_execution_day)

    def config(self) -> dict:
        return {**self.chosen, "timezone": "UTC"}


def _moment(value):
    if value is None:
        return None
    if isinstance(value, datetime.datetime):
        return value.isoformat() if value.tzinfo else value.isoformat() + "+00:00"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


class BranchDateTimeOperator(_Native, BaseOperator):
    """Branches by the time."""

    native = "branch.branch_datetime"

    def __init__(self, *, follow_task_ids_if_true, follow_task_ids_if_false, target_lower=None, target_upper=None,
                 use_task_logical_date=False, use_task_execution_date=False, **kwargs):
        super().__init__(**kwargs)
        self.chosen = dict(
            follow_task_ids_if_true=follow_task_ids_if_true, follow_task_ids_if_false=follow_task_ids_if_false,
            target_lower=_moment(target_lower), target_upper=_moment(target_upper),
            use_task_logical_date=use_task_logical_date or use_task_execution_date)

    def config(self) -> dict:
        return {**{name: value for name, value in self.chosen.items() if value is not None}, "timezone": "UTC"}


class TriggerDagRunOperator(_Native, BaseOperator):
    """Makes a run of another DAG, and waits for it if asked to."""

    native = "trigger_dag_run"
    template_fields = ("trigger_dag_id", "trigger_run_id", "conf", "logical_date")

    def __init__(self, *, trigger_dag_id, trigger_run_id=None, conf=None, logical_date=None, execution_date=None,
                 reset_dag_run=False, skip_when_already_exists=False, wait_for_completion=False, poke_interval=60,
                 allowed_states=None, failed_states=None, deferrable=False, fail_when_dag_is_paused=False, note=None, **kwargs):
        super().__init__(**kwargs)
        self.trigger_dag_id, self.trigger_run_id, self.conf = trigger_dag_id, trigger_run_id, conf
        self.logical_date = logical_date or execution_date
        self.waits = dict(reset_dag_run=reset_dag_run, skip_when_already_exists=skip_when_already_exists,
                          wait_for_completion=wait_for_completion, poke_interval=seconds(poke_interval))
        if allowed_states:
            self.waits["allowed_states"] = [str(state) for state in allowed_states]
        if failed_states:
            self.waits["failed_states"] = [str(state) for state in failed_states]

    def config(self) -> dict:
        named = dict(trigger_dag_id=self.trigger_dag_id, trigger_run_id=self.trigger_run_id, conf=self.conf,
                     logical_date=_moment(self.logical_date) if self.logical_date is not None else None)
        return {**{name: value for name, value in named.items() if value is not None}, **self.waits}

    def needs(self) -> dict:
        return {"trigger_dags": [self.trigger_dag_id]} if isinstance(self.trigger_dag_id, str) else {}


class ExternalTaskSensor(_Native, BaseSensorOperator):
    """Waits for a run, or tasks of a run, of another DAG with the same logical date."""

    native = "sensors.external_task"
    template_fields = ("external_dag_id", "external_task_id", "external_task_ids", "external_task_group_id")

    def __init__(self, *, external_dag_id, external_task_id=None, external_task_ids=None, external_task_group_id=None,
                 allowed_states=None, skipped_states=None, failed_states=None, execution_delta=None, execution_date_fn=None,
                 check_existence=False, **kwargs):
        super().__init__(**kwargs)
        if execution_date_fn is not None:
            raise DagError(f"task {self.task_id!r}: execution_date_fn would run in the host; use execution_delta")
        self.external_dag_id, self.external_task_id = external_dag_id, external_task_id
        self.external_task_ids, self.external_task_group_id = external_task_ids, external_task_group_id
        self.rest = dict(check_existence=check_existence)
        for name, states in (("allowed_states", allowed_states), ("skipped_states", skipped_states), ("failed_states", failed_states)):
            if states:
                self.rest[name] = [str(state) for state in states]
        if execution_delta is not None:
            self.rest["execution_delta"] = seconds(execution_delta)

    def config(self) -> dict:
        named = {name: getattr(self, name) for name in self.template_fields}
        named["external_dag_id"] = self.external_dag_id
        return {**{name: value for name, value in named.items() if value is not None}, **self.rest}

    def needs(self) -> dict:
        return {"dag_state": [self.external_dag_id]} if isinstance(self.external_dag_id, str) else {}


class ExternalTaskMarker(EmptyOperator):
    """Says which task of another DAG is cleared with this one; Airlock does not follow it."""

    def __init__(self, *, external_dag_id, external_task_id=None, logical_date=None, execution_date=None, recursion_depth=10, **kwargs):
        super().__init__(**kwargs)
        self.external_dag_id, self.external_task_id = external_dag_id, external_task_id


class S3KeySensor(_Native, BaseSensorOperator):
    """Waits for objects in a bucket."""

    native = "sensors.object_key"
    template_fields = ("bucket_key", "bucket_name")

    def __init__(self, *, bucket_key, bucket_name=None, wildcard_match=False, check_fn=None, aws_conn_id="aws_default",
                 verify=None, use_regex=False, metadata_keys=None, **kwargs):
        super().__init__(**kwargs)
        if check_fn is not None:
            raise DagError(f"task {self.task_id!r}: check_fn would run in the host; read the object in a task of its own")
        self.bucket_key, self.bucket_name = bucket_key, bucket_name
        self.rest = dict(wildcard_match=wildcard_match, use_regex=use_regex)

    def config(self) -> dict:
        named = {"bucket_key": self.bucket_key, **({"bucket_name": self.bucket_name} if self.bucket_name else {})}
        return {**named, **self.rest}

    def needs(self) -> dict:
        keys = self.bucket_key if isinstance(self.bucket_key, list) else [self.bucket_key]
        buckets = {f"s3://{self.bucket_name}/"} if self.bucket_name else {
            "/".join(key.split("/")[:3]) + "/" for key in keys if isinstance(key, str) and "://" in key}
        return {"storage_read": sorted(bucket for bucket in buckets if "{" not in bucket)}


class TimeDeltaSensor(_Native, BaseSensorOperator):
    """Waits until so long after the end of the run's data interval."""

    native = "sensors.time_delta"

    def __init__(self, *, delta, **kwargs):
        super().__init__(**kwargs)
        self.delta = delta

    def config(self) -> dict:
        return {"delta": seconds(self.delta)}


class WaitSensor(BaseSensorOperator):
    """Waits so long from its first look on."""

    def __init__(self, *, time_to_wait, **kwargs):
        super().__init__(**kwargs)
        self.wait = time_to_wait

    def poke(self, context):
        raise DagError("WaitSensor is not there; use TimeDeltaSensor")


class TimeSensor(_Native, BaseSensorOperator):
    """Waits until a time of the day."""

    native = "sensors.time"

    def __init__(self, *, target_time, **kwargs):
        super().__init__(**kwargs)
        self.target_time = target_time

    def config(self) -> dict:
        return {"target_time": self.target_time.strftime("%H:%M:%S")}


class DateTimeSensor(_Native, BaseSensorOperator):
    """Waits until an instant."""

    native = "sensors.datetime"
    template_fields = ("target_time",)

    def __init__(self, *, target_time, **kwargs):
        super().__init__(**kwargs)
        self.target_time = target_time if isinstance(target_time, (str, XComArg)) else DateTime.of(target_time).isoformat()

    def config(self) -> dict:
        return {"target_time": self.target_time}


class DayOfWeekSensor(_Native, BaseSensorOperator):
    """Waits for a day of the week."""

    native = "sensors.day_of_week"

    def __init__(self, *, week_day, use_task_logical_date=False, use_task_execution_day=False, **kwargs):
        super().__init__(**kwargs)
        self.chosen = dict(week_day=_days(week_day), use_task_logical_date=use_task_logical_date or use_task_execution_day)

    def config(self) -> dict:
        return {**self.chosen, "timezone": "UTC"}


class FileSensor(_Native, BaseSensorOperator):
    """Waits for a file of the host; a path becomes a `file://` URI and needs a grant of it."""

    native = "sensors.file"
    template_fields = ("filepath",)

    def __init__(self, *, filepath, fs_conn_id="fs_default", recursive=False, **kwargs):
        super().__init__(**kwargs)
        self.filepath = filepath

    def config(self) -> dict:
        path = self.filepath
        if isinstance(path, str) and "://" not in path:
            path = f"file://{path}" if path.startswith("/") else f"file://./{path}"
        return {"filepath": path, "wildcard_match": isinstance(path, str) and any(one in path for one in "*?[")}

    def needs(self) -> dict:
        path = self.config()["filepath"]
        return {"storage_read": [path.rpartition("/")[0] + "/"]} if isinstance(path, str) and "{" not in path else {}


__all__ = [name for name in dict(globals()) if name[0].isupper()] + ["Asset", "seconds"]
