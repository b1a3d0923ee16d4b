"""What the events of one append say of money and of foreign blobs, and who waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Stored

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from aiworkflow.engine import Event


def cost_of(events: Sequence[Event]) -> float:
    """US dollars that attempts which ended have spent."""
    return sum(
        event.spent.cost_usd
        for event in events
        if isinstance(event, ev.Ended) and event.spent is not None and event.spent.cost_usd
    )


def reused_blobs(events: Sequence[Event]) -> list[str]:
    """Blobs of other runs that this one refers to from now on."""
    outputs = [event.output for event in events if isinstance(event, ev.Reused)]
    return [output.digest for output in outputs if isinstance(output, Stored)]


def are_durable(noted: Sequence[asyncio.Future[None]]) -> None:
    """Let those go on who wait for facts that have just become durable."""
    for one in noted:
        if not one.done():
            one.set_result(None)
