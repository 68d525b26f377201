"""Clocks and chance in the component. Its Python was started when it was built and has no system behind it, so what asks for the
time or for random bytes is led to the host's interfaces. It refuses nothing: outside of a component it does nothing."""

import datetime as _datetime
import os
import random as _random
import time as _time

try:
    from wit_world.imports import monotonic_clock, random, wall_clock
except ImportError:
    monotonic_clock = random = wall_clock = None

_BUILT_AT = _time.time()
_RUNS = False


def time() -> float:
    """Seconds since 1970-01-01T00:00:00Z; while the component is built, of its building."""
    if not _RUNS:
        return _BUILT_AT if wall_clock else _time.time()
    now = wall_clock.now()
    return now.seconds + now.nanoseconds / 1e9


def time_ns() -> int:
    return int(time() * 1e9)


def monotonic() -> float:
    return monotonic_clock.now() / 1e9 if _RUNS else 0.0


def monotonic_ns() -> int:
    return monotonic_clock.now() if _RUNS else 0


def sleep(seconds: float) -> None:
    """The attempt's time limits go on while it sleeps."""
    if _RUNS and seconds > 0:
        monotonic_clock.subscribe_duration(int(seconds * 1e9)).block()


def urandom(count: int) -> bytes:
    return bytes(random.get_random_bytes(count)) if _RUNS else bytes(count)


def gmtime(seconds=None):
    return _GMTIME(time() if seconds is None else seconds)


def _strftime(form: str, when=None) -> str:
    return _STRFTIME(form, gmtime() if when is None else when)


class _Meta(type):
    def __instancecheck__(cls, thing) -> bool:
        return isinstance(thing, _REAL)

    def __subclasscheck__(cls, other) -> bool:
        return issubclass(other, _REAL)


_REAL = _datetime.datetime
_GMTIME, _STRFTIME = _time.gmtime, _time.strftime


class datetime(_REAL, metaclass=_Meta):
    """Python's datetime with the host's clock."""

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time(), tz) if tz is not None else cls.utcnow()

    @classmethod
    def utcnow(cls):
        return cls.fromtimestamp(time(), _datetime.timezone.utc).replace(tzinfo=None)

    today = utcnow


def patch() -> None:
    """Puts the host's clocks into the standard library, before anything else is imported. The local time zone is UTC."""
    if wall_clock is None:
        return
    for ours in (time, time_ns, monotonic, monotonic_ns, sleep, gmtime):
        setattr(_time, ours.__name__, ours)
    _time.localtime, _time.strftime = gmtime, _strftime
    _time.perf_counter, _time.perf_counter_ns = monotonic, monotonic_ns
    _time.process_time = monotonic
    os.urandom = _random._urandom = urandom
    datetime.__module__, datetime.__qualname__ = "datetime", "datetime"
    _datetime.datetime = datetime


def begin() -> None:
    """The attempt begins: from now on the host is asked, and chance begins anew."""
    global _RUNS
    if wall_clock is None:
        return
    _RUNS = True
    _random.seed(int.from_bytes(urandom(16), "big"))
