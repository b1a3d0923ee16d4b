"""`aiworkflow tools …`: list, show and call the tools that workflows can use."""

from __future__ import annotations

from typing import Annotated

import typer

from aiworkflow.cli.command import Command, Group
from aiworkflow.cli.completing import bundle_names
from aiworkflow.cli.options import JsonOption, ProjectOption, QuietOption, VerboseOption

app = typer.Typer(
    cls=Group,
    name="tools",
    help="List, show and call the tools that workflows can use.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

BundleOption = Annotated[
    str | None,
    typer.Option(
        "--bundle",
        metavar="BUNDLE",
        help="With the tools and servers of this bundle.",
        autocompletion=bundle_names,
    ),
]
ToolArgument = Annotated[
    str,
    typer.Argument(metavar="TOOL", help="`http.get`, `github`, `mcp:server/tool`, `mcp:server`."),
]


@app.command("list", cls=Command)
def list_(
    bundle: BundleOption = None,
    server: Annotated[
        list[str] | None,
        typer.Option("--server", metavar="NAME,…", help="Ask only these MCP servers."),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """List the tools: built in, of a bundle, and what MCP servers offer.

    Servers of config.yaml are asked; one that only .mcp.json names when --server names it.
    """
    from aiworkflow.cli.calling import list_tools
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(list_tools(bundle, server or (), project, out))


@app.command(cls=Command)
def show(
    tool: ToolArgument,
    bundle: BundleOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Show what a tool takes, gives and touches."""
    from aiworkflow.cli.calling import show_tool
    from aiworkflow.cli.out import Out

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(show_tool(tool, bundle, project, out))


@app.command(
    cls=Command, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def call(
    ctx: typer.Context,
    tool: Annotated[
        str, typer.Argument(metavar="TOOL", help="`http.get`, `github.comment`, `mcp:server/tool`.")
    ],
    given: Annotated[
        str | None, typer.Option("--with", metavar="JSON", help="The arguments, as a JSON object.")
    ] = None,
    bundle: BundleOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Agree beforehand to a call that writes.")
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    project: ProjectOption = None,
) -> None:
    """Call a tool: --with '{"path": "."}', or an option for each argument: --path=.

    It is a run of one step, and stands in the journal. One that writes asks first, or needs --yes.
    """
    from aiworkflow.cli.calling import call_tool
    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where

    out = Out(as_json=as_json, verbose=verbose, quiet=quiet)
    raise typer.Exit(call_tool(tool, given, ctx.args, bundle, yes, Where(project), out))
