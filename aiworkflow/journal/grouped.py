"""What grouped commits of the stores share: what is appended within one turn is one group.

A store says how a group goes to the disk or the server (`_flush`, on the event loop; `_commit`, at
once). One thread takes over what would keep the loop waiting; what arrives meanwhile is the next group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from aiworkflow.journal.contract import Append, Appended

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future as ThreadFuture
    from concurrent.futures import ThreadPoolExecutor

    Outcome = Appended | Exception
    Group = list[tuple[Append, asyncio.Future[Appended]]]


class Grouped(ABC):
    """Collects appends into groups; a store's own says how these are committed."""

    def __init__(self) -> None:
        self._waiting: Group = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._in_thread: tuple[Group, ThreadFuture[list[Outcome]]] | None = None

    @abstractmethod
    def _flush(self) -> None:
        """The turn of the loop is over: send its group on its way."""

    @abstractmethod
    def _commit(self, appends: Sequence[Append]) -> list[Outcome]:
        """Commit a group now, however long it takes; what became of each append. Never raises."""

    def settle(self) -> None:
        """Wait for the group that is under way, if there is one: then the connection is free."""
        self._settle_thread()

    def add(self, append: Append) -> asyncio.Future[Appended]:
        """Put an append into the group of this turn of the loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[Appended] = loop.create_future()
        if not self._waiting or loop is not self._loop:
            self._loop = loop
            loop.call_soon(self._flush)
        self._waiting.append((append, future))
        return future

    def now(self, append: Append) -> Outcome:
        """Commit what waits and this append, at once."""
        self.settle()
        group, self._waiting = self._waiting, []
        *others, outcome = self._commit([*(one for one, _ in group), append])
        answer(group, others)
        return outcome

    def drain(self) -> None:
        """Commit what waits, at once."""
        self.settle()
        group, self._waiting = self._waiting, []
        if group:
            answer(group, self._commit([append for append, _ in group]))

    def close(self) -> None:
        """Commit what waits and end the thread."""
        self.drain()
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    # -- the thread -------------------------------------------------------------------------------

    def _hand_over(self, group: Group, work: Callable[[], list[Outcome]]) -> None:
        """Have the thread do what the group waits for; what becomes of each append."""
        from concurrent.futures import ThreadPoolExecutor

        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "aiworkflow-journal")
        loop = group[-1][1].get_loop()
        try:
            done = self._executor.submit(work)
        except RuntimeError:  # no thread is to be had: the loop waits for the disk
            self._executor = None
            answer(group, work())
            return
        self._in_thread = (group, done)

        def tell(_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._thread_is_done)

        done.add_done_callback(tell)

    def _thread_is_done(self) -> None:
        if self._in_thread is not None and self._in_thread[1].done():
            self.settle()
            self._flush()

    def _settle_thread(self) -> None:
        if self._in_thread is not None:
            group, done = self._in_thread
            outcomes = done.result()
            self._in_thread = None
            answer(group, outcomes)
            self._go_on()

    def _go_on(self) -> None:
        """A group is done, and not by the loop's own turn: what came meanwhile goes with the next."""
        if self._waiting and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon(self._flush)


def answer(group: Group, outcomes: Sequence[Outcome]) -> None:
    """Tell those who wait; who gave up waiting, or whose loop is closed, is not told."""
    for (_, future), outcome in zip(group, outcomes, strict=True):
        if future.done() or future.get_loop().is_closed():
            continue
        if isinstance(outcome, Appended):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
