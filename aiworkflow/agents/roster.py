"""The agents as one process uses them: what is shared by all runs of the process is kept here."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from aiworkflow.agents.open import open_agent
from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Agent, Surroundings
    from aiworkflow.agents.pool import Instance, Pool
    from aiworkflow.agents.python import AgentFunction

_NO_FUNCTIONS: Mapping[str, AgentFunction] = MappingProxyType({})


class Roster:
    """Opens agents.

    Args:
        functions: agents that are functions of this process, by name.
    """

    def __init__(self, functions: Mapping[str, AgentFunction] = _NO_FUNCTIONS) -> None:
        self._functions = functions
        self._pools: dict[str, Pool] = {}
        self._instances: dict[str, Instance] = {}

    def open(self, config: AgentConfig, key: str, around: Surroundings) -> Agent:
        """An agent that can be given tasks; see `open_agent`.

        Raises:
            UsageError: this version, or this process, has no such agent.
        """
        if config.urls:
            return self._pooled(config, key, around)
        if config.kind != "python":
            return open_agent(config, key, around)
        from aiworkflow.agents.python import PythonAgent

        function = self._functions.get(config.name)
        if function is None:
            raise UsageError(
                f"agent `{config.name}` is a function of the program that started the run, and this"
                " process has none of that name",
                hint=f"go on from there: connect(agents={{{config.name!r}: …}})",
            )
        return PythonAgent(config, function)

    def _pooled(self, config: AgentConfig, key: str, around: Surroundings) -> Agent:
        """A pool is made once; instances are known by their address, whatever pool they are in."""
        from aiworkflow.agents.pool import Instance, Pool, PooledAgent, manner_of
        from aiworkflow.settings import units

        id_ = f"{config!r} {key}"
        pool = self._pools.get(id_)
        if pool is None:
            members = []
            for url in config.urls:
                instance = self._instances.setdefault(url, Instance(url))
                one = replace(config, url=url, urls=(), pool={})
                members.append((instance, open_agent(one, key, around)))
            warm = None
            if config.api == "ollama":

                async def warm(url: str) -> None:
                    from aiworkflow.agents.api.http import warm_ollama

                    await warm_ollama(url, config.model or "", config.timeout_s)

            manner = manner_of(config.pool, units.duration)
            pool = Pool(config.label, config.model or "", members, manner, warm)
            self._pools[id_] = pool
        return PooledAgent(pool)
