"""Plan ↔ JSON: what a run keeps of its plan. Expressions are kept as text and parsed again."""

from __future__ import annotations

import dataclasses
import operator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from aiworkflow.bundle import policies as p
from aiworkflow.bundle import workflow as w
from aiworkflow.bundle.choosing import AgentChoice
from aiworkflow.errors import Bug, UsageError
from aiworkflow.expr import (
    Template,
    from_json,
    to_json,
)
from aiworkflow.plan.codec_values import (
    expression_of,
    template_from_json,
    template_to_json,
    value_from_json,
    value_to_json,
)
from aiworkflow.plan.graph import Node, Plan
from aiworkflow.plan.unparse import unparse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import StrEnum

    from aiworkflow.bundle.workflow import Json, Value

FORMAT: Final = 1


# -- records --------------------------------------------------------------------------------------


def field_to_json(field: w.Field) -> Json:
    """An input, or a field of an `ask`: name, schema, whether required, default, description."""
    return [field.name, to_json(field.schema), field.required, field.default, field.description]


def field_from_json(data: Any) -> w.Field:
    """The inverse of `field_to_json`."""
    return w.Field(data[0], from_json(data[1]), data[2], data[3], data[4])


def _output_to_json(output: w.Output) -> Json:
    return [str(output.form), to_json(output.schema) if output.schema is not None else None]


_PLAIN_OUTPUTS: Final = {str(form): w.Output(form, None) for form in w.OutputForm}


def _output_from_json(data: Any) -> w.Output:
    form, schema = data
    if schema is None:
        return _PLAIN_OUTPUTS[form]
    return w.Output(w.OutputForm(form), from_json(schema))


def operation_to_json(operation: w.Operation) -> Json:
    """What tools.yaml, or a built-in, says of an operation."""
    inputs = operation.inputs
    return {
        "name": operation.name,
        "description": operation.description,
        "inputs": [field_to_json(one) for one in inputs] if inputs is not None else None,
        "output": _output_to_json(operation.output),
        "timeout_s": operation.timeout_s,
        "effect": str(operation.effect) if operation.effect is not None else None,
        "network": list(operation.network),
        "secrets": list(operation.secrets),
        "check": operation.check,
        "undo": operation.undo,
    }


def _operation_from_json(data: Any) -> w.Operation:
    inputs = data["inputs"]
    return w.Operation(
        name=data["name"],
        description=data["description"],
        inputs=tuple(field_from_json(one) for one in inputs) if inputs is not None else None,
        output=_output_from_json(data["output"]),
        timeout_s=data["timeout_s"],
        effect=w.Effect(data["effect"]) if data["effect"] is not None else None,
        network=tuple(data["network"]),
        secrets=tuple(data["secrets"]),
        check=data["check"],
        undo=data["undo"],
    )


def _allow_to_json(allow: w.Allow) -> Json:
    return {
        "write": list(allow.write),
        "network": list(allow.network),
        "secrets": list(allow.secrets),
        "paths": list(allow.paths),
    }


def _allow_from_json(data: Any) -> w.Allow:
    return w.Allow(**{kind: tuple(values) for kind, values in data.items()})


def _each_to_json(each: w.Each) -> Json:
    rate: Json = [each.rate[0], each.rate[1]] if each.rate is not None else None
    return [unparse(each.items.tree), each.name, each.max_parallel, rate, each.max_items]


def _each_from_json(data: Any) -> w.Each:
    rate = (int(data[3][0]), float(data[3][1])) if data[3] is not None else None
    return w.Each(expression_of(data[0]), data[1], data[2], rate, data[4])


def _agents_to_json(agents: tuple[w.AgentSpec, ...]) -> Json:
    return [[agent.name, agent.model] for agent in agents]


def _agents_from_json(data: Any) -> tuple[w.AgentSpec, ...]:
    return tuple(w.AgentSpec(name, model) for name, model in data)


