"""The agents as one process uses them: what is shared by all runs of the process is kept here."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from aiworkflow.agents.open import open_agent
from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Agent, Surroundings
    from aiworkflow.agents.python import AgentFunction

_NO_FUNCTIONS: Mapping[str, AgentFunction] = MappingProxyType({})


class Roster:
    """Opens agents.

    Args:
        functions: agents that are functions of this process, by name.
    """

    def __init__(self, functions: Mapping[str, AgentFunction] = _NO_FUNCTIONS) -> None:
        self._functions = functions

    def open(self, config: AgentConfig, key: str, around: Surroundings) -> Agent:
        """An agent that can be given tasks; see `open_agent`.

        Raises:
            UsageError: this version, or this process, has no such agent.
        """
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
