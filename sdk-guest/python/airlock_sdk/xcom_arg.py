"""Values that exist only in a run, as DAG files write them: what another task will return, and params."""

from .edges import Linked
from .errors import DagError

RETURN_VALUE = "return_value"


class XComArg(Linked):
    """What `operator` will push under `key`. Given to another task it makes an edge, and is there when that task runs."""

    def __init__(self, operator, key: str = RETURN_VALUE, functions=()):
        self.operator, self.key, self.functions = operator, key, tuple(functions)

    @property
    def roots(self) -> list:
        return [self.operator]

    leaves = roots

    def operators(self) -> list:
        return [self.operator]

    def expression(self) -> str:
        """What stands between `{{` and `}}`."""
        key = "" if self.key == RETURN_VALUE else f", key={self.key!r}"
        return f"xcom_pull({self.operator.task_id!r}{key})"

    def template(self) -> str:
        """The template that yields the value; the whole of it keeps its JSON type."""
        return "{{ " + self.expression() + " }}"

    def __str__(self) -> str:
        return self.template()

    def __repr__(self) -> str:
        return f"XComArg({self.operator!r}, key={self.key!r})"

    def __getitem__(self, key):
        if not isinstance(key, str):
            raise ValueError(f"only texts may stand in [] of a task's result; found {key!r}")
        return type(self)(self.operator, key)

    def __iter__(self):
        raise TypeError("what a task returns is known only in a run; use .expand(...) to go over it")

    def map(self, function):
        """Each element through `function`, in the task that reads it; `SkipTask` in it skips that element's instance."""
        from .decorators import is_task_maker
        if is_task_maker(function):
            raise DagError("map() takes a plain function, not a @task")
        return XComArg(self.operator, self.key, (*self.functions, function))

    def zip(self, *others, **fill):
        """Lists side by side, as Python's `zip`, or its `zip_longest` with `fillvalue`."""
        return Joined("zip", (self, *others), fill)

    def concat(self, *others):
        """One list after the other."""
        return Joined("concat", (self, *others), {})

    # What edges and marks of a task may be said of its result as well.
    def as_setup(self):
        self.operator.as_setup()
        return self

    def as_teardown(self, setups=None, on_failure_fail_dagrun=None):
        self.operator.as_teardown(setups, on_failure_fail_dagrun)
        return self

    @property
    def is_setup(self) -> bool:
        return self.operator.is_setup

    @is_setup.setter
    def is_setup(self, value: bool):
        self.operator.is_setup = value

    @property
    def is_teardown(self) -> bool:
        return self.operator.is_teardown

    @is_teardown.setter
    def is_teardown(self, value: bool):
        self.operator.is_teardown = value

    @property
    def on_failure_fail_dagrun(self) -> bool:
        return self.operator.on_failure_fail_dagrun

    @on_failure_fail_dagrun.setter
    def on_failure_fail_dagrun(self, value: bool):
        self.operator.on_failure_fail_dagrun = value

    def __enter__(self):
        self.operator.__enter__()
        return self

    def __exit__(self, *error):
        self.operator.__exit__(*error)


class Joined(XComArg):
    """Several lists as one."""

    def __init__(self, how: str, parts: tuple, fill: dict, functions=()):
        super().__init__(parts[0].operator, functions=functions)
        self.how, self.parts, self.fill = how, parts, fill

    def map(self, function):
        return Joined(self.how, self.parts, self.fill, (*self.functions, function))

    def operators(self) -> list:
        return [operator for part in self.parts for operator in part.operators()]

    @property
    def roots(self) -> list:
        return self.operators()

    leaves = roots

    def expression(self) -> str:
        if any(part.functions for part in self.parts):
            raise DagError("map() before zip() or concat(): call it on what they yield")
        first, *others = (part.expression() for part in self.parts)
        if self.how == "concat":
            return " + ".join((first, *others))
        if self.fill:
            raise DagError("zip() with a fillvalue cannot be told to the scheduler; zip in a task of its own")
        return f"({first}) | zip({', '.join(others)})"


def links_in(value) -> list:
    """Every `XComArg` in a value, however deep."""
    if isinstance(value, XComArg):
        return [value]
    if isinstance(value, dict):
        return [one for member in value.values() for one in links_in(member)]
    if isinstance(value, (list, tuple, set)):
        return [one for member in value for one in links_in(member)]
    return []
