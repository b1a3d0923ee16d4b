"""What the decider asks of the runtime: evaluations before it can decide, and actions after."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.engine.events import Event, Failure, Json, Ref


class Asked(StrEnum):
    """What a question is about."""

    CONDITION = "if"  # → a boolean
    ITEMS = "each"  # → the list as a Ref, its length, its digest
    UNTIL = "until"  # → a boolean
    ARGUMENTS = "arguments"  # → the rendered arguments as a Ref
    OPERANDS = "set"  # → operands by name
    GIVEN = "given"  # → {"operands": …, "given": …} of a `set` whose reducers have run
    REDUCE = "reduce"  # → the arguments of a join's reducers as a Ref
    MERGED = "merged"  # → the values a join's reducers gave, by name
    RESULT = "result"  # → a group's `result` as a Ref
    OUTPUTS = "outputs"  # → the run's outputs as a Ref


@record
class Question:
    """An expression to evaluate; the answer becomes part of the decision it leads to.

    Attributes:
        node: id of the step in the plan.
        path: where the step is, or will be.
        parent: path of the instance that holds it; what it can see is seen from there.
        index: of an item, from 0.
        operands: for REDUCE: what the branches wrote, by name.
    """

    about: Asked
    node: str
    path: str
    parent: str
    index: int | None = None
    operands: dict[str, list[Json]] | None = None


@record
class Answer:
    """The value of a question, or why there is none."""

    value: Json = None
    ref: Ref | None = None
    count: int = 0
    digest: str = ""
    failure: Failure | None = None


@record
class Perform:
    """Begin this attempt, once its `started` is durable."""

    path: str


@record
class Decision:
    """What one turn of the decider comes to.

    Attributes:
        events: facts given and decisions made, in the order to append them in.
        performs: attempts to begin after the append.
        cancels: paths of running attempts to end after the append.
        wake_at: when to decide again though nothing happens, seconds since the epoch.
        finished: whether the run is over.
        doubts: paths that wait for a person to settle what happened.
    """

    events: Sequence[Event]
    performs: Sequence[Perform] = ()
    cancels: Sequence[str] = ()
    wake_at: float | None = None
    finished: bool = False
    doubts: Sequence[str] = ()


@record
class Bounds:
    """Limits of the settings that decisions depend on.

    Attributes:
        max_parallel: instances of an `each` at once, where it does not say.
        max_running: attempts of the whole run at once.
        max_items: longest list of an `each`, where it does not say.
    """

    max_parallel: int = 8
    max_running: int = 64
    max_items: int = 10_000
