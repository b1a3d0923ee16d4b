"""What the commands of schedules do and print."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.cli.given import whole
from aiworkflow.cli.show import table
from aiworkflow.cli.triggering import in_loop, note_problems, opened
from aiworkflow.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json

_MOST_TIMES: Final = 1000
_YEARS: Final = range(1900, 3000)  # what a calendar cannot go beyond is far from these


def list_schedules(where: Where, out: Out) -> None:
    """Print all schedules of a project."""
    with opened(where, looks=True) as client:
        about = client.triggers.schedules.all()
    note_problems(about, out)
    out.object(about)
    found = cast("list[dict[str, Json]]", about["schedules"])
    if not found:
        out.say("no bundle here has a schedule: `on: {schedule: …}`")
        return
    head = ("SCHEDULE", "CRON", "ZONE", "NEXT", "LAST", "RUN")
    out.result(table([_row(one) for one in found], head))


def show_schedule(where: Where, name: str, out: Out) -> None:
    """Print all there is to know of a schedule."""
    with opened(where, looks=True) as client:
        about = client.triggers.schedules.one(name)
    out.object(about)
    about["next"] = ", ".join(_times(about)) or "-"
    lines = (f"{key}: {'-' if value is None else value}" for key, value in about.items())
    out.result("\n".join(lines))


def next_times(where: Where, name: str | None, count: str, at: str | None, out: Out) -> None:
    """Print the next times of one schedule, or of all together."""
    most = whole("--count", count, 1, _MOST_TIMES)
    after = None if at is None else _moment(at)
    with opened(where, looks=True) as client:
        about = client.triggers.schedules.coming(name or "", count=most, after=after)
    note_problems(about, out)
    out.object(about)
    found = cast("list[dict[str, str]]", about["times"])
    if not found:
        out.say("nothing comes")
        return
    rows = [(one["time"], one["schedule"]) for one in found]
    out.result(table(rows, ("TIME", "SCHEDULE")))


def pause_schedule(where: Where, name: str, out: Out, *, on: bool) -> None:
    """Pause a schedule, or resume it."""
    with opened(where) as client:
        schedules = client.triggers.schedules
        about = schedules.pause(name) if on else schedules.resume(name)
    out.object(about)
    done = "is paused" if on else "goes on; what it left out is not made up for"
    out.say(f"{about['schedule']} {done}")


def run_schedule(where: Where, name: str, out: Out, *, detach: bool) -> int:
    """Start a schedule's run at once, and drive it here unless another process does.

    Args:
        detach: leave it to a server to drive it.
    """
    from aiworkflow.cli.running import drive_on
    from aiworkflow.runtime.lanes import Overlap

    async def start(client: Client) -> tuple[str, bool]:
        run = str((await client.triggers.schedules.run(name))["run"])
        return run, not client.is_remote and client.is_driven(run)

    run, driven = in_loop(where, start)
    if not driven and not detach:
        try:
            status = drive_on(where, run, out)
        except Overlap:  # it waits until an older run is over
            status = None
        if status is not None:
            return status
    out.object({"run": run, "started": True})
    out.say(f"started run {run}" + ("" if detach else f"; follow it: aiworkflow runs watch {run}"))
    return EXIT_OK


def _row(one: Mapping[str, Json]) -> tuple[str, ...]:
    upcoming = next(iter(_times(one)), "never")
    return (
        str(one["schedule"]),
        str(one["cron"]),
        str(one["timezone"]),
        "paused" if one["paused"] else upcoming,
        str(one["last"] or "-"),
        f"{one['run'] or ''} {one['status'] or ''}".strip() or "-",
    )


def _times(one: Mapping[str, Json]) -> list[str]:
    return [each["time"] for each in cast("list[dict[str, str]]", one["next"])]


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
