"""The decider: events, the state they fold into, and what follows from them.

Pure: no I/O, no clock, no randomness; tested by feeding it events.
"""

from aiworkflow.engine.codec import UnknownEvent, decode, encode, type_name
from aiworkflow.engine.commands import Answer, Asked, Bounds, Decision, Perform, Question
from aiworkflow.engine.decide import Decider
from aiworkflow.engine.desk import REPEATABLE
from aiworkflow.engine.events import Event, Failure, Inline, Ref, Spent, Stored
from aiworkflow.engine.state import Instance, RunState, output_ref

__all__ = [
    "REPEATABLE",
    "Answer",
    "Asked",
    "Bounds",
    "Decider",
    "Decision",
    "Event",
    "Failure",
    "Inline",
    "Instance",
    "Perform",
    "Question",
    "Ref",
    "RunState",
    "Spent",
    "Stored",
    "UnknownEvent",
    "decode",
    "encode",
    "output_ref",
    "type_name",
]
