"""Small JSON values between tasks of one run; at most 48 KiB each."""

from . import host


def push(key: str, value) -> None:
    """Upserts; durable and visible to others when it returns. `TooLarge` over 48 KiB: write to storage and push the URI."""
    host.current().xcom_push(key, value)


def pull(task_id: str, key: str = "return_value", map_index: int | None = None, default=None):
    """What `task_id` pushed in this run; a mapped task without `map_index` yields the list of all its values."""
    return host.current().xcom_pull(task_id, key, map_index, default)
