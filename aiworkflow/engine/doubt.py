"""Doubt: an attempt with an effect whose end nobody knows.

It is never repeated in silence. A tool may have an operation that looks (`check`): it is called with
the same key and arguments, and what it finds is the output; null is "it has not happened", and the
step is begun again. Without one, or when it fails, the run waits for a person.

A person who does not know either may have it taken back (`undo`): the step's undo runs with what is
known, whether there was an effect or not; then there is none, and the step is begun again in a new
visit, since the other side may remember the old key. An undo that fails leaves the doubt as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine import events as ev
from aiworkflow.engine.attempts import start_attempt, what_is_done
from aiworkflow.engine.begin import begin_again
from aiworkflow.engine.calls import doubtful_calls
from aiworkflow.engine.carried import Inline
from aiworkflow.engine.commands import Asked, Perform, Question
from aiworkflow.engine.ends import come_to_rest, try_again
from aiworkflow.engine.instance import (
    CANCELLED,
    FAILED,
    IN_DOUBT,
    PENDING,
    RUNNING,
    SUCCEEDED,
    WAITING,
    Instance,
)
from aiworkflow.engine.undo import begin_undo

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Ref
    from aiworkflow.engine.desk import Asking, Desk
    from aiworkflow.plan.graph import Node

CHECK = "check"
UNDO = "undo"
"""Who settled a doubt that no person did."""


def doubt(desk: Desk, instance: Instance) -> None:
    """An attempt is in doubt: look whether it has happened, or wait for a person.

    In a run that is being cancelled it counts as at rest, so that a cancel always ends.
    """
    if desk.is_cancelled and instance.role != "undo":
        come_to_rest(desk, instance)
    elif doubtful := doubtful_calls(instance):
        for call in doubtful:
            doubt(desk, call)
    elif instance.journalled and not (instance.error and instance.error.kind == "restored"):
        desk.settled.append(instance)
    elif _looker(desk, instance) is not None and not _has_failed(instance.check):
        _look(desk, instance)
    else:
        desk.doubts[instance.path] = None


def looked(desk: Desk, check: Instance, output: Ref | None, retry_after_s: float | None) -> None:
    """The tool has looked."""
    instance = check.parent
    assert instance is not None
    if check.status == FAILED and try_again(desk, check, retry_after_s):
        return
    if instance.status != IN_DOUBT:  # a person was faster
        return
    if check.status != SUCCEEDED:
        doubt(desk, instance)
        return
    happened = not (output is None or (isinstance(output, Inline) and output.value is None))
    outcome = "done" if happened else "redo"
    desk.emit(ev.Resolved(desk.now, instance.path, outcome, CHECK, output if happened else None))
    settled(desk, instance, outcome)


def is_open(desk: Desk, instance: Instance) -> bool:
    """Whether a doubt holds anything up: not one that a cancel has counted as at rest."""
    return instance.path in desk.doubts or (
        instance.check is not None and instance.check.status in {RUNNING, WAITING}
    )


def stop_looking(desk: Desk, instance: Instance) -> None:
    """A person has said it: a look that is under way, or to be tried again, is of no use."""
    check = instance.check
    if check is None:
        return
    if check.status == WAITING:
        desk.delays.discard(check.path)
        desk.emit(ev.Ended(desk.now, check.path, check.visit, check.attempt, CANCELLED))
    else:
        desk.cancels.append(check.path)


def settled(desk: Desk, instance: Instance, outcome: str) -> None:
    """A doubt is settled; what was done can be taken back like any other step."""
    desk.doubts.pop(instance.path, None)
    if instance.role == "call":
        come_to_rest(desk, instance)
        return
    if outcome == "undo":
        desk.take_backs.append(instance)
        return
    if outcome == "redo":
        begin_again(desk, instance)
        return
    if outcome == "done" and desk.plan.nodes[instance.node].undo and not instance.role:
        desk.done.append(instance)
    come_to_rest(desk, instance)


def take_back(desk: Desk, instance: Instance) -> Asking:
    """Begin the undo of a step in doubt, or see what it came to."""
    undo = instance.undo
    if undo is None or undo.status == PENDING:
        if desk.plan.nodes[instance.node].undo is not None:  # else the tool has said its own way
            answer = yield Question(
                Asked.UNDO,
                instance.node,
                instance.path,
                instance.parent.path if instance.parent is not None else "",
                instance.index,
            )
            desk.emit(
                ev.Undoable(desk.now, instance.path, instance.visit, answer.ref, answer.failure)
            )
            if answer.failure is not None:
                _keep(desk, instance)
                return
        begin_undo(desk, instance)
    elif undo.status == SUCCEEDED:
        desk.emit(ev.Resolved(desk.now, instance.path, "undone", UNDO))
        begin_again(desk, instance)
    elif undo.at_rest:
        _keep(desk, instance)


def _keep(desk: Desk, instance: Instance) -> None:
    desk.emit(ev.Resolved(desk.now, instance.path, "kept", UNDO))
    doubt(desk, instance)


def _look(desk: Desk, instance: Instance) -> None:
    check = instance.check
    if check is not None and check.status not in {PENDING, SUCCEEDED}:
        if check.path not in desk.running and check.path not in desk.delays:
            start_attempt(desk, check)
        return
    node = _looker(desk, instance)
    assert node is not None
    assert instance.parent is not None
    path = f"{instance.path}/check"
    visit = desk.visit(path)
    desk.emit(
        ev.Started(
            desk.now,
            path,
            instance.node,
            instance.path,
            visit,
            1,
            str(node.effect),
            instance.key,
            None,
            instance.index,
            "check",
        )
    )
    desk.running.add(path)
    desk.performs.append(Perform(path))


def _looker(desk: Desk, instance: Instance) -> Node | None:
    node = desk.plan.nodes[instance.node]
    if instance.role == "undo":
        assert instance.parent is not None
        node = what_is_done(node, instance.parent)
        return node.undo.check if node.undo is not None else None
    return what_is_done(node, instance).check if instance.role in {"", "call"} else None


def _has_failed(check: Instance | None) -> bool:
    return check is not None and check.status in {FAILED, "cancelled"}
