"""The schedules of a project as a source of runs.

Theory. The moments at which schedules are to be looked at stand in a heap. A look asks the clock,
takes those that have come, starts their runs, and only then writes down that these times are settled. A
crash in between, or another server on the same journal, starts the same occurrence once more, which is
the same run: its key is the schedule's planned moment.

The clock is looked at every few seconds, however far the next time is: a machine that slept, and a
clock that was set, are seen at once. A time was missed if it came while nobody looked for longer than a
minute, or while its bundle was not there; one that only waited for a store that did not answer was not.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import AIWorkflowError, UnavailableError
from aiworkflow.runtime.lanes import Overlap
from aiworkflow.triggers.contract import Occurrence
from aiworkflow.triggers.schedule.planned import ON_TIME_S, Due, Planned, look, next_at, planned
from aiworkflow.triggers.schedule.standing import SET_BACK_S, carried, change, read, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.clock import Clock
    from aiworkflow.journal import Journal
    from aiworkflow.triggers.contract import Armed, Started, Starter
    from aiworkflow.triggers.schedule.standing import Standings

_LONGEST_S: Final = 5.0  # the clock is looked at at least so often
_RETRY_S: Final = 1.0
_log = logging.getLogger(__name__)


class Schedules:
    """Starts the runs of schedules when their times come.

    Args:
        journal: where it is kept what is settled.
        starter: makes runs.
        clock: a clock that jumps is taken to the next time at once.
    """

    kind = "schedule"

    def __init__(self, journal: Journal, starter: Starter, clock: Clock) -> None:
        self._journal = journal
        self._starter = starter
        self._clock = clock
        self._armed: dict[str, Planned] = {}
        self._heap: list[tuple[float, str]] = []
        self._is_new = False  # whether what is armed is not yet written down
        self._changed = asyncio.Event()
        self._looking = asyncio.Lock()
        self._drains = False
        self._looked_at: float | None = None
        self._watched_since = 0.0
        self._armed_at: dict[str, float] = {}

    def arm(self, entries: Sequence[Armed]) -> None:
        """From here on these schedules count, and no others."""
        mine = (one for one in entries if one.trigger.type == self.kind)
        self._armed = {one.name: planned(one) for one in mine}
        # for one that comes back, with a branch or when it was mended, nobody looked meanwhile
        self._armed_at = {name: self._armed_at.get(name, self._now()) for name in self._armed}
        self._is_new = True
        self._changed.set()

    async def run(self) -> None:
        """Start runs as their times come, until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self.look()
            except UnavailableError as error:
                _log.warning("schedules wait: %s", error.message)
                await asyncio.sleep(_RETRY_S)
                continue
            upcoming = self.next_at
            if upcoming is not None:
                self._clock.skip_to(upcoming)
            until = _LONGEST_S if upcoming is None else max(0.0, upcoming - self._now())
            try:
                async with asyncio.timeout(min(until, _LONGEST_S)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def drain(self) -> None:
        """Start nothing new; return when what was begun is durable."""
        self._drains = True
        async with self._looking:
            pass

    @property
    def next_at(self) -> float | None:
        """When the next schedule is looked at, seconds since the epoch; None for never."""
        return self._heap[0][0] if self._heap else None

    async def look(self) -> None:
        """Start what is due now.

        Raises:
            JournalUnavailable: some of it is not started; look again.
        """
        async with self._looking:
            now = self._now()
            if self._looked_at is None or now - self._looked_at > ON_TIME_S:
                self._watched_since = now - ON_TIME_S
            elif now < self._looked_at - SET_BACK_S:
                self._watched_since, self._is_new = now, True
                self._armed_at = dict.fromkeys(self._armed, now)
            self._looked_at = now
            if self._is_new:
                self._write_down(now)
            if self._drains:
                return
            due = []
            while self._heap and self._heap[0][0] <= now:
                due.append(heapq.heappop(self._heap))
            failed: list[UnavailableError] = []
            try:
                async with (
                    asyncio.TaskGroup() as group
                ):  # many at once cost the journal little more
                    for at, name in due:
                        group.create_task(self._fire_or_keep(at, name, now, failed))
            except BaseException:
                self._is_new = True  # the heap has lost those that were not come to
                raise
            if failed:
                raise failed[0]

    async def _fire_or_keep(
        self, at: float, name: str, now: float, failed: list[UnavailableError]
    ) -> None:
        """Start a schedule's runs that are due; what fails is looked at again."""
        try:
            if name in self._armed and not self._is_new:
                await self._fire(self._armed[name], now)
            self._push(name, now)
        except UnavailableError as error:
            heapq.heappush(self._heap, (at, name))
            failed.append(error)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _write_down(self, now: float) -> None:
        """Where the schedules that are armed stand, from here on."""
        bundles: dict[str, list[Planned]] = {}
        for one in self._armed.values():
            bundles.setdefault(one.armed.bundle, []).append(one)
        self._heap = []
        for bundle, plans in bundles.items():
            standings = change(self._journal, bundle, _carry(plans, now))
            for one in plans:
                at = next_at(one, standings[one.name])
                if at is not None:
                    self._heap.append((at, one.name))
        heapq.heapify(self._heap)
        self._is_new = False

    def _push(self, name: str, now: float) -> None:
        """Look at a schedule when its next time comes."""
        plan = self._armed.get(name)
        if plan is None or self._is_new:
            return
        standing = read(self._journal, plan.armed.bundle)[0].get(name)
        if standing is None:
            self._is_new = True
            return
        at = next_at(plan, standing)
        if standing.paused and at is not None and at <= now:
            moment = plan.times.after(now)
            at = None if moment is None else plan.fires(moment)
        if at is not None:
            heapq.heappush(self._heap, (at, name))

    async def _fire(self, plan: Planned, now: float) -> None:
        """Start the runs of a schedule that are due."""
        standing = read(self._journal, plan.armed.bundle)[0].get(plan.name)
        if standing is None or standing.paused:
            return
        since = max(self._watched_since, self._armed_at[plan.name] - ON_TIME_S)
        seen = look(plan, standing, now, since)
        if seen.left_out:
            _log.info("times were missed and left out", extra={"schedule": plan.name})
        for one in seen.due:
            run = await self._start(plan, one)
            change(self._journal, plan.armed.bundle, settled(plan.name, one.moment, run))
        change(self._journal, plan.armed.bundle, settled(plan.name, seen.upto))

    async def _start(self, plan: Planned, due: Due) -> str:
        """The run of a planned moment; "" where there will be none."""
        about = {"schedule": plan.name, "planned": plan.times.shown(due.moment)}
        try:
            started = await self._starter.start(plan.armed, occurrence(plan, due))
        except Overlap as error:
            _log.info("no run is started: %s", error.message, extra=about)
            return ""
        except UnavailableError:
            raise
        except AIWorkflowError as error:
            # it would fail as it does however often it is tried
            _log.error("no run can be started: %s", error.message, extra=about)
            return ""
        if started.is_new:
            _log.info("run started", extra={**about, "run": started.run})
        return started.run


def occurrence(plan: Planned, due: Due) -> Occurrence:
    """What a planned moment is to the run it starts."""
    key = datetime.fromtimestamp(due.moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Occurrence(key, due.moment, _data(plan, due.moment, missed=due.missed))


async def start_now(plan: Planned, starter: Starter, now: float, token: str) -> Started:
    """Start a schedule's run at once, whatever its times; its own times come as they would.

    Args:
        token: another one for each call.
    """
    data = _data(plan, now // 1, missed=False)
    return await starter.start(plan.armed, Occurrence(f"now-{token}", now, data))


def _data(plan: Planned, moment: float, *, missed: bool) -> dict[str, str | bool]:
    return {
        "time": plan.times.shown(moment),
        "timezone": plan.times.timezone,
        "schedule": plan.name,
        "missed": missed,
    }


def _carry(plans: Sequence[Planned], now: float) -> Callable[[Standings], Standings]:
    return lambda old: carried(old, plans, now)
