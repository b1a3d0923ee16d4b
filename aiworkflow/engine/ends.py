"""How ends travel: an attempt ends, its parent is told, a failure stops what holds it."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import OnError
from aiworkflow.engine import events as ev
from aiworkflow.engine.agents import hand_over
from aiworkflow.engine.attempts import start_attempt
from aiworkflow.engine.budget import warn
from aiworkflow.engine.carried import Failure
from aiworkflow.engine.desk import REPEATABLE, Desk, idempotency_key, inherited, located
from aiworkflow.engine.frontier import GroupFrontier
from aiworkflow.engine.instance import (
    CANCELLED,
    FAILED,
    IN_DOUBT,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    WAITING,
    Instance,
)
from aiworkflow.engine.reply import is_asking
from aiworkflow.engine.retry import UNDO_RETRY, may_retry, pause_s

if TYPE_CHECKING:
    from aiworkflow.plan.graph import Node


def attempt_ended(desk: Desk, instance: Instance, retry_after_s: float | None = None) -> None:
    """An attempt ended: another one, rest, or reducers whose values are to be written."""
    desk.running.discard(instance.path)
    if desk.has_budgets:
        warn(desk, instance)
    if instance.status == SUCCEEDED and desk.plan.nodes[instance.node].undo and not instance.role:
        desk.done.append(instance)
    if instance.status == FAILED and try_again(desk, instance, retry_after_s):
        return
    if instance.role == "assign" and instance.status == RUNNING:
        desk.given.append(instance)
    else:
        come_to_rest(desk, instance)


def skip(
    desk: Desk, path: str, node: Node, parent: Instance, because: str, index: int | None = None
) -> None:
    """A step that will not run, and why."""
    visit = desk.visit(path)
    come_to_rest(
        desk, desk.emit(ev.Skipped(desk.now, path, node.id, parent.path, because, visit, index))
    )


def fail_to_begin(
    desk: Desk, path: str, node: Node, parent: Instance, failure: Failure, index: int | None = None
) -> None:
    """A step that cannot even begin: its expressions fail."""
    error = failure if failure.step else located(failure, path)
    visit = desk.visit(path)
    come_to_rest(
        desk, desk.emit(ev.Broken(desk.now, path, node.id, parent.path, error, visit, index))
    )


def try_again(desk: Desk, instance: Instance, asked_s: float | None = None) -> bool:
    """Rule 7: line up another attempt of what failed, if it may have one."""
    node = desk.plan.nodes[instance.node]
    parent = instance.parent
    apart = instance.role in {"undo", "check"}
    retry = UNDO_RETRY if apart else node.retry
    if parent is None or instance.role in {"assign", "join"}:
        return False
    if parent.stopping and not node.final and not apart:
        return False
    if apart and instance.error is not None and instance.error.kind == "conflict":
        return (
            False  # somebody has changed there what was done, and does not take that back by itself
        )
    if not apart and hand_over(desk, instance):
        return True
    if retry is None or not may_retry(retry, instance.error, instance.failures):
        return False
    assert desk.state.started is not None
    key = instance.key or idempotency_key(desk.state.started.run, instance.path, 1)
    until = desk.now + pause_s(retry, instance.failures, key, asked_s)
    desk.emit(ev.Delayed(desk.now, instance.path, until))
    desk.delays.add(instance.path)
    desk.set_alarm(instance)
    return True


def give_up(desk: Desk, instance: Instance) -> None:
    """What is waited for is no longer: what holds the step stops."""
    text = "stopped while it waited"
    if not instance.waits and instance.error is not None:
        text = f"stopped before it was tried again: {instance.error.message}"
    error = Failure("cancelled", text, step=instance.path)
    assert instance.parent is not None
    entry = (instance.node, instance.parent.path, instance.index)
    if instance.path not in desk.waits and instance.path not in desk.delays and entry in desk.queue:
        desk.queue.remove(entry)  # its pause was over, and it waited for a slot only
    for call in instance.calls:
        if call.question:
            desk.waits.pop(call.path, None)
            ended = desk.now, call.path, call.visit, call.attempt, CANCELLED
            desk.emit(ev.Ended(*ended, error=Failure("cancelled", text, step=call.path)))
    desk.waits.pop(instance.path, None)
    desk.delays.discard(instance.path)
    if instance.form == "leaf":
        status = instance.visit, instance.attempt
        desk.emit(ev.Ended(desk.now, instance.path, *status, CANCELLED, error=error))
    else:
        desk.emit(ev.Closed(desk.now, instance.path, CANCELLED, None, error))
        desk.drop_frontier(instance)
    come_to_rest(desk, instance)


def come_to_rest(desk: Desk, child: Instance) -> None:
    """A child has come to rest: tell what holds it, and put that on the agenda."""
    parent = child.parent
    if parent is None:
        return
    if child.role == "call":
        if parent not in desk.settled:
            desk.settled.append(parent)
        return
    if child.role == "undo" and parent.taking_back:
        desk.take_backs.append(parent)
        return
    if child.role == "undo":
        owner = owner_of(child) if desk.state.taking is None else desk.state.root
        if owner is not None:
            desk.agenda.append(owner)
        return
    desk.agenda.append(parent)
    if child.role == "join":
        return  # `close_instance` looks at it
    if parent.form == "each":
        frontier = desk.eachs[parent.path]
        frontier.running -= 1
        frontier.done += 1
    elif parent.form == "until":
        pass
    elif desk.plan.nodes[child.node].final:
        desk.groups[parent.path].final_at += 1
    else:
        for name in desk.groups[parent.path].rested(desk.outline, child):
            desk.let_go_on((parent.children or {})[name])
    judge(desk, child, parent)


def owner_of(instance: Instance) -> Instance | None:
    """The instance whose roll-back an undo belongs to."""
    found = instance.parent
    while found is not None and not (found.undoing and not found.at_rest):
        found = found.parent
    return found


def judge(desk: Desk, child: Instance, parent: Instance) -> None:
    """Rule 3: what a child's end means for what holds it."""
    if child.status in {SUCCEEDED, SKIPPED}:
        return
    if parent.form == "each":
        frontier = desk.eachs[parent.path]
        frontier.failed = frontier.failed or child
    if parent.form == "until":
        stop_instance(
            desk, parent, "failed" if child.status == FAILED else "cancelled", child.error
        )
        return
    if child.status != FAILED or parent.stopping:
        return
    node = desk.plan.nodes[child.node]
    if node.on_error is OnError.CONTINUE:
        return
    goto = (
        node.goto if parent.form != "each" else None
    )  # an item fails its `each`, and that goes back
    visits = child.visit - child.since + 1
    if goto is not None and visits < goto.max_visits and not desk.is_cancelled:
        go_back(desk, parent, goto.target, child)
        return
    rollback = node.on_error is OnError.ROLLBACK and child.form == "leaf"
    holder = desk.plan.nodes[parent.node]
    if parent.form == "group" and not node.final and desk.outline.needed(holder) is not None:
        return
    stop_instance(desk, parent, "failed", inherited(child), rollback=rollback)


