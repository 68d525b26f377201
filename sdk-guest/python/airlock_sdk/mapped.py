"""Dynamic task mapping: `.partial(...)`, `.expand(...)`, `.expand_kwargs(...)`, for tasks and groups."""

from .errors import DagError
from .task import ARGUMENTS, SENSOR_ARGUMENTS
from .xcom_arg import XComArg, links_in

WHOLE = "__airlock_element__"
"""The config member that holds the element of `expand_kwargs`, where a function makes the arguments of it."""


class Partial:
    """A task class with what all instances share."""

    def __init__(self, cls, fixed: dict):
        self.cls, self.fixed = cls, fixed

    def expand(self, **expansion):
        """One instance for each element; several names make the cross product."""
        if not expansion:
            raise TypeError("expand() names nothing to go over")
        wrong = set(expansion) & (ARGUMENTS | SENSOR_ARGUMENTS)
        if wrong:
            raise DagError(f"task {self.fixed.get('task_id')!r}: {', '.join(sorted(wrong))} cannot differ between the instances of a task")
        both = set(expansion) & set(self.fixed)
        if both:
            raise TypeError(f"{', '.join(sorted(both))} is given in both partial() and expand()")
        return self._task(expansion)

    def expand_kwargs(self, elements, strict: bool = True):
        """One instance for each element: an object with the arguments."""
        return self._task(elements)

    def _task(self, expansion):
        """An object of the class, made with a first element's place left open; what differs is set when an instance runs."""
        own = {name: value for name, value in self.fixed.items() if name in ARGUMENTS | SENSOR_ARGUMENTS}
        rest = {name: value for name, value in self.fixed.items() if name not in own}
        return MappedTask(self.cls, own, rest, expansion)


def MappedTask(cls, own: dict, rest: dict, expansion):
    """A task of class `cls` whose `__init__` runs once for each instance, with the instance's arguments."""
    shape = type(cls)(cls.__name__, (_Mapped, cls), {"__init__": _mapped_init, "template_fields": ("partial", "expansion")})
    return shape(of=cls, rest=rest, expanded=expansion, **own)


def _mapped_init(self, of, rest, expanded, task_id, **own):
    base = next(base for base in of.__mro__ if base.__name__ == "BaseOperator" and "add_upstream" in vars(base))
    base.__init__(self, task_id=task_id, **own)
    self.mapped_class, self.partial_arguments = of, rest
    self.partial = rest
    self.expansion = expanded
    self.is_mapped = True


class _Mapped:
    def unmapped(self, arguments: dict):
        """The task as one instance has it, outside of any DAG."""
        own = {name: value for name, value in self.arguments.items() if name not in ("dag", "task_group", "default_args")}
        task = object.__new__(self.mapped_class)
        self.mapped_class.__init__(task, task_id=self.task_id, **own, **arguments)
        task.dag, task.task_group, task.params = self.dag, self.task_group, self.params
        task.upstream_task_ids, task.downstream_task_ids = self.upstream_task_ids, self.downstream_task_ids
        task.objects = self.objects
        return task


def expand_group(group, body, fixed: dict, expansion):
    """A mapped group: its body is told placeholders, and each of its tasks gets the element of its own map index."""
    if group.parent_group.mapped_group() is not None:
        raise DagError(f"group {group.group_id!r}: mapped groups do not nest")
    group.expansion = expansion
    if isinstance(expansion, dict):
        places = {name: GroupElement(name) for name in expansion}
    else:
        import inspect
        places = {name: GroupElement(name) for name in inspect.signature(body).parameters if name not in fixed}
    with group:
        made = body(**fixed, **places)
    for task in group.all_tasks():
        task.wait_for(expansion)
    return group if made is None else made


class GroupElement:
    """An argument of a mapped group: what the element of the instance's map index holds."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"GroupElement({self.name!r})"


def elements(value):
    """What a mapped task goes over, as the document has it, and the functions that each element passes through."""
    if isinstance(value, XComArg):
        return value.template(), value.functions
    if isinstance(value, dict):
        return [[key, member] for key, member in value.items()], ()
    if isinstance(value, (list, tuple, set, range)) or hasattr(value, "__iter__") and not isinstance(value, str):
        return list(value), ()
    raise DagError(f"expand() goes over lists and what tasks return; found {type(value).__name__}")


__all__ = ["Partial", "MappedTask", "GroupElement", "elements", "expand_group", "links_in", "WHOLE"]
