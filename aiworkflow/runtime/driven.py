"""What drives a run, put together: all that a `Drive` needs beside itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.engine import Bounds, RunState
    from aiworkflow.journal import Journal, RunRow
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.account import Account
    from aiworkflow.runtime.asks import Board
    from aiworkflow.runtime.cache import Cache
    from aiworkflow.runtime.calls import Note
    from aiworkflow.runtime.evaluate import Evaluator
    from aiworkflow.runtime.lanes import Lane
    from aiworkflow.runtime.lease import DriverLease
    from aiworkflow.runtime.ledger import Ledger
    from aiworkflow.runtime.measured import Measured
    from aiworkflow.runtime.perform import Attempts
    from aiworkflow.runtime.spending import Spending
    from aiworkflow.runtime.values import Values


@dataclass(slots=True)
class Driven:
    """What drives a run, put together.

    Attributes:
        state: folded up to the journal's tail.
        lease: what gives this process the right to drive it.
        make_attempts: builds the performer of attempts once the state has its first event.
        attached: whether to stay while the run waits for people, moments and events.
        spending: of its child runs.
        board: the open questions of attempts under way.
        clear: called with the run's row when it has come to rest.
    """

    journal: Journal
    run: str
    epoch: int
    lease: DriverLease
    plan: Plan
    state: RunState
    values: Values
    evaluator: Callable[[RunState], Evaluator]
    attempts: Callable[[RunState, Note], Attempts]
    clock: Clock
    ids: Ids
    bounds: Bounds
    row: RunRow
    on_append: Callable[[], None]
    cache: Cache
    account: Account
    measured: Measured
    ledger: Ledger
    spending: Spending
    lane: Lane
    board: Board
    clear: Callable[[RunRow], Awaitable[None]]
    attached: bool = False
