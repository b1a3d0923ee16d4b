"""What a step does about failure, consent, money and repetition, as its settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Script, ToolCall, Value
    from aiworkflow.expr import Template


@record
class Goto:
    """`on_error: {goto: id, max_visits: N}`: go on with an earlier sibling, so often at most."""

    target: str
    max_visits: int


@record
class Retry:
    """`retry`: more attempts after the first failed one.

    Attributes:
        times: attempts after the first.
        backoff: how the pauses grow: `constant`, `linear` or `exponential`.
        base_s: the first pause, seconds.
        factor: what an exponential pause is multiplied by each time.
        max_s: the longest pause, seconds.
        jitter: share of a pause that is left to chance, 0 to 1.
        on: kinds of failure that are tried again (`timeout`, `exit:75`), as in
            `bundle.failures`; empty for all that may be.
    """

    times: int
    backoff: str = "exponential"
    base_s: float = 1.0
    factor: float = 2.0
    max_s: float = 60.0
    jitter: float = 0.2
    on: tuple[str, ...] = ()


@record
class Approval:
    """`approve`: consent of people before a step runs.

    Attributes:
        by: roles and people who may give it; empty for anyone.
        expires_s: seconds until it counts as refused; None for never.
        message: what they are shown; None for what would run.
        quorum: how many must agree.
    """

    by: tuple[str, ...] = ()
    expires_s: float | None = None
    message: Template | None = None
    quorum: int = 1


@record
class Undo:
    """How the effect of a step is taken back: a call of an operation, or a script."""

    action: ToolCall | Script


@record
class Budget:
    """The most a step or a run may spend.

    Attributes:
        usd: US dollars; None for no bound.
        tokens: tokens, in and out; None for no bound.
        seconds: seconds that attempts may take, added up; None for no bound.
        on_exceed: `stop` (it fails), `wait` (for a higher budget) or `switch` (a cheaper agent).
    """

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    on_exceed: str = "stop"


@record
class Concurrency:
    """Runs with the same key do not overlap.

    Attributes:
        key: made of the inputs.
        overlap: while an older run is going: `allow` (nothing happens), `skip` (the new one is
            refused), `queue` (it waits) or `cancel_old`.
    """

    key: Template
    overlap: str


@record
class Cache:
    """`cache`: an earlier output of the same step on the same values is used again.

    Attributes:
        key: what it is found by, besides the definition of the step; None for all the step reads.
        ttl_s: seconds for which it may be used again; None for as long as it is kept.
    """

    key: Value = None
    ttl_s: float | None = None
