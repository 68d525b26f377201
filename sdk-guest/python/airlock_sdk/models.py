"""The model registry: versions, stages, aliases. Needs the grant `models`."""

from . import host


def _call(name: str, *arguments):
    to = host.current()
    return to.call(getattr(to.models, name), *arguments)


def _stage(stage: str):
    return getattr(host.current().models.Stage, stage.upper())


def register(name: str, run_id: str, artifact: str, **tags):
    """A new version; the same run and artifact again yields the version that is there."""
    return _call("register", name, run_id, artifact, [(key, str(value)) for key, value in tags.items()])


def get_version(name: str, version: int):
    """A version, or none."""
    return _call("get_version", name, version)


def get_latest_versions(name: str, stages=("production",)):
    """The newest version in each of these stages: none, staging, production, archived."""
    return _call("get_latest_versions", name, [_stage(stage) for stage in stages])


def transition_stage(name: str, version: int, stage: str, archive_existing_versions: bool = False):
    """Moves a version, in one commit with what it pushes out."""
    return _call("transition_stage", name, version, _stage(stage), archive_existing_versions)


def set_alias(name: str, alias: str, version: int) -> None:
    """Points an alias at a version."""
    _call("set_alias", name, alias, version)


def read_artifact(name: str, version: int) -> bytes:
    """The bytes of a version's model."""
    parts, offset = [], 0
    while part := bytes(_call("read_artifact", name, version, offset, 1 << 20)):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)
