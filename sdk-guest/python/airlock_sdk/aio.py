"""Coroutines without a system's event loop: one after another, sleeping when all of them do."""

import asyncio
import time


class Loop(asyncio.BaseEventLoop):
    """Runs what is ready, then sleeps until the next timer. It has no sockets, processes or signals."""

    def __init__(self):
        super().__init__()
        self._selector = self

    def time(self) -> float:
        return time.monotonic()

    def _process_events(self, _) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def select(self, timeout):
        if timeout is None:
            raise RuntimeError("every coroutine waits for something that never comes")
        if timeout > 0:
            time.sleep(timeout)
        return []


def run(coroutine):
    """Runs a coroutine to its end."""
    loop = Loop()
    try:
        asyncio._set_running_loop(None)
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
