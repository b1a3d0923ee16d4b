"""The tools there are: built in, in a bundle, offered by MCP servers."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from aiworkflow.bundle.builtins import BUILTINS
from aiworkflow.bundle.servers import IMPORTED, McpServer
from aiworkflow.bundle.workflow import Effect, Json
from aiworkflow.client.servers import refuse_without_extra, servers_of
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.expr import json_schema
from aiworkflow.records import record
from aiworkflow.tools.contract import ToolError, Watch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from aiworkflow.bundle.workflow import Field, Operation, Tool
    from aiworkflow.client.project import Checked, Project
    from aiworkflow.settings.layers import Layered
    from aiworkflow.tools.mcp import McpTool


@record
class Offered:
    """A tool, or an operation of one, that a workflow can call.

    Attributes:
        name: as a workflow writes it.
        origin: where it is from, for people.
        effect: what a call does to the outside.
        inputs: JSON Schema of its arguments; None where it does not say what it takes.
        claimed: the effect that an MCP server claims, which counts for nothing.
        fields: its declared arguments; none where it is of an MCP server.
    """

    name: str
    origin: str
    description: str
    effect: Effect
    inputs: Mapping[str, Json] | None = None
    output: Mapping[str, Json] | None = None
    network: Sequence[str] = ()
    secrets: Sequence[str] = ()
    claimed: Effect | None = None
    fields: Sequence[Field] | None = None

    def in_list(self) -> dict[str, Json]:
        """As `tools list --json` prints it."""
        return {
            "name": self.name,
            "effect": str(self.effect),
            "from": self.origin,
            "description": self.description,
        }

    def to_json(self) -> dict[str, Json]:
        """As `tools show --json` prints it."""
        return {
            "name": self.name,
            "from": self.origin,
            "description": self.description,
            "effect": str(self.effect),
            "inputs": dict(self.inputs) if self.inputs is not None else None,
            "output": dict(self.output) if self.output is not None else None,
            "network": list(self.network),
            "secrets": list(self.secrets),
            "claimed": str(self.claimed) if self.claimed is not None else None,
        }


@record
class Asked:
    """An MCP server, and what came of asking it.

    Attributes:
        state: `answers`, `fails`, or `not asked`.
        text: why it fails, or how it can be asked.
        hint: what to do where it fails.
    """

    name: str
    origin: str
    shown: str
    state: str
    tools: int = 0
    text: str = ""
    hint: str | None = None

    def to_json(self) -> dict[str, Json]:
        """As `tools list --json` prints it."""
        return {
            "server": self.name,
            "from": self.origin,
            "runs": self.shown,
            "state": self.state,
            "tools": self.tools,
            "text": self.text,
        }


def declared(checked: Checked | None) -> list[Offered]:
    """The built-in tools, and those of a bundle."""
    found = [one for tool in BUILTINS.values() for one in _of_tool(tool, "built in")]
    if checked is not None and checked.workflow is not None:
        for tool in checked.workflow.tools.values():
            found += _of_tool(tool, f"{checked.label}/{tool.path}")
    return found


def _of_tool(tool: Tool, origin: str) -> list[Offered]:
    if not tool.operations:
        return [Offered(tool.name, origin, tool.description, Effect.WRITE)]
    return [_of_operation(tool, one, origin) for one in tool.operations.values()]


def _of_operation(tool: Tool, one: Operation, origin: str) -> Offered:
    inputs: dict[str, Json] | None = None
    if one.inputs is not None:
        inputs = {
            "type": "object",
            "properties": {arg.name: json_schema(arg.schema) for arg in one.inputs},
            "required": [arg.name for arg in one.inputs if arg.required],
            "additionalProperties": False,
        }
    touches = one.network or one.secrets
    return Offered(
        name=f"{tool.name}.{one.name}" if one.name else tool.name,
        origin=origin,
        description=one.description or (tool.description if not one.name else ""),
        effect=one.effect or (Effect.WRITE if touches or one.inputs is None else Effect.READ),
        inputs=inputs,
        network=one.network,
        secrets=one.secrets,
        fields=one.inputs,
    )


# -- MCP servers ----------------------------------------------------------------------------------


def server_settings(project: Project, checked: Checked | None) -> dict[str, McpServer]:
    """The MCP servers that hold for a bundle, or for the project alone.

    Raises:
        UsageError: the settings cannot be read.
    """
    if checked is not None:
        return servers_of(checked.settings, project.root)
    return servers_of(project.known_settings("which MCP servers there are"), project.root)


async def offered(
    project: Project, settings: Layered, names: Collection[str] | None = None
) -> tuple[McpTool, ...]:
    """The tools that MCP servers offer, each server asked once and at the same time.

    Args:
        names: of the servers; None for all that config.yaml names.

    Raises:
        ToolError: a server does not answer. UsageError: there is no such server.
    """
    servers = servers_of(settings, project.root)
    wanted = [one for one in servers if names is None and not servers[one].is_imported]
    wanted += names or ()
    found = await _ask(project, servers, wanted)
    tools: list[McpTool] = []
    for one in found.values():
        if isinstance(one, ToolError):
            raise one
        tools += one
    return tuple(tools)


async def lock_facts(project: Project, checked: Checked) -> dict[str, str]:
    """The lines of a lock about the tools of MCP servers that a bundle uses: `mcp-tool name` → digest.

    Raises:
        ToolError: a server does not answer, or does not offer a tool.
    """
    from aiworkflow.client.servers import calls_of
    from aiworkflow.tools.mcp import pin
    from aiworkflow.tools.mcp.lock import KIND

    wanted = calls_of(checked.plan) if checked.plan is not None else []
    found = await offered(project, checked.settings, dict.fromkeys(name for name, _ in wanted))
    facts: dict[str, str] = {}
    for server, pattern in wanted:
        fitting = [x for x in found if x.server == server and fnmatchcase(x.name, pattern)]
        if not fitting and "*" not in pattern:
            text = f"MCP server `{server}` offers no tool `{pattern}`"
            raise ToolError("not_found", text, hint=f"see: aiworkflow tools list --server {server}")
        facts |= {f"{KIND} {one.server}/{one.name}": pin(one) for one in fitting}
    return facts


async def ask_servers(
    project: Project, servers: Mapping[str, McpServer], named: Sequence[str]
) -> tuple[list[Offered], list[Asked]]:
    """Ask MCP servers what they offer.

    A program that only a `.mcp.json` names is begun for nobody who does not name it.

    Args:
        named: those to ask; empty for all that config.yaml names.
    """
    wanted = list(named) or [one.name for one in servers.values() if not one.is_imported]
    answers = await _ask(project, servers, wanted)
    tools: list[Offered] = []
    asked: list[Asked] = []
    for server in servers.values():
        answer = answers.get(server.name)
        about = (server.name, server.origin, server.shown)
        if answer is None:
            if not named:
                how = f"ask it: aiworkflow tools list --server {server.name}"
                asked.append(Asked(*about, "not asked", text=how))
        elif isinstance(answer, ToolError):
            asked.append(Asked(*about, "fails", text=answer.message, hint=answer.hint))
        else:
            asked.append(Asked(*about, "answers", len(answer)))
            tools += [_of_server(server, one) for one in answer]
    return tools, asked


def _of_server(server: McpServer, tool: McpTool) -> Offered:
    return Offered(
        name=tool.full_name,
        origin=f"server {server.name}, {server.origin}",
        description=tool.description,
        effect=server.effect_of(tool.name) or Effect.DESTRUCTIVE,
        inputs=tool.inputs,
        output=tool.output,
        secrets=server.secrets,
        claimed=tool.hint,
    )


async def _ask(
    project: Project, servers: Mapping[str, McpServer], names: Sequence[str]
) -> dict[str, tuple[McpTool, ...] | ToolError]:
    from aiworkflow.tools.mcp.offers import Asker, Offers
    from aiworkflow.tools.resident import Residents
    from aiworkflow.trust.secrets import EnvironmentSecrets, mask_json

    for name in names:
        if name not in servers:
            raise UsageError(
                f"there is no MCP server `{name}`",
                hint=did_you_mean(name, list(servers))
                or f"name it in config.yaml, or in {IMPORTED}",
            )
    if not names:
        return {}
    refuse_without_extra()
    secrets = EnvironmentSecrets(project.environ)
    watch, mask = Watch(lambda _: None), lambda value: mask_json(secrets, value)
    asker = Asker(project.root, project.environ, watch, secrets.get, mask, note=secrets.note)
    found: dict[str, tuple[McpTool, ...] | ToolError] = {}

    async def ask(name: str, offers: Offers) -> None:
        try:
            found[name] = await offers.tools([f"mcp:{name}/*"], asker)
        except ToolError as error:
            error.message = secrets.mask_cut(error.message)
            found[name] = error
        except UsageError as error:
            found[name] = ToolError("unavailable", error.message, hint=error.hint)

    async with Residents() as residents, asyncio.TaskGroup() as group:
        offers = Offers(servers, residents, project.folders.state / "mcp")
        for name in names:
            group.create_task(ask(name, offers))
    return {name: found[name] for name in names}


def find_tool(known: Sequence[Offered], name: str) -> list[Offered]:
    """A tool's operations, or one of them.

    Raises:
        UsageError: there is no such tool.
    """
    found = [
        one for one in known if one.name == name or one.name.startswith((f"{name}.", f"{name}/"))
    ]
    if not found:
        hint = did_you_mean(name, [one.name for one in known])
        raise UsageError(
            f"there is no tool `{name}`",
            hint=hint or "list them: aiworkflow tools list; those of a bundle with --bundle",
        )
    return found