def go_back(desk: Desk, parent: Instance, target: str, child: Instance) -> None:
    """`goto`: everything from an earlier sibling up to the one that failed begins again."""
    mains = desk.outline.mains[parent.node]
    names = mains[mains.index(target) : mains.index(child.node) + 1]
    desk.emit(ev.Repeated(desk.now, parent.path, "goto", names))
    desk.groups[parent.path] = GroupFrontier.rebuilt(
        desk.outline, desk.plan.nodes[parent.node], parent.children or {}
    )


def stop_instance(
    desk: Desk,
    instance: Instance,
    reason: str,
    error: Failure | None = None,
    *,
    rollback: bool = False,
) -> None:
    """Rule 2: nothing new starts here or below, and what can be ended is."""
    if not instance.stopping:
        desk.emit(ev.Stopping(desk.now, instance.path, reason, error, rollback))
    desk.agenda.append(instance)
    everything = reason == "timeout" or desk.is_cancelled
    stop_below(desk, instance, everything=everything)


def stop_below(desk: Desk, instance: Instance, *, everything: bool) -> None:
    """Stop everything under way below an instance, but the finals."""
    for child in (instance.children or {}).values():
        if child.at_rest or (desk.plan.nodes[child.node].final and instance.form == "group"):
            continue
        if child.waits == "child":
            desk.emit(ev.Approved(desk.now, child.path))  # its run is to be stopped as well
            desk.waits.pop(child.path, None)
            start_attempt(desk, child)
            continue
        if child.status == WAITING:
            give_up(desk, child)
            continue
        if child.form == "leaf":
            effect = desk.plan.nodes[child.node].effect if child.role == "child" else child.effect
            ends = everything or effect in REPEATABLE or is_asking(child)
            if child.path in desk.running and ends:
                desk.cancels.append(child.path)
            elif child.status == IN_DOUBT and desk.is_cancelled:
                for one in (child, *child.calls):
                    if one.check is not None and one.check.path in desk.running:
                        desk.cancels.append(one.check.path)
                    elif one.path in desk.doubts:
                        del desk.doubts[one.path]
                        come_to_rest(desk, one)
            continue
        if not child.stopping:
            desk.emit(ev.Stopping(desk.now, child.path, "cancelled"))
        desk.agenda.append(child)
        stop_below(desk, child, everything=everything)
    if instance.join is not None and instance.join.path in desk.running:
        desk.cancels.append(instance.join.path)


