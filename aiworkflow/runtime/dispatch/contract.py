"""The contract between those who make runs ready and those who drive them.

Correctness never rests on a dispatcher. What can go on stands in the journal: a row in `ready` for a
run that was submitted and that nobody has driven to rest yet, a row in `wake` for one that waits and
was answered or whose time has come. Both stay until a drive brings the run to rest, so that what a dead
worker leaves behind is found by the next. A run that is given out twice is refused to the second by the
journal; one that is forgotten by a dispatcher is late, no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection


class Outcome(Enum):
    """What became of a run that was given out."""

    RESTED = "rested"
    """It was driven until it was over or waited."""
    BUSY = "busy"
    """Somebody else drives it."""
    LATER = "later"
    """It cannot go on yet: its lane is taken."""
    BROKEN = "broken"
    """It could not be driven here; the reason was logged."""


DriveOne: TypeAlias = Callable[[str], Awaitable[Outcome]]


class Dispatcher(Protocol):
    """Gives out runs that can go on."""

    def submitted(self, run: str) -> None:
        """A run has become ready in this process. A hint: runs are found without it too, but later."""
        ...

    async def work(self, drive: DriveOne, *, slots: int, labels: Collection[str] = ()) -> None:
        """Give runs that can go on to `drive`, the most urgent first, until cancelled.

        Args:
            drive: drives one run to rest; it raises nothing.
            slots: how many are driven at once.
            labels: what this worker has; a run that asks for others is left to others.
        """
        ...

    def hold(self) -> None:
        """Give out nothing more; what is driven goes on."""
        ...
