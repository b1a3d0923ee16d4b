"""A plan as people and scripts ask about it: what it takes, does, needs and may touch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import AgentCall, Assign, Group, Script, ToolCall
from aiworkflow.expr import describe as describe_schema
from aiworkflow.plan.digest import file_digest

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Allow, Field, Json
    from aiworkflow.plan.graph import Node, Plan


def describe_plan(plan: Plan) -> dict[str, Json]:
    """The plan as plain data, for `bundle info` and `run --dry-run`."""
    return {
        "name": plan.name,
        "title": plan.title,
        "version": plan.version,
        "description": plan.description,
        "digest": plan.digest,
        "effect": str(plan.effect),
        "inputs": [_field(one) for one in plan.inputs],
        "outputs": list(plan.outputs),
        "state": {one.name: str(one.reduce) for one in plan.state},
        "agents": [_agent(one.name, one.model) for one in plan.agents],
        "allow": _allow(plan.allow),
        "timeout_s": plan.timeout_s,
        "steps": [_step(plan, plan.nodes[name]) for name in plan.root.children],
        "live_blocks": live_blocks(plan),
        "files": len(plan.files),
    }


def live_blocks(plan: Plan) -> list[Json]:
    """Everything that can run: each code block and each script in tools/, with its digest."""
    found: list[Json] = []
    tools = {one.tool.partition(".")[0] for one in plan.state if one.tool is not None}
    for node in plan.nodes.values():
        if isinstance(node.action, Script):
            found.append(
                {
                    "step": node.id,
                    "file": plan.document,
                    "line": node.code_line or node.line,
                    "language": node.action.language,
                    "sha256": file_digest(node.action.code.encode()),
                }
            )
        elif isinstance(node.action, ToolCall) and node.action.server is None:
            tools.add(node.action.tool)
        elif isinstance(node.action, AgentCall):
            tools |= {name.partition(".")[0] for name in node.action.tools}
    found.extend(
        {"tool": tool, "file": plan.tools[tool], "line": 1, "sha256": plan.files[plan.tools[tool]]}
        for tool in sorted(tools & plan.tools.keys())
    )
    return found


def _field(field: Field) -> Json:
    return {
        "name": field.name,
        "type": describe_schema(field.schema),
        "required": field.required,
        "default": field.default,
        "description": field.description,
    }


def _allow(allow: Allow) -> dict[str, Json]:
    return {
        "write": list(allow.write),
        "network": list(allow.network),
        "secrets": list(allow.secrets),
        "paths": list(allow.paths),
    }


def _agent(name: str, model: str | None) -> str:
    return f"{name}/{model}" if model else name


def _step(plan: Plan, node: Node) -> dict[str, Json]:
    found: dict[str, Json] = {
        "id": node.id,
        "kind": str(node.kind),
        "title": node.title,
        "line": node.line,
        "after": list(node.after),
        "effect": str(node.effect),
    }
    match node.action:
        case ToolCall():
            found["tool"] = node.action.name
        case AgentCall(agents=agents, tools=tools, choice=choice):
            found["agents"] = [_agent(one.name, one.model) for one in agents]
            if choice is not None:
                found["choose"] = choice.how
            if tools:
                found["tools"] = list(tools)
        case Script(language):
            found["language"] = language
        case Assign(values):
            found["sets"] = list(values)
        case Group():
            found["parallel"] = node.action.parallel
            if node.action.enough is not None:
                found["enough"] = node.action.enough if node.action.enough > 0 else "majority"
            if node.action.until is not None:
                found["until"] = node.action.until.text
                found["max_rounds"] = node.action.max_rounds
            found["steps"] = [_step(plan, plan.nodes[child]) for child in node.children]
        case _:
            pass
    optional: dict[str, Json] = {
        "if": node.condition.text if node.condition is not None else None,
        "each": node.each.items.text if node.each is not None else None,
        "else": node.otherwise != () or None,
        "finally": node.final or None,
        "timeout_s": node.timeout_s,
        "on_error": str(node.on_error) if node.on_error != "fail" else None,
        "secrets": list(node.secrets) or None,
        "network": list(node.network) or None,
        "allow": _allow(node.allow) if node.allow is not None else None,
        "writes": list(node.writes) or None,
    }
    found.update({key: value for key, value in optional.items() if value is not None})
    return found