def choice_to_json(choice: AgentChoice) -> Json:
    """How an agent is chosen."""
    return {
        "how": choice.how,
        "able": list(choice.able),
        "max_usd": choice.max_usd,
        "prefer": _agents_to_json(choice.prefer),
        "avoid": _agents_to_json(choice.avoid),
        "shares": [[one.name, one.model, share] for one, share in choice.shares],
        "key": value_to_json(choice.key),
    }


def _choice_from_json(data: Any) -> AgentChoice:
    return AgentChoice(
        data["how"],
        tuple(data["able"]),
        data["max_usd"],
        _agents_from_json(data["prefer"]),
        _agents_from_json(data["avoid"]),
        tuple((w.AgentSpec(name, model), share) for name, model, share in data["shares"]),
        value_from_json(data["key"]),
    )


def _map(values: Mapping[str, Value]) -> Json:
    return {key: value_to_json(value) for key, value in values.items()}


def _unmap(data: Any) -> dict[str, Value]:
    return {key: value_from_json(value) for key, value in data.items()}


def _action_to_json(action: w.Action) -> Json:
    match action:
        case w.Script(language, code, arguments, cwd):
            return ["script", language, code, _map(arguments), cwd]
        case w.ToolCall(tool, operation, arguments, server, cwd):
            return ["tool", tool, operation, _map(arguments), server, cwd]
        case w.AgentCall():
            return _agent_to_json(action)
        case w.Assign(values):
            return ["assign", _map(values)]
        case w.Group():
            until = unparse(action.until.tree) if action.until is not None else None
            result = value_to_json(action.result) if action.has_result else None
            return [
                "group",
                action.parallel,
                action.enough,
                until,
                action.max_rounds,
                action.has_result,
                result,
            ]
        case w.Ask(message, fields, by, expires_s):
            asked = [field_to_json(one) for one in fields.values()]
            return ["ask", _message_to_json(message), asked, list(by), expires_s]
        case w.Wait(seconds, at, event, match, timeout_s):
            matched = unparse(match.tree) if match is not None else None
            return ["wait", value_to_json(seconds), value_to_json(at), event, matched, timeout_s]
        case w.Gate(message):
            return ["gate", _message_to_json(message)]
        case w.Child(path, arguments):
            return ["child", path, _map(arguments)]


def _agent_to_json(call: w.AgentCall) -> Json:
    found: list[Json] = ["agent", template_to_json(call.prompt), _agents_to_json(call.agents)]
    found.append(list(call.tools))
    more: dict[str, Json] = {}  # what most have not is left out, so that digests stay
    if call.turns is not None:
        more["turns"] = call.turns
    if call.session is not None:
        more["session"] = [call.session.name, call.session.tokens]
    if call.files:
        more["files"] = [value_to_json(one) for one in call.files]
    if call.cwd is not None:
        more["cwd"] = call.cwd
    if call.choice is not None:
        more["choice"] = choice_to_json(call.choice)
    return [*found, more] if more else found


def _message_to_json(message: Template | None) -> Json:
    return template_to_json(message) if message is not None else None


def _message_from_json(data: Any) -> Template | None:
    return template_from_json(data) if data is not None else None


def _action_from_json(data: Any) -> w.Action:
    match data:
        case ["script", language, code, arguments, cwd]:
            return w.Script(language, code, _unmap(arguments), cwd)
        case ["tool", tool, operation, arguments, server, cwd]:
            return w.ToolCall(tool, operation, _unmap(arguments), server, cwd)
        case ["agent", prompt, agents, tools, *rest]:
            more = rest[0] if rest else {}
            return w.AgentCall(
                template_from_json(prompt),
                _agents_from_json(agents),
                tuple(tools),
                turns=more.get("turns"),
                session=w.Session(*more["session"]) if "session" in more else None,
                files=tuple(value_from_json(one) for one in more.get("files", ())),
                cwd=more.get("cwd"),
                choice=_choice_from_json(more["choice"]) if "choice" in more else None,
            )
        case ["assign", values]:
            return w.Assign(_unmap(values))
        case ["group", parallel, enough, until, max_rounds, has_result, result]:
            return w.Group(
                (),
                parallel,
                enough,
                expression_of(until) if until is not None else None,
                max_rounds,
                value_from_json(result),
                has_result,
            )
        case ["ask", message, fields, by, expires_s]:
            asked = {one[0]: field_from_json(one) for one in fields}
            return w.Ask(_message_from_json(message), asked, tuple(by), expires_s)
        case ["wait", seconds, at, event, match, timeout_s]:
            matched = expression_of(match) if match is not None else None
            return w.Wait(value_from_json(seconds), value_from_json(at), event, matched, timeout_s)
        case ["gate", message]:
            return w.Gate(_message_from_json(message))
        case ["child", path, arguments]:
            return w.Child(path, _unmap(arguments))
        case _:
            raise Bug(f"a stored plan holds a step this version does not know: {data[0]}")


