"""Which agents an attempt is offered to, in which order, and why.

The order is made here, when the attempt is decided on, from what is known at that moment; the decider
takes the first that is up and fits into the budgets, and records it with the reason. So it is never
made again for what has happened.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aiworkflow.bundle.choosing import AgentChoice, chosen_of_plain
from aiworkflow.bundle.workflow import AgentCall, agent_spec
from aiworkflow.engine import Failure, Offer
from aiworkflow.jsontext import compact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.agents import Roster
    from aiworkflow.agents.choice import Candidate
    from aiworkflow.agents.figures import Figures
    from aiworkflow.bundle.workflow import AgentSpec
    from aiworkflow.engine.carried import Json
    from aiworkflow.runtime.estimate import Estimate, Sent
    from aiworkflow.runtime.given import InForce


class Choosing:
    """The choice of agents for one run.

    Args:
        measured: what was measured of an agent, `name/model`.
        roster: what this process knows of its agents.
    """

    def __init__(
        self,
        run: str,
        settings: InForce,
        environ: Mapping[str, str],
        estimate: Estimate,
        measured: Callable[[str], Figures],
        roster: Callable[[], Roster],
    ) -> None:
        self._run = run
        self._agents = settings.agents
        self._default = settings.agent
        self._choice = settings.choice
        self._environ = environ
        self._estimate = estimate
        self._measured = measured
        self._roster = roster

    def offers(self, action: AgentCall, sent: Sent, path: str, key: Json) -> list[Offer] | Failure:
        """Who may make an attempt, in order; or why nobody can.

        Args:
            key: of `ab`: what the lot is drawn from; None for the step itself.
        """
        if action.choice is None and not action.agents and self._choice:
            said = chosen_of_plain(self._choice)
            action = replace(action, agents=said.agents, choice=said.choice)
        specs = action.agents or (self._all() if action.choice else self._plain())
        able = tuple(one for one in specs if self._estimate.takes_tools(one))
        if not action.tools or len(able) == len(specs):
            able = specs
        elif not able:
            return _none_able(specs)
        if action.choice is None:
            if able is specs:
                return self._estimate(action, sent)
            return [self._estimate.offer(one, _label(one), specs, sent) for one in able]
        specs = able
        offers = {
            _label(spec): self._estimate.offer(spec, _label(spec), specs, sent) for spec in specs
        }
        return self._ranked(action.choice, specs, offers, path, key)

    def _ranked(
        self,
        choice: AgentChoice,
        specs: Sequence[AgentSpec],
        offers: Mapping[str, Offer],
        path: str,
        key: Json,
    ) -> list[Offer] | Failure:
        from aiworkflow.agents.choice import rank

        draw = f"{self._run} {path}" if key is None else compact(["key", key])
        if choice.how == "ab":
            draw = f"{compact([_label(spec) for spec, _ in choice.shares])} {draw}"
        turn = 0
        if choice.how == "round_robin":
            turn = self._roster().turn(",".join(map(_label, specs)), self._run)
        found = rank(
            choice,
            [self._candidate(one, offers[_label(one)]) for one in specs],
            draw=draw,
            turn=turn,
        )
        if not found.order:
            reasons = "; ".join(f"{label}: {why}" for label, why in found.left_out)
            return Failure(
                "no_agent",
                f"no agent can be chosen: {reasons or 'the settings name none'}",
                hint="`aiworkflow agents list` shows those that are known here",
            )
        return [replace(offers[one.candidate.label], why=one.why) for one in found.order]

    def _plain(self) -> tuple[AgentSpec, ...]:
        """The agents of the settings, in their order."""
        return tuple(agent_spec(one) for one in self._default)

    def _all(self) -> tuple[AgentSpec, ...]:
        """All agents that the settings name, those in use by default first."""
        return tuple(agent_spec(one) for one in dict.fromkeys([*self._default, *self._agents]))

    def _candidate(self, spec: AgentSpec, offer: Offer) -> Candidate:
        from aiworkflow.agents import agent_problem
        from aiworkflow.agents.choice import Candidate

        label = _label(spec)
        config = self._estimate.config(spec)
        if config is None:
            problem = agent_problem(spec, self._agents, self._environ) or "it cannot be used"
            return Candidate(label, problem=problem.partition("; ")[0])
        figures = self._measured(config.label)
        return Candidate(
            label,
            usd=offer.usd if self._estimate.is_priced(config) else None,
            quality=config.quality,
            success=figures.success,
            attempts=figures.attempts,
            seconds=figures.median_s,
            speed=config.speed,
            load=self._roster().load(config.label),
            able=self._roster().abilities(config),
        )


def _none_able(specs: Sequence[AgentSpec]) -> Failure:
    return Failure(
        "no_agent",
        f"none of {', '.join(f'`{_label(one)}`' for one in specs)} can be handed `tools`",
        hint="use an agent over an API or over ACP",
    )


def _label(spec: AgentSpec) -> str:
    return f"{spec.name}/{spec.model}" if spec.model else spec.name
