"""Where schedules stand: what is settled, paused, last started. One register for each bundle.

A register has the schedules of a bundle by name. What is kept of one is carried over when the bundle
changes: by its name and times, by its times under another name (another schedule was put before it), or
by its name with other times. In this last case, and for a schedule that is new, what lies behind is
settled: it is no time that was missed. So it is where the clock was set back by more than a day: or
nothing would start until it has come there again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from aiworkflow.journal import Conflict, RegisterWrite
from aiworkflow.jsontext import compact
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiworkflow.journal import Journal
    from aiworkflow.triggers.schedule.planned import Planned

SCHEDULE: Final = "schedule"
"""The space of registers; keys are bundles."""

SET_BACK_S: Final = 86_400.0
"""Seconds by which the clock must have gone back to be believed."""

_TRIES: Final = 20


@record
class Standing:
    """Where a schedule stands.

    Attributes:
        cron, timezone: its times, as they were when it was last armed.
        upto: planned moments up to this one are settled; seconds since the epoch.
        last: the planned moment that a run was last started for; None for none.
        run: that run.
        paused: whether nothing is started until somebody resumes it.
    """

    cron: str
    timezone: str
    upto: float
    last: float | None = None
    run: str = ""
    paused: bool = False


Standings = dict[str, Standing]


def carried(old: Mapping[str, Standing], entries: Iterable[Planned], now: float) -> Standings:
    """Where the schedules of a bundle stand when these are armed, by what is known of it.

    What is not armed here stays: another server may have a newer version of the bundle, or this one
    have it again, when it is back from another branch.
    """
    left = dict(old)
    found: Standings = {}
    todo = {one.name: one.times for one in entries}
    rules: list[Callable[[str, Standing, str], bool]] = [
        lambda name, was, key: name == key and was.cron == todo[name].cron,
        lambda name, was, key: was.cron == todo[name].cron,
        lambda name, was, key: name == key,
    ]
    for number, fits in enumerate(rules):
        for name, times in todo.items():
            if name in found:
                continue
            at = next((key for key, was in left.items() if fits(name, was, key)), None)
            if at is None:
                continue
            was = left.pop(at)
            same = number < 2 and was.timezone == times.timezone and was.upto <= now + SET_BACK_S
            found[name] = replace(
                was,
                cron=times.cron,
                timezone=times.timezone,
                upto=was.upto if same else now,
            )
    for name, times in todo.items():
        if name not in found:
            found[name] = Standing(times.cron, times.timezone, now)
    return {**left, **found}


def read(journal: Journal, bundle: str) -> tuple[Standings, int]:
    """Where a bundle's schedules stand, and the version of that; 0 where nothing is known."""
    found = journal.register(SCHEDULE, bundle)
    if found is None:
        return {}, 0
    return {
        name: Standing(**about) for name, about in json.loads(found.value).items()
    }, found.version


def change(journal: Journal, bundle: str, changed: Callable[[Standings], Standings]) -> Standings:
    """Compare and set where a bundle's schedules stand; how they stand then.

    Raises:
        JournalUnavailable: nothing was changed.
    """
    for attempt in range(_TRIES):
        old, version = read(journal, bundle)
        new = changed(old)
        if new == old:
            return new
        value = compact({name: asdict(one) for name, one in new.items()})
        try:
            journal.put([RegisterWrite(SCHEDULE, bundle, value, expect=version)])
        except Conflict:
            if attempt == _TRIES - 1:
                raise
        else:
            return new
    raise AssertionError("unreachable")


def settled(name: str, upto: float, run: str = "") -> Callable[[Standings], Standings]:
    """A change: planned moments up to this one are settled, the last of them by `run`, if given."""

    def changed(old: Standings) -> Standings:
        was = old.get(name)
        if was is None:  # another server has given its place to another one
            return old
        now = replace(was, upto=max(was.upto, upto))
        if run:
            now = replace(now, last=upto, run=run)
        return {**old, name: now}

    return changed


def paused(plan: Planned, now: float, *, pause: bool) -> Callable[[Standings], Standings]:
    """A change: nothing is started any more; or again, from now on."""

    def changed(old: Standings) -> Standings:
        was = old.get(plan.name) or Standing(plan.times.cron, plan.times.timezone, now)
        if was.paused == pause:
            return {**old, plan.name: was}
        upto = was.upto if pause else max(was.upto, now)
        return {**old, plan.name: replace(was, paused=pause, upto=upto)}

    return changed
