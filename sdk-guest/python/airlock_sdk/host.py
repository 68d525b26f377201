"""The host, as the SDK calls it: the real one in a component, a fake one in tests. It refuses to be called where there is none."""

import json as _json
import time as _time

from .errors import AirlockError, FailTask

_HOSTS: list = []


def install(host) -> None:
    """From now on calls go to `host`."""
    _HOSTS.append(host)


def uninstall(host) -> None:
    """Back to the one before."""
    _HOSTS.remove(host)


def current():
    """The host that is there."""
    if not _HOSTS:
        raise AirlockError("there is no host here; in a test write `with airlock_sdk.testing.FakeHost():`")
    return _HOSTS[-1]


def time() -> float:
    """Seconds since 1970-01-01T00:00:00Z."""
    return _HOSTS[-1].time() if _HOSTS and hasattr(_HOSTS[-1], "time") else _time.time()


class Host:
    """What every host does the same way, on top of `push`, `pull` and `log`."""

    def xcom_push(self, key: str, value) -> None:
        from .run import encode_result
        self.push(key, encode_result(value))

    def xcom_pull(self, task_id: str, key: str, map_index=None, default=None):
        text = self.pull(task_id, key, map_index)
        return default if text is None else _json.loads(text)


class _Missing:
    """An interface that this component was built without."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, member: str):
        raise FailTask(f"this component was built without {self._name}; import airlock_sdk.{self._name} in the file, and build it anew")


def missing(name: str):
    """Stands for an interface that the component does not import."""
    return _Missing(name)
