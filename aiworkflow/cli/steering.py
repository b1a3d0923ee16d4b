"""Following, resuming, settling and cancelling runs from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiworkflow.cli.running import drive, report, status_code
from aiworkflow.errors import EXIT_INTERRUPTED, EXIT_OK, UsageError

if TYPE_CHECKING:
    from aiworkflow.cli.out import Out
    from aiworkflow.client.client import Client
    from aiworkflow.client.run import Run


def watch_run(project: str | None, run: str, out: Out) -> int:
    """Follow a run that another process drives."""
    import asyncio

    from aiworkflow.app import connect

    async def watch() -> int:
        from aiworkflow.cli.live import follow

        client = connect(project)
        try:
            found = client.run(run)
            if found.look().status == "running" and not client.is_driven(found.id):
                raise UsageError(
                    f"no process drives run {found.id}: it was interrupted",
                    hint=f"go on with it: aiworkflow runs resume {found.id}",
                )
            await follow(found, out)
            result = await found.result()
        finally:
            client.close()
        report(result, out)
        return status_code(result)

    try:
        return asyncio.run(watch())
    except KeyboardInterrupt:
        out.note("\nno longer watching; the run goes on")
        return EXIT_INTERRUPTED


def resume_run(
    project: str | None, run: str, out: Out, *, take_over: bool, record: str | None
) -> int:
    """Take a run up here and wait for its end."""
    from aiworkflow.app import connect

    async def start(client: Client) -> Run:
        return await client.resume(run, take_over=take_over)

    return drive(connect(project), start, out, record=record)


def cancel_run(project: str | None, run: str, reason: str, out: Out) -> int:
    """Ask for a run to stop; one that nobody drives is ended here."""
    from aiworkflow.app import connect

    client = connect(project)
    try:
        found = client.cancel(run, reason)
        driven = client.is_driven(found)
    finally:
        client.close()
    if driven:
        out.object({"run": found, "cancelling": True})
        out.say(f"run {found} is being cancelled; follow it: aiworkflow runs watch {found}")
        return EXIT_OK

    async def start(client: Client) -> Run:
        return await client.resume(found)

    status = drive(connect(project), start, out)
    return EXIT_OK if status == EXIT_INTERRUPTED else status


def resolve_step(
    project: str | None,
    run: str,
    step: str,
    outcome: str,
    output: str | None,
    note: str,
    out: Out,
) -> int:
    """Settle a doubt, and drive the run on unless another process does."""
    from aiworkflow.app import connect

    try:
        value = json.loads(output) if output is not None else None
    except ValueError as error:
        raise UsageError(
            f"--output takes JSON: {error}", hint="a text stands in quotes: --output '\"done\"'"
        ) from error
    client = connect(project)
    try:
        found = client.resolve(run, step, outcome, output=value, note=note)
        driven = client.is_driven(found)
    finally:
        client.close()
    if driven:
        out.object({"run": found, "step": step, "resolved": outcome})
        out.say(f"step `{step}` of run {found} is settled as {outcome}")
        return EXIT_OK

    async def start(client: Client) -> Run:
        return await client.resume(found)

    return drive(connect(project), start, out)
