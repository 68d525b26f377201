"""Retry policies by exception. The component says which rule fits, the host what follows."""

import datetime

from .names import _Word


class RetryAction(_Word):
    """What a rule leads to."""

    RETRY = "retry"
    FAIL = "fail"
    DEFAULT = "default"


class RetryRule:
    """If the error is an `exception` (a class, or its name with its module), then `action`."""

    def __init__(self, exception, action=RetryAction.RETRY, retry_delay=None, reason="", match_subclasses=True, **_):
        self.exception, self.action, self.retry_delay, self.reason = exception, action, retry_delay, reason
        self.match_subclasses = match_subclasses

    def fits(self, error) -> bool:
        kinds = type(error).__mro__ if self.match_subclasses else (type(error),)
        wanted = self.exception
        if isinstance(wanted, str):
            return any(wanted in (kind.__name__, f"{kind.__module__}.{kind.__qualname__}") for kind in kinds)
        return wanted in kinds


class ExceptionRetryPolicy:
    """Rules in order; the first that fits decides."""

    def __init__(self, rules, **_):
        self.rules = list(rules)

    def document(self) -> list:
        rules = []
        for at, rule in enumerate(self.rules):
            document = {"message": self._mark(at)}
            if rule.action == RetryAction.FAIL:
                document["action"] = "fail"
            elif rule.action == RetryAction.RETRY and rule.retry_delay is not None:
                document["retry"] = rule.retry_delay.total_seconds() if isinstance(rule.retry_delay, datetime.timedelta) else rule.retry_delay
            else:
                document["action"] = "retry"
            rules.append(document)
        return rules

    @staticmethod
    def _mark(at: int) -> str:
        return f"[retry rule {at}]"

    def marked(self, error, message: str) -> str:
        """The message with the mark of the rule that fits."""
        for at, rule in enumerate(self.rules):
            if rule.fits(error) and rule.action != RetryAction.DEFAULT:
                return f"{message} {self._mark(at)}"
        return message
