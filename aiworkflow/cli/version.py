"""`aiworkflow version`: the version, and where things are."""

from __future__ import annotations

import typer

from aiworkflow.cli.command import Command
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command("version", cls=Command)
def version(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Print the version and where things are."""
    import platform
    import sys
    from pathlib import Path

    from aiworkflow import __version__
    from aiworkflow.cli.out import Out
    from aiworkflow.settings.locate import locate

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    location = locate(Path(project) if project else Path.cwd())
    facts = {
        "aiworkflow": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "project": str(location.root),
        "state": str(location.state / "state"),
    }
    out.object(facts)
    for name, value in facts.items():
        out.result(f"{name:<11}{value}")
