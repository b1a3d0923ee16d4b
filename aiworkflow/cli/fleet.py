"""Runs a worker in the foreground; prints and drains the workers of a project."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.cli.given import seconds, whole
from aiworkflow.cli.serverlog import check_form, set_up
from aiworkflow.cli.serving import refuse_bad_settings, stop_on_signals
from aiworkflow.errors import EXIT_FAILED, EXIT_OK, EXIT_WAITING, UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.settings.fleet import FleetOptions

_MOST_SLOTS: Final = 1000
_SHOWN_LETTERS: Final = 8
_GRACE_S: Final = 30.0
_EXITS: Final = {"succeeded": EXIT_OK, "waiting": EXIT_WAITING}


@record
class WorkRequest:
    """What the command line says, as text."""

    labels: Sequence[str] | None = None
    max_runs: str | None = None
    once: bool = False
    wait: str | None = None
    grace: str | None = None
    log: str = "text"


def work(request: WorkRequest, where: Where, out: Out) -> int:
    """Work until stopped, or for one run; the exit code.

    Raises:
        UsageError: something on the command line, or in the settings, cannot be used.
    """
    check_form(request.log)
    if request.wait is not None and not request.once:
        raise UsageError("`--wait` is for `--once`", hint="a worker waits for runs in any case")
    grace_s = _GRACE_S if request.grace is None else seconds("--grace", request.grace)
    wait_s = 0.0 if request.wait is None else seconds("--wait", request.wait)
    client = where.connect()
    refuse_bad_settings(client.project)
    options = _options(request, client.project.fleet)
    set_up(request.log, verbose=out.verbose, quiet=out.quiet)
    import asyncio

    if not request.once:
        asyncio.run(_work(client, options, grace_s))
        return EXIT_OK
    row = asyncio.run(_take_one(client, options, grace_s, wait_s))
    out.object({"run": row[0] if row else None, "status": row[1] if row else None})
    out.say(f"run {row[0]} {row[1]}" if row else "no run is ready")
    return _EXITS.get(row[1], EXIT_FAILED) if row else EXIT_OK


def _options(request: WorkRequest, options: FleetOptions) -> FleetOptions:
    changed: dict[str, object] = {}
    if request.labels is not None:
        changed["labels"] = _labels(request.labels)
    if request.max_runs is not None:
        changed["slots"] = whole("--max-runs", request.max_runs, 1, _MOST_SLOTS)
    return dataclasses.replace(options, **changed)  # type: ignore[arg-type]


def _labels(texts: Sequence[str]) -> tuple[str, ...]:
    """The labels; unlike words of other options, an empty text is meant: none of the settings'."""
    from aiworkflow.bundle.keys_workers import LABEL, LONGEST_LABEL

    found = tuple(one.strip() for text in texts for one in text.split(",") if one.strip())
    for one in found:
        if re.fullmatch(LABEL, one) is None or len(one) > LONGEST_LABEL:
            raise UsageError(
                f"`--labels`: `{one}` is no label",
                hint="letters, digits, `_`, `.` and `-`, several with commas: --labels gpu,linux",
            )
    return found


async def _work(client: Client, options: FleetOptions, grace_s: float) -> None:
    from aiworkflow.client.fleet import Shift, open_worker

    async with client:
        client.runtime.holding.drivers.end_dead()
        shift = Shift(client, open_worker(client, options), options, grace_s=grace_s)
        stop_on_signals(shift.stop)
        await shift.run()


async def _take_one(
    client: Client, options: FleetOptions, grace_s: float, wait_s: float
) -> tuple[str, str] | None:
    from aiworkflow.client.fleet import Shift, open_worker

    async with client:
        one = dataclasses.replace(options, slots=1)
        shift = Shift(client, open_worker(client, one), one, grace_s=grace_s)
        stop_on_signals(shift.stop)
        run = await shift.take_one(wait_s)
        return None if run is None else (run, client.journal.run(run).status)


# -- the list -------------------------------------------------------------------------------------


def list_workers(where: Where, out: Out) -> None:
    """Print the processes that drive runs."""
    from aiworkflow.cli.show import table

    client = where.looking()
    try:
        about = client.views.workers()
    finally:
        client.close()
    out.object(about)
    found = cast("list[dict[str, Json]]", about["workers"])
    if not found:
        out.say("no process drives runs; begin one: aiworkflow worker")
        return
    head = ("WORKER", "KIND", "HOST", "LABELS", "VERSION", "RUNS", "UP", "LAST SIGN", "STATE")
    out.result(table([_cells(row, float(str(about["at"]))) for row in found], head))


def _cells(row: Mapping[str, Json], now: float) -> tuple[str, ...]:
    runs = "-" if row["runs"] is None else f"{row['runs']}"
    started, sign = row["started"], row["last_sign_seconds"]
    return (
        str(row["worker"])[:_SHOWN_LETTERS],
        str(row["kind"]),
        f"{row['host']}:{row['pid']}" if row["pid"] is not None else str(row["host"]),
        ",".join(cast("list[str]", row["labels"])) or "-",
        str(row["version"]),
        f"{runs}/{row['slots']}" if row["slots"] is not None else runs,
        "-" if started is None else _age(now - float(str(started))),
        "-" if sign is None else _age(float(str(sign))),
        str(row["state"]),
    )


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def drain_worker(worker: str, where: Where, out: Out) -> None:
    """Ask a worker to end."""
    client = where.looking()
    try:
        row = client.drain(worker)
    finally:
        client.close()
    out.object(row)
    shown = f"{row['kind']} {str(row['worker'])[:_SHOWN_LETTERS]} on {row['host']}"
    out.say(f"{shown} takes nothing more")
