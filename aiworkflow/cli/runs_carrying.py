"""The commands of `aiworkflow runs` that carry runs from one project to another."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command
from aiworkflow.cli.options import (
    FallbackOption,
    JsonOption,
    ProjectOption,
    QuietOption,
    RunArgument,
    VerboseOption,
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command(cls=Command)(export)
    app.command("import", cls=Command)(import_)


def export(
    run: RunArgument,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Where to; RUN.run.zip here without it."),
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option("--also", metavar="RUN,…", help="Other runs, too.")
    ] = None,
    with_children: Annotated[
        bool,
        typer.Option(
            "--with-children/--without-children", help="The runs that it called, too, or not."
        ),
    ] = True,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Write a run to one file that another project can import.

    The file holds all that the journal has of it: inputs, outputs, logs, the bundle. It has no secrets.
    """
    from aiworkflow.cli.carrying import export_runs
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    export_runs(where, [run, *(also or [])], file, out, with_children=with_children)


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `runs export` wrote.")],
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Take in runs that were exported.

    To look at them and to fork them; all of them or none.
    """
    from aiworkflow.cli.carrying import import_runs
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    import_runs(where, file, Out(as_json=as_json, verbose=verbose, quiet=quiet))
