"""`aiworkflow init`: make a folder a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aiworkflow.cli.command import Command
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command("init", cls=Command)
def init(
    folder: Annotated[
        str | None, typer.Argument(metavar="DIR", help="The folder; by default the current one.")
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Make a folder a project: its settings, and the ignore file of its state.

    Keeps everything that is there already.
    """
    from aiworkflow.cli.given import writing
    from aiworkflow.cli.out import Out
    from aiworkflow.settings.locate import locate
    from aiworkflow.share.scaffold import init_project

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    root = Path(folder or project or Path.cwd())
    with writing(root):
        made = init_project(root)
    out.object({"project": str(root), "made": [str(path) for path in made]})
    for path in made:
        out.say(f"made {path}")
    if not made:
        out.say(f"{root} is a project already; nothing was changed")
    around = locate(root)
    if root.resolve() not in {around.root, around.worktree}:
        out.note(
            f"warning: nothing reads it yet: the project here is the git repository {around.root}\n"
            f"  help: make that one a project: aiworkflow init {around.root}; "
            f"or make this folder a repository of its own: git init {root}"
        )
        return
    out.say("\nnext: aiworkflow workflow create my-first --bundle --output bundles")
