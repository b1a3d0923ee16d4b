"""What an answer of an agent may cost at most, before it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import AgentSpec, agent_spec
from aiworkflow.engine import Offer
from aiworkflow.errors import UsageError
from aiworkflow.plan.bound import most_tokens
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.agents import AgentConfig, Consumed
    from aiworkflow.bundle.workflow import AgentCall
    from aiworkflow.engine.carried import Json


@record
class Sent:
    """What an attempt sends to its agent.

    Attributes:
        size: of the prompt, with what was said before, bytes.
        images: how many go with it.
        is_checked: whether an answer that does not fit is asked for again: each time with all that
            was said before.
        has_tools: whether the agent is handed any.
        may_write: whether it may, besides, change files by itself if it is one that does.
    """

    size: int
    images: int = 0
    is_checked: bool = False
    has_tools: bool = False
    may_write: bool = False


class Estimate:
    """Estimates for one run.

    A price that is not known counts as the dearest that is known of the step's agents, the default
    ones and those that the settings name; where none is, a budget in US dollars cannot hold, and the
    estimate is 0: see `docs/how-to`.

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
        self._resolved: dict[AgentSpec, AgentConfig] = {}

    def __call__(self, action: AgentCall, sent: Sent) -> list[Offer]:
        """What an attempt may cost at most, with each agent that may make it."""
        specs = action.agents or tuple(agent_spec(text) for text in self._default)
        if len(specs) == 1:
            return [self.offer(specs[0], "", specs, sent)]
        return [self.offer(one, _name(one), specs, sent) for one in specs]

    def offer(self, spec: AgentSpec, name: str, specs: Sequence[AgentSpec], sent: Sent) -> Offer:
        """What an attempt with one agent may cost at most.

        Args:
            specs: all that may make it: the dearest of them counts where a price is not known.
        """
        from aiworkflow.agents import Consumed, acts_by_calls, cost_of  # most runs have no agent

        config = self.config(spec)
        longest = config.max_tokens if config is not None else 4096
        asked, answered = most_tokens(
            sent.size, longest, is_checked=sent.is_checked, images=sent.images
        )
        most = Consumed(asked, 0, answered)
        usd = cost_of(config, most) if config is not None else None
        if usd is None:
            usd = self._dearest(specs, most)
        is_alone = self._is_left_alone(spec.name)
        journalled = config is not None and (
            acts_by_calls(config, wants=sent.may_write) if sent.has_tools else not config.acts_alone
        )
        return Offer(name, round(usd, 9), asked + answered, is_alone, journalled)

    @staticmethod
    def is_priced(config: AgentConfig) -> bool:
        """Whether the price of an agent is known."""
        from aiworkflow.agents import Consumed, cost_of

        return cost_of(config, Consumed(1, 0, 1)) is not None

    def takes_tools(self, spec: AgentSpec) -> bool:
        """Whether an agent can be handed the tools of a step."""
        from aiworkflow.agents import tools_problem

        return tools_problem(spec, self._agents, self._environ) is None

    def config(self, spec: AgentSpec) -> AgentConfig | None:
        """The agent that is meant; None where it cannot be used here."""
        from aiworkflow.agents import resolve_agent

        known = self._resolved.get(spec)
        if known is not None:
            return known
        try:
            found = resolve_agent(spec, self._agents, self._environ)
        except UsageError:
            return None
        if found.kind == "api":  # of programs, whether they are here is looked at each time
            self._resolved[spec] = found
        return found

    def _dearest(self, specs: Sequence[AgentSpec], most: Consumed) -> float:
        """What the dearest agent would cost of those whose price is known here."""
        from aiworkflow.agents import cost_of, given_price

        named = [*specs, *(agent_spec(text) for text in (*self._default, *self._agents))]
        configs = [self.config(one) for one in dict.fromkeys(named)]
        costs = [cost_of(one, most) for one in configs if one is not None]
        # of the settings also those whose key is not set here
        costs += [given_price(one).cost(most) for one in self._agents.values()]
        return max((one for one in costs if one is not None), default=0.0)


def _name(spec: AgentSpec) -> str:
    return f"{spec.name}/{spec.model}" if spec.model else spec.name
