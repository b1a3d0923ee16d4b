"""Waiting: for consent, an answer, a moment or an outside event. It takes no process.

A wait is opened with what people are shown and may answer, and when it is over by itself. What comes
from outside is an `Answered`; the decider says what it means: a gate counts consents against its
quorum, one refusal ends it, and a wait that is over by itself is refused (a person did not answer), too
late (an event did not come), or just done (a timer).

Time that people take is nobody's fault: it does not count in the `timeout` of what holds the wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import Ask, Gate, Wait
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Failure, Inline
from aiworkflow.engine.commands import Asked, Question
from aiworkflow.engine.ends import come_to_rest, fail_to_begin, skip
from aiworkflow.engine.instance import FAILED, SUCCEEDED, WAITING, Instance

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Json, Ref
    from aiworkflow.engine.desk import Asking, Desk
    from aiworkflow.plan.graph import Node

CONSENT: Final = frozenset({"approve", "gate"})


def wait_kind(node: Node) -> str:
    """What kind of wait a step is; "" for a step that does something."""
    match node.action:
        case Gate():
            return "gate"
        case Ask():
            return "ask"
        case Wait(event=None):
            return "timer"
        case Wait():
            return "event"
        case _:
            return ""


def open_wait(
    desk: Desk,
    node: Node,
    path: str,
    parent: Instance,
    index: int | None,
    kind: str,
    arguments: Ref | None = None,
    cache: str = "",
    because: str = "",
) -> Asking:
    """Open a wait at a path; the step there goes on when it is over."""
    question = Question(Asked.WAIT, node.id, path, parent.path, index, wait=kind)
    answer = yield question
    if answer.failure is not None:
        fail_to_begin(desk, path, node, parent, answer.failure, index)
        return
    spec = answer.value if isinstance(answer.value, dict) else {}
    due = spec.get("at")
    after = spec.get("after")
    if isinstance(after, int | float):
        due = desk.now + after
    opened = desk.emit(
        ev.Opened(
            desk.now,
            path,
            node.id,
            parent.path,
            kind,
            desk.visit(path),
            answer.ref,
            arguments,
            due if isinstance(due, int | float) else None,
            index,
            cache,
            because=because,
        )
    )
    desk.waits[path] = None
    if opened.due:
        desk.set_alarm(opened)


def answered(desk: Desk, instance: Instance) -> None:
    """Something came from outside for a wait; what came too late was not kept."""
    event = instance.reply
    if event is None or instance.status != WAITING:
        return
    node = desk.plan.nodes[instance.node]
    if instance.waits in {"child", "budget"}:
        consented(desk, instance)
        return
    if instance.waits == "break":
        pass_break(desk, instance, node, event.verdict)
        return
    if instance.waits not in CONSENT:
        over(desk, instance, event.data)
        return
    if event.verdict == "reject":
        why = f": {event.comment}" if event.comment else ""
        refused(desk, instance, Failure("rejected", f"rejected by {event.actor}{why}"))
        return
    quorum = node.approve.quorum if node.approve is not None else 1
    if len(instance.votes) < quorum:
        return
    if instance.waits == "approve":
        consented(desk, instance)
        return
    given: Json = {
        "by": ", ".join(instance.votes),
        "at": _iso(event.at),
        "comment": event.comment or None,
    }
    over(desk, instance, Inline(given))


def due(desk: Desk, instance: Instance) -> None:
    """A wait is over by itself."""
    match instance.waits:
        case "timer":
            over(desk, instance, None)
        case "child":
            consented(desk, instance)
        case "event":
            refused(desk, instance, Failure("timeout", "the event did not come in time"))
        case _:
            refused(desk, instance, Failure("expired", "nobody answered in time"))


def consented(desk: Desk, instance: Instance) -> None:
    """The step may begin, with the arguments that were shown; or its child run can go on."""
    desk.emit(ev.Approved(desk.now, instance.path))
    _closed(desk, instance)
    if instance.form == "leaf":
        assert instance.parent is not None
        desk.queue.append((instance.node, instance.parent.path, instance.index))
    else:
        desk.agenda.append(instance)


def pass_break(desk: Desk, instance: Instance, node: Node, verdict: str) -> None:
    """A person lets the run go on: the step begins, or is left out."""
    assert instance.parent is not None
    if verdict == "skip":
        _closed(desk, instance)
        skip(desk, instance.path, node, instance.parent, "person", instance.index)
        return
    desk.emit(ev.Approved(desk.now, instance.path))
    _closed(desk, instance)
    desk.passed.append(instance)


def over(desk: Desk, instance: Instance, output: Ref | None) -> None:
    """What was waited for is there; it is the step's output."""
    visit = instance.visit
    desk.emit(ev.Ended(desk.now, instance.path, visit, 0, SUCCEEDED, output))
    _closed(desk, instance)
    come_to_rest(desk, instance)


def refused(desk: Desk, instance: Instance, failure: Failure) -> None:
    """Nobody agreed, or nothing came: the step fails."""
    error = Failure(failure.kind, failure.message, step=instance.path)
    if instance.form == "leaf":
        desk.emit(ev.Ended(desk.now, instance.path, instance.visit, 0, FAILED, error=error))
    else:
        desk.emit(ev.Closed(desk.now, instance.path, FAILED, None, error))
        desk.drop_frontier(instance)
    _closed(desk, instance)
    come_to_rest(desk, instance)


def _closed(desk: Desk, instance: Instance) -> None:
    desk.waits.pop(instance.path, None)
    run_deadlines(desk, instance)


def run_deadlines(desk: Desk, instance: Instance) -> None:
    """Deadlines around a wait that stood still go on."""
    holder: Instance | None = instance
    while holder is not None:
        if holder.form != "leaf" and not holder.held and not holder.at_rest:
            desk.set_deadline(holder)
        holder = holder.parent


def _iso(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
