"""The MCP servers of a project, and of a workflow: which there are, and which it uses."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiworkflow.bundle.servers import IMPORTED, McpServer, read_imported, server_of
from aiworkflow.bundle.workflow import AgentCall, ToolCall
from aiworkflow.diagnostics import Source
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiworkflow.bundle.workflow import Workflow
    from aiworkflow.diagnostics import Report
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.graph import Node, Plan
    from aiworkflow.runtime.given import InForce
    from aiworkflow.settings.layers import Layered


def servers_of(settings: Layered, root: Path) -> dict[str, McpServer]:
    """The servers that hold: those of config.yaml, and those that only `.mcp.json` names.

    Raises:
        UsageError: `.mcp.json` cannot be read.
    """
    found = read_imported(root)
    given, _ = settings.get("mcp.servers")
    for name, said in given.items() if isinstance(given, dict) else ():
        origin = str(settings.get(f"mcp.servers.{name}")[1])
        found[name] = server_of(name, cast("dict[str, Json]", said), origin)
    return found


def known_servers(
    workflow: Workflow, settings: Layered, root: Path, report: Report
) -> dict[str, McpServer]:
    """The servers that a workflow may mean; not looked for where it names none at all."""
    if not any(b"mcp:" in file.content for file in workflow.files):
        return {}
    try:
        return servers_of(settings, root)
    except UsageError as error:
        report.error("AW654", Source(IMPORTED, "").place(0), error.message, error.hint)
        return {}


def calls_of(plan: Plan) -> list[tuple[str, str]]:
    """The servers' tools that a plan calls: server and tool, which may be a pattern."""
    return [call for node in plan.nodes.values() for call in _calls(node)]


def uses_servers(plan: Plan) -> bool:
    """Whether a step of a plan calls an MCP server."""
    return bool(calls_of(plan))


def pins_of(workflow: Workflow) -> dict[str, str]:
    """The tools that the lock beside a bundle pins; none where it has no lock."""
    from aiworkflow.tools.mcp.lock import read_pins

    return read_pins(Path(workflow.root))


def servers_kept(settings: InForce) -> dict[str, McpServer]:
    """The servers that a run uses, from what it keeps of the settings."""
    return {
        name: server_of(name, cast("dict[str, Json]", said))
        for name, said in settings.servers.items()
    }


def servers_in_use(plan: Plan, servers: Mapping[str, McpServer]) -> dict[str, Json]:
    """The servers that a plan calls, as a run keeps them.

    Raises:
        UsageError: there is no such server, its settings do not let the tool through, or this
            installation lacks what speaks to it.
    """
    used: dict[str, Json] = {}
    for node in plan.nodes.values():
        for name, tool in _calls(node):
            server = servers.get(name)
            if server is None:
                known = ", ".join(sorted(servers)) or "none are configured"
                raise UsageError(
                    f"step `{node.id}` uses the MCP server `{name}`, which is not configured",
                    hint=did_you_mean(name, list(servers))
                    or f"name it under `mcp.servers` in .aiworkflow/config.yaml, or in {IMPORTED};"
                    f" known: {known}",
                )
            if "*" not in tool and not server.lets(tool):
                raise UsageError(
                    f"step `{node.id}` uses `mcp:{name}/{tool}`, which `mcp.servers.{name}.tools` "
                    f"does not let through: {', '.join(server.tools)}",
                    hint="add the tool there, or use another",
                )
            used[name] = server.to_json()
    if used:
        refuse_without_extra()
    return used


def refuse_without_extra() -> None:
    """Raise UsageError where the package that speaks to MCP servers is not installed."""
    if importlib.util.find_spec("mcp") is None:
        raise UsageError(
            "MCP servers need the package `mcp`, which is not installed",
            hint="install it: pip install 'aiworkflow-bundles[mcp]'",
        )


def _calls(node: Node) -> Iterator[tuple[str, str]]:
    """The servers' tools that a step calls, its undo and check too."""
    match node.action:
        case ToolCall(server=str(server), tool=tool):
            yield server, tool
        case AgentCall(tools=tools):
            for name in tools:
                if name.startswith("mcp:"):
                    server, _, tool = name.removeprefix("mcp:").partition("/")
                    yield server, tool
        case _:
            pass
    for beside in (node.undo, node.check):
        if beside is not None:
            yield from _calls(beside)
