"""A schedule as a bundle plans it, and which of its times are due."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.records import record
from aiworkflow.settings.units import duration
from aiworkflow.triggers.schedule.times import Times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.triggers.contract import Armed
    from aiworkflow.triggers.schedule.standing import Standing

ON_TIME_S: Final = 60.0
"""Seconds by which a time may be seen late and is none that was missed."""

_MOST_MISSED: Final = 100


@record
class Planned:
    """A schedule that is armed.

    Attributes:
        jitter_s: each time starts at a moment within so long after; seconds.
        missed: `skip`, `once` or `all`.
        missed_limit: how many of those that were missed are started at most, the latest.
    """

    armed: Armed
    times: Times
    jitter_s: float = 0.0
    missed: str = "skip"
    missed_limit: int = _MOST_MISSED

    @property
    def name(self) -> str:
        """Its name in the project."""
        return self.armed.name

    def fires(self, moment: float) -> float:
        """When the run of a planned moment begins: the same on every server."""
        if not self.jitter_s:
            return moment
        seed = f"{self.armed.bundle} {self.times.cron} {moment:.0f}".encode()
        part = int.from_bytes(hashlib.sha256(seed).digest()[:6]) / 2**48
        return moment + self.jitter_s * part


def planned(armed: Armed) -> Planned:
    """A schedule as its entry of `on` says."""
    options = armed.trigger.options
    return Planned(
        armed,
        Times(str(options["cron"]), str(options.get("timezone", "UTC"))),
        duration(options.get("jitter", 0)),
        str(options.get("missed", "skip")),
        cast("int", options.get("missed_limit", _MOST_MISSED)),
    )


@record
class Due:
    """A planned moment whose run is to be started; `missed` if nothing ran when it came."""

    moment: float
    missed: bool = False


@record
class Look:
    """What is due.

    Attributes:
        due: in order.
        upto: planned moments up to this one are settled when those due are; others are left out.
        left_out: whether times were missed that get no run.
    """

    due: Sequence[Due]
    upto: float
    left_out: bool = False


def look(plan: Planned, standing: Standing, now: float, watched_since: float) -> Look:
    """Which planned moments are due, as the schedule says of those that were missed.

    Args:
        now: seconds since the epoch.
        watched_since: from this moment on somebody was there to see them; before, they were missed.
    """
    start = standing.upto
    # what is planned up to here began, jitter and all, when nobody was there
    floor = max(start, min(watched_since, now) - plan.jitter_s - 1)
    most = {"skip": 1, "once": 1}.get(plan.missed, plan.missed_limit)
    before = plan.times.latest(start, floor, most) if floor > start else []
    missed: deque[float] = deque(before, maxlen=most)
    on_time: list[float] = []
    upto = before[-1] if before else start
    for moment in plan.times.since(floor):
        begins = plan.fires(moment)
        if moment > now or begins > now:
            break  # in the order planned: none overtakes another
        (on_time if on_time or begins >= watched_since else missed).append(moment)
        upto = moment
    wanted = () if plan.missed == "skip" or (plan.missed == "once" and on_time) else missed
    due = [*(Due(moment, missed=True) for moment in wanted), *map(Due, on_time)]
    return Look(due, upto, left_out=bool(missed) and not wanted)


def next_at(plan: Planned, standing: Standing) -> float | None:
    """When to look at a schedule next; None for never."""
    moment = plan.times.after(standing.upto)
    return None if moment is None else plan.fires(moment)
