"""Drives one run: what happened → decide → append → perform, until the run is at rest.

Decides nothing itself. Each turn is one append: the facts that came in and the decisions they led to,
so that the intent of a step shares its commit with the end of the one before. An effect begins only
after that commit. When somebody else appended (`Moved`), the facts are kept and the decisions made
again on the newer state; after three in a row the facts go alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, cast

from aiworkflow.engine import (
    Decider,
    Decision,
    Left,
    RunState,
    Total,
    decode,
    encode,
    own_usd,
    total_of,
)
from aiworkflow.engine import events as ev
from aiworkflow.journal import RESTORED, Append, Conflict, Fenced, Moved, RegisterWrite, RunRow
from aiworkflow.runtime.doubts import DOUBT, doubt_row, show_doubt
from aiworkflow.runtime.facts import are_durable, cost_of, reused_blobs
from aiworkflow.runtime.folding import PAGE, fold
from aiworkflow.runtime.patience import patiently
from aiworkflow.runtime.placing import needs, needs_no_more
from aiworkflow.runtime.pulse import LeaseLost
from aiworkflow.runtime.ready import FOR_A_WORKER, no_longer_ready
from aiworkflow.runtime.restored import as_restored
from aiworkflow.runtime.spread import may_go_on, wake_parent, wake_version
from aiworkflow.runtime.waits import WAKE, Waits, asked_here, child_id, waiting_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.events import Event
    from aiworkflow.runtime.driven import Driven
    from aiworkflow.runtime.evaluate import Evaluator
    from aiworkflow.runtime.perform import Attempts

_POLL_S = 0.03
_PATIENCE_S = 5.0  # a timer shorter than that is sat out


class Drive:
    """One drive of one run by this process."""

    def __init__(self, driven: Driven) -> None:
        self._it = driven
        self._state = driven.state
        self._decider = self._new_decider()
        self.callers: Callable[[], Left] | None = None
        self._evaluator: Evaluator | None = None
        self._attempts: Attempts | None = None
        self._tail = self._state.seq
        self._row = driven.row
        self._saved_row: RunRow | None = None
        self._facts: list[Event] = []
        self._noted: list[asyncio.Future[None]] = []
        self._waiter: asyncio.Future[bool] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._look_at = 0.0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._broken: Exception | None = None  # the first error of an attempt that is no fact
        self._stopping = False
        self._holding = False
        self._seen_version = driven.journal.version()
        driven.account.begin(own_usd(self._state))
        self._is_new = not self._tail  # then no register is its own yet, and none is looked for
        self._waits = Waits(driven.journal, driven.run, is_new=self._is_new)

    async def run(self, first: Sequence[Event]) -> RunRow:
        """Drive from these first facts until the run is finished or waits.

        Returns:
            The run's row as it was appended last.

        Raises:
            Fenced: another process has taken the run over; everything begun here was ended.
        """
        # an interrupt may have come before
        self._facts[:0] = as_restored(self._it.journal, self._it.run, first)
        try:
            with self._it.lease.watching(self._it.run, self._lose):
                # what others have appended until then refuses our first append
                self._look_at = asyncio.get_running_loop().time() + _POLL_S
                try:
                    await self._turns()
                finally:
                    await self._end_attempts()
            await self._it.clear(self._row)
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            # else what refers to itself waits for the collector, which stops all other runs for it
            self._attempts = self._evaluator = self.callers = None
            self._decider.bound_by(Left)
            self._state.let_go()
        return self._row

    async def _end_attempts(self) -> None:
        """End what was begun here, and wait for it, however often we are told to stop."""
        left = set(self._tasks.values())
        for task in left:
            task.cancel()
        is_cancelled = False
        while left:
            try:
                _, left = await asyncio.wait(left)
            except asyncio.CancelledError:
                is_cancelled = True
        if is_cancelled:
            raise asyncio.CancelledError

    def _new_decider(self) -> Decider:
        state, spending = self._state, self._it.spending
        decider = Decider(self._it.plan, state, self._it.bounds)
        decider.count_below(lambda path: spending.below(state, path))
        return decider

    def total(self) -> Total:
        """What its caller has not heard of: spent and reserved, child runs included."""
        return total_of(self._state, self._it.spending.below(self._state, ""))

    @property
    def turn(self) -> int:
        """Of a child run: the turn of the calling step that it is in."""
        return self._state.turn

    @property
    def raised(self) -> Mapping[str, float]:
        """Bounds of budgets that were raised since the start, for the child runs too."""
        return self._state.raised

    def left_around(self, path: str) -> Left:
        """What the child run of a step may still spend within all budgets around it."""
        here = self._decider.left_around(path)
        return here if self.callers is None else here.least(self.callers())

    def left_today(self) -> float | None:
        """US dollars that the project may still spend today; None for no bound."""
        left = self._decider.left_today
        return None if left is None else left - self._it.spending.all_beyond(self._state).usd

    def to_reset(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a resume of an ended run does again; see `recover.to_reset`."""
        return self._decider.to_reset()

    def interrupt(self) -> None:
        """Ask the run to stop as a person would; the run ends `cancelled` and can be resumed."""
        if not self._stopping:
            self._stopping = True
            actor = self._row.actor or "user"
            self._facts.append(ev.CancelRequested(self._now(), actor, "interrupted"))
            self._wake()

    def hold(self) -> None:
        """Begin nothing more: what runs goes on to its end, then the run is let go for others."""
        self._holding = True
        self._decider.hold()
        self._it.board.leave()
        self._wake()

    def _lose(self, silent_s: float) -> None:
        """The right to drive runs out: end what is under way; nothing more is begun or written."""
        self._broken = self._broken or LeaseLost(self._it.run, silent_s)
        for task in self._tasks.values():
            task.cancel()
        self._wake()

    def _now(self) -> float:
        return self._it.clock.now().timestamp()

    # -- turns ------------------------------------------------------------------------------------

    async def _turns(self) -> None:
        loop = asyncio.get_running_loop()
        arrived: list[Event] = []
        while True:
            self._facts.extend(self._children_that_go_on())
            facts, self._facts = self._facts, []
            noted, self._noted = self._noted, []
            decision = await self._commit(facts, arrived)
            if self._broken is not None and not (decision.finished or self._parked):
                raise self._broken
            are_durable(noted)
            self._it.board.tell(decision.events, self._state)
            self._open = decision.waits
            for path in decision.cancels:
                task = self._tasks.get(path)
                if task is not None:
                    task.cancel()
            for perform in decision.performs:
                # registered at once: a cancel may come before the task first runs
                self._tasks[perform.path] = loop.create_task(self._attempt(perform.path))
            if decision.finished or (self._parked and not self._facts):
                return
            arrived = await self._wait(decision.wake_at)

    def _children_that_go_on(self) -> list[Event]:
        """Child runs that waited and were answered, or whose time has come, as facts."""
        found: list[Event] = []
        for path in self._waiting_children:
            instance = self._state.instances[path]
            run = child_id(self._it.run, path, instance.visit)
            if instance.waits == "child" and may_go_on(self._it.journal, run, self._now()):
                actor = self._row.actor
                found.append(ev.Answered(self._now(), path, instance.visit, "child", actor))
        return found

    @property
    def _waiting_children(self) -> list[str]:
        return [path for path in self._open if self._state.instances[path].waits == "child"]

    async def _attempt(self, path: str) -> None:
        if self._attempts is None:
            self._attempts = self._it.attempts(self._state, self._note)
        try:  # a group of tasks would do this too, and takes longer than all else here
            fact = await self._attempts.perform(path)
            del self._tasks[path]
            self._facts.append(fact)
        except Exception as error:  # noqa: BLE001  whoever drives gets it
            self._broken = self._broken or error
        self._wake()

    def _note(self, event: Event) -> Awaitable[None]:
        """A fact of an attempt that goes on; what this gives is done when it is durable."""
        self._facts.append(event)
        self._noted.append(durable := asyncio.get_running_loop().create_future())
        self._wake()
        return durable

    async def _wait(self, wake_at: float | None) -> list[Event]:
        """Until a fact comes in, somebody else appends, or it is time; what others appended.

        While facts come in fast, others are looked for only now and then: what they append in
        between is told by the refusal of our own append.
        """
        loop = asyncio.get_running_loop()
        while True:
            if self._broken is not None:
                raise self._broken
            if self._holding and not self._tasks and not self._facts:
                return []
            if self._facts:
                return self._others() if loop.time() >= self._look_at else []
            timeout = _POLL_S
            if wake_at is not None:
                if not self._tasks:
                    self._it.clock.skip_to(wake_at)
                timeout = min(timeout, max(0.0, wake_at - self._now()))
            if not await self._woken(loop, timeout):
                others = self._others()
                if self._open and self._waiting_children and self._children_that_go_on():
                    return others
                if others or (wake_at is not None and wake_at <= self._now()):
                    return others

    async def _woken(self, loop: asyncio.AbstractEventLoop, seconds: float) -> bool:
        """Wait for a fact; False when the time is over before.

        One timer serves many waits: to make and cancel one each time would take longer than a step.
        """
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiter = waiter
        at = loop.time() + seconds
        if self._alarm is None or self._alarm.cancelled() or self._alarm.when() > at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = loop.call_at(at, self._ring)
        return await waiter

    def _ring(self) -> None:
        self._alarm = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(False)

    def _wake(self) -> None:
        """A fact has come in."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)

    def _others(self) -> list[Event]:
        """What somebody else has appended to this run since the last look.

        Raises:
            Fenced: somebody else drives it; what they decided is not for us to fold.
        """
        self._look_at = asyncio.get_running_loop().time() + _POLL_S
        version = self._it.journal.version()
        if version == self._seen_version:
            return []
        self._seen_version = version
        records = self._it.journal.read(self._it.run, self._tail, PAGE)
        epoch = self._it.journal.stream(self._it.run).epoch if records else self._it.epoch
        if epoch != self._it.epoch:
            raise Fenced(self._it.run, self._it.epoch, epoch)
        self._tail += len(records)
        return [decode(record.payload) for record in records]

    # -- decide and append ------------------------------------------------------------------------

    def _decide(self, facts: Sequence[Event], arrived: Sequence[Event]) -> Decision:
        now = self._now()
        self._decider.may_spend(self._it.account.left(now))
        if self.callers is not None:
            self._decider.bound_by(self.callers)
        turn = self._decider.decide(now, facts, arrived)
        answer = None
        while True:
            try:
                question = turn.send(answer) if answer is not None else next(turn)
            except StopIteration as done:
                return cast("Decision", done.value)
            self._hold(self._decider.events)
            if self._evaluator is None:
                self._evaluator = self._it.evaluator(self._state)
            answer = self._evaluator.answer(question)

    def _hold(self, events: Sequence[Event]) -> None:
        """What was decided in this turn is visible to its expressions before it is durable."""
        for offset in range(self._held, len(events)):
            self._it.values.hold(self._tail + 1 + offset, event := events[offset])
            if isinstance(event, ev.Ended):
                self._it.cache.hold(event, self._state)
        self._held = len(events)

    _held = 0
    _open: Sequence[str] = ()
    _parked = False
    _wake_version: int | None = None

    async def _commit(self, facts: list[Event], arrived: list[Event]) -> Decision:
        refusals = 0
        while True:
            self._held = 0
            decision = self._decide(facts, arrived)
            if not decision.events and not self._parks(decision):
                return decision
            try:
                await self._append(decision)
            except (Moved, Conflict):
                refusals += 1
                self._it.values.drop_pending()
                if refusals >= 3 and self._tail:  # before it has begun, nothing can be lost
                    await self._append_facts(facts)
                    facts = []
                self._reload(facts)
                arrived = []
            else:
                return decision

    async def _append(self, decision: Decision) -> None:
        events = decision.events
        self._hold(events)
        parks = self._parks(decision)
        row = self._new_row(decision, parks=parks)
        fresh = list(self._it.values.fresh_blobs)
        append = Append(
            id=self._it.ids.token(),
            run=self._it.run,
            events=[encode(event) for event in events],
            epoch=self._it.epoch,
            after=self._tail,
            driver=self._it.lease.id,
            registers=self._registers(decision, parks=parks),
            row=row if row is not self._saved_row else None,
            blobs=[*fresh, *reused_blobs(events)],
            releases=parks or decision.finished,
        )
        await self._durably(append)
        del self._it.values.fresh_blobs[: len(fresh)]
        self._it.ledger.settle()
        self._it.account.settle()
        self._parked = parks
        self._row = self._saved_row = row
        self._it.values.release(self._tail + 1, append.events)
        self._tail += len(events)
        self._it.on_append()

    def _parks(self, decision: Decision) -> bool:
        """Whether nothing is left to do here: the append lets go of the run."""
        if decision.finished or self._tasks or self._facts:
            return False
        if self._holding:
            return True
        if not decision.idle:
            return False
        if decision.waits and self._it.attached:
            return False
        self._open = decision.waits
        called = self._waiting_children  # one that ends from now on is not overlooked
        self._wake_version = wake_version(self._it.journal, self._it.run) if called else None
        if self._children_that_go_on():
            return False
        return decision.wake_at is None or decision.wake_at - self._now() > _PATIENCE_S

    async def _append_facts(self, facts: Sequence[Event]) -> None:
        """A chatty signaller must not starve the driver: what the world did goes in alone."""
        if cost := cost_of(facts):
            self._row = dataclasses.replace(self._row, cost_usd=round(self._row.cost_usd + cost, 9))
        fresh, is_written = list(self._it.values.fresh_blobs), False
        while not is_written:
            append = Append(
                id=self._it.ids.token(),
                run=self._it.run,
                events=[encode(event) for event in facts],
                epoch=self._it.epoch,
                registers=self._it.ledger.writes(facts, self._state)
                + self._it.cache.writes(facts, self._state)
                + self._it.account.writes(own_usd(self._state)),
                row=self._row if cost else None,
                blobs=fresh,
            )
            try:
                await self._durably(append)
                is_written = True
            except Conflict:  # another run has spent something meanwhile
                self._it.account.left(self._now())
        del self._it.values.fresh_blobs[: len(fresh)]
        self._it.account.settle()
        self._it.ledger.settle()

    async def _durably(self, append: Append) -> None:
        """Append; while the store cannot take it (a full disk), facts wait and nothing starts."""
        await patiently(lambda: self._it.journal.append(append), lambda: not self._tasks)

    def _registers(self, decision: Decision, *, parks: bool) -> list[RegisterWrite]:
        """Open waits as rows: a signaller needs no more than these."""
        writes = self._waits.writes(decision.events, self._tail, self._it.values)
        writes += self._it.ledger.writes(decision.events, self._state)
        writes += self._it.cache.writes(decision.events, self._state)
        if self._saved_row is None:  # the first append of this drive
            writes += self._it.lane.enter()
            writes += needs(self._it.run, self._it.plan) if self._is_new else []
        for event in decision.events:
            if isinstance(event, ev.RunResumed) and event.restored:
                writes.append(RegisterWrite(RESTORED, self._it.run, None))
        writes += self._it.measured.writes(self._it.run, decision.events)
        writes += self._it.account.writes(own_usd(self._state), self._decider.reserved_usd)
        if decision.finished and self._state.finished is not None:  # else another plan comes next
            known = () if self._is_new else self._it.journal.registers(DOUBT, f"{self._it.run}/")
            gone = [RegisterWrite(DOUBT, row.key, None) for row in known]
            over = [*gone, RegisterWrite(WAKE, self._it.run, None), *self._it.lane.leave()]
            over += [*needs_no_more(self._it.run, self._it.plan), *wake_parent(self._state.started)]
            return [*writes, *no_longer_ready(self._state.started), *over]
        if not parks:
            return writes
        doubts = [self._state.instances[path] for path in decision.doubts]
        writes += [doubt_row(self._it.run, self._it.plan, instance) for instance in doubts]
        at = json.dumps({"at": decision.wake_at}) if decision.wake_at is not None else None
        if self._holding:  # whoever works next goes on with it
            at, self._wake_version = "{}", None
        writes.append(RegisterWrite(WAKE, self._it.run, at, self._wake_version))
        return [*writes, *no_longer_ready(self._state.started)]

    def _new_row(self, decision: Decision, *, parks: bool) -> RunRow:
        row = self._row
        cost = row.cost_usd + cost_of(decision.events)
        finished = self._state.finished
        status = self._state.status
        asking = [] if parks else asked_here(self._state, self._it.plan, decision.waits)
        waiting = json.dumps(asking) if asking else ""
        at = finished.at if finished is not None else None
        as_it_was = (row.status, row.finished, row.cost_usd, row.waiting)
        if not parks and as_it_was == (status, at, cost, waiting):
            return row
        if parks:
            status = "waiting"
            open_doubts = [self._state.instances[path] for path in decision.doubts]
            doubts = [show_doubt(self._it.plan, instance) for instance in open_doubts]
            held: list[dict[str, Json]] = [dict(FOR_A_WORKER)] if self._holding else []
            waits = waiting_for(self._state, self._it.plan, decision.waits)
            waiting = json.dumps([*held, *doubts, *waits])
        return dataclasses.replace(
            row, status=status, finished=at, cost_usd=round(cost, 9), waiting=waiting
        )

    def _reload(self, facts: Sequence[Event]) -> None:
        """Somebody else appended: fold everything anew, and make the working memory anew."""
        state = RunState()
        fold(self._it.journal, self._it.run, state)
        self._state = state
        self._tail = state.seq
        self._decider = self._new_decider()
        if self._holding:
            self._decider.hold()
        ended_here = {fact.path for fact in facts if isinstance(fact, ev.Ended)}
        self._decider.adopt(self._tasks.keys() | ended_here)
        self._evaluator = self._attempts = None
        self._waits = Waits(self._it.journal, self._it.run)
