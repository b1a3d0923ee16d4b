"""`aiworkflow watch …`: runs that start when files change."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
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
    name="watch",
    help="Runs that start when files change; trying out which do.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.command("list", cls=Command)
def list_(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """List all watches: what they look at, and what they started last on this machine."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.watching import list_watches
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    list_watches(where, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command("test", cls=Command)
def try_(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH…]", help="Files; without any, all that the watches mean."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--watch", metavar="WATCH", help="Only this one, by its name.")
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Show which watches a change of these files would concern, and what their runs would be told.

    Starts nothing.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.watching import try_watches
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    try_watches(where, paths or (), name, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def start(
    no_work: NoWorkOption = False,
    log: LogOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Start runs when files change, until stopped: `serve` for watches only."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.serving import ServeRequest, serve_project
    from aiworkflow.cli.where import Where

    request = ServeRequest(only=("watch",), works=not no_work, log=log)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(serve_project(request, Where(project), out))
