"""Schedules as DAG files write them, and as the DAG's document has them. It refuses a timetable of one's own: it would run in the host."""

import datetime

from .assets import All, AssetAlias, Asset, Condition
from .dates import zone_name
from .errors import DagError


class _Timetable:
    kind = None

    def document(self) -> dict:
        raise NotImplementedError


class CronTriggerTimetable(_Timetable):
    """A run at each tick, about that tick."""

    def __init__(self, cron: str, *, timezone="UTC", interval=None, run_immediately=None, **_):
        self.cron, self.timezone = cron, timezone

    def document(self) -> dict:
        return {"schedule": self.cron, "timezone": zone_name(self.timezone) if not isinstance(self.timezone, str) else self.timezone}


class CronDataIntervalTimetable(CronTriggerTimetable):
    """A run at each tick, about the time since the tick before."""

    def __init__(self, cron: str, timezone="UTC", **_):
        super().__init__(cron, timezone=timezone)

    def document(self) -> dict:
        return {**super().document(), "timetable": "interval"}


class DeltaTriggerTimetable(_Timetable):
    """A run every so long."""

    def __init__(self, delta, **_):
        self.delta = delta

    def document(self) -> dict:
        return {"schedule": {"every": self.delta.total_seconds()}}


class DeltaDataIntervalTimetable(DeltaTriggerTimetable):
    """A run every so long, about the time since the run before."""

    def document(self) -> dict:
        return {**super().document(), "timetable": "interval"}


class ContinuousTimetable(_Timetable):
    """A run as soon as the last one ended."""

    def document(self) -> dict:
        return {"schedule": "@continuous"}


class OnceTimetable(_Timetable):
    """One run."""

    def document(self) -> dict:
        return {"schedule": "@once"}


class NullTimetable(_Timetable):
    """Runs on request only."""

    def document(self) -> dict:
        return {}


class AssetOrTimeSchedule(_Timetable):
    """When assets were updated, and by a timetable as well."""

    def __init__(self, *, timetable, assets):
        self.timetable, self.assets = timetable, assets

    def document(self) -> dict:
        timed = self.timetable.document()
        schedule = timed.pop("schedule")
        parts = {"cron": schedule} if isinstance(schedule, str) else schedule
        return {**timed, "schedule": {**parts, "assets": _assets(self.assets)}}


DatasetOrTimeSchedule = AssetOrTimeSchedule


class Timetable:
    """The root of timetables of one's own. The document of a DAG cannot hold one."""


def _assets(assets):
    return All(*assets).document() if isinstance(assets, (list, tuple, set)) else assets.document()


def document(schedule) -> dict:
    """`schedule`, and where they follow from it `timezone` and `timetable`."""
    if schedule is None:
        return {}
    if isinstance(schedule, _Timetable):
        return schedule.document()
    if isinstance(schedule, datetime.timedelta):
        return {"schedule": {"every": schedule.total_seconds()}}
    if isinstance(schedule, (Condition, list, tuple, set)):
        if not isinstance(schedule, Condition) and not schedule:
            return {}
        return {"schedule": {"assets": _assets(schedule)}}
    if isinstance(schedule, str):
        return {} if schedule in ("@none", "None") else {"schedule": schedule}
    raise DagError(
        f"the schedule is a {type(schedule).__name__}, which would run in the host; write cron, a preset, a timedelta or assets")


__all__ = [name for name in dict(globals()) if name.endswith(("Timetable", "Schedule"))] + ["AssetAlias", "Asset", "document"]
