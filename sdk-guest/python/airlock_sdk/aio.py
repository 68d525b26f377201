"""Coroutines without a system's event loop: one after another, sleeping when all of them do."""

import asyncio


class Loop(asyncio.BaseEventLoop):
    """Runs what is ready, then goes to the next timer. It has no sockets, processes or signals."""

    def __init__(self):
        self._now = 0.0
        super().__init__()
        self._selector = self

    def time(self) -> float:
        return self._now

    def _process_events(self, _) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def select(self, timeout):
        if timeout is None:
            raise RuntimeError("every coroutine waits for something that never comes")
        self._now += max(timeout, 0)
        return []


def run(coroutine):
    """Runs a coroutine to its end."""
    loop = Loop()
    try:
        asyncio._set_running_loop(None)
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
