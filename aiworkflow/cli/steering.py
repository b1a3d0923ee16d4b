"""Following, resuming, settling and cancelling runs from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.cli.given import json_of, pairs, read_state
from aiworkflow.cli.running import drive, drive_on, report, status_code
from aiworkflow.cli.where import Where
from aiworkflow.errors import EXIT_INTERRUPTED, EXIT_OK, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import SupportsFloat

    from aiworkflow.cli.out import Out
    from aiworkflow.client.client import Client
    from aiworkflow.client.onward import Proposal
    from aiworkflow.client.run import Run


def watch_run(project: Where, run: str, out: Out) -> int:
    """Follow a run that another process drives."""
    import asyncio

    async def watch() -> int:
        from aiworkflow.cli.live import follow

        client = project.looking()
        try:
            found = client.run(run)
            if found.look().status == "running" and not client.is_driven(found.id):
                raise UsageError(
                    f"no process drives run {found.id}: it was interrupted",
                    hint=f"go on with it: aiworkflow runs resume {found.id}",
                )
            await follow(found, out)
            result = await found.result()
            report(result, out)
        finally:
            client.close()
        return status_code(result)

    try:
        return asyncio.run(watch())
    except KeyboardInterrupt:
        out.note("\nno longer watching; the run goes on")
        return EXIT_INTERRUPTED


def resume_run(
    project: Where,
    run: str,
    out: Out,
    *,
    take_over: bool = False,
    attached: bool = False,
    record: str | None = None,
    budget: Sequence[str] = (),
    adopt: bool = False,
    revision: str | None = None,
    agreed: bool = False,
) -> int:
    """Take a run up here and wait for its end.

    Args:
        revision: go on with the bundle as it is in this git revision.
        agreed: do not ask whether that is to be done.
    """
    raised = read_budget(budget)
    if agreed and revision is None:
        raise UsageError("--yes agrees to what --on REVISION would do", hint="give --on, too")
    client = project.looking()
    on: Proposal | str | None = None
    if revision is not None and client.is_remote:
        if not agreed:
            client.close()
            raise UsageError(
                "at a server, --on needs --yes: what would be done is not shown here first",
                hint="look at it on the server's machine, or ask its API to propose it",
            )
        on = revision
    elif revision is not None:
        from aiworkflow.cli.onward import agree

        try:
            on = client.propose(run, revision, take_over=take_over, adopt=adopt)
            agree(on, out, agreed=agreed)
        except BaseException:
            client.close()
            raise

    async def start(client: Client) -> Run:
        return await client.resume(
            run, take_over=take_over, attached=attached, budget=raised, adopt=adopt, on=on
        )

    more = {} if on is None or isinstance(on, str) else {"replan": on.to_json()}
    return drive(client, start, out, record=record, more=more)


def read_budget(words: Sequence[str]) -> dict[str, float]:
    """`usd=2 tokens=100k seconds=10m` as amounts.

    Raises:
        UsageError: it is none.
    """
    from aiworkflow.settings import units

    readers: dict[str, Callable[[object], SupportsFloat]] = {
        "usd": units.money,
        "tokens": units.count,
        "seconds": units.duration,
    }
    found: dict[str, float] = {}
    for unit, text in pairs(words, "--budget").items():
        try:
            found[unit] = float(readers[unit](text))
        except KeyError as error:
            raise UsageError(f"--budget takes usd, tokens or seconds, not `{unit}`") from error
        except ValueError as error:
            raise UsageError(f"--budget {unit}: `{text}` is not {error}") from error
    return found


def fork_run(
    project: Where,
    run: str,
    step: str | None,
    inputs: Sequence[str],
    values: Sequence[str],
    revision: str | None,
    out: Out,
) -> int:
    """Start a copy of a run that goes on from a step."""
    if step is None and revision is None:
        raise UsageError(
            "say where the fork begins", hint="--from STEP, or --on REVISION for what has changed"
        )
    texts = pairs(inputs, "--input")
    state = read_state(values)

    async def start(client: Client) -> Run:
        return await client.fork(run, step, texts=texts, state=state, revision=revision)

    return drive(project.looking(), start, out)


def undo_run(project: Where, run: str, out: Out, *, adopt: bool = False) -> int:
    """Take back what a finished run did."""

    async def start(client: Client) -> Run:
        return await client.undo(run, adopt=adopt)

    return drive(project.looking(), start, out, done="rolled_back")


def cancel_run(project: Where, run: str, reason: str, out: Out) -> int:
    """Ask for a run to stop; one that nobody drives is ended here."""
    client = project.looking()
    try:
        found = client.signals.cancel(run, reason)
        driven = client.is_remote or client.is_driven(found)
        # who drove it may have ended it meanwhile; to take it up then would begin it again
        is_over = not driven and client.journal.run(found).finished is not None
    finally:
        client.close()
    status = None if driven or is_over else drive_on(project, found, out)
    if status is not None:
        return EXIT_OK if status == EXIT_INTERRUPTED else status
    out.object({"run": found, "cancelling": True})
    out.say(f"run {found} is being cancelled; follow it: aiworkflow runs watch {found}")
    return EXIT_OK


def resolve_step(
    project: Where,
    run: str,
    step: str,
    outcome: str,
    output: str | None,
    note: str,
    out: Out,
) -> int:
    """Settle a doubt, and drive the run on unless another process does."""
    value = json_of("--output", output) if output is not None else None
    client = project.looking()
    try:
        found = client.signals.resolve(run, step, outcome, output=value, note=note)
        # who drove it may have ended it meanwhile; then nothing is left to go on with
        driven = not client.is_remote and (
            client.is_driven(found) or client.journal.run(found).finished is not None
        )
    finally:
        client.close()
    status = None if driven else drive_on(project, found, out)
    if status is not None:
        return status
    out.object({"run": found, "step": step, "resolved": outcome})
    out.say(f"step `{step}` of run {found} is settled as {outcome}")
    return EXIT_OK
