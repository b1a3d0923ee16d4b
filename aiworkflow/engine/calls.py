"""Calls of tools by the agent of a step: each an attempt of its own, with intent and end.

Theory. What such a step does outside are its calls, so the step is only in doubt when one of them is.
Calls are made, not decided: intents and ends come in as facts. A call whose end nobody knows follows
its own effect class: one that may be repeated is made again, with the same key, by the next attempt of
the step; any other is in doubt, and is settled like a step: by the tool's `check`, or a person. When
none is left in doubt, the next attempt of the step begins, and goes on with what was said and done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.engine import events as ev
from aiworkflow.engine.begin import begin_again
from aiworkflow.engine.carried import Failure
from aiworkflow.engine.desk import REPEATABLE
from aiworkflow.engine.ends import come_to_rest
from aiworkflow.engine.instance import CANCELLED, IN_DOUBT, LOST, RUNNING, WAITING, Instance

if TYPE_CHECKING:
    from aiworkflow.engine.desk import Desk

CALLS: Final = "calls"
"""Who settled the doubt of a step: all calls of its agent are settled."""


def doubtful_calls(instance: Instance) -> list[Instance]:
    """The calls of a step's agent that are in doubt."""
    return [call for call in instance.calls if call.status == IN_DOUBT]


def lose_calls(desk: Desk, instance: Instance, *, begun_again: bool) -> list[Instance]:
    """The driver of a step is gone: what became of the calls its agent was making.

    Args:
        begun_again: whether the step goes on, so that calls that may be repeated are.

    Returns:
        Those in doubt.
    """
    for call in instance.calls:
        if call.status != RUNNING:
            continue
        if call.question:  # it was never told what it asked for
            desk.emit(ev.Ended(desk.now, call.path, call.visit, call.attempt, WAITING))
            desk.waits[call.path] = None
            continue
        if call.effect not in REPEATABLE:
            text = "the process that made the call is gone; whether it had its effect is not known"
            status, error = IN_DOUBT, Failure(LOST, text, step=call.path)
        elif begun_again:
            continue
        else:
            status, error = CANCELLED, Failure("cancelled", "the run was stopping", step=call.path)
        desk.emit(ev.Ended(desk.now, call.path, call.visit, call.attempt, status, error=error))
    return doubtful_calls(instance)


def go_on_after(desk: Desk, instance: Instance) -> None:
    """A call in doubt is settled, or will not be: begin the step again when none is left."""
    if instance.status != IN_DOUBT:
        return
    left = doubtful_calls(instance)
    if not left:
        desk.emit(ev.Resolved(desk.now, instance.path, "redo", CALLS))
        begin_again(desk, instance)
    elif desk.is_cancelled and not any(_is_open(desk, call) for call in left):
        come_to_rest(desk, instance)


def _is_open(desk: Desk, call: Instance) -> bool:
    looks = call.check is not None and call.check.status in {RUNNING, WAITING}
    return looks or call.path in desk.doubts
