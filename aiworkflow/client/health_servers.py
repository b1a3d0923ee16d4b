"""What `doctor` says of MCP servers. Looking begins no program: a project may be somebody else's."""

from __future__ import annotations

import importlib.util
import shutil
from typing import TYPE_CHECKING

from aiworkflow.client.health_check import Check, ok, problem, warning
from aiworkflow.errors import AIWorkflowError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiworkflow.bundle.servers import McpServer
    from aiworkflow.client.project import Project
    from aiworkflow.client.tools import Asked

_ASK = "ask it: aiworkflow doctor --ask-servers"


def server_checks(project: Project, *, ask: bool) -> Iterator[Check]:
    """A check for each MCP server that config.yaml or `.mcp.json` names.

    Args:
        ask: begin and ask those of config.yaml.
    """
    from aiworkflow.client.tools import server_settings

    try:
        servers = server_settings(project, None)
    except AIWorkflowError as error:
        yield problem("mcp servers", error.message, error.hint)
        return
    if not servers:
        return
    if importlib.util.find_spec("mcp") is None:
        fix = "pip install 'aiworkflow-bundles[mcp]'"
        yield warning("mcp servers", "the package `mcp` is not installed", fix)
        return
    asked = _asked(project, servers) if ask else {}
    for name, server in servers.items():
        answer = asked.get(name)
        if answer is None or answer.state == "not asked":
            yield _looked_at(server, project)
        elif answer.state == "answers":
            text = f"{server.shown}: answers, {answer.tools} tools ({server.origin})"
            yield ok(f"mcp server {name}", text)
        else:
            fix = f"try it by hand: {server.shown}" if server.command else "look at its `url`"
            yield problem(f"mcp server {name}", answer.text, fix)


def _asked(project: Project, servers: Mapping[str, McpServer]) -> Mapping[str, Asked]:
    import asyncio

    from aiworkflow.client.tools import ask_servers

    _, found = asyncio.run(ask_servers(project, servers, ()))
    return {one.name: one for one in found}


def _looked_at(server: McpServer, project: Project) -> Check:
    name = f"mcp server {server.name}"
    how = "only a step that names it begins it" if server.is_imported else _ASK
    text = f"{server.shown} ({server.origin}); not asked"
    program = server.command
    found = shutil.which(program, path=project.environ.get("PATH"))
    if program and "/" not in program and found is None:
        fix = f"install {program}, if a workflow uses the server"
        return warning(name, f"`{program}` is not on the PATH ({server.origin})", fix)
    return ok(name, f"{text}; {how}")
