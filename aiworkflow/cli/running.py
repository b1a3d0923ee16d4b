"""Running from the command line: inputs, the live view, signals, and the exit status."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.cli.given import check_folder, overrides, pairs, read_inputs
from aiworkflow.cli.recording import is_case, record_case, refuse_case
from aiworkflow.cli.where import Where, connect
from aiworkflow.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_WAITING,
    UsageError,
)
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.cli.out import Out
    from aiworkflow.client.client import Client
    from aiworkflow.client.result import RunResult
    from aiworkflow.client.run import Run
    from aiworkflow.engine.carried import Json


@record
class RunRequest:
    """What `bundle run` was asked for, as it stood on the command line."""

    bundle: str
    inputs: Sequence[str]
    inputs_file: str | None
    agent: str | None
    settings: Sequence[str]
    name: str
    record: str | None
    project: Where
    attached: bool = False
    breaks: Sequence[str] = ()
    agreed: bool = False
    force: bool = False
    detached: bool = False


def run_bundle(request: RunRequest, out: Out) -> int:
    """Start the run, show it, and wait for its end."""
    texts = pairs(request.inputs, "--input")
    given = read_inputs(request.inputs_file)
    chosen = overrides(request.agent, request.settings)
    project = request.project.with_journal(chosen.get("journal"))
    if request.record == "":
        raise UsageError(
            "`--record` names nothing", hint="name a case, or a folder such as `runs/`"
        )
    case = request.record if request.record and is_case(request.record) else None
    if request.force and case is None:
        raise UsageError(
            "`--force` says that a case may be replaced, and none is recorded",
            hint="leave it out, or name the case: `--record CASE --force`",
        )
    if request.detached:
        return submit_run(request, project, chosen, given, texts, out)
    if case is not None:
        refuse_case(request.bundle, case, project.project, force=request.force)

    async def start(client: Client) -> Run:
        from aiworkflow.cli.bounding import agree_to_cost

        checked = client.project.check(request.bundle, chosen)
        agree_to_cost(client, checked, given, texts, out, agreed=request.agreed)
        return await client.start(
            checked,
            given,
            texts=texts,
            overrides=chosen,
            name=request.name,
            attached=request.attached,
            breaks=request.breaks,
            tell=out.note,
        )

    async def record(client: Client, run: str) -> Mapping[str, Json]:
        assert case is not None
        where = project.project
        written = await record_case(client, run, case, out, where, force=request.force)
        return {"case": written.to_json()}

    after = record if case is not None else None
    folder = None if case is not None else request.record
    return drive(connect(project), start, out, record=folder, after=after)


def submit_run(
    request: RunRequest,
    project: Where,
    chosen: Mapping[str, Json],
    given: Mapping[str, Json],
    texts: Mapping[str, str],
    out: Out,
) -> int:
    """Make the run durable, for whoever works to drive it.

    Raises:
        UsageError: it was also to be stayed with.
    """
    import asyncio

    from aiworkflow.cli.bounding import agree_to_cost

    for option, value in (
        ("--wait", request.attached),
        ("--record", request.record),
        ("--break", request.breaks),
    ):
        if value:
            raise UsageError(f"{option} stays with the run, and --detach does not")

    async def submit() -> str:
        async with connect(project) as client:
            checked = client.project.check(request.bundle, chosen)
            agree_to_cost(client, checked, given, texts, out, agreed=request.agreed)
            found = await client.submit(
                checked, given, texts=texts, overrides=chosen, name=request.name
            )
            return found.run

    run = asyncio.run(submit())
    out.object({"run": run, "status": "waiting", "waiting_for": [{"kind": "worker"}]})
    out.result(f"submitted {run}")
    out.note("a server or a worker drives it: aiworkflow serve, or aiworkflow worker --once")
    return EXIT_OK


def drive(
    client: Client,
    start: Callable[[Client], Awaitable[Run]],
    out: Out,
    *,
    record: str | None = None,
    done: str = "succeeded",
    more: Mapping[str, Json] | None = None,
    after: Callable[[Client, str], Awaitable[Mapping[str, Json]]] | None = None,
) -> int:
    """Drive a run that `start` gives, with a live view and Ctrl-C, and print what it came to.

    Args:
        done: the status that the command was to bring about.
        more: what the JSON object says besides.
        after: called with the run once it has come to rest; what the JSON object says besides.
    """
    import asyncio

    check_folder(record)
    try:
        return asyncio.run(_drive(client, start, out, record, done, more or {}, after))
    except asyncio.CancelledError:  # the second Ctrl-C; it has been said
        message = "stopped at once; the run can be resumed"
        out.object({"error": {"code": "interrupted", "message": message, "hint": None}})
        return EXIT_INTERRUPTED


async def _drive(
    client: Client,
    start: Callable[[Client], Awaitable[Run]],
    out: Out,
    record: str | None,
    done: str,
    more: Mapping[str, Json],
    after: Callable[[Client, str], Awaitable[Mapping[str, Json]]] | None,
) -> int:
    from aiworkflow.cli.live import follow

    async with client:
        run = await start(client)
        for variable in client.project.strangers:
            out.note(f"warning: the variable {variable} is no setting, and sets nothing")
        go_on = f"go on with: aiworkflow runs resume {run.id}"
        while True:
            with interrupts(run.interrupt, go_on, out) as interrupted:
                await follow(run, out)
                result = await run.result()
            if result.status != "waiting" or interrupted:
                break
            from aiworkflow.cli.prompting import ask_here

            try:  # nothing runs meanwhile: Ctrl-C only ends the prompt
                if not ask_here(client, result, out):
                    break
            except KeyboardInterrupt:
                out.note("")
                interrupted.append(signal.SIGINT)
                break
            run = await taken_up(client, run.id)
        if record is not None:
            from aiworkflow.observe.record import write_record

            out.note(f"record: {write_record(run.data(), Path(record))}")
        if after is not None and not interrupted:
            more = {**more, **await after(client, run.id)}
        # while the journal is open: large outputs are read when they are shown
        report(result, out, more)
        # one that was interrupted while it was taken back comes to what was asked for then
        if result.status == "rolled_back" and run.progress().undo_asked:
            done = "rolled_back"
    if result.status == done:
        return EXIT_OK
    return EXIT_INTERRUPTED if interrupted else status_code(result)


async def taken_up(client: Client, run: str) -> Run:
    """A run that somebody has told something: driven on here, or by the server that has it."""
    return client.run(run) if client.is_remote else await client.resume(run)


def drive_on(project: Where, run: str, out: Out) -> int | None:
    """Drive on a run that somebody has told something, and that nobody drove then.

    Returns:
        The exit code; None where a server was faster: it drives the run, or has ended it already.
    """
    from aiworkflow.journal import Held

    async def start(client: Client) -> Run:
        if not client.is_remote and client.journal.run(run).finished is not None:
            raise Held(run, "a server")  # to take up what is over would begin it again
        return await taken_up(client, run)

    try:
        return drive(connect(project), start, out)
    except Held:
        return None


@contextmanager
def interrupts(ask: Callable[[], None], go_on: str, out: Out) -> Iterator[list[int]]:
    """Ctrl-C asks to stop; a second one stops at once. Yields the signals that came."""
    import asyncio

    came: list[int] = []
    loop = asyncio.get_running_loop()
    waiting = asyncio.current_task()

    def stop(number: int) -> None:
        came.append(number)
        if len(came) == 1:
            out.note("\nstopping: running steps are ended; once more to stop at once")
            ask()
        elif waiting is not None:
            out.note(f"\nstopped; {go_on}")
            waiting.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        yield came
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def status_code(result: RunResult) -> int:
    """The exit status that a result stands for."""
    match result.status:
        case "succeeded":
            return EXIT_OK
        case "waiting":
            return EXIT_WAITING
        case "cancelled":
            return EXIT_INTERRUPTED
        case _:
            refused = result.error is not None and result.error.kind in {"refused", "budget"}
            return EXIT_REFUSED if refused else EXIT_FAILED


def report(result: RunResult, out: Out, more: Mapping[str, Json] | None = None) -> None:
    """What the run came to: the JSON object, or outputs and the way on for people."""
    from aiworkflow.cli.show import (
        outputs_text,
        standing_lines,
        summary_line,
        waiting_lines,
    )

    if out.json:
        out.object({**result.to_json(), **(more or {})})
        return
    out.note(summary_line(result, out))
    if result.error is not None:
        where = f" in `{result.error.step}`" if result.error.step else ""
        out.note(f"  {out.paint('error', 'red', err=True)}{where}: {result.error.message}")
        if result.error.hint:
            out.note(f"  {out.paint('help', 'cyan', err=True)}: {result.error.hint}")
    for wait in result.waiting_for:
        for line in waiting_lines(result.run, wait):
            out.note(f"  {line}")
    for line in standing_lines(result):
        out.note(f"  {line}")
    if result.status in {"failed", "cancelled"}:
        out.note(f"  look closer: aiworkflow runs show {result.run}")
        kind = result.error.kind if result.error is not None else ""
        what = "do again what was taken back, and go on" if kind == "undo" else "go on from there"
        is_told = kind == "budget" and result.error is not None and bool(result.error.hint)
        if not is_told:  # that says with which budget; as it was it would fail again
            out.note(f"  {what}: aiworkflow runs resume {result.run}")
    if result.outputs:
        out.result(outputs_text(result.outputs))


def describe_only(request: RunRequest, out: Out) -> int:
    """`run --dry-run`: what would run, with which agents, tools, secrets and effects."""
    from aiworkflow.cli.checking import dry_run

    return dry_run(
        request.bundle,
        request.project.project,
        pairs(request.inputs, "--input"),
        read_inputs(request.inputs_file),
        overrides(request.agent, request.settings),
        out,
    )
