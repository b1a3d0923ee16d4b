"""What can have happened in a run: frozen records, each self-contained and versioned.

An event is a *fact* (the world did it: an attempt ended), a *decision* (the decider did it: a step
began, a group closed) or a *signal* (somebody outside did it: a cancel). Facts and signals survive a
lost race for the journal's tail; decisions are made again.

Paths are addresses within a run: `files[3].lint`, `improve#2.draft`; "" is the run itself. `at` is
wall-clock time in seconds since the epoch. A `Ref` is a value in the event or, if large, in a blob.
"""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from aiworkflow.engine.events_of_runs import (
    CancelRequested,
    Changed,
    Replanned,
    RunFinished,
    RunResumed,
    RunStarted,
)
from aiworkflow.engine.said import Said
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine.carried import Failure, Json, Ref, Spent

__all__ = [
    "Answered",
    "Approved",
    "Assigned",
    "Broken",
    "CancelRequested",
    "Changed",
    "Closed",
    "Delayed",
    "Ended",
    "Entered",
    "Event",
    "Opened",
    "Released",
    "Repeated",
    "Replanned",
    "Resolved",
    "Reused",
    "RunFinished",
    "RunResumed",
    "RunStarted",
    "Said",
    "Skipped",
    "Started",
    "Stopping",
    "Undoable",
    "Undoing",
    "Warned",
]


@record
class Entered:
    """A group, an `each`, an `until` or one round or item of these began.

    Attributes:
        form: `group`, `each` or `until`.
        node: id of the step in the plan.
        parent: path of what holds it.
        items: of an `each`: the list; `count` its length, `digest` of its JSON.
        index: of an item, from 0; `round` of a round, from 1.
        forks: whether the branches below see the state at this point and merge when it closes.
    """

    at: float
    path: str
    node: str
    parent: str
    form: str
    visit: int = 1
    items: Ref | None = None
    count: int = 0
    digest: str = ""
    index: int | None = None
    round: int | None = None
    forks: bool = False


@record
class Skipped:
    """A step will not run. `because`: `if` (its own condition), `else` (an earlier branch ran)."""

    at: float
    path: str
    node: str
    parent: str
    because: str
    visit: int = 1
    index: int | None = None


@record
class Started:
    """Intent: an attempt is about to begin; nothing of it has happened before this is durable.

    Attributes:
        key: idempotency key of the visit.
        arguments: rendered once per visit; None in a later attempt, which uses the first one's.
        cache: what its output is to be found by later; "" for a step without `cache`.
        usd, tokens: what the attempt may cost at most, reserved from the budgets around it; `metered`:
            whether there are any that its end counts in.
        role: "" for the step itself; `assign` for reducers of tools/ that a `set` needs, `join` for
            those of a join; what `parent` did: `undo` takes it back, `check` looks if it happened;
            `child` is a child run; a fact is `call`: `parent`'s agent calls `tool`.
        journalled: whether all that the attempt does outside are such calls.
        agent: who makes the attempt, where `agents` may, by preference; `because`: why that one.
    """

    at: float
    path: str
    node: str
    parent: str
    visit: int
    attempt: int
    effect: str
    key: str
    arguments: Ref | None = None
    index: int | None = None
    role: str = ""
    cache: str = ""
    usd: float = 0.0
    tokens: int = 0
    metered: bool = False
    agent: str = ""
    agents: tuple[str, ...] = ()
    tool: str = ""
    journalled: bool = False
    because: str = ""


@record
class Reused:
    """A step has the output of an earlier attempt on the same values; nothing ran.

    Attributes:
        source: run and path of that attempt.
    """

    at: float
    path: str
    node: str
    parent: str
    output: Ref
    source: str
    visit: int = 1
    index: int | None = None


@record
class Released:
    """The attempt never began; its intent is void."""

    at: float
    path: str


@record
class Ended:
    """An attempt ended.

    Attributes:
        status: `succeeded`, `failed`, `cancelled`, `in_doubt` (whether it happened is unknown) or
            `waiting` (for a person it asked: the next one begins with the answer).
        output: on success.
        seconds: how long the attempt took.
        log: digest of the attempt's log, when it wrote any.
        undo: the tool's own way back: arguments of its undo, as `{"uses": …, "with": …}`.
        retry_after_s: of a failure: how long the other side asked to be left alone, seconds.
        standing: of the run's worktree, where it changed: see `runtime.trail`.
        stands: of the undo of a child run: paths of its steps whose effect stands.
    """

    at: float
    path: str
    visit: int
    attempt: int
    status: str
    output: Ref | None = None
    error: Failure | None = None
    spent: Spent | None = None
    agent: str | None = None
    seconds: float = 0.0
    log: str | None = None
    retry_after_s: float | None = None
    undo: Ref | None = None
    standing: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    stands: tuple[str, ...] = ()


@record
class Warned:
    """A budget is nearly used up: of the run or of what is at `path`, so much of `bound` is spent.

    Attributes:
        unit: `usd`, `tokens` or `seconds`.
    """

    at: float
    path: str
    unit: str
    spent: float
    bound: float


