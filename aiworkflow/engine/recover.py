"""Taking a run up: the desk is made anew, and what the last driver left is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import OnError
from aiworkflow.engine import events as ev
from aiworkflow.engine.attempts import start_attempt
from aiworkflow.engine.calls import lose_calls
from aiworkflow.engine.carried import Failure
from aiworkflow.engine.desk import REPEATABLE, Desk
from aiworkflow.engine.doubt import doubt
from aiworkflow.engine.ends import cancel_run, come_to_rest, judge
from aiworkflow.engine.frontier import EachFrontier, GroupFrontier
from aiworkflow.engine.inquiry import asked, lost_asking, replied
from aiworkflow.engine.instance import (
    CANCELLED,
    FAILED,
    IN_DOUBT,
    LOST,
    PENDING,
    RUNNING,
    SUCCEEDED,
    WAITING,
    Instance,
)
from aiworkflow.engine.reply import is_asking
from aiworkflow.engine.waits import answered, consented

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


def rebuild(desk: Desk, running: AbstractSet[str] = frozenset()) -> None:
    """Make the working memory anew from the state, and settle what the last driver left.

    An attempt that is not running here, and whose end is not known, is begun again where its
    effect may be repeated, and is in doubt where it may not.
    """
    desk.clear()
    if desk.state.finished is not None:
        return
    leaves: list[tuple[Instance, str]] = []
    inner: list[Instance] = []
    for instance in list(desk.state.instances.values()):
        if instance.status == WAITING and instance.parent is not None:
            take_up_wait(desk, instance)
        elif instance.form == "leaf":
            leaves.append((instance, instance.status))
        elif not instance.at_rest and instance.status != PENDING:
            inner.append(instance)
            rebuild_frontier(desk, instance)
        elif instance.children and instance.status == PENDING:  # an item that waits for its turn
            desk.is_holding = True
    for leaf, status in leaves:
        if leaf.path in running and leaf.status == RUNNING:
            desk.running.add(leaf.path)
            for one in (leaf, *leaf.calls):
                if one.question:
                    asked(desk, one)
        elif leaf.status == status:  # else it was begun just now, to settle another
            recover(desk, leaf)
    for instance in reversed(inner):
        desk.agenda.append(instance)
        for child in list((instance.children or {}).values()):
            if child.at_rest:
                judge(desk, child, instance)
    for path in list(desk.waits):
        take_up_answer(desk, desk.state.instances[path])
    if desk.state.cancelled is not None:
        cancel_run(desk)


def take_up_wait(desk: Desk, instance: Instance) -> None:
    """What was waited for still is."""
    if instance.waits == "call":
        return  # what its call asks is what is waited for
    if instance.waits:
        desk.waits[instance.path] = None
    else:
        desk.delays.add(instance.path)
    if instance.due:
        desk.set_alarm(instance)
    if instance.form != "leaf" and instance.waits:
        rebuild_frontier(desk, instance)


def take_up_answer(desk: Desk, waiting: Instance) -> None:
    """What was waited for may have come meanwhile."""
    if waiting.waits in {"budget", "child"} and desk.state.raised:  # what is raised is, below too
        consented(desk, waiting)
    elif waiting.question:
        replied(desk, waiting)
    else:
        answered(desk, waiting)


def rebuild_frontier(desk: Desk, instance: Instance) -> None:
    """The frontier of one open instance, as its children stand."""
    children = instance.children or {}
    if instance.form == "each":
        desk.eachs[instance.path] = EachFrontier.rebuilt(children, instance.count)
    elif instance.form == "group":
        frontier = desk.groups[instance.path] = GroupFrontier.rebuilt(
            desk.outline, desk.plan.nodes[instance.node], children
        )
        desk.is_holding = desk.is_holding or bool(frontier.held)
    desk.set_deadline(instance)


def recover(desk: Desk, leaf: Instance) -> None:
    """Settle an attempt that no process of ours is running."""
    parent = leaf.parent
    if leaf.role == "call":
        return  # its step settles it
    if leaf.status == SUCCEEDED and not leaf.undo_seq and not leaf.role:
        if desk.plan.nodes[leaf.node].undo is not None and desk.state.is_own(leaf):
            desk.done.append(leaf)
        return
    if parent is None or (parent.at_rest and leaf.role != "undo"):
        return
    if leaf.status == IN_DOUBT and leaf.taking_back:
        desk.take_backs.append(leaf)
    elif leaf.status == IN_DOUBT:
        if leaf.check is None or leaf.check.status not in {RUNNING, WAITING}:
            doubt(desk, leaf)  # a look that is under way is taken up by itself
    elif leaf.status == RUNNING:
        lost(desk, leaf)


def lost(desk: Desk, leaf: Instance) -> None:
    """The driver of a running attempt is gone."""
    assert leaf.parent is not None
    apart = leaf.role in {"undo", "check"}
    final = leaf.role != "join" and desk.plan.nodes[leaf.node].final
    if leaf.role == "assign" and leaf.seq:
        desk.given.append(leaf)
        return
    stops = bool(leaf.parent.stopping or desk.is_cancelled) and not final and not apart
    doubtful = lose_calls(desk, leaf, begun_again=not stops)
    if doubtful:
        status, kind = IN_DOUBT, LOST
        text = f"whether a call of its agent had its effect is not known: `{doubtful[0].path}`"
    elif is_asking(leaf):
        lost_asking(desk, leaf, stops=stops)
        return
    elif leaf.effect not in REPEATABLE and not leaf.journalled:
        status, kind = IN_DOUBT, LOST
        text = "the process that ran it is gone; whether it had its effect is not known"
    elif stops:
        status, kind, text = CANCELLED, "cancelled", "the run was stopping"
    elif leaf.metered and not leaf.role:  # what was lost counts: another must fit into the budgets
        desk.emit(ev.Delayed(desk.now, leaf.path, desk.now, LOST))
        desk.queue.append((leaf.node, leaf.parent.path, leaf.index))
        return
    else:
        start_attempt(desk, leaf)
        return
    error = Failure(kind, text, step=leaf.path)
    desk.emit(ev.Ended(desk.now, leaf.path, leaf.visit, leaf.attempt, status, error=error))
    if status == IN_DOUBT:
        doubt(desk, leaf)
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
