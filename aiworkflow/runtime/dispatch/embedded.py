"""The dispatcher that needs nothing but the journal: it looks at the rows of what can go on."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

from aiworkflow.journal import JournalUnavailable
from aiworkflow.runtime.dispatch.contract import DriveOne, Outcome
from aiworkflow.runtime.dispatch.look import Look

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aiworkflow.clock import Clock
    from aiworkflow.journal import Journal
    from aiworkflow.runtime.dispatch.limits import Gate

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.2
_UNAVAILABLE_S: Final = 2.0
_CROWDED_S: Final = 5.0
_WINDOW: Final = 8
_AGAIN_S: Final = {Outcome.BUSY: 1.0, Outcome.LATER: 0.3, Outcome.BROKEN: 30.0}


class EmbeddedDispatcher:
    """Looks for what can go on: at once when this process submits, else several times a second.

    Args:
        is_driven: whether a living process drives a run.
        gate: what all workers together keep to; None for no limits.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        is_driven: Callable[[str], bool],
        gate: Gate | None = None,
    ) -> None:
        self._clock = clock
        self._is_driven = is_driven
        self._look = Look(journal, gate)
        self._crowded_until = 0.0
        self._news = asyncio.Event()
        self._active: dict[str, asyncio.Task[None]] = {}
        self._left: dict[str, float] = {}  # run → moment before which it is not tried again
        self._holds = False

    @property
    def driving(self) -> Collection[str]:
        """The runs that were given out and have not come back."""
        return self._active.keys()

    def submitted(self, run: str) -> None:
        """A run has become ready in this process."""
        del run
        self._news.set()

    def hold(self) -> None:
        """Give out nothing more."""
        self._holds = True

    async def work(self, drive: DriveOne, *, slots: int, labels: Collection[str] = ()) -> None:
        """Give out what can go on, until cancelled; what was given out is cancelled too."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                pause = _POLL_S
                if not self._holds and len(self._active) < slots:
                    try:
                        found = self._next(slots - len(self._active), frozenset(labels))
                    except JournalUnavailable as error:
                        _log.warning("no look at the journal", extra={"error": error.message})
                        found, pause = [], _UNAVAILABLE_S
                    for run in found:
                        self._active[run] = group.create_task(self._give(drive, run))
                try:
                    async with asyncio.timeout(pause):
                        await self._news.wait()
                except TimeoutError:
                    continue

    async def _give(self, drive: DriveOne, run: str) -> None:
        try:
            outcome = await drive(run)
            if outcome is Outcome.BUSY:
                self._crowded_until = self._now() + _CROWDED_S
            if outcome in _AGAIN_S:
                self._left[run] = self._now() + _AGAIN_S[outcome]
        finally:
            del self._active[run]
            self._news.set()

    def _next(self, most: int, labels: frozenset[str]) -> list[str]:
        """What is given out now, the most urgent first.

        Where others were faster lately, not all workers should want the same: then each has an order of
        its own among the next few.
        """
        now = self._now()
        self._left = {run: until for run, until in self._left.items() if until > now}
        window = most * _WINDOW if now < self._crowded_until else most
        found: list[str] = []
        for one in self._look.candidates(now, labels, self._active):
            run = one.run
            if run in self._active or run in self._left or run in found:
                continue
            if self._is_driven(run):
                self._left[run] = now + _AGAIN_S[Outcome.BUSY]
                continue
            found.append(run)
            if len(found) == window:
                break
        if window > most:
            found.sort(key=lambda run: hash((id(self), os.getpid(), run)))
        return found[:most]

    def _now(self) -> float:
        return self._clock.now().timestamp()
