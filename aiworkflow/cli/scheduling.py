"""What the commands of schedules do and print."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from aiworkflow.cli.show import table
from aiworkflow.cli.triggering import load, pick, start_one
from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.client import Client
    from aiworkflow.triggers.catalogue import Catalogue
    from aiworkflow.triggers.contract import Started, Starter
    from aiworkflow.triggers.schedule.overview import Shown

_MOST_TIMES: Final = 1000
_YEARS: Final = range(1900, 3000)  # what a calendar cannot go beyond is far from these


def list_schedules(where: Where, out: Out) -> None:
    """Print all schedules of a project."""
    from aiworkflow.triggers.schedule.overview import show

    client = where.connect()
    try:
        entries = load(client, out).armed("schedule")
        found = [show(client.journal, one, _now(client)) for one in entries]
    finally:
        client.close()
    out.object({"schedules": [one.to_json() for one in found]})
    if not found:
        out.say("no bundle here has a schedule: `on: {schedule: …}`")
        return
    head = ("SCHEDULE", "CRON", "ZONE", "NEXT", "LAST", "RUN")
    out.result(table([_row(one) for one in found], head))


def show_schedule(where: Where, name: str, out: Out) -> None:
    """Print all there is to know of a schedule."""
    from aiworkflow.triggers.schedule.overview import show

    client = where.connect()
    try:
        armed = pick(name, load(client, out).armed("schedule"), "schedule")
        found = show(client.journal, armed, _now(client), count=5)
    finally:
        client.close()
    about = found.to_json()
    out.object(about)
    about["next"] = ", ".join(one.time for one in found.coming) or "-"
    lines = (f"{key}: {'-' if value is None else value}" for key, value in about.items())
    out.result("\n".join(lines))


def next_times(where: Where, name: str | None, count: str, at: str | None, out: Out) -> None:
    """Print the next times of one schedule, or of all together."""
    from aiworkflow.triggers.schedule.overview import coming

    if not (count.isascii() and count.isdecimal() and 1 <= int(count) <= _MOST_TIMES):
        raise UsageError(f"--count takes a number from 1 to {_MOST_TIMES:,}, not `{count}`")
    client = where.connect()
    try:
        entries = load(client, out).armed("schedule")
        chosen = entries if name is None else [pick(name, entries, "schedule")]
        after = _now(client) if at is None else _moment(at)
        found = coming(client.journal, chosen, after, int(count))
    finally:
        client.close()
    out.object({"times": [one.to_json() for one in found]})
    if not found:
        out.say("nothing comes")
        return
    out.result(table([(one.time, one.schedule) for one in found], ("TIME", "SCHEDULE")))


def pause_schedule(where: Where, name: str, out: Out, *, on: bool) -> None:
    """Pause a schedule, or resume it."""
    from aiworkflow.triggers.schedule.overview import pause

    client = where.connect()
    try:
        armed = pick(name, load(client, out).armed("schedule"), "schedule")
        pause(client.journal, armed, _now(client), on=on)
    finally:
        client.close()
    out.object({"schedule": armed.name, "paused": on})
    out.say(f"{armed.name} {'is paused' if on else 'goes on; what it left out is not made up for'}")


def run_schedule(where: Where, name: str, out: Out, *, detach: bool) -> int:
    """Start a schedule's run at once."""

    async def start(client: Client, catalogue: Catalogue, starter: Starter) -> Started:
        from aiworkflow.triggers.schedule.planned import planned
        from aiworkflow.triggers.schedule.source import start_now

        plan = planned(pick(name, catalogue.armed("schedule"), "schedule"))
        return await start_now(plan, starter, _now(client), client.project.ids.token())

    return start_one(where, out, start, detach=detach)


def _row(one: Shown) -> tuple[str, ...]:
    upcoming = one.coming[0].time if one.coming else "never"
    return (
        one.plan.name,
        one.plan.times.cron,
        one.plan.times.timezone,
        "paused" if one.is_paused else upcoming,
        one.last or "-",
        f"{one.run} {one.status}".strip() or "-",
    )


def _now(client: Client) -> float:
    return client.project.clock.now().timestamp()


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        hint = "write it as 2027-01-31T09:00 (UTC) or 2027-01-31T09:00+01:00"
        raise UsageError(f"`--at {text}` is no moment", hint=hint) from None
    if moment.year not in _YEARS:
        hint = f"take one of the years {_YEARS[0]} to {_YEARS[-1]}"
        raise UsageError(f"`--at {text}` cannot be reckoned with", hint=hint)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
