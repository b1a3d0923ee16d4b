"""One bound on what several runs cost together: reserved before it is spent, as within one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine import Left

if TYPE_CHECKING:
    from aiworkflow.runtime.drive import Drive


class Purse:
    """What the runs of a sweep may spend.

    Args:
        most: US dollars; None for no bound.
        spent: what was spent before.
    """

    def __init__(self, most: float | None, spent: float) -> None:
        self._most = most
        self._spent = spent
        self._open: dict[str, tuple[float, Drive]] = {}

    def hold(self, run: str, drive: Drive, spent: float = 0.0) -> None:
        """Have a run that is about to be driven keep within the bound.

        Args:
            spent: what it has spent before, which was counted already.
        """
        self._open[run] = (spent, drive)
        self._spent -= spent
        if self._most is not None:
            drive.callers = self.left

    def close(self, run: str, spent: float) -> None:
        """A run is at rest, and has spent so much in all."""
        if self._open.pop(run, None) is not None:
            self._spent += spent

    def note(self, spent: float) -> None:
        """Somebody else has spent so much for one of the runs."""
        self._spent += spent

    def left(self) -> Left:
        """What may still be spent, beyond what is reserved."""
        if self._most is None:
            return Left()
        under_way = sum(spent + drive.total().usd for spent, drive in self._open.values())
        return Left(self._most - self._spent - under_way)

    @property
    def is_empty(self) -> bool:
        """Whether nothing may be begun any more."""
        usd = self.left().usd
        return usd is not None and usd <= 1e-9
