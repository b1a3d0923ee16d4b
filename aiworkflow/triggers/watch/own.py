"""Which changes runs made that a watch started: these start no further run.

A change is a run's own if it was made while a step of the run was at work, and the run may write there:
within `allow.paths` of its bundle, or anywhere where that says nothing and the workflow has steps that
could write a file. The same goes for the runs that it calls. When steps were at work is in the journal:
from the intent of an attempt to its end; so while a run waits (for consent, a moment, an event) nothing
is its own, and what it wrote before it began to wait still is.

When a file was changed is what the file system says, which nobody can set. Of one that is gone it is
known only when that was heard, and how much earlier it may have been.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Protocol

from aiworkflow.bundle.workflow import Child, Script, ToolCall
from aiworkflow.engine import UnknownEvent, decode
from aiworkflow.engine import events as ev
from aiworkflow.journal import UnknownRun
from aiworkflow.journal.paging import records_after
from aiworkflow.records import record
from aiworkflow.runtime.waits import child_id
from aiworkflow.triggers.watch.patterns import Patterns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from aiworkflow.journal import Journal, RunRow
    from aiworkflow.plan.graph import Plan

LATE_S: Final = 1.0
"""What the system tells is heard so much later at most."""

_TICK_S: Final = 0.02  # file systems go by a clock that is a little behind
_DEEPEST: Final = 20


class Writes(Protocol):
    """Says where a run may write."""

    def __call__(self, run: str) -> Patterns | None:
        """What the steps of a run may write; None for nothing."""
        ...


@record
class Made:
    """When a change was made: between two moments, seconds since the epoch."""

    first: float
    last: float


@record
class Going:
    """A span of time in which a run could write: `until` is None while it still can."""

    since: float
    until: float | None
    where: tuple[Patterns, ...]

    def owns(self, path: str, made: Made) -> bool:
        """Whether a change is the run's."""
        if made.last < self.since - _TICK_S:
            return False
        if self.until is not None and made.first > self.until + _TICK_S:
            return False
        return all(one.means(path) for one in self.where)


def going(
    journal: Journal,
    runs: Iterable[str],
    writes: Writes,
    is_driven: Callable[[str], bool],
    since: float,
) -> list[Going]:
    """The spans in which runs could write after a moment, of those that a watch has started."""
    found: list[Going] = []
    for run in runs:
        try:
            row = journal.run(run)
        except UnknownRun:
            continue
        if row.finished is not None and row.finished + _TICK_S < since:
            continue
        found += _of_run(journal, row, (), writes, is_driven, _DEEPEST)
    return [one for one in found if one.until is None or one.until + _TICK_S >= since]


def _of_run(
    journal: Journal,
    row: RunRow,
    within: tuple[Patterns, ...],
    writes: Writes,
    is_driven: Callable[[str], bool],
    depth: int,
) -> Iterator[Going]:
    """The spans of a run, and of those that it has called.

    Args:
        within: what the runs above it may write.
    """
    patterns = writes(row.run)
    if patterns is None:
        return
    where = (*within, patterns)
    begun: dict[str, float] = {}
    called: set[str] = set()
    at = row.started
    for event in _events(journal, row.run):
        at = event.at
        match event:
            case ev.Started(role="child"):
                called.add(child_id(row.run, event.path, event.visit))
            case ev.Started():
                begun[event.path] = at
            case ev.Ended() | ev.Released() if event.path in begun:
                yield Going(begun.pop(event.path), at, where)
            case ev.RunResumed():  # whoever drove it before is gone, and its steps with it
                for since in begun.values():
                    yield Going(since, at, where)
                begun.clear()
            case _:
                pass
    until = None if row.finished is None and is_driven(row.run) else row.finished or at
    for since in begun.values():
        yield Going(since, until, where)
    for run in sorted(called) if depth else ():
        try:
            child = journal.run(run)
        except UnknownRun:
            continue
        yield from _of_run(journal, child, where, writes, is_driven, depth - 1)


def _events(journal: Journal, run: str) -> Iterator[ev.Event]:
    for one in records_after(journal, run):
        try:
            yield decode(one.payload)
        except UnknownEvent:
            continue  # of a newer version: it says nothing of when steps are at work


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
