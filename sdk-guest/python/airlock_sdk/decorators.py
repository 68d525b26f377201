"""`@task` and its kin: a function becomes the maker of tasks, `setup` and `teardown` of tasks that open and close a scope."""

import functools
import inspect
import typing

from .errors import DagError
from .group import current_group
from .dag import current_dag
from .mapped import Partial
from .python_task import (
    BranchExternalPythonOperator, BranchPythonOperator, BranchPythonVirtualenvOperator, ExternalPythonOperator, PythonOperator,
    PythonSensor, PythonVirtualenvOperator, ShortCircuitOperator)
from .schema import of_hint
from .task import ARGUMENTS
from .xcom_arg import XComArg


def is_task_maker(thing) -> bool:
    """Whether this is what `@task` makes of a function."""
    return isinstance(thing, TaskMaker)


def _decorated(base):
    """The class of tasks that call a decorated function with the arguments of its call."""

    class Decorated(base):
        template_fields = ("op_kwargs", *(field for field in base.template_fields if field not in ("op_args", "op_kwargs")))

        def __init__(self, *, op_kwargs=None, multiple_outputs=None, **kwargs):
            function = kwargs["python_callable"]
            if multiple_outputs is None:
                multiple_outputs = _returns_members(function)
            super().__init__(op_kwargs=op_kwargs, multiple_outputs=multiple_outputs, **kwargs)

    Decorated.__name__ = Decorated.__qualname__ = f"_{base.__name__}"
    Decorated.is_flat = True
    return Decorated


def _returns_members(function) -> bool:
    try:
        hint = typing.get_type_hints(function).get("return")
    except Exception:  # a hint that names what is not there says nothing
        hint = None
    return isinstance(hint, type) and issubclass(hint, dict) or typing.get_origin(hint) is dict or hasattr(hint, "__total__")


class TaskMaker:
    """What `@task` makes of a function: calling it adds a task."""

    def __init__(self, function, cls, arguments: dict, fixed=None):
        self.function, self.cls, self.arguments, self.fixed = function, cls, arguments, dict(fixed or {})
        self.is_setup = self.is_teardown = False
        self.on_failure_fail_dagrun = False
        functools.update_wrapper(self, function)

    def _copy(self, arguments=None, fixed=None):
        other = TaskMaker(self.function, self.cls, arguments or self.arguments, fixed or self.fixed)
        other.is_setup, other.is_teardown = self.is_setup, self.is_teardown
        other.on_failure_fail_dagrun = self.on_failure_fail_dagrun
        return other

    def override(self, **arguments):
        """The same function with other arguments of the task."""
        return self._copy({**self.arguments, **arguments})

    def partial(self, **fixed):
        """What all instances share."""
        self._check(fixed)
        both = set(fixed) & set(self.fixed)
        if both:
            raise TypeError(f"{', '.join(sorted(both))} is given twice in partial()")
        return self._copy(fixed={**self.fixed, **fixed})

    def _check(self, names) -> None:
        parameters = inspect.signature(self.function).parameters
        if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            return
        for name in names:
            if name not in parameters:
                raise TypeError(f"{self.function.__name__}() has no argument {name!r}")

    def __call__(self, *args, **kwargs):
        bound = self._bind(args, {**self.fixed, **kwargs})
        task = self.cls(op_kwargs=bound, **self._own())
        return self._marked(task)

    def expand(self, **expansion):
        self._check(expansion)
        both = set(expansion) & set(self.fixed)
        if both:
            raise TypeError(f"{', '.join(sorted(both))} is given in both partial() and expand()")
        return self._expanded(expansion)

    def expand_kwargs(self, elements, strict: bool = True):
        return self._expanded(elements)

    def _expanded(self, expansion):
        own = self._own()
        partial = Partial(self.cls, {name: value for name, value in own.items() if name in ARGUMENTS})
        partial.fixed.update(python_callable=self.function, op_kwargs=self.fixed)
        partial.fixed.update({name: value for name, value in own.items() if name not in ARGUMENTS})
        return self._marked(partial._task(expansion))

    def _own(self) -> dict:
        group = self.arguments.get("task_group") or current_group()
        dag = self.arguments.get("dag") or (group.dag if group else current_dag())
        label = self.arguments.get("task_id") or self.function.__name__
        if dag is not None:
            group = group if group is not None and group.dag is dag else dag.task_group
            free = dag.free_task_id(group.child_id(label))
            prefix = group.child_id("")
            label = free[len(prefix):]
        own = {**self.arguments, "task_id": label, "python_callable": self.function}
        if self.function.__doc__ and not any(name.startswith("doc") for name in own):
            own["doc_md"] = inspect.cleandoc(self.function.__doc__)
        return own

    def _bind(self, args, kwargs: dict):
        """The arguments by name; what a function takes as `*args` stays a list."""
        from .context import NAMES
        signature = inspect.signature(self.function)
        parameters = [one.replace(default=None) if one.name in NAMES and one.default is one.empty and
                      one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) else one for one in signature.parameters.values()]
        try:
            bound = inspect.Signature(_defaults_last(parameters)).bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{self.function.__name__}(): {error}") from None
        named = {}
        for name, value in bound.items():
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                named.update(value)
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                named["*"] = list(value)
            else:
                named[name] = value
        return named

    def _marked(self, task):
        task.is_setup, task.is_teardown = self.is_setup, self.is_teardown
        task.on_failure_fail_dagrun = self.on_failure_fail_dagrun
        if self.is_teardown:
            for setup in [one for one in task.upstream_list if one.is_setup]:
                task.add_upstream(setup)
        return XComArg(task)


