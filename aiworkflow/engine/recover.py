"""Taking a run up: the desk is made anew, and what the last driver left is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import OnError
from aiworkflow.engine import events as ev
from aiworkflow.engine.begin import start_attempt
from aiworkflow.engine.desk import REPEATABLE, Desk
from aiworkflow.engine.ends import cancel_run, come_to_rest, judge
from aiworkflow.engine.events import Failure
from aiworkflow.engine.frontier import EachFrontier, GroupFrontier
from aiworkflow.engine.state import CANCELLED, FAILED, IN_DOUBT, PENDING, RUNNING, Instance

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


def adopt(desk: Desk, running: AbstractSet[str], now: float) -> None:
    """Make the working memory anew while attempts of this process go on (after `Moved`)."""
    desk.now = now
    rebuild(desk, running)


def rebuild(desk: Desk, running: AbstractSet[str] = frozenset()) -> None:
    """Make the working memory anew from the state, and settle what the last driver left.

    An attempt that is not running here, and whose end is not known, is begun again where its
    effect may be repeated, and is in doubt where it may not.
    """
    desk.groups.clear()
    desk.eachs.clear()
    desk.agenda.clear()
    desk.queue.clear()
    desk.running.clear()
    desk.doubts.clear()
    desk.given.clear()
    desk.timers.clear()
    if desk.state.finished is not None:
        return
    leaves: list[Instance] = []
    inner: list[Instance] = []
    for instance in list(desk.state.instances.values()):
        if instance.form == "leaf":
            leaves.append(instance)
        elif not instance.at_rest and instance.status != PENDING:
            inner.append(instance)
            rebuild_frontier(desk, instance)
    for leaf in leaves:
        if leaf.path in running and leaf.status == RUNNING:
            desk.running.add(leaf.path)
        else:
            recover(desk, leaf)
    for instance in reversed(inner):
        desk.agenda.append(instance)
        for child in list((instance.children or {}).values()):
            if child.at_rest:
                judge(desk, child, instance)
    if desk.state.cancelled is not None:
        cancel_run(desk)


def rebuild_frontier(desk: Desk, instance: Instance) -> None:
    """The frontier of one open instance, as its children stand."""
    children = instance.children or {}
    if instance.form == "each":
        desk.eachs[instance.path] = EachFrontier.rebuilt(children)
    elif instance.form == "group":
        desk.groups[instance.path] = GroupFrontier.rebuilt(
            desk.outline, desk.plan.nodes[instance.node], children
        )
    desk.set_deadline(instance)


def recover(desk: Desk, leaf: Instance) -> None:
    """Settle an attempt that no process of ours is running."""
    parent = leaf.parent
    if parent is None or parent.at_rest:
        return
    if leaf.status == IN_DOUBT:
        desk.doubts[leaf.path] = None
    elif leaf.status == RUNNING:
        lost(desk, leaf)


def lost(desk: Desk, leaf: Instance) -> None:
    """The driver of a running attempt is gone."""
    assert leaf.parent is not None
    final = leaf.role != "join" and desk.plan.nodes[leaf.node].final
    if leaf.role == "assign" and leaf.seq:
        desk.given.append(leaf)
        return
    if leaf.effect not in REPEATABLE:
        status, kind = IN_DOUBT, "lost"
        text = "the process that ran it is gone; whether it had its effect is not known"
    elif (leaf.parent.stopping or desk.is_cancelled) and not final:
        status, kind, text = CANCELLED, "cancelled", "the run was stopping"
    else:
        start_attempt(desk, leaf)
        return
    error = Failure(kind, text, step=leaf.path)
    desk.emit(ev.Ended(desk.now, leaf.path, leaf.visit, leaf.attempt, status, error=error))
    if status == IN_DOUBT and not desk.is_cancelled:
        desk.doubts[leaf.path] = None
    else:
        come_to_rest(desk, leaf)


def to_reset(desk: Desk) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a resume of an ended run does again: what failed or was cancelled, and the finals.

    Returns:
        Paths to go on in, and paths to begin anew, as in `RunResumed`.
    """
    reset: list[str] = []
    anew: list[str] = []
    root = desk.state.root
    if root is not None and desk.state.status in {FAILED, CANCELLED}:
        collect_reset(desk, root, reset, anew)
    return tuple(reset), tuple(anew)


def collect_reset(desk: Desk, instance: Instance, reset: list[str], anew: list[str]) -> None:
    """What to reset below an instance that failed or was cancelled."""
    reset.append(instance.path)
    for child in (instance.children or {}).values():
        node = desk.plan.nodes[child.node]
        tolerated = node.on_error is OnError.CONTINUE and child.status == FAILED
        if instance.form == "group" and node.final:
            collect_all(child, anew)
        elif child.status in {FAILED, CANCELLED} and not tolerated:
            collect_reset(desk, child, reset, anew)
    if instance.join is not None and instance.join.status in {FAILED, CANCELLED}:
        reset.append(instance.join.path)


def collect_all(instance: Instance, found: list[str]) -> None:
    """The path of an instance and of everything below it."""
    found.append(instance.path)
    for child in (instance.children or {}).values():
        collect_all(child, found)
