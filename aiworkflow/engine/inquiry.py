"""An attempt asks a person: a question that is opened while a step runs, and what is said to it.

Theory. What a step asks in the middle of an attempt (a server that wants to know more, an agent that
wants to run a command) is a wait like any other: opened with an event, answered through the journal by
anyone, at any time. What is special is that an attempt hangs on it:

    Opened(question)        a fact of the running attempt, durable before anybody can see the question
    Answered                a signal: what a person said
    Approved                our decision to hand that over; only after it is durable is it told
    Ended(waiting)          the attempt is over before it was told: the run parks, or its process died

So an attempt that is lost while its question is open, answered or not, was never told. It had stopped
where it asked, and what it asked for has not been done: it is not in doubt, whatever its effect class.
It waits, and the next attempt of the visit, begun once there is an answer, finds all that was said in
the visit, told or not, and asks nobody twice. An attempt that is lost after it was told is lost like
any other: a write may have happened.

A question may be one of a call that the agent of a step makes; then the step waits for its calls, and
goes on when nothing of them is open any more. Nobody saying anything in time is said too (`expire`):
to an attempt that runs as an answer; where none does the step fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine import events as ev
from aiworkflow.engine.begin import begin_again
from aiworkflow.engine.carried import Failure
from aiworkflow.engine.ends import give_up
from aiworkflow.engine.instance import LOST, PENDING, WAITING, Instance
from aiworkflow.engine.waits import refused, run_deadlines

if TYPE_CHECKING:
    from aiworkflow.engine.desk import Desk

EXPIRED = Failure("expired", "nobody answered in time")


def asked(desk: Desk, instance: Instance) -> None:
    """A running attempt has asked, or is known to."""
    desk.waits[instance.path] = None
    if instance.due:
        desk.set_alarm(instance)


def replied(desk: Desk, instance: Instance) -> None:
    """Something was said to an open question: hand it over."""
    if instance.reply is None:
        return
    desk.emit(ev.Approved(desk.now, instance.path))
    desk.waits.pop(instance.path, None)
    run_deadlines(desk, instance)
    step = instance.parent if instance.role == "call" else instance
    assert step is not None
    if instance.status != PENDING or any(call.question for call in step.calls):
        return
    if step is instance:
        begin_again(desk, step)
    elif step.status == WAITING:
        desk.emit(ev.Approved(desk.now, step.path))
        begin_again(desk, step)


def expired(desk: Desk, instance: Instance) -> None:
    """Nobody has said anything in time."""
    if instance.status == WAITING and instance.role != "call":
        refused(desk, instance, EXPIRED)
        return
    desk.emit(ev.Answered(desk.now, instance.path, instance.visit, "expire", ""))
    replied(desk, instance)


def set_aside(desk: Desk, instance: Instance) -> None:
    """An attempt has ended, since all that was left of it was to wait for a person."""
    desk.running.discard(instance.path)
    parent = instance.parent
    assert parent is not None
    if instance.status == PENDING:
        begin_again(desk, instance)
    elif desk.is_cancelled or (parent.stopping and not desk.plan.nodes[instance.node].final):
        give_up(desk, instance)


def lost_asking(desk: Desk, instance: Instance, *, stops: bool) -> None:
    """The process of an attempt is gone that had only waited for a person.

    Args:
        stops: whether what holds it stops.
    """
    text = "the process that waited for a person with it is gone"
    ended = desk.now, instance.path, instance.visit, instance.attempt, WAITING
    desk.emit(ev.Ended(*ended, error=Failure(LOST, text, step=instance.path)))
    if stops:
        give_up(desk, instance)
        return
    for one in (instance, *instance.calls):
        if one.question:
            asked(desk, one)
            replied(desk, one)
