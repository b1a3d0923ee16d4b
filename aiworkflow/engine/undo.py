"""Undo: what was done is taken back, the last first.

Theory. A step that can be taken back leaves, the moment it has succeeded, the rendered arguments of
its undo in the journal (`Undoable`): they are what the names were then, whatever happens later. A
roll-back of an instance begins when everything below it is at rest, finals included. It takes the
undoable steps below in reverse order of their completion, one attempt after the other, each with its
intent first, its own idempotency key, and a retry; a doubt waits for a person like any other. What
cannot be undone is noted, and the roll-back goes on with the next.

What is rolled back: a run or group whose `on_error` is `rollback`, with everything in it; for a single
step with `on_error: rollback`, what holds it; a group that is about to be tried again; and a finished
run, when a person asks. What a failure undoes reaches back to the newest savepoint and no further; what
is tried again, and what a person asks for, is taken back whole. A group of which something could not be
taken back is not tried again: that would be done twice.

A group's own `undo` replaces those of the steps in it, once the group has succeeded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Child, OnError
from aiworkflow.engine import events as ev
from aiworkflow.engine.attempts import perform, start_attempt, what_is_done
from aiworkflow.engine.commands import Asked, Question
from aiworkflow.engine.desk import idempotency_key
from aiworkflow.engine.instance import SUCCEEDED, UNDER_WAY, WRITES
from aiworkflow.engine.retry import may_retry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.engine.carried import Failure
    from aiworkflow.engine.desk import Asking, Desk
    from aiworkflow.engine.instance import Instance
    from aiworkflow.engine.state import RunState
    from aiworkflow.plan.graph import Node


def prepare_undo(desk: Desk, instance: Instance) -> Asking:
    """Render the arguments of a step's undo, now that it has succeeded."""
    node = desk.plan.nodes[instance.node]
    if node.undo is None or instance.status != SUCCEEDED or not _is_whole(instance):
        return
    parent = instance.parent
    assert parent is not None
    answer = yield Question(Asked.UNDO, node.id, instance.path, parent.path, instance.index)
    desk.emit(ev.Undoable(desk.now, instance.path, instance.visit, answer.ref, answer.failure))


def wants_rollback(desk: Desk, instance: Instance, node: Node, error: Failure | None) -> bool:
    """Whether an instance that fails is taken back before it closes."""
    if instance.stopping == "undo" or instance.rollback or instance.undoing:
        return True
    if node.on_error is OnError.ROLLBACK and instance.round is None:
        return True
    return begins_again(instance, node, error)


def begins_again(instance: Instance, node: Node, error: Failure | None) -> bool:
    """Whether an instance that fails so is to be tried again."""
    parent = instance.parent
    return (
        node.retry is not None
        and _is_whole(instance)
        and parent is not None
        and (not parent.stopping or node.final)
        and may_retry(node.retry, error, instance.failures + 1)
    )


def roll_back(desk: Desk, instance: Instance, node: Node, error: Failure | None) -> bool:
    """Take back what was done below an instance that fails, one step after the other.

    Returns:
        Whether that is still under way: a step is being taken back, or its doubt waits for a person.
    """
    if not wants_rollback(desk, instance, node, error):
        return False
    if not instance.undoing:
        if next(undoable(desk.state, instance), None) is None:
            return False
        bound = 0  # what is done again is taken back whole, whatever savepoints are in it
        if instance.stopping != "undo" and not begins_again(instance, node, error):
            bound = max((one.done_seq for one in _savepoints(desk, instance)), default=0)
        desk.emit(ev.Undoing(desk.now, instance.path, bound))
    left = desk.undos.get(instance.path)
    if left is None:
        left = [one for one in undoable(desk.state, instance) if one.done_seq > instance.undo_bound]
        left.sort(key=lambda one: one.done_seq)
        desk.undos[instance.path] = left
    while left:
        entry = left[-1]
        if entry.undo is not None and entry.undo.status in UNDER_WAY:
            return True
        if not entry.undone:
            begin_undo(desk, entry)
            return True
        left.pop()
    return False


