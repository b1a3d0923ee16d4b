"""Consents, answers and signals from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.cli.given import json_of, pairs, read_inputs
from aiworkflow.cli.prompting import ask_fields, is_terminal, show, shown
from aiworkflow.cli.running import drive, drive_on
from aiworkflow.cli.where import Where
from aiworkflow.errors import EXIT_OK, AIWorkflowError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.cli.out import Out
    from aiworkflow.client.client import Client
    from aiworkflow.client.run import Run
    from aiworkflow.client.waits import OpenWait
    from aiworkflow.engine.carried import Json


# -- looking --------------------------------------------------------------------------------------


def list_approvals(project: Where, run: str, out: Out) -> None:
    """Print what waits for people."""
    from aiworkflow.cli.show import table
    from aiworkflow.client.views import PEOPLE, wait_json, when

    client = project.looking()
    try:
        waits = client.waits.open(run, PEOPLE)
    finally:
        client.close()
    out.object({"approvals": [wait_json(wait) for wait in waits]})
    if out.json:
        return
    if not waits:
        out.say("nothing waits for people")
        return
    rows = [
        (wait.id, wait.kind, ", ".join(wait.by) or "anyone", when(wait.due), _line(wait.message))
        for wait in waits
    ]
    out.result(table(rows, ("APPROVAL", "KIND", "BY", "UNTIL (UTC)", "MESSAGE")))


def show_approval(project: Where, reference: str, out: Out) -> None:
    """Print all there is to know before agreeing."""
    from aiworkflow.client.views import PEOPLE, wait_json

    client = project.looking()
    try:
        wait = client.waits.one(reference, PEOPLE, "approval")
    finally:
        client.close()
    out.object(wait_json(wait))
    if not out.json:
        for line in shown(wait):
            out.result(line)


def _line(text: str) -> str:
    from aiworkflow.steady import steady

    first = steady(text).strip().partition("\n")[0]
    return first if len(first) <= 60 else first[:59] + "…"


# -- answering ------------------------------------------------------------------------------------


def vote(
    project: Where, reference: str, verdict: str, comment: str, out: Out, *, detach: bool
) -> int:
    """Agree or refuse, and drive the run on."""

    def hand_in(client: Client) -> OpenWait:
        act = client.waits.approve if verdict == "approve" else client.waits.reject
        return act(reference, comment=comment)

    return _hand_in(
        project, hand_in, "approved" if verdict == "approve" else "rejected", out, detach
    )


def answer_wait(
    project: Where,
    reference: str,
    fields: list[str],
    file: str | None,
    out: Out,
    *,
    detach: bool,
    nothing: str = "",
) -> int:
    """Answer an `ask`, asking on the terminal for what is not given.

    Args:
        nothing: `decline` or `cancel` instead of an answer.
    """
    texts, given = pairs(fields, "--field"), read_inputs(file)
    if nothing and (texts or given):
        raise UsageError(f"--{nothing} gives no answer", hint="leave the fields out")
    if nothing:

        def refuse(client: Client) -> OpenWait:
            return client.waits.decline(reference, cancel=nothing == "cancel")

        return _hand_in(project, refuse, "declined", out, detach)

    def hand_in(client: Client) -> OpenWait:
        wait = client.waits.one(reference, ("ask",), "answer")
        if not texts and not given and wait.fields and is_terminal(out):
            show(wait, out)
            return client.waits.answer(wait.id, {}, ask_fields(wait, out))
        return client.waits.answer(wait.id, given, texts)

    return _hand_in(project, hand_in, "answered", out, detach)


def continue_run(
    where: Where, reference: str, how: str, values: list[str], out: Out, *, detach: bool
) -> int:
    """Let a run go on from a breakpoint."""
    from aiworkflow.cli.given import read_state

    state = read_state(values)

    def hand_in(client: Client) -> OpenWait:
        wait = client.waits.one(reference, {"break"}, "breakpoint")
        if state:
            client.signals.change(wait.run, state)
        return client.waits.go_on(wait.id, how)

    return _hand_in(where, hand_in, "let go on", out, detach)


def signal_run(
    project: Where, run: str, name: str, data: str | None, out: Out, *, detach: bool
) -> int:
    """Deliver an event."""
    value = json_of("--data", data) if data is not None else None
    return _hand_in(
        project, lambda client: client.waits.signal(run, name, value), "signalled", out, detach
    )


def _hand_in(
    project: Where,
    hand_in: Callable[[Client], OpenWait],
    done: str,
    out: Out,
    detach: bool,
) -> int:
    client = project.looking()
    try:
        wait = hand_in(client)
        root = client.root_of(wait.run)
        # who drove it may have ended it meanwhile; then nothing is left to go on with
        driven = not client.is_remote and (
            client.is_driven(root) or client.journal.run(root).finished is not None
        )
    finally:
        client.close()
    if not driven and not detach:
        status = drive_on(project, root, out)
        if status is not None:
            return status
        driven = True
    out.object({"run": wait.run, "step": wait.step, done: True})
    out.say(f"`{wait.step}` of run {wait.run} is {done}")
    if not driven and not client.is_remote:
        out.say(f"go on with it: aiworkflow runs resume {wait.run}")
    return EXIT_OK


def wake_runs(project: Where, out: Out) -> int:
    """Drive on every waiting run that can go on."""
    client = project.looking()
    try:
        runs = client.due()
    finally:
        client.close()
    if not runs:
        out.object({"runs": []})
        out.say("no waiting run can go on yet")
        return EXIT_OK
    from aiworkflow.cli.out import Out as Silent

    woken: list[dict[str, Json]] = []
    for run in runs:

        async def start(client: Client, run: str = run) -> Run:
            return await client.resume(run)

        try:
            status = drive(project.looking(), start, Silent(quiet=True) if out.json else out)
        except AIWorkflowError as error:
            status = error.exit_code
            out.note(f"run {run}: {error.message}")
        woken.append({"run": run, "exit": status})
    out.object({"runs": woken})
    return EXIT_OK
