"""The component: what the host calls, and the host as the SDK calls it. It can be imported only where componentize-py made
`wit_world`; interfaces that the component does not import stay away."""

import importlib
import json
import logging

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import clock as clock_interface
from wit_world.imports import log as log_interface
from wit_world.imports import progress as progress_interface
from wit_world.imports import types
from wit_world.imports import xcom as xcom_interface

from . import aio, clocks, entry, errors, host, run

_ERRORS = {"Denied": errors.Denied, "NotFound": errors.NotFound, "Invalid": errors.Invalid, "TooLarge": errors.TooLarge,
           "Conflict": errors.Conflict, "Unavailable": errors.Unavailable}
_CHUNK = 1 << 20


def call(function, *arguments):
    """A host function; its error as one of ours."""
    try:
        return function(*arguments)
    except Err as error:
        kind = type(error.value).__name__.rpartition("_")[2]
        value = error.value.value
        message = f"over the limit of {value} bytes" if kind == "TooLarge" else value
        raise _ERRORS[kind](message) from None


def interface(name: str):
    """An interface that the component may import."""
    try:
        return importlib.import_module(f"wit_world.imports.{name}")
    except ImportError:
        return host.missing(name)


class WasmHost(host.Host):
    """The real host."""

    def __init__(self):
        for name in ("storage", "tracking", "models", "secrets", "dag_state", "http"):
            setattr(self, name, interface(name))

    time = staticmethod(clocks.time)

    def call(self, function, *arguments):
        return call(function, *arguments)

    def log(self, level: str, message: str) -> None:
        for line in message.splitlines() or [""]:
            log_interface.log(getattr(log_interface.Level, level.upper()), line)

    def report(self, fraction, message: str) -> None:
        progress_interface.report(fraction, message)

    def is_cancelled(self) -> bool:
        return progress_interface.is_cancelled()

    def push(self, key: str, text: str) -> None:
        call(xcom_interface.push, key, text)

    def pull(self, task_id: str, key: str, map_index=None):
        return call(xcom_interface.pull, task_id, key, map_index)

    def send(self, method: str, url: str, headers: list, body: bytes, timeout_ms):
        answer = call(self.http.send, self.http.Request(method, url, headers, body, timeout_ms))
        return answer.status, answer.headers, answer.body

    def read_object(self, uri: str) -> bytes:
        reader, parts = call(self.storage.open, uri), []
        while part := call(reader.read, _CHUNK):
            parts.append(bytes(part))
        return b"".join(parts)

    def write_object(self, uri: str, data: bytes) -> str:
        writer = call(self.storage.create, uri)
        for start in range(0, len(data), _CHUNK):
            call(writer.write, bytes(data[start:start + _CHUNK]))
        return call(writer.finish)

    def head_object(self, uri: str):
        info = call(self.storage.head, uri)
        return None if info is None else info.size

    def list_objects(self, prefix: str) -> list:
        found, after = [], None
        while page := call(self.storage.list, prefix, after):
            found.extend((one.uri, one.size) for one in page)
            after = page[-1].uri
        return found

    def delete_object(self, uri: str) -> None:
        call(self.storage.delete, uri)


class _Lines:
    """Standard output as lines of the task's log."""

    encoding, errors, closed = "utf-8", "replace", False

    def __init__(self, level: str):
        self._level, self._rest = level, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            _HOST.log(self._level, line)
        return len(text)

    def flush(self) -> None:
        if self._rest:
            rest, self._rest = self._rest, ""
            _HOST.log(self._level, rest)

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True


class _Handler(logging.Handler):
    """Python's logging as lines of the task's log."""

    def emit(self, record) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warn" if record.levelno >= logging.WARNING else "info"
        _HOST.log(level if record.levelno >= logging.INFO else "debug", self.format(record))


_CLOCK = clocks.Clock(clock_interface.now, clock_interface.monotonic, clock_interface.sleep)
_HOST = WasmHost()
_OUT, _ERR = _Lines("info"), _Lines("warn")


def _begin(attempt) -> None:
    import sys
    clocks.begin(attempt, _CLOCK)
    sys.stdout, sys.stderr = _OUT, _ERR
    logging.root.handlers[:] = [_Handler()]
    logging.root.setLevel(logging.INFO)
    host.install(_HOST)


def _outcome(ended):
    if ended.kind == "success":
        return types.Outcome_Success(ended.value)
    if ended.kind == "not_yet":
        return types.Outcome_NotYet()
    failures = {"transient": types.TaskError_Transient, "permanent": types.TaskError_Permanent}
    if ended.kind in failures:
        raise Err(failures[ended.kind](str(ended.value)))
    if ended.kind == "invalid_input":
        raise Err(types.TaskError_InvalidInput(types.InvalidInput(ended.field, str(ended.value))))
    return {"skip": types.Outcome_Skip, "branch": types.Outcome_Branch, "short_circuit": types.Outcome_ShortCircuit,
            "defer": types.Outcome_Defer}[ended.kind](ended.value)


class Guest(exports.Guest):
    """What the host calls."""

    def describe(self) -> types.PluginInfo:
        said = DESCRIBED
        kinds = (types.OperatorKind.OPERATOR, types.OperatorKind.SENSOR)
        operators = [types.OperatorInfo(name, summary, kinds[is_sensor], json.dumps(schema))
                     for name, summary, is_sensor, schema in said["operators"]]
        return types.PluginInfo(said["name"], "0.1.0", operators, said["dags"])

    def run(self, context) -> types.Outcome:
        _begin(context)
        ended = run.run(context, _HOST)
        _OUT.flush()
        _ERR.flush()
        return _outcome(ended)


DESCRIBED: dict = {}
"""What `describe` answers; made once, while the component is built."""


def describe_now() -> None:
    """Makes `DESCRIBED` of what was loaded."""
    DESCRIBED.update(entry.described())
    for name in ("macros", "bash", "shell", "storage", "retry_policy", "human", "classic"):
        importlib.import_module(f"airlock_sdk.{name}")
    aio.patch()
    clocks.close(entry.LOADED)
