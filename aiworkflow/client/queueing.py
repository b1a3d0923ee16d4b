"""Starting a run in a lane: what happens while an older run with its `concurrency` key is going."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError
from aiworkflow.journal import Held
from aiworkflow.runtime.lanes import Overlap, holder, lane_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.client.client import Client
    from aiworkflow.client.run import Run
    from aiworkflow.runtime.given import NewRun

_POLL_S = 0.1


async def start_in_lane(
    client: Client,
    new: NewRun,
    run: str | None,
    *,
    attached: bool,
    tell: Callable[[str], None] | None = None,
) -> Run:
    """Start a run as soon as its lane is free; it exists when this returns.

    While it waits there is nothing of it in the journal. Of several that wait, any may be the next.

    Args:
        tell: called with what is waited for.

    Raises:
        Overlap: another run is going, and `overlap` is `skip`; or that run was interrupted, so that to
            wait for it would be for ever.
    """
    said = new.plan.concurrency
    key = lane_of(new.plan, new.inputs)
    while True:
        if said is not None and key:
            await _make_room(client, key, said.overlap, tell or (lambda _: None))
        started = client.begin(new, run, attached=attached)
        try:
            await client.exists(started.id)
        except Overlap:  # another one was faster
            if said is None or said.overlap == "skip":
                raise
        else:
            return started


async def _make_room(client: Client, key: str, overlap: str, tell: Callable[[str], None]) -> None:
    """Wait until a lane is free, or see to it."""
    seen = ""
    rested = 0  # how many events the older run had when there was nothing left to do but to wait
    while (older := holder(client.journal, key)) is not None:
        is_driven = client.is_driven(older)
        row = client.journal.run(older)
        is_left = row.status == "running" and not is_driven
        if overlap == "skip" or (overlap == "queue" and is_left):
            raise Overlap(key, row, is_left=is_left)
        if overlap == "cancel_old":
            if older != seen:
                tell(f"cancelling run {older}, which has the key `{key}`")
                _cancel(client, older)
                rested = 0
            is_at_rest = row.status == "waiting" and client.journal.stream(older).tail == rested
            if not is_at_rest and not client.is_driven(older):
                await _end(client, older, tell)
                rested = client.journal.stream(older).tail
        elif older != seen:
            waits = ", which waits itself (see: aiworkflow runs show " + older + ")"
            tell(
                f"waiting for run {older} with the key `{key}` to end"
                + (waits if row.status == "waiting" else "")
            )
        seen = older
        await asyncio.sleep(_POLL_S)


def _cancel(client: Client, run: str) -> None:
    try:
        client.signals.cancel(run, "a newer run with the same key is started")
    except UsageError:
        if client.journal.run(run).finished is None:
            raise


async def _end(client: Client, run: str, tell: Callable[[str], None]) -> None:
    """Take up a run that is to be cancelled and that nobody drives, and stay with it while it waits.

    It does not end here where a person has to say first what became of a step.
    """
    if client.journal.run(run).finished is not None:
        return  # whoever drove it has ended it meanwhile; to take it up would begin it again
    try:
        await (await client.resume(run)).rest()
        if client.journal.run(run).finished is None:
            tell(f"run {run} waits itself before it ends (see: aiworkflow runs show {run})")
            await (await client.resume(run, attached=True)).rest()
    except Held:
        return
