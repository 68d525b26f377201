"""Dependencies between tasks: `>>`, `<<`, `chain` and the like. An edge is made when it is written, between what stands at both ends then."""

from .errors import DagError
from .names import Label


def flat(things) -> list:
    """Lists, tuples and sets in each other as one list; nothing counts for nothing."""
    if things is None:
        return []
    if isinstance(things, (list, tuple, set)):
        return [inner for thing in things for inner in flat(thing)]
    return [things]


def _ends(thing, which: str) -> list:
    ends = getattr(thing, which, None)
    if ends is None:
        raise DagError(f"{type(thing).__name__} {thing!r} cannot stand in a dependency; tasks, groups and lists of them can")
    return list(ends)


def link(before, after) -> None:
    """Every last task of `before` comes before every first task of `after`."""
    for left in flat(before):
        for right in flat(after):
            if isinstance(right, Label):
                right.__lshift__(left)
            elif isinstance(left, Label):
                left.__rshift__(right)
            else:
                for upstream in _ends(left, "leaves"):
                    for downstream in _ends(right, "roots"):
                        downstream.add_upstream(upstream)


class Linked:
    """What may stand at either end of `>>`. It has `roots` and `leaves`: the tasks that edges come to and go from."""

    def set_upstream(self, other, edge_modifier=None):
        link(other, self)

    def set_downstream(self, other, edge_modifier=None):
        link(self, other)

    def __rshift__(self, other):
        link(self, other)
        return other

    def __lshift__(self, other):
        link(other, self)
        return other

    def __rrshift__(self, other):
        link(other, self)
        return self

    def __rlshift__(self, other):
        link(self, other)
        return self


def chain(*things) -> None:
    """Each before the next. Two lists next to each other must have the same length and are joined one to one."""
    for before, after in zip(things, things[1:]):
        both = isinstance(before, (list, tuple)) and isinstance(after, (list, tuple))
        if not both:
            link(before, after)
            continue
        if len(before) != len(after):
            raise DagError(f"chain: lists of {len(before)} and {len(after)} tasks cannot be joined one to one")
        for left, right in zip(before, after):
            link(left, right)


def chain_linear(*things) -> None:
    """Each before the next; of two lists next to each other every one before every other."""
    for before, after in zip(things, things[1:]):
        link(before, after)


def cross_downstream(from_tasks, to_tasks) -> None:
    """Every one of the first before every one of the second."""
    link(from_tasks, to_tasks)
