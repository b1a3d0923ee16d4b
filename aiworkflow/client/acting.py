"""What settings say, before a run, of agents that act by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import AgentCall, Group, agent_spec
from aiworkflow.plan import Agents

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Workflow
    from aiworkflow.settings.layers import Layered


def acting(workflow: Workflow, settings: Layered) -> Agents | None:
    """What a plan is told of agents; None where no step is for one, so that nothing is imported."""
    steps = list(workflow.steps)
    while steps:
        step = steps.pop()
        if isinstance(step.action, AgentCall):
            break
        if isinstance(step.action, Group):
            steps += step.action.steps
    else:
        return None
    from aiworkflow.agents.config import editing

    given, _ = settings.get("agents")
    named, _ = settings.get("agent")
    default = named if isinstance(named, list) else [named] if named else []
    return Agents(
        tuple(agent_spec(one) for one in default if isinstance(one, str)),
        editing(given if isinstance(given, dict) else {}),
    )
