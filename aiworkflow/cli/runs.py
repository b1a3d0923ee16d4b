"""`aiworkflow runs …`: list, show, follow, resume, settle and cancel runs."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    AdoptOption,
    DetachOption,
    FallbackOption,
    JsonOption,
    NoteOption,
    ProjectOption,
    QuietOption,
    ReasonOption,
    RunArgument,
    RunsOfOption,
    StatusOption,
    VerboseOption,
    WaitArgument,
    WaitOption,
)
from aiworkflow.cli.runs_carrying import add_to as add_carrying

app = typer.Typer(
    cls=Group,
    name="runs",
    help="List, show, follow, resume and cancel runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.command("list", cls=Command)
def list_(
    status: StatusOption = None,
    bundle: RunsOfOption = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, max=1000, help="How many.")
    ] = 20,
    before: Annotated[
        str | None, typer.Option("--before", metavar="CURSOR", help="`next` of the page before.")
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """List runs, newest first."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.show import list_runs
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    list_runs(where, status or [], bundle, limit, before, out)


@app.command(cls=Command)
def show(
    run: RunArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Show a run: its steps with times and cost, outputs, errors."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.show import show_run
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    show_run(where, run, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def inspect(
    run: RunArgument,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="EVENT|STEP",
            help="As it was after this event (its number), or when this step (its path, "
            "`#2` for its second visit) came to rest.",
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option("--step", metavar="PATH", help="Only this step: given, gave, logged."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", metavar="N", min=1, max=100_000, help="How many of each list."
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="PATH", help="Steps after this one: the next page."),
    ] = None,
    events: Annotated[
        int | None,
        typer.Option(
            "--events", metavar="N", min=0, max=10_000, help="How many events before and after."
        ),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Show the whole state of a run at any point of it."""
    from aiworkflow.cli.looking import InspectRequest, inspect_command
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    request = InspectRequest(run, at, step, limit, after, events, where)
    inspect_command(request, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def diff(
    a: RunArgument,
    b: Annotated[
        str, typer.Argument(metavar="RUN", help="The other run: what it has is marked +.")
    ],
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Compare two runs.

    Their inputs, what each step was given and gave, and their state.
    """
    from aiworkflow.cli.comparing import diff_command
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    diff_command(a, b, where, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def log(
    run: RunArgument,
    step: Annotated[
        str | None, typer.Argument(metavar="STEP", help="Only this step's log, by its path.")
    ] = None,
    record: Annotated[
        str | None,
        typer.Option("--record", metavar="DIR", help="Write the record there instead."),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Print a run's record as Markdown, or the log of a step."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.show import show_log
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    show_log(where, run, step, record, out)


@app.command(cls=Command)
def watch(
    run: RunArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Follow a run, whichever process drives it."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.steering import watch_run
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(watch_run(where, run, out))


@app.command(cls=Command)
def resume(
    run: RunArgument,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="End the process that drives it now, if one is stuck."),
    ] = False,
    record: Annotated[
        str | None,
        typer.Option("--record", metavar="DIR", help="Also write the run's record there."),
    ] = None,
    wait: WaitOption = False,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            metavar="UNIT=AMOUNT",
            help="Raise the budget: usd=2, tokens=1M, seconds=1h.",
        ),
    ] = None,
    adopt: AdoptOption = False,
    revision: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="REVISION",
            help="Go on with the bundle as it is there in git (`HEAD`, a branch, a commit): "
            "what is not changed is not done again, what is changed is taken back first.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --on: agree beforehand to what would be done.")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Go on with a run where it stopped.

    One that was interrupted, waits, failed or was cancelled.

    Finished steps are not done again. With --on, a table says for each step what becomes of it.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.steering import resume_run
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    status = resume_run(
        where,
        run,
        out,
        take_over=take_over,
        attached=wait,
        record=record,
        budget=budget or [],
        adopt=adopt,
        revision=revision,
        agreed=yes,
    )
    raise typer.Exit(status)


@app.command(cls=Command)
def undo(
    run: RunArgument,
    adopt: AdoptOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Take back what a finished run did.

    The last step first, each by its undo.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.steering import undo_run
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(undo_run(where, run, out, adopt=adopt))


@app.command(cls=Command)
def fork(
    run: RunArgument,
    step: Annotated[
        str | None,
        typer.Option("--from", metavar="STEP", help="Do everything from this step on again."),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input that differs."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=JSON", help="A value of the state to begin with."),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option("--on", metavar="REVISION", help="Take the bundle as it is there in git."),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Start a new run from a step of another.

    It begins as a copy of what the other had done before that step.

    What the other run did is not done again, and not taken back by the new one.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.steering import fork_run
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(fork_run(where, run, step, inputs or [], values or [], revision, out))


@app.command(cls=Command)
def answer(
    wait: Annotated[
        str, typer.Argument(metavar="RUN[/STEP]", help="The run, and the step where several ask.")
    ],
    fields: Annotated[
        list[str] | None,
        typer.Option("--field", "-f", metavar="NAME=VALUE", help="A field of the answer."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="FILE", help="Fields from a .json or .yaml file, or `-`."),
    ] = None,
    decline: Annotated[
        bool, typer.Option("--decline", help="Say no to what the server of a step asks.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Put its question away: neither yes nor no.")
    ] = False,
    detach: DetachOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Answer the question of an `ask` step, or of the server that a step calls.

    On a terminal it asks for what is not given.
    """
    from aiworkflow.cli.asking import answer_wait
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    nothing = "decline" if decline else "cancel" if cancel else ""
    raise typer.Exit(
        answer_wait(where, wait, fields or [], file, out, detach=detach, nothing=nothing)
    )


@app.command("continue", cls=Command)
def continue_(
    wait: WaitArgument,
    step: Annotated[
        bool, typer.Option("--step", help="Stop again before the next step, whatever it is.")
    ] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Leave this step out.")] = False,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=JSON", help="Change a value of the state before."),
    ] = None,
    detach: DetachOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Let a run go on from a breakpoint (`run --break`)."""
    from aiworkflow.cli.asking import continue_run
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    how = "skip" if skip else "step" if step else "continue"
    raise typer.Exit(continue_run(where, wait, how, values or [], out, detach=detach))


@app.command(cls=Command)
def signal(
    run: RunArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The event a step waits for.")],
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON", help="What comes with the event.")
    ] = None,
    detach: DetachOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Deliver an outside event to a run that waits for it."""
    from aiworkflow.cli.asking import signal_run
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(signal_run(where, run, name, data, out, detach=detach))


@app.command(cls=Command)
def wake(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Go on with all waiting runs that can.

    Those whose time has come, and those that were answered.
    """
    from aiworkflow.cli.asking import wake_runs
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    raise typer.Exit(wake_runs(where, Out(as_json=as_json, verbose=verbose, quiet=quiet)))


@app.command(cls=Command)
def cancel(
    run: RunArgument,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Stop a run; its `finally` steps still run."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.steering import cancel_run
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(cancel_run(where, run, reason, out))


@app.command(cls=Command)
def resolve(
    run: RunArgument,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step in doubt, by its path.")],
    outcome: Annotated[
        str,
        typer.Argument(
            metavar="done|redo|failed|undo",
            help="It took effect; it did not; it failed; or take it back and begin again.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="JSON", help="With `done` or `undo`: the step's output."),
    ] = None,
    note: NoteOption = "",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Settle whether an interrupted step took effect.

    When nobody knows: no tool can look, and no step says how.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.steering import resolve_step
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(resolve_step(where, run, step, outcome, output, note, out))


add_carrying(app)
