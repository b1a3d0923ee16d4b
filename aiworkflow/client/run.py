"""A run in hand: its events as they come, its result, and ways to end it."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, TypeAlias

from aiworkflow.client.result import RunResult, result_of
from aiworkflow.engine import Event, decode
from aiworkflow.journal.paging import records_after
from aiworkflow.observe import RunProgress
from aiworkflow.observe.record import RecordData
from aiworkflow.runtime.values import Values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiworkflow.client.plans import Plans
    from aiworkflow.clock import Clock
    from aiworkflow.engine.carried import Json, Ref
    from aiworkflow.journal import Journal, RunRow
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.logs import LogFolder

_POLL_S = 0.03
_PAGE = 1000
AT_REST = frozenset({"succeeded", "failed", "cancelled", "rolled_back", "waiting"})


OnEvent: TypeAlias = "Callable[[int, Event], object]"
"""Called with each event and its seq; what it returns is awaited, where that can be."""


class Run:
    """One run, driven by this process or by another.

    Attributes:
        id: the run's id.
    """

    def __init__(
        self,
        id_: str,
        *,
        journal: Journal,
        clock: Clock,
        plans: Plans,
        logs: LogFolder,
        appended: asyncio.Event | None = None,
        driving: asyncio.Task[None] | None = None,
        interrupt: Callable[[], None] | None = None,
        hold: Callable[[], None] | None = None,
        cancel: Callable[[str], object] | None = None,
    ) -> None:
        self.id = id_
        self.logs = logs
        self._journal = journal
        self._clock = clock
        self._plans = plans
        self._appended = appended
        self._driving = driving
        self._interrupt = interrupt
        self._hold = hold
        self._cancel = cancel
        self._following: asyncio.Task[None] | None = None

    async def events(self, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        """Events with their seq, as they become durable, until the run is at rest.

        Raises:
            Any error that ended the drive, when this process drives the run.
        """
        seq = after
        version = -1
        while True:
            # asked before the events are read: all that led to the end is among them then
            if self._driving is not None:
                done = self._driving.done()
            else:
                done = self._journal.run(self.id).status in AT_REST
            now = self._journal.version()
            if done or now != version or self._appended is not None:
                version = now
                while records := self._journal.read(self.id, seq, _PAGE):
                    for record in records:
                        seq = record.seq
                        yield seq, decode(record.payload)
            if done:
                if self._driving is not None:
                    self._driving.result()
                return
            await self._next()

    async def tell(self, on_event: OnEvent) -> None:
        """Call something with each event, until the run is at rest."""
        async for seq, event in self.events():
            said = on_event(seq, event)
            if inspect.isawaitable(said):
                await said

    def followed_by(self, task: asyncio.Task[None]) -> None:
        """The run's result is there only when this is done; its error is raised there."""
        self._following = task

    async def _next(self) -> None:
        if self._appended is None or self._driving is None:
            await asyncio.sleep(_POLL_S)
            return
        self._appended.clear()
        woken = asyncio.ensure_future(self._appended.wait())
        try:
            await asyncio.wait({woken, self._driving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()

    async def result(self) -> RunResult:
        """Wait until the run is at rest, and give what it came to.

        Raises:
            Any error that ended the drive, when this process drives the run.
        """
        await self.rest()
        return self.look()

    async def rest(self) -> None:
        """Wait until the run is at rest, and `on_event` was told of all of it.

        Raises:
            Any error that ended the drive, when this process drives the run, or that `on_event` raised.
        """
        if self._driving is not None:
            await asyncio.shield(self._driving)
            if self._following is not None:
                await asyncio.shield(self._following)
        else:
            while self._journal.run(self.id).status not in AT_REST:  # noqa: ASYNC110  another process
                await asyncio.sleep(_POLL_S)

    def look(self) -> RunResult:
        """What the run has come to so far."""
        progress = self.progress()
        row = self._journal.run(self.id)
        return result_of(row, progress, self.load, self._clock.now().timestamp())

    def progress(self) -> RunProgress:
        """The run as a tree of steps, as it stands."""
        progress = RunProgress(self.plan_at)
        for record in records_after(self._journal, self.id):
            progress.apply(decode(record.payload))
        return progress

    def data(self) -> RecordData:
        """What a record of the run is made of."""
        now = self._clock.now().timestamp()
        return RecordData(self._journal.run(self.id), self.progress(), self.load, self.log, now)

    def load(self, ref: Ref | None) -> Json:
        """The value of a reference in one of the run's events."""
        return Values(self._journal, self.id, inline_bytes=0).load(ref)

    def log(self, digest: str) -> str:
        """The kept log of an attempt."""
        return self._journal.blobs.get(digest).decode("utf-8", "replace")

    @property
    def plan(self) -> Plan:
        """The plan that is in force in the run."""
        return self._plans.of(self.id)

    def plan_at(self, blob: str) -> Plan:
        """The plan in a blob that one of the run's events names."""
        return self._plans.at(blob)

    @property
    def is_driven_here(self) -> bool:
        """Whether this process drives the run now."""
        return self._driving is not None and not self._driving.done()

    @property
    def epoch(self) -> int:
        """Which drive of the run this process's is: 1 where it began here, 0 where there is none."""
        return self._journal.stream(self.id).epoch if self.is_driven_here else 0

    @property
    def past(self) -> int:
        """How many of its events were there before a server was asked here to take it up again."""
        return 0

    @property
    def row(self) -> RunRow:
        """The run's row in the list of runs, as it is now."""
        return self._journal.run(self.id)

    def cancel(self, reason: str = "") -> None:
        """Ask the run to stop, whoever drives it; its `finally` steps still run.

        Raises:
            UsageError: it is over already.
        """
        assert self._cancel is not None
        self._cancel(reason)

    def interrupt(self) -> None:
        """Stop the run as a person would: it ends `cancelled` and can be resumed."""
        if self._interrupt is not None and self.is_driven_here:
            self._interrupt()

    def hold(self) -> None:
        """Begin nothing more here: running steps go on to their end, then the run is left to others."""
        if self._hold is not None and self.is_driven_here:
            self._hold()

    async def kill(self) -> None:
        """Stop driving at once. What was running is settled when the run is resumed."""
        if self._driving is not None:
            self._driving.cancel()
            await asyncio.wait({self._driving})