def _defaults_last(parameters: list) -> list:
    """A parameter of the context may stand before one without a default; all of them are given by name then."""
    seen, out = False, []
    for one in parameters:
        plain = one.kind is one.POSITIONAL_OR_KEYWORD
        if plain and seen and one.default is one.empty:
            one = one.replace(kind=one.KEYWORD_ONLY)
        seen = seen or plain and one.default is not one.empty
        out.append(one)
    order = {kind: at for at, kind in enumerate(
        (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL,
         inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD))}
    return sorted(out, key=lambda one: order[one.kind])


def _maker(cls):
    def decorate(function=None, /, **arguments):
        def wrap(function):
            if inspect.isclass(function) or not callable(function):
                raise DagError(f"@task stands before a function, not before {function!r}")
            if getattr(function, "__name__", "<lambda>") == "<lambda>" and "task_id" not in arguments:
                raise DagError("@task needs a named function, not a lambda: write `def`, or give a task_id")
            if isinstance(function, TaskMaker):
                raise DagError(f"{function.function.__name__} is a task already")
            arguments.setdefault("task_id", None)
            own = {name: value for name, value in arguments.items() if value is not None or name != "task_id"}
            if "name" in own:
                own["task_display_name"] = own.pop("name")
            return TaskMaker(function, cls, own)
        return wrap if function is None else wrap(function)
    return decorate


def _bash_maker():
    from .bash import DecoratedBash
    return _maker(DecoratedBash)


class _Task:
    """`@task`, and `@task.branch`, `@task.sensor` and the rest."""

    def __init__(self):
        python = _maker(_decorated(PythonOperator))
        self._python = python
        self.python = python
        self.branch = _maker(_decorated(BranchPythonOperator))
        self.short_circuit = _maker(_decorated(ShortCircuitOperator))
        self.sensor = _maker(_decorated(PythonSensor))
        self.virtualenv = _maker(_decorated(PythonVirtualenvOperator))
        self.external_python = _maker(_decorated(ExternalPythonOperator))
        self.branch_virtualenv = _maker(_decorated(BranchPythonVirtualenvOperator))
        self.branch_external_python = _maker(_decorated(BranchExternalPythonOperator))

    def __call__(self, function=None, /, **arguments):
        return self._python(function, **arguments)

    @property
    def bash(self):
        return _bash_maker()

    def _guard(self, condition, outcome: bool, message: str):
        def wrap(maker):
            inner = maker.function

            @functools.wraps(inner)
            def guarded(*args, **kwargs):
                from .context import current
                from .errors import SkipTask
                said = condition(current()) if callable(condition) else condition
                holds, why = said if isinstance(said, tuple) else (said, message)
                if bool(holds) is not outcome:
                    raise SkipTask(why)
                return inner(*args, **kwargs)

            maker.function = guarded
            return maker
        return wrap

    def run_if(self, condition, skip_message: str | None = None):
        """The task is skipped where `condition(context)` does not hold."""
        return self._guard(condition, True, skip_message or "run_if: the condition does not hold")

    def skip_if(self, condition, skip_message: str | None = None):
        """The task is skipped where `condition(context)` holds."""
        return self._guard(condition, False, skip_message or "skip_if: the condition holds")

    def __getattr__(self, name: str):
        raise AttributeError(f"@task.{name} starts what a sandbox has not; use @task, or an operator of the host (see `airlock plugins list`)")


task = _Task()


def setup(function):
    """The task opens a scope: what is between it and its teardowns may count on it."""
    return _scoped(function, "is_setup")


def teardown(function=None, *, on_failure_fail_dagrun=False):
    """The task closes a scope: it runs whatever became of the work."""
    def wrap(function):
        maker = _scoped(function, "is_teardown")
        maker.on_failure_fail_dagrun = on_failure_fail_dagrun
        return maker
    return wrap if function is None else wrap(function)


def _scoped(function, mark: str):
    maker = function if isinstance(function, TaskMaker) else task(function)
    setattr(maker, mark, True)
    return maker


__all__ = ["task", "setup", "teardown", "TaskMaker", "is_task_maker", "of_hint"]
