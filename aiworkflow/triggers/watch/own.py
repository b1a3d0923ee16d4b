"""Which changes runs made that a watch started: these start no further run.

A change is a run's own if it was made while the run was going, and the run may write there: within
`allow.paths` of its bundle, or anywhere where that says nothing and the workflow has steps that could
write a file. When a file was changed is what the file system says, which nobody can set; of one that is
gone it is when that was heard, which may be a moment later. While a run waits (for consent, a moment,
an event) nothing is its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Protocol

from aiworkflow.bundle.workflow import Child, Script, ToolCall
from aiworkflow.journal import UnknownRun
from aiworkflow.records import record
from aiworkflow.triggers.watch.patterns import Patterns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from aiworkflow.journal import Journal
    from aiworkflow.plan.graph import Plan

_AFTER_S: Final = 1.0  # what was deleted at the end is heard a moment later


class Writes(Protocol):
    """Says where a run may write."""

    def __call__(self, run: str) -> Patterns | None:
        """What the steps of a run may write; None for nothing."""
        ...


@record
class Going:
    """A span of time in which a run could write: `until` is None while it still can."""

    since: float
    until: float | None
    where: Patterns

    def owns(self, path: str, heard_at: float, changed_at: float | None) -> bool:
        """Whether a change is the run's.

        Args:
            changed_at: None for a file that is gone.
        """
        at = heard_at if changed_at is None else changed_at
        after = _AFTER_S if changed_at is None else 0.0
        if at < self.since or (self.until is not None and at > self.until + after):
            return False
        return self.where.means(path)


def going(journal: Journal, runs: Iterable[str], writes: Writes, since: float) -> list[Going]:
    """The runs that could write after a moment, of those that a watch has started."""
    found = []
    for run in runs:
        try:
            row = journal.run(run)
        except UnknownRun:
            continue
        is_over = row.finished is not None
        if is_over and (row.finished or 0) + _AFTER_S < since:
            continue
        if not is_over and row.status != "running":
            continue
        where = writes(run)
        if where is not None:
            found.append(Going(row.started, row.finished, where))
    return found


def changed_at(path: Path) -> float | None:
    """When a file was last changed, renamed or made, as the file system has it; None if gone."""
    try:
        return path.lstat().st_ctime
    except OSError:
        return None


def in_the_project(journal: Journal, run: str) -> bool:
    """Whether a run acts in the project itself, and not in a worktree of its own."""
    return not json.loads(journal.record(run, 1).payload).get("workspace")


def writes_of(plan: Plan) -> Patterns | None:
    """What the steps of a plan may write; None for nothing."""
    if plan.allow.paths:
        return Patterns(plan.allow.paths)
    acting = (Script, ToolCall, Child)  # agents are given files by `allow.paths` alone
    found = any(isinstance(node.action, acting) for node in plan.nodes.values())
    return Patterns(["."]) if found else None
