"""Outcomes and errors as exceptions. What is none of these and leaves a task counts as a failure that may be retried."""


class AirlockError(Exception):
    """The root of everything that this package raises."""


class TaskFailed(AirlockError):
    """A failure that is retried while the task has tries left."""


class FailTask(AirlockError):
    """A failure that no retry would mend: the task fails now."""


class SkipTask(AirlockError):
    """The task decides to be skipped; this is no failure."""


class InvalidInput(FailTask):
    """A config member that cannot be used: `field` names it. Never retried."""

    def __init__(self, field: str, message: str):
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class NotYet(AirlockError):
    """A sensor's condition does not hold yet; it is asked again after its `poke_interval`."""


class Defer(AirlockError):
    """Call the task again at `until` (a datetime with a time zone); meanwhile it holds no slot."""

    def __init__(self, until):
        super().__init__(f"until {until}")
        self.until = until


class DagError(AirlockError):
    """A DAG or an operator that was written wrongly; found while the file is built."""


class CapabilityError(AirlockError):
    """A host call that did not do what was asked."""


class Denied(CapabilityError):
    """No grant covers this; the message names the grant that would."""


class NotFound(CapabilityError):
    """It does not exist."""


class Invalid(CapabilityError):
    """The request makes no sense; the message says why."""


class TooLarge(CapabilityError):
    """It is over a limit of the host; the message says which."""


class Conflict(CapabilityError):
    """It exists already and is never overwritten, or somebody else changed it first."""


class Unavailable(CapabilityError):
    """It may work later."""
