"""Airflow's questions to people, carried out by the host's operators `human.*`."""

from .classic import _Native, seconds
from .params import as_param
from .task import BaseOperator


class HITLOperator(_Native, BaseOperator):
    """Asks a person to choose, and yields what was chosen."""

    native = "human.entry"
    template_fields = ("subject", "body")

    def __init__(self, *, subject, options=None, body=None, defaults=None, multiple=False, params=None, notifiers=None,
                 assigned_users=None, respondents=None, response_timeout=None, **kwargs):
        super().__init__(**kwargs)
        self.subject, self.body, self.options = subject, body, options
        self.defaults = [defaults] if isinstance(defaults, str) else defaults
        self.multiple, self.questions = multiple, params
        self.users = assigned_users or respondents
        self.response_timeout = response_timeout

    def config(self) -> dict:
        config = {"subject": self.subject}
        if self.body is not None:
            config["body"] = self.body
        if self.options:
            config["options"] = list(self.options)
        if self.defaults:
            config["defaults"] = list(self.defaults)
        if self.multiple:
            config["multiple"] = True
        if self.questions:
            config["params"] = {name: as_param(param).document() for name, param in dict(self.questions).items()}
        if self.users:
            users = self.users if isinstance(self.users, list) else [self.users]
            config["assigned_users"] = [user if isinstance(user, str) else user.get("name") or user.get("id") for user in users]
        timeout = self.response_timeout or self.arguments.get("execution_timeout")
        if timeout is not None:
            config["timeout"] = seconds(timeout)
        return config

    @staticmethod
    def generate_link_to_ui_from_context(**_) -> str:
        return ""


class HITLEntryOperator(HITLOperator):
    """Asks a person for values."""


class ApprovalOperator(HITLOperator):
    """Asks a person to approve; a rejection skips what is downstream."""

    native = "human.approval"

    def __init__(self, *, ignore_downstream_trigger_rules=False, fail_on_reject=False, **kwargs):
        super().__init__(**kwargs)
        self.flags = dict(ignore_downstream_trigger_rules=ignore_downstream_trigger_rules, fail_on_reject=fail_on_reject)

    def config(self) -> dict:
        config = {**super().config(), **self.flags}
        config.pop("options", None)
        config.pop("multiple", None)
        return config


class HITLBranchOperator(HITLOperator):
    """A person chooses the branch."""

    native = "human.branch"

    def __init__(self, *, options_mapping=None, **kwargs):
        super().__init__(**kwargs)
        self.options_mapping = options_mapping

    def config(self) -> dict:
        config = super().config()
        return {**config, "options_mapping": dict(self.options_mapping)} if self.options_mapping else config
