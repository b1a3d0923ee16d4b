"""How ends travel: an attempt ends, its parent is told, a failure stops what holds it."""

from __future__ import annotations

import heapq

from aiworkflow.bundle.workflow import OnError
from aiworkflow.engine import events as ev
from aiworkflow.engine.desk import REPEATABLE, Desk, inherited
from aiworkflow.engine.events import Failure
from aiworkflow.engine.state import FAILED, IN_DOUBT, RUNNING, SKIPPED, SUCCEEDED, Instance


def attempt_ended(desk: Desk, instance: Instance) -> None:
    """An attempt ended: rest, doubt, or reducers whose values are to be written."""
    desk.running.discard(instance.path)
    if instance.status == IN_DOUBT and not desk.is_cancelled:
        desk.doubts[instance.path] = None
    elif instance.role == "assign" and instance.status == RUNNING:
        desk.given.append(instance)
    else:
        come_to_rest(desk, instance)


def come_to_rest(desk: Desk, child: Instance) -> None:
    """A child has come to rest: tell what holds it, and put that on the agenda."""
    parent = child.parent
    if parent is None:
        return
    desk.agenda.append(parent)
    if child.role == "join":
        return  # `_close` looks at it
    if parent.form == "each":
        frontier = desk.eachs[parent.path]
        frontier.running -= 1
        frontier.done += 1
    elif parent.form == "until":
        pass
    elif desk.plan.nodes[child.node].final:
        desk.groups[parent.path].final_at += 1
    else:
        desk.groups[parent.path].rested(desk.outline, child)
    judge(desk, child, parent)


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
    holder = desk.plan.nodes[parent.node]
    if parent.form == "group" and not node.final and desk.outline.needed(holder) is not None:
        return
    stop_instance(desk, parent, "failed", inherited(child))


def stop_instance(
    desk: Desk, instance: Instance, reason: str, error: Failure | None = None
) -> None:
    """Rule 2: nothing new starts here or below, and what can be ended is."""
    if not instance.stopping:
        desk.emit(ev.Stopping(desk.now, instance.path, reason, error))
    desk.agenda.append(instance)
    everything = reason == "timeout" or desk.is_cancelled
    stop_below(desk, instance, everything=everything)


def stop_below(desk: Desk, instance: Instance, *, everything: bool) -> None:
    """Stop everything under way below an instance, but the finals."""
    for child in (instance.children or {}).values():
        if child.at_rest or (desk.plan.nodes[child.node].final and instance.form == "group"):
            continue
        if child.form == "leaf":
            if child.path in desk.running and (everything or child.effect in REPEATABLE):
                desk.cancels.append(child.path)
            elif child.path in desk.doubts and desk.is_cancelled:
                del desk.doubts[child.path]
                come_to_rest(desk, child)
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
    if root is None or desk.state.finished is not None:
        return
    stop_instance(desk, root, "cancelled", Failure("cancelled", cancel_text(desk)))


def cancel_text(desk: Desk) -> str:
    """Who asked, and why."""
    asked = desk.state.cancelled
    assert asked is not None
    reason = f": {asked.reason}" if asked.reason else ""
    return f"cancelled by {asked.actor}{reason}"


def ring_timers(desk: Desk, now: float) -> None:
    """Deadlines that have passed, and items whose pacing lets them start."""
    while desk.timers and desk.timers[0][0] <= now:
        _, path, what = heapq.heappop(desk.timers)
        instance = desk.state.instances[path]
        if instance.at_rest or desk.state.finished is not None:
            continue
        if what == "pace":
            desk.agenda.append(instance)
        elif not instance.stopping:
            seconds = desk.timeout_of(instance)
            error = Failure("timeout", f"took longer than {seconds:g} s", step=path or None)
            stop_instance(desk, instance, "timeout", error)
