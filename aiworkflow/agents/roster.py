"""The agents as one process uses them: what is shared by all runs of the process is kept here."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from aiworkflow.agents.choice import lot
from aiworkflow.agents.contract import Surroundings
from aiworkflow.agents.open import open_agent
from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiworkflow.agents.api.clients import Clients
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Agent
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
        self._loads: dict[str, int] = {}
        self._turns: dict[str, int] = {}
        self._abilities: dict[str, frozenset[str]] = {}
        self._pools: dict[str, Pool] = {}
        self._instances: dict[str, Instance] = {}
        self._clients: Clients | None = None

    def open(self, config: AgentConfig, key: str, around: Surroundings) -> Agent:
        """An agent that can be given tasks; see `open_agent`.

        Raises:
            UsageError: this version, or this process, has no such agent.
        """
        if config.urls:
            return self._pooled(config, key, around)
        if config.kind != "python":
            return self._opened(config, key, around)
        from aiworkflow.agents.python import PythonAgent

        function = self._functions.get(config.name)
        if function is None:
            raise UsageError(
                f"agent `{config.name}` is a function of the program that started the run, and this"
                " process has none of that name",
                hint=f"go on from there: connect(agents={{{config.name!r}: …}})",
            )
        return PythonAgent(config, function)

    async def close(self) -> None:
        """Close what its agents have open between tasks."""
        if self._clients is not None:
            await self._clients.close()

    def _opened(self, config: AgentConfig, key: str, around: Surroundings) -> Agent:
        if config.kind == "api" and self._clients is None:
            from aiworkflow.agents.api.clients import Clients

            self._clients = Clients()
        return open_agent(config, key, around, self._clients)

    @contextmanager
    def at_work(self, label: str) -> Iterator[None]:
        """While an agent does a task, it has one more under way."""
        self._loads[label] = self._loads.get(label, 0) + 1
        try:
            yield
        finally:
            self._loads[label] -= 1

    def load(self, label: str) -> int:
        """How many tasks an agent, `name/model`, has under way in this process."""
        return self._loads.get(label, 0)

    def turn(self, among: str, run: str) -> int:
        """Whose turn it is; the first run of a process begins anywhere."""
        at = self._turns.get(among)
        if at is None:
            at = int(lot(run) * 1_000_000)
        self._turns[among] = at + 1
        return at

    def abilities(self, config: AgentConfig) -> frozenset[str]:
        """What an agent can do: what the settings say, else what its adapter knows."""
        if config.able is not None:
            return frozenset(config.able)
        if config.label not in self._abilities:
            nowhere = Surroundings({}, Path(), lambda _: nullcontext(), None, lambda _: None)
            found = self.open(config, "", nowhere).abilities
            self._abilities[config.label] = frozenset(str(one) for one in found)
        return self._abilities[config.label]

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
                members.append((instance, self._opened(one, key, around)))
            warm = None
            if config.api == "ollama":

                async def warm(url: str) -> None:
                    from aiworkflow.agents.api.http import warm_ollama

                    await warm_ollama(url, config.model or "", config.timeout_s)

            manner = manner_of(config.pool, units.duration)
            pool = Pool(config.label, config.model or "", members, manner, warm)
            self._pools[id_] = pool
        return PooledAgent(pool)
