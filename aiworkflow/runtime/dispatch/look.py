"""What can go on, as the rows of the journal say it, in the order in which it should."""

from __future__ import annotations

import heapq
import json
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record
from aiworkflow.runtime.lanes import LANE, holder
from aiworkflow.runtime.placing import all_needs
from aiworkflow.runtime.ready import READY, read_ready
from aiworkflow.runtime.waits import WAKE

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from aiworkflow.journal import Journal
    from aiworkflow.runtime.dispatch.limits import Gate

_PAGE: Final = 100
_WAKES_EVERY_S: Final = 0.5


@record
class Candidate:
    """A run that can go on, as far as its rows say.

    Attributes:
        urgency: 0 for the highest.
        row: which row says so: another one means that there is more news of the run.
    """

    run: str
    urgency: int
    row: str


class Look:
    """Looks at the rows.

    Args:
        gate: what all workers together keep to; None for no limits.
    """

    def __init__(self, journal: Journal, gate: Gate | None = None) -> None:
        self._journal = journal
        self._gate = gate
        self._wakes: list[tuple[float, str, int]] = []  # moments of runs that wait for theirs
        self._needs: Mapping[str, frozenset[str]] = {}
        self._looked_at = -1.0

    def candidates(
        self, now: float, labels: frozenset[str], active: Container[str] = ()
    ) -> Iterator[Candidate]:
        """What could be given out, the most urgent first.

        Args:
            labels: what the worker has.
            active: runs that are driven here.

        Raises:
            JournalUnavailable: there is no look.
        """
        yield from self._woken(now, labels)
        shut: dict[str, bool] = {}
        lanes: set[str] = set()  # those that are taken, or will be by what is given out now
        after = ""
        while rows := self._journal.registers(READY, after=after, limit=_PAGE):
            after = rows[-1].key
            for row in map(read_ready, rows):
                if row.run in active or not labels >= set(row.labels):
                    continue
                if row.lane:
                    if row.lane in lanes or self._is_taken(row.lane, row.run):
                        lanes.add(row.lane)
                        continue
                    lanes.add(row.lane)
                if self._gate is not None:
                    if row.bundle not in shut:
                        shut[row.bundle] = self._gate.is_shut(row.bundle, begins=True)
                    if shut[row.bundle]:
                        continue
                yield Candidate(row.run, int(row.key[0]), READY)

    def _is_taken(self, lane: str, run: str) -> bool:
        if self._journal.register(LANE, lane) is None:
            return False
        return holder(self._journal, lane) not in {None, run}

    def _woken(self, now: float, labels: frozenset[str]) -> Iterator[Candidate]:
        """Runs that waited, and were answered, or whose time has come."""
        if not 0 <= now - self._looked_at < _WAKES_EVERY_S:
            self._looked_at = now
            self._wakes = []
            for row in self._journal.registers(WAKE):
                at = json.loads(row.value).get("at")
                self._wakes.append((0.0 if at is None else at, row.key, row.version))
            heapq.heapify(self._wakes)
            self._needs = all_needs(self._journal) if self._wakes else {}
        while self._wakes and self._wakes[0][0] <= now:
            _, run, version = heapq.heappop(self._wakes)
            if labels >= self._needs.get(run, frozenset()):
                yield Candidate(run, 0, f"{WAKE}{version}")
