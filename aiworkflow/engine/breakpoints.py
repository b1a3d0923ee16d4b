"""Breakpoints: a run stops before a step, and a person says how it goes on.

A breakpoint is a wait like any other: it stands in the journal, takes no process, and may be answered
from anywhere and at any time. It comes after the step's own `if` and before anything else of it; a
step that is visited again stops again. `continue` begins the step; `step` begins it and stops before
the next one that does something; `skip` leaves it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Group
from aiworkflow.engine.commands import Asked, Question
from aiworkflow.engine.waits import open_wait

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiworkflow.engine.commands import Answer
    from aiworkflow.engine.desk import Desk
    from aiworkflow.engine.instance import Instance
    from aiworkflow.plan.graph import Node

KIND = "break"


def stops_here(
    desk: Desk, node: Node, path: str, parent: Instance, index: int | None
) -> Generator[Question, Answer, bool]:
    """Whether the run stops before this step; then its wait is open.

    A condition that cannot be evaluated stops it too: nobody asked to run past.
    """
    started = desk.state.started
    if started is None or not (started.breaks or desk.state.stepping):
        return False
    known = desk.state.instances.get(path)
    if known is not None and known.passed == known.visit:
        return False
    if not (desk.state.stepping and not isinstance(node.action, Group)):
        condition = started.breaks.get(path, started.breaks.get(node.id))
        if condition is None:
            return False
        if condition:
            question = Question(Asked.BREAK, node.id, path, parent.path, index, text=condition)
            answer = yield question
            if answer.failure is None and not answer.value:
                return False
    yield from open_wait(desk, node, path, parent, index, KIND)
    return True
