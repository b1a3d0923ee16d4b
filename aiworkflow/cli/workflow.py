"""`aiworkflow workflow …`: list, show and create workflows."""

from __future__ import annotations

from pathlib import Path
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
    name="workflow",
    help="List, show and create workflows.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.command("list", cls=Command)
def list_(
    templates: Annotated[
        bool, typer.Option("--templates", help="List the templates to start from instead.")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """List the project's workflows: bundles and lone files; or the templates."""
    from aiworkflow.cli.checking import list_workflows
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.show import table

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    if not templates:
        raise typer.Exit(list_workflows(project, out))
    from aiworkflow.share.scaffold import templates as known

    found = known()
    out.object({"templates": [{"name": t.name, "description": t.description} for t in found]})
    out.result(table([(t.name, t.description) for t in found], ("TEMPLATE", "DESCRIPTION")))


@app.command(cls=Command)
def show(
    workflow: BundleArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Print a workflow's document as it is."""
    from aiworkflow.cli.checking import show_document
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(show_document(workflow, project, out))


@app.command(cls=Command)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower case with hyphens.")],
    template: Annotated[
        str,
        typer.Option(
            "--template",
            "-t",
            metavar="TEMPLATE",
            help="What to start from; `workflow list --templates` has them all.",
        ),
    ] = "basic",
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Make a folder rather than a lone NAME.md.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where; by default here."),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Create a workflow from a template."""
    from aiworkflow.cli.given import writing
    from aiworkflow.cli.out import Out
    from aiworkflow.share.scaffold import create_workflow
    from aiworkflow.share.scaffold import template as find

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    folder = Path(output or ".")
    with writing(folder):
        made = create_workflow(name, find(template), folder, bundle=bundle)
    target = folder / name if bundle else folder / f"{name}.md"
    out.object({"workflow": str(target), "files": [str(path) for path in made]})
    for path in made:
        out.say(f"made {path}")
    out.say(f"\ncheck it: aiworkflow bundle validate {target}")
    out.say(f"run it:   aiworkflow run {target}")
