"""What decides the behaviour of a bundle, as facts: `kind name` → what it is. Pure.

Each fact is one thing that a person can have changed, so that a difference names what it is about: a
prompt with all that it includes, the code of a script, the settings of a step without these, a file of
tools/, an operation that tools.yaml declares, a called workflow, an agent.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.workflow import AgentCall, Script
from aiworkflow.plan.codec import choice_to_json, operation_to_json, plan_to_json
from aiworkflow.plan.codec_values import value_to_json
from aiworkflow.plan.digest import canonical, definition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.bundle.choosing import AgentChoice
    from aiworkflow.bundle.workflow import AgentSpec, Json, Workflow
    from aiworkflow.plan.graph import Node, Plan

_OF_ALL: Final = (
    "inputs",
    "outputs",
    "state",
    "allow",
    "env",
    "timeout_s",
    "budget",
    "concurrency",
)
_AS_WRITTEN: Final = ("on_error", "workspace", "runs_on", "sandbox")
_TEXT_AT: Final = {"agent": 1, "script": 2}  # in a node's action: what has a fact of its own
_AGENTS_AT: Final = 2  # in an agent's action: who has a fact, wherever it is said
_READ_ELSEWHERE: Final = ("tools.yaml", "config.yaml", "README.md", "CHANGELOG.md", "SKILL.md")
_DIGITS: Final = 16


def facts_of(
    plan: Plan,
    workflow: Workflow,
    default: Sequence[AgentSpec] = (),
    choice: AgentChoice | None = None,
    observed: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The facts of a sealed plan.

    Args:
        default, choice: agents of steps that name none, and how one of them is chosen.
        observed: what only the outside can tell, such as `version codex` and `mcp files/read`.
    """
    data = plan_to_json(plan)
    found: dict[str, str] = {}
    for name in _OF_ALL:
        if data.get(name):
            found[f"workflow {name.removesuffix('_s')}"] = _digest(data[name])
    for name in _AS_WRITTEN:
        if name in workflow.settings:
            found[f"workflow {name}"] = _digest(workflow.settings[name])
    order: list[Json] = []
    for node in plan.nodes.values():
        if not node.id:
            continue
        order.append([node.id, node.parent, *node.after, node.final])
        found.update(_of_node(plan, node, default, choice))
    found["workflow order"] = _digest(order)
    for number, trigger in enumerate(workflow.triggers, 1):
        about: dict[str, Json] = {
            "options": dict(trigger.options),
            "inputs": {name: value_to_json(value) for name, value in trigger.inputs.items()},
        }
        found[f"trigger {trigger.type}.{number}"] = _digest(about)
    for tool in workflow.tools.values():
        for operation in tool.operations.values():
            name = f"{tool.name}.{operation.name}" if operation.name else tool.name
            found[f"operation {name}"] = _digest(operation_to_json(operation))
    for path, digest in plan.files.items():
        if path not in {plan.document, *_READ_ELSEWHERE}:
            found[f"{_kind(path)} {path}"] = digest[:_DIGITS]
    for name, value in plan.config.items():
        found[f"config {name}"] = _digest(value)
    for path, digest in plan.children.items():
        found[f"child {path}"] = digest[:_DIGITS]
    return {**found, **(observed or {})}


def _of_node(
    plan: Plan, node: Node, default: Sequence[AgentSpec], choice: AgentChoice | None
) -> dict[str, str]:
    settings = definition(node)
    settings.pop("operation", None)
    found: dict[str, str] = {}
    match node.action:
        case AgentCall(agents=named, choice=own):
            agents, how = offered(plan, named, own, default, choice)
            nobody = "any" if how is not None else "none"
            found[f"agent {node.id}"] = ",".join(_label(one) for one in agents) or nobody
            cast("list[Json]", settings["action"])[_AGENTS_AT] = []
            if how is not own and how is not None:
                settings["choice"] = choice_to_json(how)
            kind = "prompt"
        case Script():
            kind = "script"
        case _:
            kind = ""
    if kind:
        action = [*cast("list[Json]", settings["action"])]
        at = _TEXT_AT[str(action[0])]
        found[f"{kind} {node.id}"] = _digest(action[at])
        action[at] = None
        settings["action"] = action
    found[f"step {node.id}"] = _digest(settings)
    return found


def offered(
    plan: Plan,
    named: tuple[AgentSpec, ...],
    own: AgentChoice | None,
    default: Sequence[AgentSpec],
    choice: AgentChoice | None,
) -> tuple[tuple[AgentSpec, ...], AgentChoice | None]:
    """To whom a step goes that names these: agents, none for all that are known, and the choice."""
    if named or own is not None:
        return named, own
    return (plan.agents, None) if plan.agents else (tuple(default), choice)


def _label(agent: AgentSpec) -> str:
    return f"{agent.name}/{agent.model}" if agent.model else agent.name


def _kind(path: str) -> str:
    if path.startswith("tools/"):
        return "tool"
    return "include" if path.endswith(".md") else "file"


def _digest(data: Json) -> str:
    return hashlib.sha256(canonical(data)).hexdigest()[:_DIGITS]
