"""`aiworkflow workers …`: the processes that drive runs."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

app = typer.Typer(
    cls=Group,
    name="workers",
    help="List and drain the processes that drive runs, on all machines.",
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
) -> None:
    """List workers, servers and commands that drive runs: where, with what, and since when."""
    from aiworkflow.cli.fleet import list_workers
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    list_workers(Where(project), Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def drain(
    worker: Annotated[
        str, typer.Argument(metavar="WORKER", help="Its id, or the beginning of it.")
    ],
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Have a worker take nothing more, let running steps finish, and end; others take its runs."""
    from aiworkflow.cli.fleet import drain_worker
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    drain_worker(worker, Where(project), Out(as_json=as_json, verbose=verbose, quiet=quiet))
