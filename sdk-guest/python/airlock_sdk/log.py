"""Lines for the task's log."""

from . import host


def debug(message: str, *args) -> None:
    """One line; over the attempt's log limit it is dropped."""
    host.current().log("debug", message % args if args else str(message))


def info(message: str, *args) -> None:
    """One line."""
    host.current().log("info", message % args if args else str(message))


def warning(message: str, *args) -> None:
    """One line."""
    host.current().log("warn", message % args if args else str(message))


def error(message: str, *args) -> None:
    """One line."""
    host.current().log("error", message % args if args else str(message))
