"""`aiworkflow worker`: drives runs that others start, until it is stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    GraceOption,
    JsonOption,
    MaxRunsOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
)

app = typer.Typer(cls=Group, rich_markup_mode=None, add_completion=False)


@app.command(cls=Command)
def worker(
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            metavar="[LABEL,…]",
            help="What this machine has, for `runs_on`; empty for none of the settings' labels.",
        ),
    ] = None,
    max_runs: MaxRunsOption = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="Take one run, drive it until it is over or waits, and end."),
    ] = False,
    wait: Annotated[
        str | None,
        typer.Option("--wait", metavar="TIME", help="With --once: how long to wait for a run."),
    ] = None,
    grace: GraceOption = None,
    log: Annotated[
        str, typer.Option("--log", metavar="FORM", help="How the log looks: text or json.")
    ] = "text",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Drive runs that were submitted, and those that waited and can go on.

    Any number of workers, on any number of machines, work on one journal. Interrupted or terminated, it
    takes nothing more and lets running steps finish; a second time, it stops at once.
    """
    from aiworkflow.cli.fleet import WorkRequest, work
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    request = WorkRequest(
        labels=labels or None, max_runs=max_runs, once=once, wait=wait, grace=grace, log=log
    )
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(work(request, Where(project), out))
