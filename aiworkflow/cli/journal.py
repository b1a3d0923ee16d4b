"""`aiworkflow journal …`: whether the journal is whole; copies of it; moving and pruning it."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

app = typer.Typer(
    cls=Group,
    name="journal",
    help="Check, back up, restore, move and prune the journal of all runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.callback()
def group() -> None:
    """Check, back up, restore, move and prune the journal of all runs."""


@app.command(cls=Command)
def check(
    journal: Annotated[
        str | None,
        typer.Argument(
            metavar="JOURNAL", help="Another than the project's: a folder, a backup, or a URL."
        ),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Check that all is whole.

    The store, every run's events, the list of runs, blobs.

    Exit status 1 when something is not. Runs may go on meanwhile.
    """
    from aiworkflow.cli.keeping import check_journal
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(check_journal(project, journal, out))


@app.command(cls=Command)
def backup(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE|FOLDER", help="A new .tar, .tar.gz or .tgz file, or else a new folder."
        ),
    ],
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Copy the journal as it is at one moment, blobs included. Runs may go on meanwhile."""
    from aiworkflow.cli.keeping import back_up
    from aiworkflow.cli.out import Out

    raise typer.Exit(back_up(project, target, Out(as_json=as_json, verbose=verbose, quiet=quiet)))


@app.command(cls=Command)
def restore(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The file or folder of a backup.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also where a journal with runs is: it is moved aside, whole."
        ),
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Put a backup in the place of the journal.

    Whichever kind the project's journal is.

    Runs that were not over when the backup was made may have gone on after it: a step of theirs
    that writes is settled by its check, or by a person, before it is done.
    """
    from aiworkflow.cli.keeping import restore as restore_journal
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(restore_journal(project, source, out, force=force))


@app.command(cls=Command)
def prune(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="TIME", help="Only runs over for longer: 30d, 12h."),
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATUS,…", help="Only runs that ended so."),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option("--keep", metavar="N", help="Keep the newest N runs of each bundle."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which runs would go; remove nothing.")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Remove runs that are over, for ever. All that is said of them must hold.

    A run goes with all the runs that it called, or not at all.
    """
    from aiworkflow.cli.keeping import prune as prune_journal
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(prune_journal(project, older_than, status or [], keep, out, dry_run=dry_run))


@app.command(cls=Command)
def migrate(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="`sqlite`, a folder, or a URL, as in config.yaml.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="An empty journal, or none: it is made.")
    ],
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Copy a journal to another store and compare the two. Given again, it goes on.

    No run may be driven meanwhile. Afterwards name the new one as `journal` in config.yaml.
    """
    from aiworkflow.cli.keeping import migrate as migrate_journal
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(migrate_journal(project, source, target, out))
