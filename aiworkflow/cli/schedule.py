"""`aiworkflow schedule …`: when runs start by themselves, and starting them."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    DetachOption,
    FallbackOption,
    JsonOption,
    LogOption,
    NoWorkOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
)

app = typer.Typer(
    cls=Group,
    name="schedule",
    help="When runs start by themselves; pausing and starting them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

_NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCHEDULE", help="A schedule's name, or its bundle's where that has one only."
    ),
]


@app.command("list", cls=Command)
def list_(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """List all schedules: when they come next, what they started last, which are paused."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.scheduling import list_schedules
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    list_schedules(where, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def info(
    name: _NameArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Show a schedule: its settings, its next times, its last run."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.scheduling import show_schedule
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    show_schedule(where, name, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command("next", cls=Command)
def next_(
    name: Annotated[
        str | None, typer.Argument(metavar="[SCHEDULE]", help="Only this one; else all together.")
    ] = None,
    count: Annotated[str, typer.Option("--count", metavar="N", help="How many times.")] = "10",
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="MOMENT", help="After this moment: 2027-03-27T12:00+01:00."),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Show when runs start next, in the time zones of their schedules; starts nothing."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.scheduling import next_times
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    next_times(where, name, count, at, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def pause(
    name: _NameArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Start no runs of a schedule any more, on any server, until it is resumed."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.scheduling import pause_schedule
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    pause_schedule(where, name, Out(as_json=as_json, verbose=verbose, quiet=quiet), on=True)


@app.command(cls=Command)
def resume(
    name: _NameArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Let a paused schedule go on. What came meanwhile is not made up for."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.scheduling import pause_schedule
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    pause_schedule(where, name, Out(as_json=as_json, verbose=verbose, quiet=quiet), on=False)


@app.command(cls=Command)
def run(
    name: _NameArgument,
    detach: DetachOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Start a schedule's run now, with the inputs it has by itself; its times stay as they are."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.scheduling import run_schedule
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(run_schedule(where, name, out, detach=detach))


@app.command(cls=Command)
def start(
    no_work: NoWorkOption = False,
    log: LogOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Start runs as schedules say, until stopped: `serve` for schedules only."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.serving import ServeRequest, serve_project
    from aiworkflow.cli.where import Where

    request = ServeRequest(only=("schedule",), works=not no_work, answers=False, log=log)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(serve_project(request, Where(project), out))
