"""Dates as DAG files know them from pendulum: a datetime with a few of its words. Where pendulum itself is there, files get that."""

import datetime as _datetime
import re

UTC = _datetime.timezone.utc


def timezone(name="UTC"):
    """A time zone by its IANA name. The component holds those that were asked for while it was built."""
    if not isinstance(name, str):
        return name
    if name.upper() in ("UTC", "Z", "ETC/UTC"):
        return UTC
    import zoneinfo
    return zoneinfo.ZoneInfo(name)


class DateTime(_datetime.datetime):
    """A datetime with pendulum's words. Arithmetic keeps its type."""

    @classmethod
    def of(cls, other):
        """The same instant; a naive one is in UTC."""
        if isinstance(other, cls):
            return other
        return cls(other.year, other.month, other.day, other.hour, other.minute, other.second, other.microsecond,
                   other.tzinfo or UTC, fold=other.fold)

    @classmethod
    def now(cls, tz=None):
        from . import host
        return cls.fromtimestamp(host.time(), timezone(tz) if tz is not None else UTC)

    def add(self, years=0, months=0, weeks=0, days=0, hours=0, minutes=0, seconds=0, microseconds=0):
        month = self.month - 1 + months + 12 * years
        year, month = self.year + month // 12, month % 12 + 1
        last = (_datetime.date(year + month // 12, month % 12 + 1, 1) - _datetime.timedelta(days=1)).day
        moved = self.replace(year=year, month=month, day=min(self.day, last))
        return moved + _datetime.timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds,
                                           microseconds=microseconds)

    def subtract(self, **parts):
        return self.add(**{name: -value for name, value in parts.items()})

    def in_timezone(self, tz):
        return self.astimezone(timezone(tz))

    in_tz = in_timezone

    def start_of(self, unit: str):
        day = self.replace(hour=0, minute=0, second=0, microsecond=0)
        if unit == "hour":
            return self.replace(minute=0, second=0, microsecond=0)
        if unit == "week":
            return day - _datetime.timedelta(days=self.weekday())
        return {"day": day, "month": day.replace(day=1), "year": day.replace(month=1, day=1)}[unit]

    def to_date_string(self) -> str:
        return self.strftime("%Y-%m-%d")

    def to_iso8601_string(self) -> str:
        return self.isoformat()

    def to_datetime_string(self) -> str:
        return self.strftime("%Y-%m-%d %H:%M:%S")

    def diff(self, other):
        return abs(other - self)

    def format(self, form: str) -> str:
        words = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
        return self.strftime(re.sub("|".join(words), lambda match: words[match.group()], form))

    @property
    def day_of_week(self) -> int:
        return self.weekday()

    @property
    def int_timestamp(self) -> int:
        return int(self.timestamp())

    @property
    def timezone_name(self) -> str:
        return zone_name(self.tzinfo)


def zone_name(zone) -> str:
    """The IANA name of a time zone; `UTC` for none."""
    return getattr(zone, "key", None) or getattr(zone, "name", None) or str(zone.tzname(None) if zone else "UTC")


def datetime(year, month, day, hour=0, minute=0, second=0, microsecond=0, tz=UTC, **_):
    return DateTime(year, month, day, hour, minute, second, microsecond, timezone(tz))


def parse(text, tz=UTC, **_):
    """An ISO 8601 text as a date; none for none."""
    if text is None:
        return None
    found = _datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    return DateTime.of(found if found.tzinfo else found.replace(tzinfo=timezone(tz)))


def now(tz="UTC"):
    return DateTime.now(tz)


def today(tz="UTC"):
    return DateTime.now(tz).start_of("day")


def yesterday(tz="UTC"):
    return today(tz).subtract(days=1)


def tomorrow(tz="UTC"):
    return today(tz).add(days=1)


def instance(other, tz=UTC):
    return DateTime.of(other if other.tzinfo else other.replace(tzinfo=timezone(tz)))


def from_timestamp(seconds, tz=UTC):
    return DateTime.fromtimestamp(seconds, timezone(tz))


def from_format(text, form, tz=UTC):
    words = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
    return instance(_datetime.datetime.strptime(text, re.sub("|".join(words), lambda match: words[match.group()], form)), tz)


def duration(days=0, seconds=0, microseconds=0, milliseconds=0, minutes=0, hours=0, weeks=0, **_):
    return _datetime.timedelta(days, seconds, microseconds, milliseconds, minutes, hours, weeks)


Duration = _datetime.timedelta
Timezone = timezone
Date, Time = _datetime.date, _datetime.time
local_timezone = timezone


def time(hour=0, minute=0, second=0, microsecond=0):
    return _datetime.time(hour, minute, second, microsecond)


def date(year, month, day):
    return _datetime.date(year, month, day)
