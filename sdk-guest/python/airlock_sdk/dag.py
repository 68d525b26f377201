"""DAGs: what is said once for all tasks, and which tasks there are. It refuses two tasks of one id, and knows nothing of JSON."""

import datetime
import functools
import inspect

from .errors import DagError
from .group import TaskGroup, current_group

DAGS: dict = {}
"""Every DAG of this component, by id."""

_OPEN: list = []
_ONE_BY_ID_ONLY = "a dag_id is unique: rename one of the two"


def current_dag():
    """The DAG whose `with` block or function this is; none outside."""
    return _OPEN[-1] if _OPEN else None


class DAG:
    """A DAG with Airflow's arguments. `with DAG(...)` makes it the one that tasks are added to."""

    def __init__(self, dag_id: str, *positional, **arguments):
        names = ("description", "schedule")
        arguments.update(zip(names, positional))
        self.dag_id = dag_id
        self.arguments = arguments
        self.default_args = dict(arguments.get("default_args") or {})
        self.params = dict(arguments.get("params") or {})
        self.description = arguments.get("description")
        self.doc_md = arguments.get("doc_md")
        self.tags = set(arguments.get("tags") or ())
        self.start_date, self.end_date = arguments.get("start_date"), arguments.get("end_date")
        self.catchup = arguments.get("catchup", False)
        self.max_active_runs = arguments.get("max_active_runs", 16)
        self.user_defined_macros = arguments.get("user_defined_macros") or {}
        self.user_defined_filters = arguments.get("user_defined_filters") or {}
        self.fileloc = _caller()
        self.task_dict: dict = {}
        self.task_group = TaskGroup(group_id=None, dag=self, parent=None)
        other = DAGS.get(dag_id)
        if other is not None and other is not self:
            raise DagError(f"two DAGs are called {dag_id!r}, in {other.fileloc} and in {self.fileloc}; {_ONE_BY_ID_ONLY}")
        DAGS[dag_id] = self

    @property
    def schedule(self):
        return self.arguments.get("schedule", self.arguments.get("schedule_interval"))

    @property
    def tasks(self) -> list:
        return list(self.task_dict.values())

    @property
    def task_ids(self) -> list:
        return list(self.task_dict)

    @property
    def timezone(self):
        return getattr(self.start_date, "tzinfo", None) or datetime.timezone.utc

    @property
    def roots(self) -> list:
        return [task for task in self.tasks if not task.upstream_task_ids]

    @property
    def leaves(self) -> list:
        return [task for task in self.tasks if not task.downstream_task_ids]

    def get_task(self, task_id: str):
        return self.task_dict[task_id]

    def has_task(self, task_id: str) -> bool:
        return task_id in self.task_dict

    def add_task(self, task) -> None:
        if task.task_id in self.task_dict or task.task_id in self.task_group.all_group_ids():
            raise DagError(f"dag {self.dag_id!r}: a second task or group is called {task.task_id!r}; rename one")
        self.task_dict[task.task_id] = task
        task.dag = self

    def free_task_id(self, wanted: str) -> str:
        """`wanted`, or with the next `__1`, `__2` where it is taken: a function may be called several times."""
        taken = set(self.task_dict) | self.task_group.all_group_ids()
        if wanted not in taken:
            return wanted
        number = 1
        while f"{wanted}__{number}" in taken:
            number += 1
        return f"{wanted}__{number}"

    def __enter__(self):
        _OPEN.append(self)
        self.task_group.open()
        return self

    def __exit__(self, *_):
        self.task_group.close()
        _OPEN.pop()

    def __repr__(self) -> str:
        return f"<DAG: {self.dag_id}>"

    def test(self, **_):
        """`airlock dags test` runs a DAG; a file that calls this when it is run by hand still builds."""

    cli = test


def _caller() -> str:
    here = inspect.currentframe()
    while here is not None:
        name = here.f_globals.get("__name__", "")
        if not name.startswith("airlock_sdk"):
            return f"{here.f_code.co_filename}:{here.f_lineno}"
        here = here.f_back
    return "?"


def dag(function=None, /, dag_id: str | None = None, **arguments):
    """Makes a function the maker of a DAG: its body adds the tasks, its arguments become params of the DAG."""
    if function is not None and not callable(function):
        dag_id, function = function, None

    def wrap(body):
        if getattr(body, "__name__", "") == "<lambda>":
            raise DagError("@dag needs a named function, not a lambda: its name becomes the dag_id")

        @functools.wraps(body)
        def make(*args, **kwargs):
            from .params import DagParam, Param
            signature = inspect.signature(body)
            bound = signature.bind_partial(*args, **kwargs)
            bound.apply_defaults()
            settings = dict(arguments)
            if body.__doc__ and "doc_md" not in settings:
                settings["doc_md"] = inspect.cleandoc(body.__doc__)
            params = dict(settings.pop("params", None) or {})
            for name, parameter in signature.parameters.items():
                default = bound.arguments.get(name)
                params.setdefault(name, default if isinstance(default, Param) else Param(default))
            with DAG(dag_id or body.__name__, params=params, **settings) as made:
                body(**{name: DagParam(name) for name in signature.parameters})
            return made

        return make

    return wrap if function is None else wrap(function)


def group_now():
    """The group that a new task goes into; an error outside of a DAG."""
    return current_group()
