"""Clocks and chance in the component. Its Python has no system behind it: there is no clock that it could ask, and `random` is
seeded from the attempt. It refuses to make a time up: who asks for the time in a task gets an error that names the logical date."""

import datetime as _datetime
import hashlib
import logging
import os
import random as _random
import time as _time
import types

from .errors import FailTask

_BUILT_AT = _time.time()
_STATE = {"runs": False, "seed": b"", "drawn": 0}


def time() -> float:
    """While the component is built, the time of its building; in a task an error."""
    if _STATE["runs"]:
        raise FailTask("a Python component has no clock; use the context's logical_date, ds or data_interval_end")
    return _BUILT_AT


def sleep(_seconds: float) -> None:
    """Returns at once."""


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


def patch() -> None:
    """Puts them into the standard library, before anything else is imported."""
    _time.time, _time.sleep = time, sleep
    _time.time_ns = lambda: int(time() * 1e9)
    _time.monotonic = _time.perf_counter = _time.process_time = lambda: 0.0
    os.urandom = _random._urandom = urandom
    datetime.__module__, datetime.__qualname__ = "datetime", "datetime"
    _datetime.datetime = datetime
    logging.time = types.SimpleNamespace(time=lambda: _BUILT_AT, time_ns=lambda: int(_BUILT_AT * 1e9), strftime=_time.strftime)


def begin(attempt) -> None:
    """The attempt begins."""
    named = (attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index, attempt.try_number, attempt.poke_number)
    _STATE.update(runs=True, seed=repr(named).encode(), drawn=0)
    _random.seed(_STATE["seed"])


def _no_files(path=None, *_, **__):
    raise FileNotFoundError(2, "there are no files in the sandbox; use airlock_sdk.storage", path)


def close() -> None:
    """The end of the building: from now on nothing is looked for in files."""
    import builtins
    import io
    import sys
    for name in ("stat", "lstat", "listdir", "scandir", "open", "getcwd", "mkdir", "remove"):
        setattr(os, name, _no_files)
    builtins.open = io.open = io.open_code = _no_files
    sys.path[:] = []
    sys.meta_path[:] = [one for one in sys.meta_path if getattr(one, "__name__", "") != "PathFinder"]
