"""What can have happened in a run: frozen records, each self-contained and versioned.

An event is a *fact* (the world did it: an attempt ended), a *decision* (the decider did it: a step
started, was skipped, a group closed) or a *signal* (somebody outside did it: a cancel, a resolution).
Facts and signals survive a lost race for the journal's tail; decisions are made again.

Paths are addresses within a run: `review`, `files[3].lint`, `improve#2.draft`; "" is the run itself.
`at` is wall-clock time in seconds since the epoch. A `Ref` is a value that is in the event itself or,
when it is large, in a blob.
"""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@record
class Inline:
    """A value kept in the event."""

    value: Json


@record
class Stored:
    """A value kept as a blob of JSON: its digest and its size in bytes."""

    digest: str
    size: int


Ref: TypeAlias = "Inline | Stored"


@record
class Failure:
    """Why something failed; what expressions see as `error`.

    Attributes:
        kind: one word: `exit`, `timeout`, `output`, `expression`, `rounds`, …
        message: what happened.
        exit_code: of the process, where there was one.
        step: path of the step that failed first.
    """

    kind: str
    message: str
    exit_code: int | None = None
    step: str | None = None
    hint: str | None = None


@record
class Spent:
    """What an attempt consumed; `cost_usd` None where the price is not known."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


# -- the run --------------------------------------------------------------------------------------


@record
class RunStarted:
    """The run exists. Names all it needs to go on on another day: plan, files, settings, inputs.

    Attributes:
        plan: blob with the plan as JSON; `digest` is the plan's own digest.
        files: blob with the list of the bundle's files, each `[path, blob, executable]`.
        settings: the settings in force, as plain data (blob or inline).
        inputs: the checked inputs.
        channels: the declared state: name → `[reducer, by, start, tool]`.
        trigger: what started it; `manual` when a person did.
    """

    at: float
    run: str
    bundle: str
    plan: str
    digest: str
    files: str
    settings: Ref
    inputs: Ref
    channels: Mapping[str, tuple[str, str | None, Json, str | None]]
    trigger: Mapping[str, Json]
    actor: str
    commit: str | None = None
    dirty: bool = False
    name: str = ""


@record
class RunResumed:
    """A driver took the run up again.

    Attributes:
        reset: of a run that had ended: paths that go on (groups) or are visited again (steps).
        anew: paths that begin again from nothing when their turn comes: the finals.
    """

    at: float
    epoch: int
    actor: str
    reset: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()


@record
class CancelRequested:
    """Somebody asked for the run to stop."""

    at: float
    actor: str
    reason: str = ""


@record
class RunFinished:
    """The run is over."""

    at: float
    status: str
    outputs: Ref | None = None
    error: Failure | None = None


# -- steps ----------------------------------------------------------------------------------------


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
        role: "" for the step itself; `assign` for the reducers of tools/ that a `set` needs, `join`
            for those a join needs.
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


@record
class Released:
    """The attempt never began; its intent is void."""

    at: float
    path: str


@record
class Ended:
    """An attempt ended.

    Attributes:
        status: `succeeded`, `failed`, `cancelled` or `in_doubt` (whether it happened is unknown).
        output: on success.
        seconds: how long the attempt took.
        log: digest of the attempt's log, when it wrote any.
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
    """A person settled a doubt: `done` (it happened), `redo` (it did not) or `failed`."""

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
        error: what it will fail with.
    """

    at: float
    path: str
    reason: str
    error: Failure | None = None


@record
class Closed:
    """A group, an `each`, an `until`, a round or an item is over.

    Attributes:
        output: of a group with `result`; otherwise the output is made of the children's.
        merged: values that reducers of tools/ gave at the join, by name.
        order: of a parallel group: its children in plan order, in which their writes merge.
    """

    at: float
    path: str
    status: str
    output: Ref | None = None
    error: Failure | None = None
    merged: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    order: tuple[str, ...] = ()


Event: TypeAlias = (
    RunStarted
    | RunResumed
    | CancelRequested
    | RunFinished
    | Entered
    | Skipped
    | Started
    | Released
    | Ended
    | Broken
    | Resolved
    | Assigned
    | Stopping
    | Closed
)
FACTS: tuple[type, ...] = (RunStarted, Released, Ended)
SIGNALS: tuple[type, ...] = (CancelRequested, Resolved)
