"""The decider: events, the state they fold into, and what follows from them.

Pure: no I/O, no clock, no randomness; tested by feeding it events.
"""

from aiworkflow.engine.breaker import Breaker, BreakerPolicy, BreakerState
from aiworkflow.engine.budget import own_usd, total_of
from aiworkflow.engine.carried import Failure, Inline, Left, Ref, Spent, Stored, Total
from aiworkflow.engine.codec import UnknownEvent, decode, encode, type_name
from aiworkflow.engine.commands import Answer, Asked, Bounds, Decision, Offer, Perform, Question
from aiworkflow.engine.decide import Decider
from aiworkflow.engine.desk import REPEATABLE, idempotency_key
from aiworkflow.engine.events import Event
from aiworkflow.engine.fork import before, blobs_of, carried_over, has_begun, is_below
from aiworkflow.engine.instance import Instance
from aiworkflow.engine.outputs import output_ref
from aiworkflow.engine.replan import Replan, StepVerdict, done_so_far, outlook, taken_back
from aiworkflow.engine.replanned import in_force, renaming
from aiworkflow.engine.state import RunState
from aiworkflow.engine.undo import undoable

__all__ = [
    "REPEATABLE",
    "Answer",
    "Asked",
    "Bounds",
    "Breaker",
    "BreakerPolicy",
    "BreakerState",
    "Decider",
    "Decision",
    "Event",
    "Failure",
    "Inline",
    "Instance",
    "Left",
    "Offer",
    "Perform",
    "Question",
    "Ref",
    "Replan",
    "RunState",
    "Spent",
    "StepVerdict",
    "Stored",
    "Total",
    "UnknownEvent",
    "before",
    "blobs_of",
    "carried_over",
    "decode",
    "done_so_far",
    "encode",
    "has_begun",
    "idempotency_key",
    "in_force",
    "is_below",
    "outlook",
    "output_ref",
    "own_usd",
    "renaming",
    "taken_back",
    "total_of",
    "type_name",
    "undoable",
]
