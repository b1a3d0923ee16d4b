"""What was said in the attempt of an agent step, as far as a later attempt needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Ref


@record
class Said:
    """Something was said between us and an agent (a fact).

    Attributes:
        messages: a list: the turn with which the agent asks for calls, before these are made.
        whole: whether it is all that a step which has ended adds to its session.
        agent: who said that; `held` is the agent's own id of the conversation, where it keeps one.
    """

    at: float
    path: str
    visit: int
    attempt: int
    messages: Ref
    whole: bool = False
    agent: str = ""
    held: str = ""
