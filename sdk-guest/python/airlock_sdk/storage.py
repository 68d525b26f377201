"""Objects named by URI: `file://`, `s3://`, `gs://` and `az://`. Needs the grant `storage` or `storage_read`."""

from . import host


def read(uri: str) -> bytes:
    """The whole object. `NotFound` where there is none, `Denied` without a grant."""
    return host.current().read_object(uri)


def read_text(uri: str) -> str:
    """The whole object as UTF-8."""
    return read(uri).decode()


def write(uri: str, data: bytes | str) -> str:
    """Replaces the object, whole or not at all, and yields its SHA-256 in hex."""
    return host.current().write_object(uri, data.encode() if isinstance(data, str) else data)


def size(uri: str) -> int | None:
    """Bytes; none where there is no such object."""
    return host.current().head_object(uri)


def exists(uri: str) -> bool:
    """Whether the object is there."""
    return size(uri) is not None


def list(prefix: str):
    """Pairs of URI and bytes, in order of URI."""
    return host.current().list_objects(prefix)


def delete(uri: str) -> None:
    """Removes the object."""
    host.current().delete_object(uri)