def not_taken_back(desk: Desk, instance: Instance) -> tuple[str, ...]:
    """Paths of what is below an instance and could not be taken back, in the order it was done."""
    found = [one for one in undoable(desk.state, instance) if one.undone]
    return tuple(one.path for one in sorted(found, key=lambda one: one.done_seq))


def begin_undo(desk: Desk, entry: Instance) -> None:
    """Begin to take a step back, with the arguments that stand in the journal."""
    if entry.undo is not None and entry.undo.arguments_seq:
        start_attempt(desk, entry.undo)
        return
    assert desk.state.started is not None
    node = what_is_done(desk.plan.nodes[entry.node], entry).undo
    path = f"{entry.path}/undo"
    visit = desk.visit(path)
    begun = desk.emit(
        ev.Started(
            desk.now,
            path,
            entry.node,
            entry.path,
            visit,
            1,
            str(node.effect) if node is not None else "idempotent",
            idempotency_key(desk.state.started.run, path, visit),
            None,
            entry.index,
            "undo",
        )
    )
    perform(desk, begun)


def undoable(state: RunState, below: Instance | None = None) -> Iterator[Instance]:
    """What can be taken back below an instance (by default in the whole run), in no order."""
    top = below or state.root
    stack = list((top.children or {}).values()) if top is not None else []
    while stack:
        child = stack.pop()
        stack.extend(child.former)
        is_left = child.status == SUCCEEDED or (child.role == "child" and child.at_rest)
        if is_left and child.undo_seq:
            if child.undone != "done":
                yield child
        elif child.calls:
            for call in child.calls:
                if call.status == SUCCEEDED and call.undo_seq and call.undone != "done":
                    yield call
        elif child.children:
            stack.extend(child.children.values())


def standing(desk: Desk, below: Instance) -> tuple[str, ...]:
    """Paths of steps whose effect stands though what holds them was taken back, in the order done."""
    found: list[tuple[int, str]] = []
    stack = list((below.children or {}).values())
    while stack:
        child = stack.pop()
        stack.extend(child.former)
        if child.undo_seq and child.undone == "done":
            left = desk.state.left.get(child.path, ())
            found.extend((child.done_seq, f"{child.path}/{step}") for step in left)
            continue
        if child.calls and child.journalled and not child.undo_seq:
            stack.extend(child.calls)
            continue
        is_step = child.form == "leaf" and child.status == SUCCEEDED and _has_written(desk, child)
        is_step = is_step and desk.state.is_own(child)
        if is_step or (child.undo_seq and child.undone):
            found.append((child.done_seq, child.path))
        elif child.children:
            stack.extend(child.children.values())
    return tuple(path for _, path in sorted(found, key=lambda one: one[0]))


def standing_in_groups(desk: Desk) -> tuple[str, ...]:
    """The same of the groups of a run that were taken back, while the run itself was not."""
    found: dict[str, None] = {}
    for path in desk.state.undoings:
        group = desk.state.instances.get(path)
        if group is not None and group.undoing:
            found |= dict.fromkeys(standing(desk, group))
    return tuple(found)


def _has_written(desk: Desk, step: Instance) -> bool:
    """Whether a step may have changed something outside; of a child run, whether its plan may."""
    node = desk.plan.nodes.get(step.node)
    if node is not None and isinstance(node.action, Child):
        return str(node.effect) in WRITES
    return step.effect in WRITES


def _savepoints(desk: Desk, instance: Instance) -> Iterator[Instance]:
    stack = list((instance.children or {}).values())
    while stack:
        child = stack.pop()
        if child.status == SUCCEEDED and desk.plan.nodes[child.node].savepoint:
            yield child
        elif child.children:
            stack.extend(child.children.values())


def _is_whole(instance: Instance) -> bool:
    """Whether an instance is a step or group as written, or an item of it: no list, no round."""
    return instance.form != "each" and instance.round is None
