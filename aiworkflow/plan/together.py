"""Which steps may run at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Group
from aiworkflow.plan.graph import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.plan.compile import Draft


def fork_around(name: str, drafts: Mapping[str, Draft]) -> str | None:
    """The step whose items, or the parallel group whose children, run together with it."""
    at = name
    while at != ROOT:
        each = drafts[at].step.each
        if each is not None and each.max_parallel != 1:
            return at
        parent = drafts[at].parent
        if parent != ROOT:
            action = drafts[parent].step.action
            if isinstance(action, Group) and action.parallel and not drafts[at].step.final:
                return parent
        at = parent
    return None


def run_together(one: str, two: str, drafts: Mapping[str, Draft]) -> bool:
    """Whether neither of two steps certainly comes after the other."""
    lines = [list(_outwards(name, drafts)) for name in (one, two)]
    common = next(at for at in (drafts[x].parent for x in lines[0]) if at in {
        drafts[y].parent for y in lines[1]
    })  # fmt: skip
    left, right = (next(at for at in line if drafts[at].parent == common) for line in lines)
    if left == right or drafts[left].step.final != drafts[right].step.final:
        return False
    return not _after(left, right, drafts) and not _after(right, left, drafts)


def _outwards(name: str, drafts: Mapping[str, Draft]) -> list[str]:
    found = [name]
    while drafts[found[-1]].parent != ROOT:
        found.append(drafts[found[-1]].parent)
    return found


def _after(one: str, two: str, drafts: Mapping[str, Draft]) -> bool:
    """Whether `one` comes after its sibling `two`."""
    waiting, seen = [one], {one}
    while waiting:
        for before in drafts[waiting.pop()].after:
            if before == two:
                return True
            if before not in seen:
                seen.add(before)
                waiting.append(before)
    return False
