"""`aiworkflow approvals …`: what waits for consent, and giving or refusing it."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    CommentOption,
    DetachOption,
    FallbackOption,
    JsonOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
    WaitArgument,
)

app = typer.Typer(
    cls=Group,
    name="approvals",
    help="List, show, give and refuse approvals.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.command("list", cls=Command)
def list_(
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Only those of this run.")
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """List what waits for consent or an answer, the oldest run first."""
    from aiworkflow.cli.asking import list_approvals
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    list_approvals(where, run or "", Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def show(
    wait: WaitArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Show what a consent is asked for: the message, and what would run."""
    from aiworkflow.cli.asking import show_approval
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    show_approval(where, wait, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def approve(
    wait: WaitArgument,
    comment: CommentOption = "",
    detach: DetachOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Agree; the run goes on here unless another process drives it."""
    from aiworkflow.cli.asking import vote
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(vote(where, wait, "approve", comment, out, detach=detach))


@app.command(cls=Command)
def reject(
    wait: WaitArgument,
    comment: CommentOption = "",
    detach: DetachOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Refuse: the step fails with the kind `rejected`."""
    from aiworkflow.cli.asking import vote
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(vote(where, wait, "reject", comment, out, detach=detach))
