"""`aiworkflow schema`: the published JSON Schemas."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from aiworkflow.cli.command import Command
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Part(StrEnum):
    """What a schema is for."""

    FRONTMATTER = "frontmatter"
    STEP = "step"
    TOOLS = "tools"
    CONFIG = "config"
    REPOS = "repos"


@app.command("schema", cls=Command)
def schema(
    part: Annotated[
        Part,
        typer.Argument(
            metavar="PART",
            help="What the schema is for: frontmatter, step, tools, config or repos.",
        ),
    ],
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Print the JSON Schema of a part of the format, for editors and checks."""
    from aiworkflow.bundle import jsonschema
    from aiworkflow.cli.out import Out

    make = {
        Part.FRONTMATTER: jsonschema.frontmatter_schema,
        Part.STEP: jsonschema.step_schema,
        Part.TOOLS: jsonschema.tools_schema,
        Part.CONFIG: jsonschema.config_schema,
        Part.REPOS: jsonschema.repos_schema,
    }[part]
    # a schema is JSON in any case
    Out(as_json=True, verbose=verbose, quiet=quiet).object(make())
