"""Which events hold an output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine import events as ev

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Ref
    from aiworkflow.engine.events import Event


def output_ref(event: Event) -> Ref | None:
    """The output an event holds, if it holds one."""
    match event:
        case ev.Ended() | ev.Closed() | ev.Resolved() | ev.Reused():
            return event.output
        case ev.Answered():
            return event.data
        case ev.RunFinished():
            return event.outputs
        case _:
            return None
