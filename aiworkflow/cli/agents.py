"""`aiworkflow agents …`: which agents there are, whether they answer, and what was measured of them."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.options import (
    AgreeOption,
    BundleArgument,
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
RunsOption = Annotated[
    int, typer.Option("--runs", "-n", metavar="N", min=1, max=1000, help="How often each is asked.")
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


@app.command(cls=Command)
def choose(
    bundle: BundleArgument,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Show which agents the steps of a bundle would be offered to now, in order, and why."""
    from aiworkflow.cli.agents_shown import choose_command
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    choose_command(where, bundle, Out(as_json=as_json, verbose=verbose, quiet=quiet))


@app.command(cls=Command)
def bench(
    agents: AgentsArgument = None,
    runs: RunsOption = 3,
    yes: AgreeOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Ask each agent a tiny task some times: success, time, tokens a second, cost.

    Without names the agents of the settings are asked. It costs money: without --yes it says how much
    at most, and asks nobody. What is measured counts when agents are chosen.
    """
    from aiworkflow.cli.agents_compared import bench_command
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(bench_command(where, agents or [], runs, out, is_agreed=yes))


@app.command(cls=Command)
def compare(
    bundle: BundleArgument,
    agents: Annotated[list[str], typer.Option("--agents", metavar="AGENT,…", help="The agents.")],
    runs: RunsOption = 5,
    judge: Annotated[
        str, typer.Option("--judge", metavar="AGENT", help="An agent that scores the outputs.")
    ] = "",
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input; once for each."),
    ] = None,
    inputs_file: Annotated[
        str | None,
        typer.Option("--inputs", metavar="FILE", help="Inputs from a .json or .yaml file."),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Run a bundle with each agent on the same inputs, and put figures beside each other.

    These are ordinary runs: they cost money and do what they do. Each agent does all agent steps.
    """
    from aiworkflow.cli.agents_compared import CompareRequest, compare_command
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    request = CompareRequest(where, bundle, agents, runs, judge, inputs or [], inputs_file)
    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(compare_command(request, out))


@app.command(cls=Command)
def report(
    bundle: BundleArgument,
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, max=100_000, help="So many of the last runs."),
    ] = 1000,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
    journal_fallback: FallbackOption = False,
) -> None:
    """Compare the agents of steps with `agent: {ab: …}`, as far as the runs of a bundle tell."""
    from aiworkflow.cli.agents_compared import report_command
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    where = Where(project, journal_fallback=journal_fallback)
    report_command(where, bundle, limit, Out(as_json=as_json, verbose=verbose, quiet=quiet))
