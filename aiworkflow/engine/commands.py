"""What the decider asks of the runtime: evaluations before it can decide, and actions after."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.bundle.policies import Budget
    from aiworkflow.engine.carried import Failure, Json, Ref
    from aiworkflow.engine.events import Event


class Asked(StrEnum):
    """What a question is about."""

    CONDITION = "if"  # → a boolean
    ITEMS = "each"  # → the list as a Ref, its length, its digest
    UNTIL = "until"  # → a boolean
    ARGUMENTS = "arguments"  # → the rendered arguments as a Ref
    WAIT = "wait"  # → what people are shown as a Ref; `{"at": seconds}` or `{"after": seconds}`
    CACHED = "cache"  # → the key; with a hit also `source`, and the output as a Ref
    UNDO = "undo"  # → the rendered arguments of the undo as a Ref
    AGENTS = "agents"  # → the offers for arguments that are rendered already
    OPERANDS = "set"  # → operands by name
    GIVEN = "given"  # → {"operands": …, "given": …} of a `set` whose reducers have run
    REDUCE = "reduce"  # → the arguments of a join's reducers as a Ref
    MERGED = "merged"  # → the values a join's reducers gave, by name
    RESULT = "result"  # → a group's `result` as a Ref
    OUTPUTS = "outputs"  # → the run's outputs as a Ref
    BREAK = "break"  # → a boolean: whether a breakpoint's condition holds


@record
class Question:
    """An expression to evaluate; the answer becomes part of the decision it leads to.

    Attributes:
        node: id of the step in the plan.
        path: where the step is, or will be.
        parent: path of the instance that holds it; what it can see is seen from there.
        index: of an item, from 0.
        operands: for REDUCE: what the branches wrote, by name.
        wait: for WAIT: what kind of wait it is.
        arguments: for CACHED: the rendered arguments.
        text: for BREAK: the condition.
    """

    about: Asked
    node: str
    path: str
    parent: str
    index: int | None = None
    operands: dict[str, list[Json]] | None = None
    wait: str = ""
    arguments: Ref | None = None
    text: str = ""


@record
class Offer:
    """What an attempt may cost at most with an agent: US dollars, tokens.

    Attributes:
        agent: as it stands in the settings: `name/model`; "" where there is no choice.
        is_left_alone: whether its circuit breaker is open.
        journalled: whether all that it does outside are calls that stand in the journal.
        why: why it stands in its place, where it was chosen.
    """

    agent: str
    usd: float
    tokens: int
    is_left_alone: bool = False
    journalled: bool = False
    why: str = ""


@record
class Answer:
    """The value of a question, or why there is none.

    Attributes:
        usd, tokens: of ARGUMENTS: what an attempt with them may cost at most.
        offers: of ARGUMENTS and AGENTS: the same for each agent, in order of preference, where the
            step has several.
    """

    value: Json = None
    ref: Ref | None = None
    count: int = 0
    digest: str = ""
    failure: Failure | None = None
    usd: float = 0.0
    tokens: int = 0
    offers: Sequence[Offer] = ()


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
        waits: paths of open waits.
        idle: whether nothing is left but to wait: no process is needed for that.
    """

    events: Sequence[Event]
    performs: Sequence[Perform] = ()
    cancels: Sequence[str] = ()
    wake_at: float | None = None
    finished: bool = False
    doubts: Sequence[str] = ()
    waits: Sequence[str] = ()
    idle: bool = False


@record
class Bounds:
    """Limits of the settings that decisions depend on.

    Attributes:
        max_parallel: instances of an `each` at once, where it does not say.
        max_running: attempts of the whole run at once.
        max_items: longest list of an `each`, where it does not say.
        budget: the run's own.
        timeout_s: longest time of the run, seconds; None for what the plan says.
    """

    max_parallel: int = 8
    max_running: int = 64
    max_items: int = 10_000
    budget: Budget | None = None
    timeout_s: float | None = None
