"""What an answer of an agent may cost at most, before it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.bundle.workflow import AgentSpec, agent_spec
from aiworkflow.engine import Offer
from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.agents import AgentConfig
    from aiworkflow.bundle.workflow import AgentCall
    from aiworkflow.engine.carried import Json

_BYTES_A_TOKEN = 2.5
"""Fewer than any tokenizer in use needs for prose and code, so that the estimate is no less."""

_ACTS = frozenset({"acp", "cli", "python"})
"""Kinds of agents that act by themselves, not only by calls that stand in the journal."""


class Estimate:
    """Estimates for one run.

    A price that is not known counts as the dearest that the settings name; where they name none, a
    budget in US dollars cannot hold, and the estimate is 0: see `docs/how-to`.

    Args:
        agents, default: as in the settings in force.
        is_left_alone: whether the circuit breaker of an agent is open.
    """

    def __init__(
        self,
        agents: Mapping[str, Json],
        default: Sequence[str],
        environ: Mapping[str, str],
        is_left_alone: Callable[[str], bool],
    ) -> None:
        self._agents = agents
        self._default = default
        self._environ = environ
        self._is_left_alone = is_left_alone

    def __call__(self, action: AgentCall, prompt: str, *, is_checked: bool) -> list[Offer]:
        """What an attempt with a prompt may cost at most, with each agent that may make it.

        Args:
            is_checked: whether an answer that does not fit is asked for again: each time with all
                that was said before.
        """
        specs = action.agents or tuple(agent_spec(text) for text in self._default)
        if len(specs) == 1:
            return [self._offer(specs[0], "", prompt, is_checked=is_checked)]
        return [self._offer(one, _name(one), prompt, is_checked=is_checked) for one in specs]

    def _offer(self, spec: AgentSpec, name: str, prompt: str, *, is_checked: bool) -> Offer:
        from aiworkflow.agents import Task  # most runs have no agent

        config = self._config(spec)
        asked = int(len(prompt.encode("utf-8", "surrogatepass")) / _BYTES_A_TOKEN) + 500
        answered = config.max_tokens if config is not None else 4096
        calls = 1 + Task("").asks if is_checked else 1
        asked = asked * calls + answered * calls * (calls - 1) // 2
        answered *= calls
        dearest_in, dearest_out = self._dearest()
        price_in = config.price.input if config is not None else None
        price_out = config.price.output if config is not None else None
        usd = asked * (dearest_in if price_in is None else price_in)
        usd += answered * (dearest_out if price_out is None else price_out)
        usd = round(usd / 1_000_000, 9)
        is_alone = self._is_left_alone(spec.name)
        journalled = config is not None and config.kind not in _ACTS
        return Offer(name, usd, asked + answered, is_alone, journalled)

    def _config(self, spec: AgentSpec) -> AgentConfig | None:
        from aiworkflow.agents import resolve_agent

        try:
            return resolve_agent(spec, self._agents, self._environ)
        except UsageError:
            return None

    def _dearest(self) -> tuple[float, float]:
        prices = [
            cast("dict[str, float]", one["price"])
            for one in self._agents.values()
            if isinstance(one, dict) and isinstance(one.get("price"), dict)
        ]
        return (
            max((float(price.get("input") or 0) for price in prices), default=0.0),
            max((float(price.get("output") or 0) for price in prices), default=0.0),
        )


def _name(spec: AgentSpec) -> str:
    return f"{spec.name}/{spec.model}" if spec.model else spec.name
