"""The runs of a sweep's repositories in the journal: a repository has one for each attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.journal import UnknownRun

if TYPE_CHECKING:
    from aiworkflow.client.sweep_record import SweepOrder, Swept
    from aiworkflow.journal import Journal, RunRow


class SweepRuns:
    """Finds the runs of one sweep."""

    def __init__(self, journal: Journal, order: SweepOrder) -> None:
        self._journal = journal
        self._order = order

    def row(self, place: int, attempt: int) -> RunRow | None:
        """One attempt of a repository; None where there is no such run."""
        try:
            return self._journal.run(self._order.run_of(place, attempt))
        except UnknownRun:
            return None

    def newest(self, place: int, swept: Swept) -> tuple[int, RunRow | None]:
        """The newest attempt of a repository, and its run."""
        attempt = swept.attempt
        row = self.row(place, attempt) if attempt else None
        while (following := self.row(place, attempt + 1)) is not None:
            attempt, row = attempt + 1, following
        return attempt, row

    def all(self, place: int, swept: Swept) -> list[RunRow]:
        """All attempts of a repository that are there, the newest first."""
        attempt, _ = self.newest(place, swept)
        found = (self.row(place, before) for before in range(attempt, 0, -1))
        return [row for row in found if row is not None]

    def spent(self, place: int, swept: Swept) -> float:
        """US dollars of all attempts of a repository."""
        return max(sum(row.cost_usd for row in self.all(place, swept)), swept.cost_usd)
