"""What an evaluation takes: operations, by what each goes through.

An operation on a value of a million elements counts a million, so that a loop around it ends. Text
counts one for a thousand characters: it is gone through that much faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aiworkflow.expr.calls import field_of
from aiworkflow.expr.values import Limited, is_sequence

# What these do takes as long as all that is in the value. With the name of a field, only that field
# of each element counts.
_DEEP: Final = frozenset({
    "digest", "group_by", "join", "markdown_list", "markdown_table", "max", "min", "reject",
    "select", "sort", "string", "to_json", "unique",
})  # fmt: skip
_BY: Final = frozenset({"group_by", "max", "min", "reject", "select", "sort", "unique"})


def cost(value: object) -> int:
    """What it takes to go through a value, without what is in its elements."""
    if isinstance(value, str):  # text is gone through quickly
        return 1 + len(value) // 1000
    return 1 + len(value) if isinstance(value, Sequence | Mapping) else 1


def weight(value: object, most: int) -> int:
    """What it takes to go through a value with all that is in it.

    Raises:
        Limited: it is more than `most`; found without going through the rest.
    """
    total = 0
    left = [value]
    while left:
        one = left.pop()
        total += 1
        if isinstance(one, str):
            total += len(one) // 1000
        elif isinstance(one, Mapping):
            left.extend(one.values())
        elif isinstance(one, Sequence):
            left.extend(one)
        if total + len(left) > most:
            raise Limited("the expression takes too many operations")
    return total


def filter_cost(name: str, value: object, given: Sequence[object], most: int) -> int:
    """What a filter takes. Raises Limited where it is more than `most`."""
    if name not in _DEEP:
        return cost(value)
    by = given[0] if given and name in _BY else None
    if isinstance(by, str) and is_sequence(value):
        return len(value) + weight([field_of(item, by) for item in value], most)
    if by is None and name in {"select", "reject"}:
        return cost(value)
    return weight(value, most)


def comparison_cost(operator: str, left: object, right: object, most: int) -> int:
    """What a comparison takes. Raises Limited where it is more than `most`.

    Equality looks into values of the same size; `in` may do so with each element.
    """
    if operator in {"in", "not in"}:
        return cost(right) * (weight(left, most) if is_sequence(right) else 1)
    if isinstance(left, Sequence | Mapping) and isinstance(right, Sequence | Mapping):
        return weight(left, most) if len(left) == len(right) else 1
    return 0
