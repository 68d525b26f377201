"""Coroutines without a system's event loop: one after another, sleeping when all of them do."""

import asyncio

from . import clocks


class Loop(asyncio.BaseEventLoop):
    """Runs what is ready, then goes to the next timer. It has no sockets, processes or signals."""

    def __init__(self):
        self._ahead = 0.0
        super().__init__()
        self._selector = self

    def time(self) -> float:
        return clocks.monotonic() + self._ahead

    def _process_events(self, _) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def select(self, timeout):
        if timeout is None:
            raise RuntimeError("every coroutine waits for something that never comes")
        before = clocks.monotonic()
        clocks.sleep(max(timeout, 0))
        # Where there is no clock, as in tests, the time of the loop goes on without one.
        self._ahead += max(timeout - (clocks.monotonic() - before), 0)
        return []


def run(coroutine):
    """Runs a coroutine to its end."""
    loop = Loop()
    try:
        asyncio._set_running_loop(None)
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


def patch() -> None:
    """`asyncio.run` and new loops are these; the system's ask for sockets."""
    asyncio.run = lambda main, **_: run(main)
    asyncio.new_event_loop = Loop
