"""`aiworkflow doctor`: check this machine and project."""

from __future__ import annotations

import typer

from aiworkflow.cli.command import Command
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

app = typer.Typer(rich_markup_mode=None)

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


@app.command("doctor", cls=Command)
def doctor(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Check this machine and project, and say how to fix what is wrong.

    Exit status 1 when something is a problem.
    """
    from aiworkflow.app import connect
    from aiworkflow.cli.out import Out
    from aiworkflow.client.health import examine

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    client = connect(project)
    try:
        checks = list(examine(client))
    finally:
        client.close()
    good = all(check.state != "problem" for check in checks)
    out.object(
        {
            "ok": good,
            "checks": [
                {"check": c.name, "status": str(c.state), "text": c.text, "fix": c.fix}
                for c in checks
            ],
        }
    )
    for check in checks:
        if quiet and check.state != "problem":
            continue
        mark, style = _MARKS[check.state]
        out.result(f"{out.paint(mark, style)} {check.name:<24}{check.text}")
        if check.fix:
            out.result(f"  {'':<24}{out.paint('fix', 'cyan')}: {check.fix}")
    raise typer.Exit(0 if good else 1)