def cancel_run(desk: Desk) -> None:
    """Somebody asked for the run to stop."""
    root = desk.state.root
    if root is None or desk.state.finished is not None or desk.state.taking is not None:
        return  # a roll-back is not cancelled; see `takeback`
    stop_instance(desk, root, "cancelled", Failure("cancelled", cancel_text(desk)))


def cancel_text(desk: Desk) -> str:
    """Who asked, and why."""
    asked = desk.state.cancelled
    assert asked is not None
    reason = f": {asked.reason}" if asked.reason else ""
    return f"cancelled by {asked.actor}{reason}"


def begin_due(desk: Desk, instance: Instance) -> None:
    """The pause before another attempt is over."""
    assert instance.parent is not None
    desk.delays.discard(instance.path)
    if instance.role in {"undo", "check"}:
        desk.restarts.append(instance)
    elif instance.form == "leaf":
        desk.queue.append((instance.node, instance.parent.path, instance.index))
    else:
        desk.emit(ev.Repeated(desk.now, instance.path, "retry"))
        desk.open_frontier(instance)


def ring_timers(desk: Desk, now: float) -> list[Instance]:
    """Deadlines that have passed, attempts whose pause is over, items that pacing lets start.

    Returns:
        The waits that are over by themselves.
    """
    waited: list[Instance] = []
    while desk.timers and desk.timers[0][0] <= now:
        _, path, what = heapq.heappop(desk.timers)
        instance = desk.state.instances[path]
        if instance.at_rest or desk.state.finished is not None:
            continue
        if what == "pace":
            desk.agenda.append(instance)
        elif what == "due":
            is_open = instance.status == WAITING or instance.question
            if not is_open or not 0 < instance.due <= now:
                continue
            if instance.waits:
                waited.append(instance)
            else:
                begin_due(desk, instance)
        elif instance.held:
            continue  # people take their time; the deadline is set anew when they have answered
        elif not instance.stopping:
            if instance.at + (desk.timeout_of(instance) or 0.0) + instance.held_s > now:
                continue  # it was set anew meanwhile
            seconds = desk.timeout_of(instance)
            error = Failure("timeout", f"took longer than {seconds:g} s", step=path or None)
            stop_instance(desk, instance, "timeout", error)
    return waited
