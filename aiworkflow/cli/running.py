"""Running from the command line: inputs, the live view, signals, and the exit status."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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
    from aiworkflow.engine.events import Json


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
    project: str | None


def run_bundle(request: RunRequest, out: Out) -> int:
    """Start the run, show it, and wait for its end."""
    from aiworkflow.app import connect

    texts = pairs(request.inputs, "--input")
    given = read_inputs(request.inputs_file)

    async def start(client: Client) -> Run:
        return await client.start(
            request.bundle,
            given,
            texts=texts,
            overrides=overrides(request.agent, request.settings),
            name=request.name,
        )

    return drive(connect(request.project), start, out, record=request.record)


def drive(
    client: Client,
    start: Callable[[Client], Awaitable[Run]],
    out: Out,
    *,
    record: str | None = None,
) -> int:
    """Drive a run that `start` gives, with a live view and Ctrl-C, and print what it came to."""
    import asyncio

    try:
        return asyncio.run(_drive(client, start, out, record))
    except asyncio.CancelledError:  # the second Ctrl-C; it has been said
        message = "stopped at once; the run can be resumed"
        out.object({"error": {"code": "interrupted", "message": message, "hint": None}})
        return EXIT_INTERRUPTED


async def _drive(
    client: Client,
    start: Callable[[Client], Awaitable[Run]],
    out: Out,
    record: str | None,
) -> int:
    from aiworkflow.cli.live import follow

    async with client:
        run = await start(client)
        for variable in client.project.strangers:
            out.note(f"warning: the variable {variable} is no setting, and sets nothing")
        with interrupts(run, out) as interrupted:
            await follow(run, out)
            result = await run.result()
        if record is not None:
            from aiworkflow.observe.record import write_record

            out.note(f"record: {write_record(run.data(), Path(record))}")
    report(result, out)
    return EXIT_INTERRUPTED if interrupted else status_code(result)


@contextmanager
def interrupts(run: Run, out: Out) -> Iterator[list[int]]:
    """Ctrl-C asks the run to stop; a second one stops at once. Yields the signals that came."""
    import asyncio

    came: list[int] = []
    loop = asyncio.get_running_loop()
    waiting = asyncio.current_task()

    def stop(number: int) -> None:
        came.append(number)
        if len(came) == 1:
            out.note("\nstopping: running steps are ended; once more to stop at once")
            run.interrupt()
        elif waiting is not None:
            out.note(f"\nstopped; go on with: aiworkflow runs resume {run.id}")
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


def report(result: RunResult, out: Out) -> None:
    """What the run came to: the JSON object, or outputs and the way on for people."""
    from aiworkflow.cli.show import outputs_text, summary_line

    if out.json:
        out.object(result.to_json())
        return
    out.note(summary_line(result, out))
    if result.error is not None:
        where = f" in `{result.error.step}`" if result.error.step else ""
        out.note(f"  {out.paint('error', 'red', err=True)}{where}: {result.error.message}")
        if result.error.hint:
            out.note(f"  {out.paint('help', 'cyan', err=True)}: {result.error.hint}")
    for wait in result.waiting_for:
        step = wait.get("step")
        out.note(f"  in doubt: `{step}` was interrupted, and nobody knows whether it took effect")
        out.note(f"  settle it: aiworkflow runs resolve {result.run} {step} done|redo|failed")
    if result.status in {"failed", "cancelled"}:
        out.note(f"  look closer: aiworkflow runs show {result.run}")
        out.note(f"  go on from there: aiworkflow runs resume {result.run}")
    if result.outputs:
        out.result(outputs_text(result.outputs))


# -- inputs and settings --------------------------------------------------------------------------


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """`name=value` words as a map. Raises UsageError naming all that are none."""
    found: dict[str, str] = {}
    wrong = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            wrong.append(word)
        else:
            found[name.strip()] = value
    if wrong:
        listed = ", ".join(f"`{word}`" for word in wrong)
        raise UsageError(f"{option} takes NAME=VALUE, not {listed}")
    return found


def overrides(agent: str | None, settings: Sequence[str]) -> dict[str, Json]:
    """Settings of the command line, nested by their dotted names."""
    from aiworkflow.settings.layers import command_line

    values = pairs(settings, "--set")
    if agent is not None:
        values["agent"] = agent
    return command_line(values)


def read_inputs(file: str | None) -> Mapping[str, Json]:
    """Inputs from a JSON or YAML file, or from standard input.

    Raises:
        UsageError: it cannot be read, or is no map.
    """
    if file is None:
        return {}
    from aiworkflow.bundle.datafile import read_map

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read inputs from `{file}`: {reason}") from error
    return read_map(text, file)


def describe_only(request: RunRequest, out: Out) -> int:
    """`run --dry-run`: what would run, with which agents, tools, secrets and effects."""
    from aiworkflow.cli.checking import dry_run

    return dry_run(
        request.bundle,
        request.project,
        pairs(request.inputs, "--input"),
        read_inputs(request.inputs_file),
        overrides(request.agent, request.settings),
        out,
    )
