"""Partitions of assets, as DAG files write them. Airlock's assets have none: a DAG of partitions gets a run for each update, and
its runs have no partition key. What would change that (mappers, windows, policies) is taken and means nothing; the builder says so."""

import enum

from .timetables import CronTriggerTimetable, NullTimetable, _assets, _Timetable


class CronPartitionTimetable(CronTriggerTimetable):
    """A run at each tick."""


class PartitionedAtRuntime(NullTimetable):
    """Runs on request only."""

    def __init__(self, **_):
        pass


class PartitionedAssetTimetable(_Timetable):
    """A run when all of the assets were updated."""

    is_partitioned = True

    def __init__(self, *, assets, **_):
        self.assets = assets

    def document(self) -> dict:
        return {"schedule": {"assets": _assets(self.assets)}}


class Meaningless:
    """A mapper, window or policy."""

    class Direction(enum.Enum):
        FORWARD = "forward"
        BACKWARD = "backward"

    def __init__(self, *_, **__):
        pass


NAMES = """AllowedKeyMapper DayWindow FanOutMapper FixedKeyMapper HourWindow IdentityMapper MinimumCount MonthWindow ProductMapper
QuarterWindow RollupMapper SegmentWindow StartOfDayMapper StartOfHourMapper StartOfMonthMapper StartOfQuarterMapper
StartOfWeekMapper StartOfYearMapper ToDailyMapper ToHourlyMapper WaitForAll WeekWindow Window YearWindow""".split()
