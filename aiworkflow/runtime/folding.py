"""Reading a run's stream from the journal into its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.engine import decode

if TYPE_CHECKING:
    from aiworkflow.engine import RunState
    from aiworkflow.journal import Journal

PAGE: Final = 1000
"""So many events are read at a time."""


def fold(journal: Journal, run: str, state: RunState) -> None:
    """Fold what the journal has beyond what the state knows.

    Raises:
        UnknownEvent: an event is of a newer version.
    """
    while records := journal.read(run, state.seq, PAGE):
        for record in records:
            state.apply(decode(record.payload))
