"""What stands beside a step: the call that takes its effect back, and the one that looks for it.

An author writes `undo` on the step. A tool may say both of its own operations (tools.yaml: `undo`,
`check`); then they are called with what their declared inputs name: a field of the output, else the
argument of that name. They are used only where the workflow allows what they need.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Effect, Kind, Output, OutputForm, Script, ToolCall
from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import ObjectOf, parse_expression, references
from aiworkflow.plan.effects import Effects, Reach
from aiworkflow.plan.graph import Node
from aiworkflow.plan.scopes import sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Operation, Value, Workflow
    from aiworkflow.plan.compile import Draft


def undo_node(draft: Draft, workflow: Workflow) -> Node | None:
    """What takes the effect of a step back, as a node that is in no group; None where nothing does."""
    step = draft.step
    if step.undo is not None and draft.undo is not None:
        return _way_back(draft, workflow, step.undo.action, draft.undo)
    call, operation = step.action, draft.reach.operation
    if not isinstance(call, ToolCall) or operation is None or operation.undo is None:
        return None
    way_back = _sibling(workflow, call, operation.undo)
    if way_back is None:
        return None
    arguments = _arguments(way_back, operation, call)
    if arguments is None:
        return None
    back = ToolCall(call.tool, way_back.name, arguments)
    reach = _allowed(workflow, draft, back, way_back)
    return _way_back(draft, workflow, back, reach) if reach is not None else None


def _way_back(draft: Draft, workflow: Workflow, action: ToolCall | Script, reach: Reach) -> Node:
    """What takes a step back, with what tells whether that has happened."""
    look = _look(draft, workflow, action, reach.operation)
    return dataclasses.replace(_node(draft, action, reach, "undo"), check=look)


def handed_nodes(draft: Draft, workflow: Workflow) -> Mapping[str, Node]:
    """The operations that an agent may call, each with its undo and its check, by name.

    What they are given is not known before the run.
    """
    found: dict[str, Node] = {}
    for name, reach in draft.reach.handed.items():
        operation = reach.operation
        if operation is None:
            continue
        call = ToolCall(name.partition(".")[0], operation.name)
        node = _node(draft, call, reach, "call")
        found[name] = dataclasses.replace(
            node,
            undo=_beside(draft, workflow, call, operation.undo, "undo"),
            check=_beside(draft, workflow, call, operation.check, "check"),
        )
    return found


def _beside(
    draft: Draft, workflow: Workflow, call: ToolCall, verb: str | None, what: str
) -> Node | None:
    operation = _sibling(workflow, call, verb) if verb is not None else None
    if operation is None:
        return None
    called = ToolCall(call.tool, operation.name)
    reach = _allowed(workflow, draft, called, operation)
    if reach is None:
        return None
    if what == "undo":
        return _way_back(draft, workflow, called, reach)
    return _node(draft, called, reach, what)


def needs_output(node: Node) -> bool:
    """Whether what takes a step back cannot do without the step's output."""
    if node.undo is None or not isinstance(node.undo.action, ToolCall | Script):
        return False
    for source in sources(dict(node.undo.action.arguments)):
        for one in references(source):
            own = one.path[0] == "output" or one.path[:2] == ("steps", node.id)
            if own and not one.guarded:
                return True
    return False


def check_node(draft: Draft, workflow: Workflow) -> Node | None:
    """What tells whether a call has happened; None where nothing does."""
    return _look(draft, workflow, draft.step.action, draft.reach.operation)


def _look(
    draft: Draft, workflow: Workflow, call: object, operation: Operation | None
) -> Node | None:
    if not isinstance(call, ToolCall) or operation is None or operation.check is None:
        return None
    look = _sibling(workflow, call, operation.check)
    if look is None:
        return None
    given = call.arguments
    if look.inputs is not None:
        given = {one.name: given[one.name] for one in look.inputs if one.name in given}
    called = ToolCall(call.tool, look.name, given)
    reach = _allowed(workflow, draft, called, look)
    return _node(draft, called, reach, "check") if reach is not None else None


def _sibling(workflow: Workflow, call: ToolCall, verb: str) -> Operation | None:
    tool = workflow.tools.get(call.tool)
    return tool.operation(verb) if tool is not None else None


def _arguments(
    way_back: Operation, operation: Operation, call: ToolCall
) -> Mapping[str, Value] | None:
    """The arguments of a tool's own undo; None where one that it needs is nowhere."""
    schema = operation.output.schema
    fields = schema.fields if isinstance(schema, ObjectOf) else {}
    found: dict[str, Value] = {}
    for one in way_back.inputs or ():
        if one.name in fields:
            found[one.name] = parse_expression(Fragment.of(f"output.{one.name}", "undo"), Report())
        elif one.name in call.arguments:
            found[one.name] = call.arguments[one.name]
        elif one.required:
            return None
    return found


def _allowed(
    workflow: Workflow, draft: Draft, call: ToolCall, operation: Operation
) -> Reach | None:
    """What an operation can do to the outside; None where the workflow does not allow it."""
    report = Report()
    reach = Effects(workflow, report).companion(draft.step, call, operation, draft.allow)
    return None if report.has_errors else reach


def _node(draft: Draft, action: ToolCall | Script, reach: Reach, what: str) -> Node:
    step, operation = draft.step, reach.operation
    return Node(
        id=step.id,
        kind=Kind.SCRIPT if isinstance(action, Script) else Kind.TOOL,
        parent=draft.parent,
        title=f"{what} of {step.title}",
        line=step.place.line,
        action=action,
        output=_output(operation, what),
        timeout_s=operation.timeout_s if operation is not None else None,
        effect=Effect.READ if what == "check" else reach.effect,
        env=step.env,
        operation=dataclasses.replace(operation, place=None) if operation is not None else None,
        secrets=reach.secrets,
        network=reach.network,
        writes=reach.writes,
    )


def _output(operation: Operation | None, what: str) -> Output:
    """What a check prints is JSON, so that it can say null."""
    if operation is None or (what == "check" and operation.output == Output()):
        return Output(OutputForm.JSON if what == "check" else OutputForm.AUTO)
    return operation.output
