"""The branches of a fork: what each has written to the state, in the order in which it merges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine.instance import SUCCEEDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.instance import Instance


def branches(instance: Instance, order: Sequence[str]) -> list[Instance]:
    """The branches of a fork in item order or the order given, never that of their ends."""
    children = instance.children or {}
    if instance.form == "each":
        return [children[key] for key in sorted(children, key=int)]
    return [children[name] for name in order if name in children]


def pending_writes(instance: Instance, order: Sequence[str]) -> dict[str, list[Json]]:
    """What the branches that succeeded have written, by name, in plan and item order."""
    writes: dict[str, list[Json]] = {}
    for branch in branches(instance, order):
        if branch.scope is None or branch.status != SUCCEEDED:
            continue
        for name, operand in branch.scope.writes or ():
            writes.setdefault(name, []).append(operand)
    return writes