def _goto_to_json(goto: p.Goto) -> Json:
    return [goto.target, goto.max_visits]


def _retry_to_json(retry: p.Retry) -> Json:
    return {**dataclasses.asdict(retry), "on": list(retry.on)}


def _retry_from_json(data: Any) -> p.Retry:
    return p.Retry(**{**data, "on": tuple(data["on"])})


def _approval_to_json(approval: p.Approval) -> Json:
    message = _message_to_json(approval.message)
    return [list(approval.by), approval.expires_s, message, approval.quorum]


def _approval_from_json(data: Any) -> p.Approval:
    return p.Approval(tuple(data[0]), data[1], _message_from_json(data[2]), data[3])


def _budget_to_json(budget: p.Budget) -> Json:
    return [budget.usd, budget.tokens, budget.seconds, budget.on_exceed]


def _cache_to_json(cache: p.Cache) -> Json:
    return [value_to_json(cache.key), cache.ttl_s]


def _sorted(values: frozenset[int]) -> Json:
    return [*sorted(values)]


def _members(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    """Its members by value: to call the type takes ten times as long, for each of many nodes."""
    return {str(member): member for member in kind}.__getitem__


_NODE: Final[Mapping[str, tuple[Callable[[Any], Json], Callable[[Any], Any]]]] = MappingProxyType(
    {
        "kind": (str, _members(w.Kind)),
        "action": (_action_to_json, _action_from_json),
        "children": (list, tuple),
        "after": (list, tuple),
        "otherwise": (list, tuple),
        "condition": (lambda x: unparse(x.tree), expression_of),
        "each": (_each_to_json, _each_from_json),
        "output": (_output_to_json, _output_from_json),
        "on_error": (str, _members(w.OnError)),
        "effect": (str, _members(w.Effect)),
        "env": (_map, _unmap),
        "fenced": (_sorted, frozenset),
        "operation": (operation_to_json, _operation_from_json),
        "secrets": (list, tuple),
        "network": (list, tuple),
        "writes": (list, tuple),
        "allow": (_allow_to_json, _allow_from_json),
        "goto": (_goto_to_json, lambda data: p.Goto(*data)),
        "retry": (_retry_to_json, _retry_from_json),
        "approve": (_approval_to_json, _approval_from_json),
        "undo": (
            lambda node: node_to_json(node),  # noqa: PLW0108  defined below
            lambda data: _node_from_json(data),  # noqa: PLW0108
        ),
        "check": (
            lambda node: node_to_json(node),  # noqa: PLW0108  defined below
            lambda data: _node_from_json(data),  # noqa: PLW0108
        ),
        "handed": (
            lambda nodes: {name: node_to_json(one) for name, one in nodes.items()},
            lambda data: {name: _node_from_json(one) for name, one in data.items()},
        ),
        "budget": (_budget_to_json, lambda data: p.Budget(*data)),
        "cache": (_cache_to_json, lambda data: p.Cache(value_from_json(data[0]), data[1])),
    }
)
_HOLDERS: Final = frozenset({tuple, frozenset, dict, MappingProxyType})
_NODE_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Node))
_FIELDS_OF: Final = operator.attrgetter(*_NODE_FIELDS)
_WRITERS: Final = tuple((name, _NODE[name][0] if name in _NODE else None) for name in _NODE_FIELDS)
_READERS: Final = {name: read for name, (_, read) in _NODE.items()}


