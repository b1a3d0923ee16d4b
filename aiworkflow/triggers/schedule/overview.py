"""The schedules of a project as people look at them: what comes next, what came last."""

from __future__ import annotations

import heapq
from itertools import islice
from typing import TYPE_CHECKING

from aiworkflow.journal import UnknownRun
from aiworkflow.records import record
from aiworkflow.triggers.schedule.planned import planned
from aiworkflow.triggers.schedule.standing import change, paused, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.triggers.contract import Armed
    from aiworkflow.triggers.schedule.planned import Planned
    from aiworkflow.triggers.schedule.standing import Standing


@record
class Coming:
    """A time of a schedule: when it is planned for, and when its run begins, jitter included."""

    schedule: str
    time: str
    begins: str

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return {"schedule": self.schedule, "time": self.time, "begins": self.begins}


@record
class Shown:
    """A schedule and where it stands.

    Attributes:
        coming: its next times; none while it is paused.
        last: the planned time that a run was last started for; "" for none.
        status: of that run; "" where it is not known any more.
    """

    plan: Planned
    is_paused: bool
    coming: tuple[Coming, ...]
    last: str = ""
    run: str = ""
    status: str = ""

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        armed, times = self.plan.armed, self.plan.times
        return {
            "schedule": armed.name,
            "bundle": armed.bundle,
            "cron": times.cron,
            "timezone": times.timezone,
            "jitter_seconds": self.plan.jitter_s,
            "missed": self.plan.missed,
            "missed_limit": self.plan.missed_limit,
            "overlap": armed.trigger.options.get("overlap"),
            "paused": self.is_paused,
            "next": [one.to_json() for one in self.coming],
            "last": self.last or None,
            "run": self.run or None,
            "status": self.status or None,
        }


def show(journal: Journal, armed: Armed, now: float, *, count: int = 1) -> Shown:
    """A schedule, and where it stands.

    Args:
        count: how many of its next times are shown.
    """
    plan = planned(armed)
    standing = _standing(journal, armed)
    if standing is None:
        return Shown(plan, is_paused=False, coming=tuple(_coming(plan, now, count)))
    coming = () if standing.paused else tuple(_coming(plan, now, count))
    last = "" if standing.last is None else plan.times.shown(standing.last)
    try:
        status = journal.run(standing.run).status if standing.run else ""
    except UnknownRun:
        status = ""
    return Shown(plan, standing.paused, coming, last, standing.run, status)


def coming(journal: Journal, entries: Iterable[Armed], after: float, count: int) -> list[Coming]:
    """The next times of several schedules together, in order; of paused ones none."""
    streams: list[Iterator[tuple[float, str, Coming]]] = []
    for one in entries:
        standing = _standing(journal, one)
        if standing is None or not standing.paused:
            streams.append(_sorted(planned(one), after))
    return [found for _, _, found in islice(heapq.merge(*streams, key=lambda it: it[:2]), count)]


def pause(journal: Journal, armed: Armed, now: float, *, on: bool) -> None:
    """Stop a schedule from starting runs, on all servers, until it is resumed; or resume it.

    Raises:
        JournalUnavailable: nothing was changed.
    """
    change(journal, armed.bundle, paused(planned(armed), now, pause=on))


def _standing(journal: Journal, armed: Armed) -> Standing | None:
    return read(journal, armed.bundle)[0].get(armed.name)


def _coming(plan: Planned, after: float, count: int) -> list[Coming]:
    return [found for _, _, found in islice(_sorted(plan, after), count)]


def _sorted(plan: Planned, after: float) -> Iterator[tuple[float, str, Coming]]:
    for moment in plan.times.since(after):
        shown = plan.times.shown(moment)
        yield moment, plan.name, Coming(plan.name, shown, plan.times.shown(plan.fires(moment)))
