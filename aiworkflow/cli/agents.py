"""`aiworkflow agents …`: which agents there are, whether they answer, and what was measured of them."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    FallbackOption,
    JsonOption,
    ProjectOption,
    QuietOption,
    VerboseOption,
)

app = typer.Typer(
    cls=Group,
    name="agents",
    help="List, check, show, measure and compare agents.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

AgentsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[AGENT]...", help="Agents, as `name` or `name/model`."),
]


@app.command("list", cls=Command)
def list_(
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """List every agent known here: of the settings, built in, and programs on the PATH."""
    from aiworkflow.cli.agents_shown import list_agents
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    list_agents(where, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def check(
    agents: AgentsArgument = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Look whether agents can be used now, without asking them anything that costs.

    Exit status 1 when one cannot that is named here or in the settings.
    """
    from aiworkflow.cli.agents_shown import check_command
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(check_command(where, agents or [], out))


@app.command(cls=Command)
def show(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="An agent's name.")],
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Show all that is known of one agent, with what was measured in this project."""
    from aiworkflow.cli.agents_shown import show_agent
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    show_agent(where, agent, Out(as_json=as_json, verbose=verbose, quiet=quiet))
