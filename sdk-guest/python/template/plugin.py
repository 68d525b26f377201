"""Operators of the plugin {{name}}."""

from airlock_sdk import InvalidInput, log, operator


@operator
def hello(name: str, ti=None) -> str:
    """Greets."""
    if not name:
        raise InvalidInput("name", "nobody is there to greet")
    log.info("try %s of %s", ti.try_number, ti.max_tries + 1)
    return f"Hello, {name}!"
