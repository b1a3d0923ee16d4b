"""The agents that a run needs: whether they are there before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aiworkflow.bundle.workflow import AgentCall, agent_spec
from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiworkflow.bundle.workflow import AgentSpec
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.given import InForce


class AgentProblems(Protocol):
    """Says what is the matter with agents that a workflow names."""

    def __call__(
        self, specs: Sequence[AgentSpec], agents: Mapping[str, Json], *, for_tools: bool
    ) -> Sequence[str]:
        """One line for each that cannot be used here; or, `for_tools`, cannot be handed tools."""
        ...


def check_agents(
    runs: Iterable[tuple[Plan, InForce]], resolve: AgentProblems, unfit: list[UsageError] | None
) -> None:
    """Refuse a run that would come to a step whose agents cannot be used here.

    Args:
        runs: the plan and the settings of it, and of each that it may call.
        unfit: for a dry run, which calls nobody: gets why a run would be refused, instead.

    Raises:
        UsageError: no agent is configured for a step, or those named cannot do what it asks.
    """
    for plan, settings in runs:
        try:
            _check(plan, settings, resolve)
        except UsageError as error:
            if unfit is None:
                raise
            unfit.append(error)


def _check(plan: Plan, settings: InForce, resolve: AgentProblems) -> None:
    wanted: dict[AgentSpec, str] = {}  # who each is asked by, for a person who looks for it
    every = tuple(agent_spec(one) for one in (*settings.agent, *settings.agents))
    for node in plan.nodes.values():
        action = node.action
        if not isinstance(action, AgentCall):
            continue
        is_chosen = action.choice is not None or bool(not action.agents and settings.choice)
        specs = action.agents or (
            every if is_chosen else tuple(agent_spec(text) for text in settings.agent)
        )
        if not specs:
            raise UsageError(
                f"step `{node.id}` is for an agent, and no agent is configured",
                hint="set `agent:` in the workflow or in .aiworkflow/config.yaml, "
                "or give --agent; `aiworkflow doctor` lists what can be used here",
            )
        if action.tools:  # those that cannot be handed any are passed over
            unable = resolve(specs, settings.agents, for_tools=True)
            if len(unable) == len(specs):
                raise UsageError(
                    f"step `{node.id}` has `tools`, and none of its agents takes them",
                    hint="; ".join(unable),
                )
        if is_chosen:  # those that cannot be used are left out when one is chosen
            problems = resolve(specs, settings.agents, for_tools=False)
            specs = specs if len(problems) == len(specs) else ()
        says = "as the workflow says"
        if not action.agents:
            says = "as --agent or a setting says: aiworkflow bundle info BUNDLE --settings"
        for spec in specs:
            wanted.setdefault(spec, f"step `{node.id}` asks it, {says}")
    problems = resolve([*wanted], settings.agents, for_tools=False) if wanted else ()
    if len(problems) == 1:
        named = (one for one in wanted if resolve([one], settings.agents, for_tools=False))
        raise UsageError(problems[0], hint=wanted[next(named, next(iter(wanted)))])
    if problems:
        raise UsageError("\n".join(problems))