@record
class Undoable:
    """A step that succeeded can be taken back, with these arguments.

    Attributes:
        error: why the arguments could not be rendered: it cannot be taken back.
    """

    at: float
    path: str
    visit: int
    arguments: Ref | None = None
    error: Failure | None = None


@record
class Undoing:
    """What was done below `path` is being taken back, as far as it was done after seq `bound`."""

    at: float
    path: str
    bound: int = 0


@record
class Opened:
    """Something is waited for.

    Attributes:
        kind: `approve` (consent before the step runs), `gate`, `ask`, `timer`, `event` or `child`
            (the child run waits; then this is a fact), `budget` (for a higher one), or `break`.
        spec: what people are shown and may answer.
        arguments: of an `approve`: the step's rendered arguments; what was shown is what runs.
        cache: of an `approve`: as in `Started`.
        due: when the wait is over by itself, seconds since the epoch; None for never.
        question: digest of what the running attempt asks; "" where no attempt does.
        because: of a `budget`: what does not fit into it, in words.
    """

    at: float
    path: str
    node: str
    parent: str
    kind: str
    visit: int = 1
    spec: Ref | None = None
    arguments: Ref | None = None
    due: float | None = None
    index: int | None = None
    cache: str = ""
    question: str = ""
    because: str = ""


@record
class Answered:
    """Somebody, or something outside, answered a wait.

    Attributes:
        verdict: `approve`, `reject`, `answer`, `signal` or `child` (the child run can go on); at a
            breakpoint `continue`, `step` or `skip`; to an attempt also `decline cancel expire`.
        data: the answer, or what came with the signal.
    """

    at: float
    path: str
    visit: int
    verdict: str
    actor: str
    data: Ref | None = None
    comment: str = ""


@record
class Approved:
    """Enough people agreed; the step may begin."""

    at: float
    path: str


@record
class Delayed:
    """A step or group that failed is tried again at `until`, seconds since the epoch.

    Attributes:
        because: `retry`; or `agent`: its agent is down, and the next one is asked; or `lost`: its
            process is gone, and what it had reserved counts as spent.
    """

    at: float
    path: str
    until: float
    because: str = "retry"


@record
class Repeated:
    """Something begins again, in a new visit.

    Attributes:
        path: what holds the steps that begin again.
        names: which of its children, with all below them; empty for `path` itself and all below.
        because: `retry` or `goto`.
    """

    at: float
    path: str
    because: str
    names: tuple[str, ...] = ()


@record
class Broken:
    """A step failed before any attempt: its `if`, `each` or arguments could not be evaluated."""

    at: float
    path: str
    node: str
    parent: str
    error: Failure
    visit: int = 1
    index: int | None = None


@record
class Resolved:
    """A person, or the tool's `check`, settled a doubt: it is `done`, to `redo`, or it `failed`.

    Or a person wants it settled by the step's undo (`undo`; `output` is what is known of its output).
    The decider tells what came of that: `undone`, and begun again with a new key, or `kept`: it failed.
    """

    at: float
    path: str
    outcome: str
    actor: str
    output: Ref | None = None
    note: str = ""


@record
class Assigned:
    """`set`: operands by name, reduced into the state in this order.

    Attributes:
        given: the values that reducers of tools/ computed, by name.
    """

    at: float
    path: str
    node: str
    parent: str
    operands: Mapping[str, Json]
    visit: int = 1
    index: int | None = None
    given: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))


@record
class Stopping:
    """Nothing new starts below `path` (but what is `finally`).

    Attributes:
        reason: `failed`, `cancelled`, `timeout` or `enough` (a `parallel: any` has its winners).
        rollback: whether what was done below is to be taken back.
        error: what it will fail with.
    """

    at: float
    path: str
    reason: str
    error: Failure | None = None
    rollback: bool = False


@record
class Closed:
    """A group, an `each`, an `until`, a round or an item is over.

    Attributes:
        output: of a group with `result`; otherwise it is made of the children's.
        merged: values that reducers of tools/ gave at the join, by name.
        order: of a parallel group: its children in plan order, in which their writes merge.
        joined: of one that failed: whether what its branches wrote that succeeded counts all the same.
    """

    at: float
    path: str
    status: str
    output: Ref | None = None
    error: Failure | None = None
    merged: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    order: tuple[str, ...] = ()
    joined: bool = False


_OfRuns: TypeAlias = RunStarted | RunResumed | Replanned | Changed | CancelRequested | RunFinished
_OfGroups: TypeAlias = Entered | Skipped | Broken | Assigned | Stopping | Closed | Repeated
_OfAttempts: TypeAlias = Started | Said | Reused | Released | Ended | Warned | Delayed | Resolved
_OfWaits: TypeAlias = Opened | Answered | Approved | Undoable | Undoing
Event: TypeAlias = _OfRuns | _OfGroups | _OfAttempts | _OfWaits
