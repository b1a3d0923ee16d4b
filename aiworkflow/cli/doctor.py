"""`aiworkflow doctor`: check this machine and project, and say how to fix what is wrong."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from aiworkflow.cli.command import Command
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_MARKS = {
    "ok": ("✓", "green"),
    "absent": ("·", "dim"),
    "warning": ("!", "yellow"),
    "problem": ("✗", "red"),
}


@app.command("doctor", cls=Command)
def doctor(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    ask_servers: Annotated[
        bool,
        typer.Option("--ask-servers", help="Begin and ask the MCP servers of config.yaml, too."),
    ] = False,
    reset_breaker: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Close the circuit breaker of an agent, a tool or a host first."
        ),
    ] = None,
) -> None:
    """Check this machine and project, and say how to fix what is wrong.

    Exit status 1 when there is a problem; warnings do not count.
    """
    from aiworkflow.cli.out import Out, wrapped
    from aiworkflow.cli.where import Where
    from aiworkflow.errors import EXIT_FAILED, EXIT_OK

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    client = Where(project).connect()
    try:
        if reset_breaker is not None:
            client.kept.reset_breaker(reset_breaker)
            out.say(f"the circuit breaker of {reset_breaker} is closed")
        found = client.views.health(ask=ask_servers)
    finally:
        client.close()
    out.object(found)
    checks = cast("list[dict[str, str]]", found["checks"])
    width = max(len(check["check"]) for check in checks)
    for check in checks:
        mark, style = _MARKS[check["status"]]
        text = wrapped(check["text"], width + 4)
        line = f"{out.paint(mark, style)} {check['check'].ljust(width)}  {text}"
        fix = wrapped(f"fix: {check['fix']}", width + 4).removeprefix("fix")
        fix = f"{' ' * (width + 4)}{out.paint('fix', 'cyan')}{fix}"
        # under --quiet only what is wrong is said
        show = out.say if check["status"] in {"ok", "absent"} else out.result
        show(line)
        if check["fix"] is not None:
            show(fix)
    raise typer.Exit(EXIT_OK if found["ok"] else EXIT_FAILED)
