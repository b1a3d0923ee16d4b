"""`aiworkflow sweep …`: a bundle's run in each of many repositories."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, StartGroup
from aiworkflow.cli.options import (
    AgreeOption,
    BundleArgument,
    JsonOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
)
from aiworkflow.errors import EXIT_OK

app = typer.Typer(
    cls=StartGroup,
    name="sweep",
    help="Run a bundle in many repositories, once in each: sweep BUNDLE --tag TAG.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)
SweepArgument = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A sweep's id, the beginning of it, or `last`.")
]
MoneyOption = Annotated[
    str,
    typer.Option("--max-usd", metavar="USD", help="The most that all runs may cost together."),
]
ReportOption = Annotated[
    str | None,
    typer.Option("--report", metavar="FILE", help="Write the report there, as Markdown."),
]


@app.command(cls=Command)
def start(
    bundle: BundleArgument,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG,…", help="Repositories with all these tags."),
    ] = None,
    repo: Annotated[
        list[str] | None,
        typer.Option("--repo", metavar="NAME,…", help="Only these of repos.yaml."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All repositories of repos.yaml.")] = False,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input of every run."),
    ] = None,
    canary: Annotated[
        str,
        typer.Option(
            "--canary", metavar="SHARE", help="So many first, as 5% or 3; if one fails, no more."
        ),
    ] = "",
    max_parallel: Annotated[
        str, typer.Option("--max-parallel", metavar="N", help="Most runs at once.")
    ] = "8",
    stop_after: Annotated[
        str, typer.Option("--stop-after-failures", metavar="N", help="Begin no more after so many.")
    ] = "",
    max_usd: MoneyOption = "",
    branch: Annotated[
        str, typer.Option("--branch", metavar="NAME", help="The branch for what changed.")
    ] = "",
    message: Annotated[
        str, typer.Option("--message", metavar="TEXT", help="The message of the commit on it.")
    ] = "",
    author: Annotated[
        str,
        typer.Option("--author", metavar="'NAME <EMAIL>'", help="Who commits; else as git says."),
    ] = "",
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="AGENT", help="The agent, whatever else says.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; start nothing.")
    ] = False,
    agreed: AgreeOption = False,
    report: ReportOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> int:
    """Run a bundle in each repository, in a worktree; one branch each for what changed."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.sweeping import SweepRequest, start_sweep

    request = SweepRequest(
        bundle=bundle,
        tags=tag or (),
        repos=repo or (),
        every=every,
        inputs=inputs or (),
        canary=canary,
        max_parallel=max_parallel,
        stop_after=stop_after,
        max_usd=max_usd,
        branch=branch,
        message=message,
        author=author,
        agent=agent,
        settings=settings or (),
        dry_run=dry_run,
        agreed=agreed,
        report=report,
        project=project,
    )
    return start_sweep(request, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command("list", cls=Command)
def list_(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """List the sweeps, newest first."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.sweeping import list_sweeps

    list_sweeps(project, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def show(
    sweep: SweepArgument,
    report: ReportOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> int:
    """Show what became of each repository."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.sweeping import show_sweep

    show_sweep(project, sweep, report, Out(as_json=as_json, verbose=verbose, quiet=quiet))
    return EXIT_OK


@app.command(cls=Command)
def resume(
    sweep: SweepArgument,
    max_usd: MoneyOption = "",
    report: ReportOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> int:
    """Go on with a sweep that was stopped or killed; what is done is left alone."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.sweeping import go_on

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    return go_on(project, sweep, report, max_usd, out, again=False)


@app.command("retry-failed", cls=Command)
def retry_failed(
    sweep: SweepArgument,
    max_usd: MoneyOption = "",
    report: ReportOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> int:
    """Try the repositories again that failed, with the bundle as it is now."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.sweeping import go_on

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    return go_on(project, sweep, report, max_usd, out, again=True)


@app.command(cls=Command)
def undo(
    sweep: SweepArgument,
    report: ReportOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> int:
    """Take back what the runs did, the last first, and remove their branches."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.sweeping import undo_sweep

    return undo_sweep(project, sweep, report, Out(as_json=as_json, verbose=verbose, quiet=quiet))
