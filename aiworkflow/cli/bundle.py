"""`aiworkflow bundle …`: run, check, describe, draw and list bundles."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    BundleArgument,
    JsonOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
)

app = typer.Typer(
    cls=Group,
    name="bundle",
    help="Run, check, describe, draw and list bundles.",
    no_args_is_help=True,
    rich_markup_mode=None,
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
    typer.Option("--agent", metavar="AGENT", help="Agent where the workflow names none."),
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
    name: Annotated[str, typer.Option("--name", help="A name for this run, for its record.")] = "",
    record: Annotated[
        str | None,
        typer.Option("--record", metavar="DIR", help="Also write the run's record there."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run; start nothing.")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Run a bundle or a lone .md file.

    Exit status: 0 done, 1 the run failed, 2 wrong usage or an invalid bundle, 3 the run waits for a
    person, 4 refused, 130 interrupted.
    """
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.running import RunRequest, describe_only, run_bundle

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    request = RunRequest(
        bundle=bundle,
        inputs=inputs or [],
        inputs_file=inputs_file,
        agent=agent,
        settings=settings or [],
        name=name,
        record=record,
        project=project,
    )
    raise typer.Exit(describe_only(request, out) if dry_run else run_bundle(request, out))


@app.command(cls=Command)
def validate(
    bundle: BundleArgument,
    output: Annotated[
        str,
        typer.Option("--format", help="How to print findings: text, json, sarif or github."),
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
    form: Annotated[str, typer.Option("--format", help="terminal, mermaid or dot.")] = "terminal",
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
