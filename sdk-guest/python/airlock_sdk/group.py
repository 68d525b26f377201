"""Task groups: named parts of a DAG. A group is an end of edges by its first and last tasks."""

import functools
import inspect

from .edges import Linked
from .errors import DagError

_OPEN: list = []


def current_group():
    """The innermost group whose block this is, or the DAG's own; none outside."""
    return _OPEN[-1] if _OPEN else None


class TaskGroup(Linked):
    """`with TaskGroup("features"):` puts tasks into a group; their ids begin with its id unless `prefix_group_id` is off."""

    def __init__(self, group_id=None, prefix_group_id=True, parent_group=None, dag=None, parent=True, default_args=None,
                 tooltip="", add_suffix_on_collision=False, **_):
        self.parent_group = (parent_group or current_group()) if parent else None
        self.dag = dag or (self.parent_group.dag if self.parent_group else None)
        self.prefix_group_id = prefix_group_id
        self.default_args = dict(default_args or {})
        self.tooltip = tooltip or ""
        self.children: list = []
        self.expansion = None
        self.label = group_id
        self.group_id = None
        if group_id is None:
            return
        if self.dag is None or self.parent_group is None:
            raise DagError(f"the task group {group_id!r} is in no DAG; write it inside `with DAG(...)`")
        self.group_id = self.parent_group.child_id(group_id)
        if add_suffix_on_collision:
            self.group_id = self.dag.free_task_id(self.group_id)
            self.label = self.group_id.rpartition(".")[2]
        elif self.group_id in self.dag.task_dict or self.group_id in self.dag.task_group.all_group_ids():
            raise DagError(f"dag {self.dag.dag_id!r}: a second task or group is called {self.group_id!r}; rename one")
        self.parent_group.children.append(self)

    def child_id(self, label: str) -> str:
        """The id that `label` gets in this group."""
        if self.group_id is None or not self.prefix_group_id:
            return label if self.group_id is None or self.parent_group is None else self.parent_group.child_id(label)
        return f"{self.group_id}.{label}"

    def defaults(self) -> dict:
        """What tasks take where they say nothing: its own, then those round it, then the DAG's."""
        outer = self.parent_group.defaults() if self.parent_group else dict(self.dag.default_args)
        return {**outer, **self.default_args}

    def all_group_ids(self) -> set:
        """The ids of this group's groups, however deep."""
        inner = [child for child in self.children if isinstance(child, TaskGroup)]
        return {group.group_id for group in inner}.union(*(group.all_group_ids() for group in inner))

    def all_tasks(self) -> list:
        """Its tasks and those of its groups, in order."""
        tasks = []
        for child in self.children:
            tasks.extend(child.all_tasks() if isinstance(child, TaskGroup) else [child])
        return tasks

    def mapped_group(self):
        """The innermost mapped group that this is, or is in."""
        group = self
        while group is not None and group.expansion is None:
            group = group.parent_group
        return group

    @property
    def roots(self) -> list:
        tasks = self.all_tasks()
        ids = {task.task_id for task in tasks}
        return [task for task in tasks if not task.upstream_task_ids & ids]

    @property
    def leaves(self) -> list:
        tasks = self.all_tasks()
        ids = {task.task_id for task in tasks}
        work = [task for task in tasks if not task.is_teardown]
        by_id = {task.task_id: task for task in tasks}

        def goes_on(task) -> bool:
            inside = [by_id[one] for one in task.downstream_task_ids & ids]
            return any(not one.is_teardown or task.is_setup for one in inside)

        return [task for task in work if not goes_on(task)] or [task for task in tasks if not task.downstream_task_ids & ids]

    def open(self) -> None:
        _OPEN.append(self)

    def close(self) -> None:
        _OPEN.pop()

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self) -> str:
        return f"<TaskGroup: {self.group_id}>"


def task_group(function=None, /, **arguments):
    """Makes a function the maker of a task group; calling it adds the group, `.expand(...)` a mapped one."""

    def wrap(body):
        if getattr(body, "__name__", "") == "<lambda>":
            raise DagError("@task_group needs a named function, not a lambda: its name becomes the group_id")
        return functools.update_wrapper(_GroupMaker(body, arguments), body)

    if function is not None and not callable(function):
        arguments["group_id"], function = function, None
    return wrap if function is None else wrap(function)


class _GroupMaker:
    def __init__(self, body, arguments: dict, partial=None):
        self.body, self.arguments, self.fixed = body, arguments, dict(partial or {})

    def override(self, **arguments):
        return _GroupMaker(self.body, {**self.arguments, **arguments}, self.fixed)

    def partial(self, **fixed):
        return _GroupMaker(self.body, self.arguments, {**self.fixed, **fixed})

    def _group(self) -> TaskGroup:
        settings = {"add_suffix_on_collision": True, **self.arguments}
        group_id = settings.pop("group_id", None) or self.body.__name__
        if self.body.__doc__ and not settings.get("tooltip"):
            settings["tooltip"] = inspect.cleandoc(self.body.__doc__)
        return TaskGroup(group_id, **settings)

    def __call__(self, *args, **kwargs):
        with self._group() as group:
            made = self.body(*args, **{**self.fixed, **kwargs})
        return group if made is None else made

    def expand(self, **expansion):
        from .mapped import expand_group
        return expand_group(self._group(), self.body, self.fixed, expansion)

    def expand_kwargs(self, elements):
        from .mapped import expand_group
        return expand_group(self._group(), self.body, self.fixed, elements)
