"""How an attempt ends: what its outcome, or the error that ended it, comes to as a fact."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from aiworkflow.bundle.workflow import AgentCall, Effect, ToolCall
from aiworkflow.engine import REPEATABLE, Failure, Instance, Spent
from aiworkflow.steps.contract import Outcome, StepError, Usage
from aiworkflow.steps.output import check_output

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aiworkflow.plan.graph import Node

T = TypeVar("T")
_FILELESS: Final = ("http", "template")


def may_ask(node: Node) -> bool:
    """Whether something that acts for a step may ask a person meanwhile: an agent, or a server."""
    return isinstance(node.action, AgentCall) or (
        isinstance(node.action, ToolCall) and node.action.server is not None
    )


def checked(outcome: Outcome) -> Outcome:
    """The same; what was spent and can be taken back is so although its output is none."""
    try:
        check_output(outcome.output)
    except StepError as error:
        error.usage, error.agent, error.undo = outcome.usage, outcome.agent, outcome.undo
        raise
    return outcome


def acts_in_tree(node: Node, instance: Instance) -> bool:
    """Whether it may look at files of the working tree, or change them."""
    match node.action:
        case AgentCall():
            return instance.effect != Effect.READ
        case ToolCall(tool=tool) if tool in _FILELESS and instance.role != "undo":
            return False
        case _:
            return True


def failed(error: StepError, effect: str, path: str) -> tuple[str, Failure]:
    """Status and failure of an attempt that a `StepError` ended."""
    status = "in_doubt" if error.in_doubt and effect not in REPEATABLE else "failed"
    return status, Failure(error.kind, error.message, error.process_exit, path, error.hint)


def spent(usage: Usage) -> Spent:
    """Usage as events carry it."""
    return Spent(usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.cost_usd)


async def to_the_end(work: Coroutine[object, object, T]) -> T:
    """Wait for work, however often the caller is cancelled meanwhile: what has happened is told."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            uncancel()
    return task.result()


def uncancel() -> None:
    """The cancellation has become a fact; the task goes on to report it."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
