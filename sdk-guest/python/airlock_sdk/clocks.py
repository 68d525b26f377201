"""Clocks and chance in the component. Its Python has no system behind it: the time comes from the host's
`clock`, and `random` is seeded from the attempt, so that a retry differs and a replay does not. While the
component is built it is the time of the building."""

import datetime as _datetime
import hashlib
import logging
import os
import random as _random
import tempfile
import time as _time
import types

_BUILT_AT = _time.time()
_STATE = {"clock": None, "seed": b"", "drawn": 0}


class Clock:
    """The host's clocks; `wasm` fills one in."""

    def __init__(self, wall, steady, wait):
        self.wall, self.steady, self.wait = wall, steady, wait


def time_ns() -> int:
    """Nanoseconds since 1970 in UTC."""
    clock = _STATE["clock"]
    return int(_BUILT_AT * 1e9) if clock is None else clock.wall()


def time() -> float:
    """Seconds since 1970 in UTC."""
    return time_ns() / 1e9


def monotonic_ns() -> int:
    """Nanoseconds since some moment; never goes back."""
    clock = _STATE["clock"]
    return 0 if clock is None else clock.steady()


def monotonic() -> float:
    """Seconds since some moment; never goes back."""
    return monotonic_ns() / 1e9


def sleep(seconds: float) -> None:
    """Waits; while the component is built it returns at once. A task that waits for long keeps its slot: a sensor does not."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    if _STATE["clock"] is not None:
        _STATE["clock"].wait(int(seconds * 1e9))


def urandom(count: int) -> bytes:
    """Bytes that differ between attempts, and that anybody who knows the attempt can tell: nothing for secrets."""
    out = b""
    while len(out) < count:
        _STATE["drawn"] += 1
        out += hashlib.sha256(_STATE["seed"] + str(_STATE["drawn"]).encode()).digest()
    return out[:count]


class _Meta(type):
    def __instancecheck__(cls, thing) -> bool:
        return isinstance(thing, _REAL)


_REAL = _datetime.datetime


class datetime(_REAL, metaclass=_Meta):
    """Python's datetime without the system's clock."""

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time(), tz or _datetime.timezone.utc).replace(tzinfo=tz)

    @classmethod
    def utcnow(cls):
        return cls.now()

    today = utcnow


def _of_now(function):
    """A function of `time` whose seconds are now where none are said."""
    def told(seconds=None):
        return function(time() if seconds is None else seconds)
    return told


def patch() -> None:
    """Puts them into the standard library, before anything else is imported."""
    strftime, asctime = _time.strftime, _time.asctime
    _time.time, _time.time_ns, _time.sleep = time, time_ns, sleep
    _time.monotonic = _time.perf_counter = _time.process_time = monotonic
    _time.monotonic_ns = _time.perf_counter_ns = _time.process_time_ns = monotonic_ns
    _time.gmtime, _time.ctime = _of_now(_time.gmtime), _of_now(_time.ctime)
    _time.get_clock_info = lambda name: types.SimpleNamespace(
        implementation="airlock", monotonic=name != "time", adjustable=name == "time", resolution=1e-9)
    # There is one zone, UTC.
    _time.localtime = _time.gmtime
    _time.strftime = lambda form, of=None: strftime(form, of or _time.gmtime())
    _time.asctime = lambda of=None: asctime(of or _time.gmtime())
    os.urandom = _random._urandom = urandom
    datetime.__module__, datetime.__qualname__ = "datetime", "datetime"
    _datetime.datetime = datetime
    logging.time = types.SimpleNamespace(time=time, time_ns=time_ns, strftime=_time.strftime, localtime=_time.localtime,
                                         gmtime=_time.gmtime, monotonic=monotonic)
    logging.Formatter.converter = staticmethod(_time.gmtime)
    # A name that files may mention while they are loaded; there is no such folder.
    tempfile.tempdir = "/tmp"


def begin(attempt, clock: Clock) -> None:
    """The attempt begins."""
    named = (attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index, attempt.try_number, attempt.poke_number)
    _STATE.update(clock=clock, seed=repr(named).encode(), drawn=0)
    _random.seed(_STATE["seed"])


def _no_files(path=None, *_, **__):
    raise FileNotFoundError(2, "there are no files in the sandbox; use airlock_sdk.storage", path)


def close(sources=()) -> None:
    """The end of the building: from now on nothing is looked for in files. Tracebacks show the lines of `sources`."""
    import _io
    import builtins
    import io
    import linecache
    import sys
    import tokenize
    for path in sources:
        lines = linecache.getlines(path)
        # Without a time nobody looks whether the file has changed.
        linecache.cache[path] = (len(lines), None, lines, path)
    tokenize._builtin_open = _no_files
    for name in ("stat", "lstat", "listdir", "scandir", "open", "getcwd", "mkdir", "remove"):
        setattr(os, name, _no_files)
    # What loads modules, and so a traceback that looks for lines, opens by `_io`.
    builtins.open = io.open = io.open_code = _io.open = _io.open_code = _no_files
    sys.path[:] = []
    sys.meta_path[:] = [one for one in sys.meta_path if getattr(one, "__name__", "") != "PathFinder"]
