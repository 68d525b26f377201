"""How far a task is, and whether it was told to stop."""

from . import host


def report(fraction: float | None, message: str = "") -> None:
    """`fraction` is 0.0 to 1.0 where known."""
    host.current().report(fraction, message)


def is_cancelled() -> bool:
    """Whether the task was told to stop; it has its grace period left to save what it has."""
    return host.current().is_cancelled()
