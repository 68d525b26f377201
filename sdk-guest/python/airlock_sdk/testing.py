"""A host for tests: memory instead of the real one, and a way to run operators and tasks natively.

    with FakeHost() as host:
        host.xcoms[("upstream", "return_value")] = 3
        assert host.run(hello, {"name": "you"}).value == "hello you"
"""

import dataclasses
import json

from . import host as hosts
from . import run as runs
from .errors import Denied, NotFound, Unavailable


@dataclasses.dataclass
class Attempt:
    """What an attempt is told; the members of the contract's `task-context`."""

    operator: str = "task"
    config: str = "{}"
    dag_id: str = "test_dag"
    run_id: str = "manual__2026-01-05T00:00:00+00:00"
    run_type: str = "manual"
    task_id: str = "test_task"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 1
    poke_number: int = 1
    logical_date: str | None = "2026-01-05T00:00:00Z"
    data_interval_start: str | None = "2026-01-05T00:00:00Z"
    data_interval_end: str | None = "2026-01-05T00:00:00Z"
    params: str = "{}"


class FakeHost(hosts.Host):
    """A host in memory. `xcoms` by (task_id, key), `objects` by URI, `lines` of the log, `progress` as reported.
    `deny` names interfaces that answer `Denied`. `answers` maps (method, URL) to a status and a body (or to the body alone);
    what was sent is in `requests` as (method, URL, headers, body)."""

    def __init__(self, deny=()):
        self.xcoms, self.objects, self.lines, self.progress = {}, {}, [], []
        self.cancelled, self.deny, self.task_id = False, set(deny), "test_task"
        self.answers, self.requests = {}, []

    def __enter__(self):
        hosts.install(self)
        return self

    def __exit__(self, *_):
        hosts.uninstall(self)

    def log(self, level: str, message: str) -> None:
        self.lines.append((level, message))

    def report(self, fraction, message: str) -> None:
        self.progress.append((fraction, message))

    def is_cancelled(self) -> bool:
        return self.cancelled

    def push(self, key: str, text: str) -> None:
        self.xcoms[(self.task_id, key)] = json.loads(text)

    def pull(self, task_id: str, key: str, map_index=None):
        value = self.xcoms.get((task_id, key), self)
        return None if value is self else json.dumps(value)

    def _allow(self, interface: str) -> None:
        if interface in self.deny:
            raise Denied(f"no grant covers {interface}")

    def send(self, method: str, url: str, headers: list, body: bytes, timeout_ms):
        self._allow("http")
        self.requests.append((method, url, dict(headers), body))
        if (method, url) not in self.answers:
            raise Unavailable(f"no answer: the fake host has none for {method} {url}")
        answer = self.answers[(method, url)]
        status, content = answer if isinstance(answer, tuple) else (200, answer)
        return status, [], content if isinstance(content, bytes) else str(content).encode()

    def read_object(self, uri: str) -> bytes:
        self._allow("storage")
        if uri not in self.objects:
            raise NotFound(f"there is no {uri}")
        return self.objects[uri]

    def write_object(self, uri: str, data: bytes) -> str:
        self._allow("storage")
        self.objects[uri] = bytes(data)
        import hashlib
        return hashlib.sha256(data).hexdigest()

    def head_object(self, uri: str):
        self._allow("storage")
        return len(self.objects[uri]) if uri in self.objects else None

    def list_objects(self, prefix: str) -> list:
        self._allow("storage")
        return sorted((uri, len(data)) for uri, data in self.objects.items() if uri.startswith(prefix))

    def delete_object(self, uri: str) -> None:
        self._allow("storage")
        self.objects.pop(uri, None)

    def run(self, operator, config=None, **members) -> runs.Ended:
        """Runs an operator with a config as the host would: checked against its schema, its outcome as plain data.
        A success's value is read back from JSON."""
        attempt = Attempt(operator=operator.name, config=json.dumps(config or {}), **members)
        self.task_id = attempt.task_id
        ended = runs.run(attempt, self)
        if ended.kind == "success" and ended.value is not None:
            return dataclasses.replace(ended, value=json.loads(ended.value))
        return ended
