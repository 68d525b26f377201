"""Secrets as placeholders: a task never holds a secret's value. Needs the grant `secrets`."""

from . import host


def placeholder(name: str) -> str:
    """A random text that stands for the secret in this attempt; the host fills it in, in requests to granted hosts only."""
    to = host.current()
    return to.call(to.secrets.placeholder, name)
