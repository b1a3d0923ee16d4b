"""`aiworkflow explain`: the page of a diagnostic code."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command("explain", cls=Command)
def explain(
    code: Annotated[str, typer.Argument(metavar="CODE", help="A code, for example AW103.")],
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Explain a diagnostic: what is reported, why it matters, and the way out."""
    from dataclasses import asdict

    from aiworkflow.cli.out import Out
    from aiworkflow.diagnostics.catalogue import all_rules
    from aiworkflow.diagnostics.render import rule_page
    from aiworkflow.diagnostics.suggest import did_you_mean
    from aiworkflow.errors import UsageError

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    rules = {rule.code: rule for rule in all_rules()}
    names = {rule.name: rule for rule in rules.values()}
    found = rules.get(code.upper()) or names.get(code.lower())
    if found is None:
        raise UsageError(
            f"there is no diagnostic `{code}`",
            hint=did_you_mean(code, [*rules, *names]) or "codes look like AW103",
        )
    out.object(asdict(found))
    out.result(rule_page(found))
