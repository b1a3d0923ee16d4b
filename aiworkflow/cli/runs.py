"""`aiworkflow runs …`: list, show, follow, resume, settle and cancel runs."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    JsonOption,
    ProjectOption,
    QuietOption,
    RunArgument,
    VerboseOption,
)

app = typer.Typer(
    cls=Group,
    name="runs",
    help="List, show, follow, resume and cancel runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", cls=Command)
def list_(
    status: Annotated[
        list[str] | None, typer.Option("--status", help="Only runs with this status.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option("--bundle", help="Only runs of this bundle.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 20,
    before: Annotated[
        str | None, typer.Option("--before", metavar="CURSOR", help="`next` of the page before.")
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """List runs, newest first."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.show import list_runs

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    list_runs(project, status or [], bundle, limit, before, out)


@app.command(cls=Command)
def show(
    run: RunArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Show a run: its steps with times and cost, outputs, errors."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.show import show_run

    show_run(project, run, Out(as_json=as_json, verbose=verbose, quiet=quiet))


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
) -> None:
    """Print a run's record as Markdown, or the log of one of its steps."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.show import show_log

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    show_log(project, run, step, record, out)


@app.command(cls=Command)
def watch(
    run: RunArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Follow a run until it is at rest, whichever process drives it."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.steering import watch_run

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(watch_run(project, run, out))


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
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Go on with a run that was interrupted, waits, failed or was cancelled.

    Finished steps are not done again.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.steering import resume_run

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(resume_run(project, run, out, take_over=take_over, record=record))


@app.command(cls=Command)
def cancel(
    run: RunArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")] = "",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Stop a run; its `finally` steps still run."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.steering import cancel_run

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(cancel_run(project, run, reason, out))


@app.command(cls=Command)
def resolve(
    run: RunArgument,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step in doubt, by its path.")],
    outcome: Annotated[
        str,
        typer.Argument(
            metavar="done|redo|failed", help="It took effect; it did not; or it failed."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="JSON", help="With `done`: the step's output."),
    ] = None,
    note: Annotated[str, typer.Option("--note", help="How you know, for the record.")] = "",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Settle a step that was interrupted, when nobody knows whether it took effect."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.steering import resolve_step

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(resolve_step(project, run, step, outcome, output, note, out))
