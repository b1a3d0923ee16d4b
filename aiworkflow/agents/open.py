"""From a configuration to the agent itself; each adapter is imported when it is first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from aiworkflow.agents.api.clients import Clients
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Agent, Surroundings


def open_agent(
    config: AgentConfig, key: str, around: Surroundings, clients: Clients | None = None
) -> Agent:
    """An agent that can be given tasks.

    Args:
        key: the value of `config.key_variable`; "" where none is needed.
        around: for agents that are programs.
        clients: HTTP clients that are shared; None for some of its own.

    Raises:
        UsageError: this version has no such kind of agent.
    """
    match config.kind:
        case "api":
            from aiworkflow.agents.api import ApiAgent

            return ApiAgent(config, key, clients)
        case "echo":
            from aiworkflow.agents.echo import EchoAgent

            return EchoAgent(config)
        case "cli":
            from aiworkflow.agents.cli import CliAgent

            return CliAgent(config, key, around)
        case "acp":
            from aiworkflow.agents.acp import AcpAgent

            return AcpAgent(config, key, around)
        case _:
            raise UsageError(
                f"agent `{config.name}` is of a kind that this version cannot use: {config.kind}",
                hint="use an API",
            )