def node_to_json(node: Node) -> dict[str, Json]:
    """A node; what is not set is left out."""
    found: dict[str, Json] = {}
    for value, (name, write) in zip(_FIELDS_OF(node), _WRITERS, strict=True):
        if value is None or value is False or (not value and value.__class__ in _HOLDERS):
            continue
        found[name] = write(value) if write is not None else value
    return found


def _node_from_json(data: Mapping[str, Any]) -> Node:
    values: dict[str, Any] = {"id": "", "parent": ""}
    for name, value in data.items():
        read = _READERS.get(name)
        values[name] = read(value) if read is not None else value
    return Node(**values)


class UnknownPlan(UsageError):
    """The plan of a run was written by a newer version; it cannot be driven by this one."""

    code = "unknown-plan"

    def __init__(self, found: object) -> None:
        super().__init__(
            f"the plan of this run is of format {found}, and this version of aiworkflow reads {FORMAT}",
            hint="update aiworkflow to go on with this run",
        )


def plan_to_json(plan: Plan) -> dict[str, Json]:
    """The plan as plain data."""
    return {
        "format": FORMAT,
        "name": plan.name,
        "title": plan.title,
        "description": plan.description,
        "version": plan.version,
        "document": plan.document,
        "nodes": [node_to_json(node) for node in plan.nodes.values()],
        "inputs": [field_to_json(field) for field in plan.inputs],
        "outputs": _map(plan.outputs),
        "state": [[c.name, str(c.reduce), c.by, c.tool, c.start] for c in plan.state],
        "agents": _agents_to_json(plan.agents),
        "allow": _allow_to_json(plan.allow),
        "env": _map(plan.env),
        "timeout_s": plan.timeout_s,
        "budget": _budget_to_json(plan.budget) if plan.budget is not None else None,
        **_concurrency_to_json(plan.concurrency),
        **({"runs_on": list(plan.runs_on)} if plan.runs_on else {}),
        "tools": dict(plan.tools),
        **({"protocols": dict(plan.protocols)} if plan.protocols else {}),
        "files": dict(plan.files),
        "children": dict(plan.children),
        "config": dict(plan.config),
        "effect": str(plan.effect),
        **({"brings": plan.brings} if plan.brings else {}),
        "digest": plan.digest,
    }


def _concurrency_to_json(said: p.Concurrency | None) -> dict[str, Json]:
    """Nothing at all where it is not said: plans without it are what they were."""
    return {"concurrency": [template_to_json(said.key), said.overlap]} if said is not None else {}


def _concurrency_from_json(data: Any) -> p.Concurrency | None:
    return p.Concurrency(template_from_json(data[0]), data[1]) if data is not None else None


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    """The inverse of `plan_to_json`. Raises UnknownPlan: a newer version wrote it."""
    if data["format"] != FORMAT:
        raise UnknownPlan(data["format"])
    nodes = [_node_from_json(node) for node in data["nodes"]]
    return Plan(
        name=data["name"],
        title=data["title"],
        description=data["description"],
        version=data["version"],
        nodes={node.id: node for node in nodes},
        inputs=tuple(field_from_json(field) for field in data["inputs"]),
        outputs=_unmap(data["outputs"]),
        state=tuple(
            w.Channel(name, w.Reduce(reduce), by, tool, start)
            for name, reduce, by, tool, start in data["state"]
        ),
        agents=_agents_from_json(data["agents"]),
        allow=_allow_from_json(data["allow"]),
        env=_unmap(data["env"]),
        timeout_s=data["timeout_s"],
        budget=p.Budget(*data["budget"]) if data["budget"] is not None else None,
        concurrency=_concurrency_from_json(data.get("concurrency")),
        runs_on=tuple(data.get("runs_on", ())),
        tools=data["tools"],
        protocols=data.get("protocols", {}),
        files=data["files"],
        children=data.get("children", {}),
        document=data["document"],
        config=data["config"],
        effect=w.Effect(data["effect"]),
        brings=data.get("brings", ""),
        digest=data["digest"],
    )
