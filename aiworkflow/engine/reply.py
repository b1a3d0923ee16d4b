"""What people said to questions that attempts of a step asked while they ran, as far as it is folded.

An open question is held by its instance (`question`, and `waits` as for any wait); what was said to it
joins `replies` with the decision to hand it over. The next attempt of the visit finds them there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine.instance import PENDING, RUNNING, WAITING, Instance
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.engine import events as ev


@record
class Reply:
    """What was said to a question.

    Attributes:
        question: digest of what was asked.
        opened, answered: seqs of the events that hold the question, and what was said.
        told: whether the attempt that asked was still running, and was told.
    """

    question: str
    opened: int
    answered: int
    told: bool


def is_asking(instance: Instance) -> bool:
    """Whether an attempt of a step, or a call that its agent makes, has a question open."""
    return bool(instance.question) or any(call.question for call in instance.calls)


def pose(instance: Instance, event: ev.Opened, seq: int) -> Instance:
    """Fold that a running attempt asks a person; one question is open at a time."""
    if instance.question:
        instance.over(event.at)
    instance.waits = event.kind
    instance.question, instance.question_seq = event.question, seq
    instance.votes, instance.reply = {}, None
    instance.due = event.due or 0.0
    instance.hold(event.at)
    return instance


def agree(instance: Instance, at: float) -> Instance:
    """Fold that people were waited for long enough: what waits may begin, or is told."""
    if instance.question:
        return _hand_over(instance, at)
    if instance.waits == "break":
        instance.passed = instance.visit
    is_begun = instance.form != "leaf" and instance.waits != "break"
    instance.over(at)
    instance.status = RUNNING if is_begun else PENDING
    return instance


def _hand_over(instance: Instance, at: float) -> Instance:
    """What was said is handed to the attempt that asked, or to the next one."""
    told = instance.status == RUNNING
    found = Reply(instance.question, instance.question_seq, instance.reply_seq, told)
    instance.replies = (*instance.replies, found)
    instance.over(at)
    if not told:
        instance.status = PENDING
    return instance


def end(instance: Instance, event: ev.Ended) -> None:
    """Fold the status with which an attempt ended."""
    if event.status != WAITING:
        instance.over(event.at)
        instance.status = event.status
    elif instance.question:
        instance.status = WAITING
    elif is_asking(instance):
        instance.status, instance.waits = WAITING, "call"
    else:  # somebody was faster than its end: it was not told any more
        instance.status = PENDING
        if instance.replies:
            *before, last = instance.replies
            untold = Reply(last.question, last.opened, last.answered, told=False)
            instance.replies = (*before, untold)
