"""Tasks that call a Python function: Airflow's PythonOperator and its kin."""

import inspect

from . import outcomes
from .context import arguments_for
from .errors import DagError
from .task import BaseOperator, BaseSensorOperator


def called(function, args, kwargs):
    """What a function returns; a coroutine is run to its end, a generator gone through to its last value."""
    result = function(*args, **kwargs)
    if inspect.iscoroutine(result):
        from . import aio
        return aio.run(result)
    return result


class PythonOperator(BaseOperator):
    """Calls `python_callable`; arguments that are named like something of the context are filled in."""

    template_fields = ("templates_dict", "op_args", "op_kwargs")

    def __init__(self, *, python_callable, op_args=None, op_kwargs=None, templates_dict=None, templates_exts=None,
                 show_return_value_in_logs=True, **kwargs):
        super().__init__(**kwargs)
        if not callable(python_callable):
            raise DagError(f"task {self.task_id!r}: python_callable must be a function")
        self.python_callable = python_callable
        self.op_args, self.op_kwargs = op_args or (), op_kwargs or {}
        self.templates_dict, self.templates_exts = templates_dict, templates_exts or ()

    @property
    def template_ext(self):
        return tuple(getattr(self, "templates_exts", None) or ())

    def callable_for_hints(self):
        return self.python_callable

    def result(self, context):
        if self.templates_dict:
            context["templates_dict"] = self.templates_dict
        args = list(self.op_args)
        kwargs = arguments_for(self.python_callable, args, dict(self.op_kwargs), context)
        return called(self.python_callable, args, kwargs)

    def execute(self, context):
        return self.result(context)


class BranchPythonOperator(PythonOperator):
    """The function names the direct downstream tasks that go on; the others are skipped."""

    def execute(self, context):
        return outcomes.branch(self, self.result(context))


class BaseBranchOperator(BaseOperator):
    """A class with `choose_branch(self, context)`."""

    def choose_branch(self, context):
        raise NotImplementedError

    def execute(self, context):
        return outcomes.branch(self, self.choose_branch(context))


class ShortCircuitOperator(PythonOperator):
    """What is downstream is skipped where the function's result counts as false."""

    def __init__(self, *, ignore_downstream_trigger_rules=True, **kwargs):
        super().__init__(**kwargs)
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules

    def execute(self, context):
        return outcomes.short_circuit(self.result(context), self.ignore_downstream_trigger_rules)


class PythonSensor(BaseSensorOperator):
    """Waits until the function's result counts as true."""

    template_fields = ("templates_dict", "op_args", "op_kwargs")

    def __init__(self, *, python_callable, op_args=None, op_kwargs=None, templates_dict=None, **kwargs):
        super().__init__(**kwargs)
        self.python_callable, self.op_args, self.op_kwargs = python_callable, op_args or (), op_kwargs or {}
        self.templates_dict = templates_dict

    def callable_for_hints(self):
        return self.python_callable

    result = PythonOperator.result

    def poke(self, context):
        return self.result(context)


def _isolated(base, what: str):
    """Another interpreter or container: none of that is in a sandbox. The function runs here where it needs no packages."""

    def init(self, *, requirements=None, python=None, python_version=None, system_site_packages=True, use_dill=False,
             serializer=None, venv_cache_path=None, index_urls=None, expect_airflow=True, expect_pendulum=False,
             string_args=None, pip_install_options=None, inherit_env=True, env_vars=None, skip_on_exit_code=None,
             index_urls_from_connection_ids=None, **kwargs):
        super(cls, self).__init__(**kwargs)
        self.packages = [requirements] if isinstance(requirements, str) else list(requirements or ())

    def execute(self, context):
        if self.packages:
            from .errors import FailTask
            raise FailTask(f"{what} needs {', '.join(map(str, self.packages))}; build what is pure Python into the component instead")
        return super(cls, self).execute(context)

    cls = type(base)(what, (base,), {"__init__": init, "execute": execute, "__doc__": _isolated.__doc__})
    return cls


PythonVirtualenvOperator = _isolated(PythonOperator, "PythonVirtualenvOperator")
ExternalPythonOperator = _isolated(PythonOperator, "ExternalPythonOperator")
BranchPythonVirtualenvOperator = _isolated(BranchPythonOperator, "BranchPythonVirtualenvOperator")
BranchExternalPythonOperator = _isolated(BranchPythonOperator, "BranchExternalPythonOperator")
