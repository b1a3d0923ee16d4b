"""`aiworkflow serve`: runs start by themselves, and are driven, until it is stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    GraceOption,
    HostOption,
    JsonOption,
    LogOption,
    MaxRunsOption,
    NoWorkOption,
    PortOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
)

app = typer.Typer(cls=Group, rich_markup_mode=None, add_completion=False)


@app.command(cls=Command)
def serve(
    host: HostOption = None,
    port: PortOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="KIND,…",
            help="Only triggers of these kinds: schedule, webhook, watch or queue.",
        ),
    ] = None,
    max_runs: MaxRunsOption = None,
    no_work: NoWorkOption = False,
    no_http: Annotated[
        bool, typer.Option("--no-http", help="Answer nothing over HTTP: neither API nor webhooks.")
    ] = False,
    grace: GraceOption = None,
    log: LogOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Start runs on schedules, webhooks, file changes and messages, and drive them.

    Stops in good order when it is interrupted or terminated: nothing new is taken, running steps may
    finish. A second time, it stops at once; what was running is settled when its run goes on.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.serving import ServeRequest, serve_project
    from aiworkflow.cli.where import Where

    request = ServeRequest(
        host=host,
        port=port,
        only=tuple(only or ()),
        max_runs=max_runs,
        works=not no_work,
        answers=not no_http,
        grace=grace,
        log=log,
    )
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(serve_project(request, Where(project), out))
