"""Drives one run: what happened → decide → append → perform, until the run is at rest.

Decides nothing itself. Each turn is one append: the facts that came in and the decisions they led to,
so that the intent of a step shares its commit with the end of the one before. An effect begins only
after that commit. When somebody else appended (`Moved`), the facts are kept and the decisions made
again on the newer state; after three in a row the facts go alone.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiworkflow.engine import Bounds, Decider, Decision, RunState, decode, encode
from aiworkflow.engine import events as ev
from aiworkflow.journal import Append, Journal, Moved, RegisterWrite, RunRow
from aiworkflow.journal.contract import JournalUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.engine.events import Event
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.evaluate import Evaluator
    from aiworkflow.runtime.perform import Attempts
    from aiworkflow.runtime.values import Values

_POLL_S = 0.03
_STORE_RETRY_S = 0.5
_PAGE = 1000

WAKE = "wake"
DOUBT = "doubt"


def fold(journal: Journal, run: str, state: RunState) -> None:
    """Fold what the journal has beyond what the state knows.

    Raises:
        UnknownEvent: an event is of a newer version.
    """
    while records := journal.read(run, state.seq, _PAGE):
        for record in records:
            state.apply(decode(record.payload))


@dataclass(slots=True)
class Driven:
    """What drives a run, put together.

    Attributes:
        state: folded up to the journal's tail.
        make_attempts: builds the performer of attempts once the state has its first event.
    """

    journal: Journal
    run: str
    epoch: int
    driver: str
    plan: Plan
    state: RunState
    values: Values
    evaluator: Callable[[RunState], Evaluator]
    attempts: Callable[[RunState], Attempts]
    clock: Clock
    ids: Ids
    bounds: Bounds
    row: RunRow
    on_append: Callable[[], None]


class Drive:
    """One drive of one run by this process."""

    def __init__(self, driven: Driven) -> None:
        self._it = driven
        self._state = driven.state
        self._decider = Decider(driven.plan, self._state, driven.bounds)
        self._evaluator: Evaluator | None = None
        self._attempts: Attempts | None = None
        self._tail = self._state.seq
        self._row = driven.row
        self._saved_row: RunRow | None = None
        self._facts: list[Event] = []
        self._came = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._seen_version = driven.journal.version()

    async def run(self, first: Sequence[Event]) -> RunRow:
        """Drive from these first facts until the run is finished or waits.

        Returns:
            The run's row as it was appended last.

        Raises:
            Fenced: another process has taken the run over; everything begun here was ended.
        """
        self._facts.extend(first)
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await self._turns(group)
                finally:
                    for task in self._tasks.values():
                        task.cancel()
        except BaseExceptionGroup as errors:
            raise _single(errors) from errors
        return self._row

    def interrupt(self) -> None:
        """Ask the run to stop as a person would; the run ends `cancelled` and can be resumed."""
        if not self._stopping:
            self._stopping = True
            asked = ev.CancelRequested(self._now(), self._row.actor or "user", "interrupted")
            self._facts.append(asked)
            self._came.set()

    def _now(self) -> float:
        return self._it.clock.now().timestamp()

    # -- turns ------------------------------------------------------------------------------------

    async def _turns(self, group: asyncio.TaskGroup) -> None:
        arrived: list[Event] = []
        while True:
            facts, self._facts = self._facts, []
            decision = await self._commit(facts, arrived)
            for path in decision.cancels:
                task = self._tasks.get(path)
                if task is not None:
                    task.cancel()
            for perform in decision.performs:
                # registered at once: a cancel may come before the task first runs
                self._tasks[perform.path] = group.create_task(self._attempt(perform.path))
            if decision.finished:
                return
            if not self._tasks and decision.wake_at is None and not self._facts:
                return  # the append that noted the doubts has let go of the run
            arrived = await self._wait(decision.wake_at)

    async def _attempt(self, path: str) -> None:
        if self._attempts is None:
            self._attempts = self._it.attempts(self._state)
        fact = await self._attempts.perform(path)
        del self._tasks[path]
        self._facts.append(fact)
        self._came.set()

    async def _wait(self, wake_at: float | None) -> list[Event]:
        """Until a fact comes in, somebody else appends, or it is time; what others appended."""
        while True:
            if self._facts:
                self._came.clear()
                return self._others()
            timeout = _POLL_S
            if wake_at is not None:
                timeout = min(timeout, max(0.0, wake_at - self._now()))
            try:
                async with asyncio.timeout(timeout):
                    await self._came.wait()
            except TimeoutError:
                others = self._others()
                if others or (wake_at is not None and wake_at <= self._now()):
                    return others

    def _others(self) -> list[Event]:
        """What somebody else has appended to this run since the last look."""
        version = self._it.journal.version()
        if version == self._seen_version:
            return []
        self._seen_version = version
        records = self._it.journal.read(self._it.run, self._tail, _PAGE)
        self._tail += len(records)
        return [decode(record.payload) for record in records]

    # -- decide and append ------------------------------------------------------------------------

    def _decide(self, facts: Sequence[Event], arrived: Sequence[Event]) -> Decision:
        turn = self._decider.decide(self._now(), facts, arrived)
        answer = None
        while True:
            try:
                question = turn.send(answer) if answer is not None else next(turn)
            except StopIteration as done:
                decision: Decision = done.value
                return decision
            self._hold(self._decider.events)
            if self._evaluator is None:
                self._evaluator = self._it.evaluator(self._state)
            answer = self._evaluator.answer(question)

    def _hold(self, events: Sequence[Event]) -> None:
        """What was decided in this turn is visible to its expressions before it is durable."""
        for offset in range(self._held, len(events)):
            self._it.values.hold(self._tail + 1 + offset, events[offset])
        self._held = len(events)

    _held = 0

    async def _commit(self, facts: list[Event], arrived: list[Event]) -> Decision:
        refusals = 0
        while True:
            self._held = 0
            decision = self._decide(facts, arrived)
            if not decision.events:
                return decision
            try:
                await self._append(decision)
            except Moved:
                refusals += 1
                self._it.values.drop_pending()
                if refusals >= 3:
                    await self._append_facts(facts)
                    facts = []
                self._reload(facts)
                arrived = []
            else:
                return decision

    async def _append(self, decision: Decision) -> None:
        events = decision.events
        self._hold(events)
        parks = (
            not decision.finished
            and not decision.performs
            and not self._tasks
            and decision.wake_at is None
            and not self._facts
        )
        row = self._new_row(decision, parks=parks)
        append = Append(
            id=self._it.ids.token(),
            run=self._it.run,
            events=[encode(event) for event in events],
            epoch=self._it.epoch,
            after=self._tail,
            driver=self._it.driver,
            registers=self._registers(decision, parks=parks),
            row=row if row != self._saved_row else None,
            blobs=self._blobs(),
            releases=parks or decision.finished,
        )
        await self._durably(append)
        self._row = self._saved_row = row
        self._tail += len(events)
        self._it.values.release(self._tail)
        self._it.on_append()

    async def _append_facts(self, facts: Sequence[Event]) -> None:
        """A chatty signaller must not starve the driver: what the world did goes in alone."""
        append = Append(
            id=self._it.ids.token(),
            run=self._it.run,
            events=[encode(event) for event in facts],
            epoch=self._it.epoch,
            blobs=self._blobs(),
        )
        await self._durably(append)

    async def _durably(self, append: Append) -> None:
        """Append; while the store cannot take it (a full disk), facts wait and nothing starts."""
        tries = 0
        while True:
            try:
                await self._it.journal.append(append)
            except JournalUnavailable:
                tries += 1
                if tries > 20 or (not self._tasks and tries > 3):
                    raise
                await asyncio.sleep(_STORE_RETRY_S)
            else:
                return

    def _blobs(self) -> Sequence[str]:
        found, self._it.values.fresh_blobs = self._it.values.fresh_blobs, []
        return found

    def _registers(self, decision: Decision, *, parks: bool) -> list[RegisterWrite]:
        """Open waits as rows: a signaller needs no more than these."""
        if decision.finished:
            gone = [RegisterWrite(DOUBT, key, None) for key in self._known_doubts]
            return [*gone, RegisterWrite(WAKE, self._it.run, None)]
        if not parks:
            return []
        writes = []
        for path in decision.doubts:
            instance = self._state.instances[path]
            key = f"{self._it.run}/{path}"
            value = json.dumps({"visit": instance.visit, "kind": "in_doubt"})
            writes.append(RegisterWrite(DOUBT, key, value))
        return [*writes, RegisterWrite(WAKE, self._it.run, None)]

    @property
    def _known_doubts(self) -> list[str]:
        return [row.key for row in self._it.journal.registers(DOUBT, f"{self._it.run}/")]

    def _new_row(self, decision: Decision, *, parks: bool) -> RunRow:
        row = self._row
        cost = row.cost_usd
        for event in decision.events:
            if isinstance(event, ev.Ended) and event.spent and event.spent.cost_usd:
                cost += event.spent.cost_usd
        finished = self._state.finished
        status = self._state.status
        waiting = ""
        if parks:
            status = "waiting"
            waiting = json.dumps([{"kind": "in_doubt", "step": path} for path in decision.doubts])
        return RunRow(
            run=row.run,
            bundle=row.bundle,
            status=status,
            started=row.started,
            finished=finished.at if finished is not None else None,
            cost_usd=round(cost, 9),
            commit=row.commit,
            dirty=row.dirty,
            digest=row.digest,
            trigger=row.trigger,
            actor=row.actor,
            waiting=waiting,
        )

    def _reload(self, facts: Sequence[Event]) -> None:
        """Somebody else appended: fold everything anew, and make the working memory anew."""
        state = RunState()
        fold(self._it.journal, self._it.run, state)
        self._state = state
        self._tail = state.seq
        self._decider = Decider(self._it.plan, state, self._it.bounds)
        ended_here = {fact.path for fact in facts if isinstance(fact, ev.Ended)}
        self._decider.adopt(self._tasks.keys() | ended_here, self._now())
        self._evaluator = self._attempts = None


def _single(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
