"""Words of Airflow that are values: trigger rules, weight rules, states, days of the week, labels of edges."""

import enum


class _Word(str, enum.Enum):
    def __str__(self) -> str:
        return self.value


class TriggerRule(_Word):
    """Decides, from the states of the direct upstream task instances, whether a task runs."""

    ALL_SUCCESS = "all_success"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success"
    ALL_DONE_SETUP_SUCCESS = "all_done_setup_success"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    ONE_DONE = "one_done"
    NONE_FAILED = "none_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    NONE_FAILED_OR_SKIPPED = "none_failed_min_one_success"
    NONE_SKIPPED = "none_skipped"
    ALL_SKIPPED = "all_skipped"
    ALWAYS = "always"
    DUMMY = "always"


class WeightRule(_Word):
    """How the priorities of other tasks add to a task's own."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    ABSOLUTE = "absolute"


class TaskInstanceState(_Word):
    """What becomes of a task instance."""

    REMOVED = "removed"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    RESTARTING = "restarting"
    FAILED = "failed"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    UPSTREAM_FAILED = "upstream_failed"
    SKIPPED = "skipped"
    DEFERRED = "deferred"
    AWAITING_INPUT = "awaiting_input"


class DagRunState(_Word):
    """What becomes of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class DagRunType(_Word):
    """How a run came about."""

    MANUAL = "manual"
    SCHEDULED = "scheduled"
    BACKFILL_JOB = "backfill"
    ASSET_TRIGGERED = "asset_triggered"


class State:
    """Both kinds of states under one name, as older DAG files write them."""

    SUCCESS, FAILED, RUNNING, QUEUED = "success", "failed", "running", "queued"
    SKIPPED, UPSTREAM_FAILED, SCHEDULED, NONE = "skipped", "upstream_failed", "scheduled", None
    UP_FOR_RETRY, UP_FOR_RESCHEDULE, DEFERRED = "up_for_retry", "up_for_reschedule", "deferred"


class WeekDay(enum.IntEnum):
    """Days as ISO counts them."""

    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7


class Label:
    """A label between two tasks: `a >> Label("why") >> b`. It has no effect on runs."""

    def __init__(self, label: str):
        self.label = label
        self._before, self._after = [], []

    def __rshift__(self, other):
        from .edges import link
        self._after.append(other)
        for before in self._before:
            link(before, other)
        return other

    def __lshift__(self, other):
        from .edges import link
        self._before.append(other)
        for after in self._after:
            link(other, after)
        return other

    def set_downstream(self, other, edge_modifier=None):
        self >> other

    def set_upstream(self, other, edge_modifier=None):
        self << other

    def __rrshift__(self, other):
        self << other
        return self

    def __rlshift__(self, other):
        self >> other
        return self
