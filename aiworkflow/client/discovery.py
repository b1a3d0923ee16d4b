"""What there is on this machine: model servers, programs that are agents, keys, MCP servers.

Looking costs nothing and begins nothing: model servers on the usual ports of this machine are asked for
their models, programs are looked for on the PATH, keys in the environment, MCP servers in the project's
files. A provider elsewhere is not asked. Where nobody names a default agent, the model servers that
answered are it, in order; a program, which acts by itself, and a provider that wants money are used
only when they are named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiworkflow.client.agents import check_agents, survey
from aiworkflow.client.servers import servers_of
from aiworkflow.diagnostics import Report
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.client.agents import KnownAgent
    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json


@record
class FoundAgent:
    """An agent that was found.

    Attributes:
        name: as `agent:` takes it; a model server's with its first model.
        kind: `server`, `program` or `key` (a provider whose key is set).
        where: address, path or variable.
        models: those that a server offers.
    """

    name: str
    kind: str
    where: str
    models: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {
            "agent": self.name,
            "kind": self.kind,
            "where": self.where,
            "models": list(self.models),
        }


@record
class FoundServer:
    """An MCP server that the project names: how it is reached, and where that stands."""

    name: str
    how: str
    origin: str

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {"server": self.name, "how": self.how, "origin": self.origin}


@record
class Discovery:
    """What was found.

    Attributes:
        default: agents that are used where nobody names one; empty where the settings do.
    """

    agents: tuple[FoundAgent, ...] = ()
    servers: tuple[FoundServer, ...] = ()
    default: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {
            "agents": [one.to_json() for one in self.agents],
            "servers": [one.to_json() for one in self.servers],
            "default": list(self.default),
        }


async def discover(client: Client) -> Discovery:
    """Look for agents and servers; what answers is the default agent, where the settings name none.

    Raises:
        UsageError: `.mcp.json` cannot be read.
    """
    project = client.project
    settings = project.layered(Report())
    every = [one for one in survey(client) if not one.problem and one.name != "echo"]
    near = [one for one in every if _is_near(one)]
    standings = await check_agents(client, [one.name for one in near]) if near else {}
    answering = []
    for one in near:
        standing = standings[one.name]
        if standing.problem:
            continue
        model = one.model or next(iter(standing.models), "")
        label = f"{one.name}/{model}" if model else one.name
        answering.append(FoundAgent(label, "server", one.url, standing.models))
    others = [
        FoundAgent(one.name, "program", one.origin)
        if one.origin.startswith("/")
        else FoundAgent(one.name, "key", one.key_variable)
        for one in every
        if one not in near and (one.origin.startswith("/") or one.has_key)
    ]
    servers = [
        FoundServer(name, server.shown, server.origin)
        for name, server in servers_of(settings, project.root).items()
    ]
    default: tuple[str, ...] = ()
    if settings.get("agent")[0] is None:
        default = tuple(one.name for one in answering if "/" in one.name)
        project.offered = default
    return Discovery((*answering, *others), tuple(servers), default)


def _is_near(one: KnownAgent) -> bool:
    """Whether it is a model server on this machine."""
    hosts = {urlsplit(url.strip()).hostname for url in one.url.split(",")} if one.url else set()
    return one.kind == "api" and bool(hosts) and hosts <= {"127.0.0.1", "localhost", "::1"}
