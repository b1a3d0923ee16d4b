"""`aiworkflow cache …`: outputs that steps with `cache` use again."""

from __future__ import annotations

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

app = typer.Typer(
    cls=Group,
    name="cache",
    help="Forget outputs that steps would use again.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.callback()
def group() -> None:
    """A group, though it has one command."""


@app.command(cls=Command)
def clear(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Forget all of them: the next run does every step itself."""
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    client = Where(project).looking()
    try:
        count = client.kept.clear_cache()
    finally:
        client.close()
    out.object({"cleared": count})
    out.say(f"{count} cached output{'' if count == 1 else 's'} forgotten")
