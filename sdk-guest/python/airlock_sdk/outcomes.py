"""What a task ends with beside a value. Plain data: the component turns it into the host's words."""

import dataclasses

from .errors import FailTask, NotYet


@dataclasses.dataclass(frozen=True)
class Branch:
    """Only these of the direct downstream tasks go on."""

    task_ids: tuple


@dataclasses.dataclass(frozen=True)
class ShortCircuit:
    """What is downstream is skipped; with `ignore_rules` all of it, whatever its trigger rules."""

    ignore_rules: bool


def branch(task, chosen) -> Branch:
    """The tasks that a branch's result names: an id, several, or none; a group's id stands for its first tasks."""
    names = [] if chosen is None else [chosen] if isinstance(chosen, str) else chosen
    if not hasattr(names, "__iter__"):
        raise FailTask(f"a branch returns task ids or None; found {chosen!r}")
    ids = []
    for name in names:
        if not isinstance(name, str):
            raise FailTask(f"a branch returns task ids or None; found {name!r}")
        ids.extend(_meant(task, name))
    return Branch(tuple(ids))


def _meant(task, name: str) -> list:
    dag = task.dag
    if dag is None or name in dag.task_dict:
        return [name]
    groups = {}

    def collect(group):
        for child in group.children:
            if hasattr(child, "children"):
                groups[child.group_id] = child
                collect(child)

    collect(dag.task_group)
    if name in groups:
        return [root.task_id for root in groups[name].roots]
    raise FailTask(f"the branch names {name!r}, which is no task and no group of dag {dag.dag_id!r}")


def short_circuit(value, ignore_rules: bool):
    """The value itself where it counts as true."""
    return value if value else ShortCircuit(ignore_rules)


def sensed(value):
    """The XCom of a sensor that is done; `NotYet` where it is not."""
    if not value:
        raise NotYet("the condition does not hold yet")
    return getattr(value, "xcom_value", None)
