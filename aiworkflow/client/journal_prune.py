"""Removing runs that nobody needs any more, by age, status and number.

A run goes with all the runs that it called, or not at all, and only when all of them are over. A run
that goes on while this looks is left alone: what is removed is removed as it was seen.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import field
from typing import TYPE_CHECKING, Final

from aiworkflow.client.journals import open_existing, own_journal
from aiworkflow.client.sweep_record import SweepStore
from aiworkflow.engine.carried import Stored
from aiworkflow.engine.codec import ref_from_json
from aiworkflow.errors import UsageError
from aiworkflow.journal import Moved, RegisterWrite, UnknownRun
from aiworkflow.journal.copying import all_registers, all_streams
from aiworkflow.records import record
from aiworkflow.runtime.cache import CACHE
from aiworkflow.runtime.workspaces import remove_worktree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from aiworkflow.client.project import Project
    from aiworkflow.journal import Journal, RunRow, StreamState

OVER: Final = ("succeeded", "failed", "cancelled", "rolled_back")
_GRACE_S: Final = 3600.0


@record
class Policy:
    """Which runs may go: all that is said must hold.

    Attributes:
        older_than_s: over for longer than that, in seconds; None for any.
        statuses: ended so; empty for any end.
        keep: the newest runs of each bundle that stay; 0 for none of them, None where it is not said.
    """

    older_than_s: float | None = None
    statuses: frozenset[str] = frozenset()
    keep: int | None = None


@record
class Pruned:
    """What was removed, or would be.

    Attributes:
        runs: the runs that were removed, those that they called included.
        left: runs that the policy names, and that went on meanwhile.
        kept: how many runs are left.
        blobs: how many blobs went with them.
    """

    runs: tuple[str, ...]
    left: tuple[str, ...]
    kept: int
    blobs: int = 0


@record
class _Family:
    """A run and all that it called, directly or through others."""

    root: RunRow
    members: Sequence[tuple[RunRow, StreamState]] = field(default=())


def prune(project: Project, policy: Policy, *, dry_run: bool = False) -> Pruned:
    """Remove the runs that a policy names.

    Raises:
        UsageError: the policy names nothing, or a status that no run ends with.
    """
    _check(policy)
    journal = open_existing(project, own_journal(project))
    try:
        now = project.clock.now().timestamp()
        families = _families(journal)
        gone: list[str] = []
        left: list[str] = []
        every = {row.run for one in families for row, _ in one.members}
        owned = {} if dry_run else _owned(journal, every)
        for one in _chosen(families, policy, now):
            runs = [row.run for row, _ in one.members]
            try:
                if not dry_run:
                    writes = [write for run in runs for write in owned.get(run, ())]
                    journal.forget([state for _, state in one.members], writes)
            except Moved:
                left += runs
                continue
            gone += runs
        removed = 0
        if gone and not dry_run:
            SweepStore(journal).forget(gone)
            removed = journal.sweep(older_than_s=_GRACE_S)
            for run in gone:
                for folder in ("logs", "scratch"):
                    shutil.rmtree(project.folders.state / folder / run, ignore_errors=True)
                remove_worktree(project.folders.state, run)
    finally:
        journal.close()
    return Pruned(tuple(gone), tuple(left), len(every) - len(gone), removed)


def _check(policy: Policy) -> None:
    if policy == Policy():
        raise UsageError(
            "nothing says which runs may go",
            hint="give --older-than 30d, --status succeeded or --keep 100, or several of them",
        )
    for word in sorted(policy.statuses):
        if word not in OVER:
            raise UsageError(
                f"no run that is over has the status `{word}`",
                hint=f"only these are pruned: {', '.join(OVER)}",
            )


def _families(journal: Journal) -> list[_Family]:
    """All runs, each with those that it called; the newest first."""
    members: dict[str, list[tuple[RunRow, StreamState]]] = {}
    rows: dict[str, RunRow] = {}
    parents: dict[str, str] = {}
    states: dict[str, StreamState] = {}
    for state in all_streams(
        journal
    ):  # before the row: who goes on after this, is not as it was seen
        try:
            row = journal.run(state.run)
        except UnknownRun:
            continue
        rows[state.run], states[state.run] = row, state
        if row.trigger == "workflow":
            trigger = json.loads(journal.record(state.run, 1).payload)["trigger"]
            parents[state.run] = str(trigger["run"])
    for run, row in rows.items():
        root = run
        while parents.get(root) in rows:
            root = parents[root]
        members.setdefault(root, []).append((row, states[run]))
    return [_Family(rows[root], members[root]) for root in sorted(members, reverse=True)]


def _chosen(families: Iterable[_Family], policy: Policy, now: float) -> Iterator[_Family]:
    """The families that may go."""
    seen: dict[str, int] = {}
    for one in families:
        seen[one.root.bundle] = seen.get(one.root.bundle, 0) + 1
        ends = [row.finished for row, _ in one.members]
        is_over = all(row.status in OVER for row, _ in one.members)
        if not is_over or any(end is None for end in ends):
            continue
        if seen[one.root.bundle] <= (policy.keep or 0):
            continue
        if policy.statuses and one.root.status not in policy.statuses:
            continue
        last = max(end for end in ends if end is not None)
        if policy.older_than_s is not None and now - last < policy.older_than_s:
            continue
        yield one


def _owned(journal: Journal, runs: AbstractSet[str]) -> Mapping[str, list[RegisterWrite]]:
    """What removes the registers of each run: those named by it, and its cached outputs in blobs."""
    found: dict[str, list[RegisterWrite]] = {}
    for one in all_registers(journal):
        run = one.key.partition("/")[0]
        if one.space == CACHE:
            value = json.loads(one.value)
            is_blob = isinstance(ref_from_json(value["output"]), Stored)
            run = str(value["source"]).partition("/")[0] if is_blob else ""
        if run in runs:
            found.setdefault(run, []).append(RegisterWrite(one.space, one.key, None))
    return found
