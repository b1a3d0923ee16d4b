"""What the command line says is stronger than what a workflow and its steps say of themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import AgentCall, Group

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Step, Workflow


def without_agents(workflow: Workflow) -> Workflow:
    """A workflow that names no agents: those of the command line do all its steps."""
    steps = tuple(_without(step) for step in workflow.steps)
    return replace(workflow, steps=steps, agents=(), choice=None)


def _without(step: Step) -> Step:
    action = step.action
    if isinstance(action, AgentCall):
        return replace(step, action=replace(action, agents=(), choice=None))
    if isinstance(action, Group):
        return replace(step, action=replace(action, steps=tuple(map(_without, action.steps))))
    return step
