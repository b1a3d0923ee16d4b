"""Child runs that any worker drives: how a fan-out of `each` over a workflow spreads over machines.

Where workers say so (`workers.spread`), the step that calls a workflow for an item does not drive the
child run: it makes it durable and ready, as a submitted run is, and waits for it like for a person. So
the parent holds no slot meanwhile. The child's last append wakes the parent, in the same transaction.

A child stays with its parent where it could not be left alone: within a budget or a step's timeout,
which are kept while it is driven; in its parent's worktree; and where the parent is being stopped.
Such a child is recognised by its start: it has a trigger of its parent, and a place among the ready.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.engine import Left, encode
from aiworkflow.engine import events as ev
from aiworkflow.journal import Append, Closed, RegisterWrite
from aiworkflow.runtime.placing import needs
from aiworkflow.runtime.ready import FOR_A_WORKER, MOST_URGENT, ReadyRow
from aiworkflow.runtime.waits import WAKE, can_go_on

if TYPE_CHECKING:
    from aiworkflow.engine import Instance
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal, RunRow
    from aiworkflow.plan.graph import Node, Plan
    from aiworkflow.runtime.local import LocalRuntime

_POLL_S: Final = 0.2


def may_spread(instance: Instance, node: Node, left: Left, left_today: float | None) -> bool:
    """Whether the child run of a step can be left to any worker."""
    parent = instance.parent
    is_item = instance.index is not None or (parent is not None and parent.index is not None)
    is_bounded = left != Left() or left_today is not None or node.timeout_s is not None
    return is_item and not is_bounded


def first_of_child(started: ev.RunStarted, plan: Plan, append: Append, row: RunRow) -> Append:
    """The first append of a child run that any worker may drive."""
    ready = ReadyRow(started.ready, started.run, started.bundle, labels=plan.runs_on)
    waiting = json.dumps([dict(FOR_A_WORKER)])
    return dataclasses.replace(
        append,
        events=[encode(started)],
        epoch=1,
        after=0,
        registers=[ready.write(), *needs(started.run, plan)],
        row=dataclasses.replace(row, status="waiting", waiting=waiting),
        releases=True,
    )


def ready_key_of_child(parent: ev.RunStarted, run: str) -> str:
    """Where workers find a child run: as urgent as its parent."""
    return (parent.ready or str(MOST_URGENT))[0] + run


def wake_parent(started: ev.RunStarted | None) -> list[RegisterWrite]:
    """What to write with the last append of a run: its parent can go on, if that waits for it."""
    if started is None or not started.ready or started.trigger.get("type") != "workflow":
        return []
    return [RegisterWrite(WAKE, str(started.trigger["run"]), "{}")]


def wake_version(journal: Journal, run: str) -> int:
    """The version of the row that says that a run can go on; 0 for none."""
    found = journal.register(WAKE, run)
    return 0 if found is None else found.version


def is_spread(journal: Journal, run: str) -> bool:
    """Whether a run was called by another, and is driven by any worker."""
    if journal.run(run).trigger != "workflow":
        return False
    first = cast("dict[str, Json]", json.loads(journal.record(run, 1).payload))
    return bool(first.get("ready"))


def driven_by_itself(journal: Journal, run: str) -> str:
    """The run whose drive a run is part of: itself, or the nearest of those that called it."""
    found = run
    while journal.run(found).trigger == "workflow":
        first = json.loads(journal.record(found, 1).payload)
        if first.get("ready"):
            return found
        found = first["trigger"]["run"]
    return found


def may_go_on(journal: Journal, run: str, now: float) -> bool:
    """Whether a step should look at its child run again; one that others drive must have ended."""
    if not can_go_on(journal, run, now):
        return False
    return journal.run(run).finished is not None or not is_spread(journal, run)


async def call_back(runtime: LocalRuntime, run: str, actor: str) -> None:
    """Have a child run stopped by whoever drives it, and wait until nobody does."""
    journal = runtime.journal
    if runtime.holding.is_driven(run):
        asked = ev.CancelRequested(
            runtime.clock.now().timestamp(), actor, "its caller is being stopped"
        )
        append = Append(
            runtime.ids.token(), run, [encode(asked)], registers=[RegisterWrite(WAKE, run, "{}")]
        )
        try:
            journal.append_now(append)
        except Closed:
            return
    while runtime.holding.is_driven(run):  # noqa: ASYNC110  another process ends it
        await asyncio.sleep(_POLL_S)
