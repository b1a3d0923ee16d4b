"""Calls of tools that stand in no bundle, made in the place of a step: looks, undos, reducers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.bundle.workflow import Effect, Kind, Output, OutputForm, ToolCall
from aiworkflow.plan.graph import Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine.carried import Json


def narrowed(arguments: Mapping[str, Json], node: Node) -> Mapping[str, Json]:
    """The arguments of a call, as far as the operation that looks for it takes them."""
    if node.operation is None or node.operation.inputs is None:
        return arguments
    known = {one.name for one in node.operation.inputs}
    given = cast("dict[str, Json]", arguments.get("with", {}))
    return {**arguments, "with": {name: given[name] for name in given if name in known}}


def stand_in(node: Node, call: ToolCall, effect: Effect) -> Node:
    """A call of a tool that stands in no bundle, in the place of a step."""
    return Node(
        id=node.id,
        kind=Kind.TOOL,
        parent=node.parent,
        title=node.title,
        line=node.line,
        action=call,
        output=Output(OutputForm.JSON if effect is Effect.READ else OutputForm.AUTO),
        effect=effect,
    )
