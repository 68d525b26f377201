"""Operators of the plugin {{name}}."""

from airlock_sdk import log, operator


@operator
def hello(name: str, greeting: str = "hello", ti=None) -> str:
    """Greets somebody."""
    log.info("try %s", ti.try_number)
    return f"{greeting} {name}"
