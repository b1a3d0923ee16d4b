"""`aiworkflow bundle …`: run, check, describe, draw and list bundles."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.bundle_tests import add_to as add_tests
from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    BundleArgument,
    FallbackOption,
    JsonOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
    WaitOption,
)

app = typer.Typer(
    cls=Group,
    name="bundle",
    help="Run, check, test, lock, compare and describe bundles.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

InputOption = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input; give it once for each."),
]
InputsOption = Annotated[
    str | None,
    typer.Option(
        "--inputs", metavar="FILE", help="Inputs from a .json or .yaml file, or `-` for stdin."
    ),
]
AgentOption = Annotated[
    str | None,
    typer.Option(
        "--agent", metavar="AGENT", help="Agent of all agent steps, whatever the workflow names."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting for this run, as in config.yaml."),
]


@app.command(cls=Command)
def run(
    bundle: BundleArgument,
    inputs: InputOption = None,
    inputs_file: InputsOption = None,
    agent: AgentOption = None,
    settings: SetOption = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="A name for this run, for its record.")
    ] = "",
    record: Annotated[
        str | None,
        typer.Option(
            "--record",
            metavar="CASE|DIR/",
            help="Also make a test case of it; with a slash, or of a folder: its record, there.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --record CASE: also in the place of a case.")
    ] = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Refuse a bundle that is not what was locked.")
    ] = False,
    wait: WaitOption = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Only submit it: a server or a worker drives it.")
    ] = False,
    breaks: Annotated[
        list[str] | None,
        typer.Option(
            "--break", metavar="STEP", help="Stop before this step; also `STEP if CONDITION`."
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch", metavar="FILE", help="A run for each line of a JSON Lines file, or of `-`."
        ),
    ] = None,
    max_parallel: Annotated[  # a text: for a number typer loads a library as large as itself
        str | None,
        typer.Option("--max-parallel", metavar="N", help="With --batch: most runs at once (8)."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="FILE", help="With --batch: where results are written."),
    ] = None,
    failures: Annotated[
        str | None,
        typer.Option(
            "--failures", metavar="FILE", help="With --batch: gets the lines that did not succeed."
        ),
    ] = None,
    again: Annotated[
        str | None,
        typer.Option(
            "--again",
            metavar="BATCH",
            help="With --batch: run only what failed or was left in that batch (id or results file).",
        ),
    ] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="With --batch: leave out lines with mistakes.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run; start nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Agree to what it may cost (`budget.ask_above`).")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Run a bundle or a lone .md file.

    Exit status: 0 done, 1 the run failed, 2 wrong usage or an invalid bundle, 3 the run waits for a
    person, 4 refused, 130 interrupted.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.running import RunRequest, describe_only, run_bundle
    from aiworkflow.cli.where import Where
    from aiworkflow.errors import UsageError

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    request = RunRequest(
        bundle=bundle,
        inputs=inputs or [],
        inputs_file=inputs_file,
        agent=agent,
        settings=settings or [],
        name=name,
        record=record,
        project=Where(project, journal_fallback=journal_fallback),
        attached=wait,
        breaks=breaks or [],
        agreed=yes,
        force=force,
        detached=detach,
    )
    if locked:
        from aiworkflow.cli.given import overrides
        from aiworkflow.cli.locking import refuse_unlocked

        refuse_unlocked(bundle, project, overrides(agent, settings or []))
    if batch is not None:
        from aiworkflow.cli.batch import BatchRequest, run_batch

        lines = BatchRequest(batch, max_parallel, output, failures, again, skip_invalid, dry_run)
        raise typer.Exit(run_batch(request, lines, out))
    for option, value in (
        ("--output", output),
        ("--failures", failures),
        ("--again", again),
        ("--skip-invalid", skip_invalid or None),
        ("--max-parallel", max_parallel),
    ):
        if value is not None:
            raise UsageError(f"{option} is for a batch", hint="give its inputs with --batch FILE")
    raise typer.Exit(describe_only(request, out) if dry_run else run_bundle(request, out))


@app.command(cls=Command)
def validate(
    bundle: BundleArgument,
    output: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORM", help="How to print findings: text, json, sarif or github."
        ),
    ] = "text",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Check a bundle without running anything. Exit status 2 when it has errors."""
    from aiworkflow.cli.checking import validate_bundle
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json or output != "text", verbose=verbose, quiet=quiet)
    raise typer.Exit(validate_bundle(bundle, "json" if as_json else output, project, out))


@app.command(cls=Command)
def info(
    bundle: BundleArgument,
    settings: Annotated[
        bool, typer.Option("--settings", help="Show each setting and where it comes from.")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Describe a bundle: inputs, steps, tools, permissions, effects."""
    from aiworkflow.cli.checking import show_info, show_settings
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    show = show_settings if settings else show_info
    raise typer.Exit(show(bundle, project, out))


@app.command(cls=Command)
def graph(
    bundle: BundleArgument,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORM", help="How to draw it: terminal, mermaid or dot."),
    ] = "terminal",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Draw a bundle's steps and their order."""
    from aiworkflow.cli.checking import draw
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(draw(bundle, form, project, out))


@app.command("list", cls=Command)
def list_(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """List the project's bundles."""
    from aiworkflow.cli.checking import list_bundles
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(list_bundles(project, out))


add_tests(app)
