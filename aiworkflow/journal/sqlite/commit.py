"""Grouped commits: what is appended within one turn of the event loop is one transaction.

Where they happen: on the event loop as long as the disk is fast (a thread of its own alone would
cost a third of the speed). Once commits have been slow, the loop writes a group and one thread waits
for the disk, so that it stops nothing else; a thread that wrote too would have to win Python's lock
from the loop for each statement, and so end when the loop has nothing else to do. What arrives while
the thread commits is the next group.

When another process writes, the event loop is not kept waiting: the group is tried again by a timer.

A failed transaction that a single append may have caused (a value SQLite cannot store) is made again
with each append alone, so that one does not spoil the others.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.contract import (
    Append,
    Closed,
    Conflict,
    Fenced,
    JournalUnavailable,
    Moved,
    UnknownRun,
)
from aiworkflow.journal.grouped import Grouped, answer
from aiworkflow.journal.sqlite.failures import PATIENCE_S, is_busy, patiently, unavailable, wait_s
from aiworkflow.journal.sqlite.tail import PAGE_BYTES
from aiworkflow.journal.sqlite.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aiworkflow.clock import Clock
    from aiworkflow.journal.grouped import Group, Outcome
    from aiworkflow.journal.sqlite.checkpoint import Checkpoints

REFUSALS: Final = (Fenced, Moved, Closed, Conflict, UnknownRun)
SLOW_COMMIT_S: Final = 0.002


class Pace:
    """Whether commits are slow of late: most of the last eight took longer than a limit.

    Most, not the mean: now and then a commit waits for something else.

    Attributes:
        is_slow: whether the thread is worth its price.
    """

    def __init__(self, limit_s: float = SLOW_COMMIT_S) -> None:
        self._limit_s = limit_s
        self._slow: deque[bool] = deque([False] * 8, maxlen=8)
        self.is_slow = False

    def note(self, seconds: float) -> None:
        """A commit took this long."""
        self._slow.append(seconds > self._limit_s)
        self.is_slow = self._slow.count(True) > 4


class Commits(Grouped):
    """Commits groups of appends on the one connection that writes.

    Args:
        begin: begins a write transaction on it; raises JournalUnavailable if that makes no sense.
        pace: decides between the event loop and the thread.
        checkpoints: told how much each commit has written.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        begin: Callable[[], None],
        *,
        clock: Clock,
        pace: Pace,
        checkpoints: Checkpoints,
    ) -> None:
        super().__init__()
        self._db = db
        self._cursor = db.cursor()
        self._path = path
        self._begin = begin
        self._clock = clock
        self.pace = pace
        self._checkpoints = checkpoints
        self._written = 0
        self._busy_since: float | None = None
        self._busy_tries = 0

    # -- groups -----------------------------------------------------------------------------------

    @property
    def is_in_thread(self) -> bool:
        """Whether a thread may be within a transaction now, so that reading needs another door."""
        return self._executor is not None

    def _flush(self) -> None:
        """The turn is over: commit its group."""
        if self._in_thread is not None:
            if self._in_thread[0][-1][1].get_loop() is self._loop:
                return  # what waits goes when the thread is done
            self.settle()  # given by a loop that has ended since
        if not self._waiting:
            return
        group, self._waiting = self._waiting, []
        appends = [append for append, _ in group]
        try:
            outcomes = self._try(appends, commits=not self.pace.is_slow)
        except sqlite3.OperationalError as error:
            self._later(group, error)
            return
        self._busy_since = None
        if self._db.in_transaction:
            self._hand_over(group, partial(self._ended, appends, outcomes))
        else:
            answer(group, outcomes)

    def _later(self, group: Group, error: sqlite3.Error) -> None:
        """Another process writes: try again soon, with what has come meanwhile."""
        now = time.monotonic()
        if self._busy_since is None:
            self._busy_since, self._busy_tries = now, 0
        if now - self._busy_since > PATIENCE_S:
            self._busy_since = None
            answer(group, [unavailable(error, self._path) for _ in group])
            return
        self._busy_tries += 1
        self._waiting = [*group, *self._waiting]
        assert self._loop is not None
        self._loop.call_later(wait_s(self._busy_tries), self._flush)

    # -- transactions -----------------------------------------------------------------------------

    def _commit(self, appends: Sequence[Append]) -> list[Outcome]:
        try:
            return patiently(lambda: self._try(appends))
        except sqlite3.Error as error:
            return [unavailable(error, self._path) for _ in appends]

    def _try(self, appends: Sequence[Append], *, commits: bool = True) -> list[Outcome]:
        """One transaction; what became of each append, or becomes of it once it is committed.

        Args:
            commits: whether it is committed here; else it is left open, unless something failed.

        Raises:
            sqlite3.OperationalError: another connection is in the way; nothing was written.
        """
        try:
            outcomes = self._write(appends)
            if commits:
                self._end()
        except Exception as error:  # noqa: BLE001  whoever appended must hear of it
            return self._after(error, appends)
        return outcomes

    def _ended(self, appends: Sequence[Append], outcomes: list[Outcome]) -> list[Outcome]:
        """Commit what is written; what became of each append."""
        try:
            self._end()
        except sqlite3.Error as error:
            try:
                return self._after(error, appends)
            except sqlite3.OperationalError:
                return self._commit(appends)
        return outcomes

    def _after(self, error: Exception, appends: Sequence[Append]) -> list[Outcome]:
        """What became of each append of a transaction that has failed.

        Raises:
            sqlite3.OperationalError: another connection is in the way; nothing was written.
        """
        self.roll_back()
        if isinstance(error, JournalUnavailable):
            return [error for _ in appends]
        if isinstance(error, sqlite3.OperationalError):
            if is_busy(error):
                raise error
            return [self._settled(append, error) for append in appends]
        if len(appends) > 1:
            return [self._try([append])[0] for append in appends]
        if isinstance(error, sqlite3.Error):
            return [self._settled(appends[0], error)]
        return [error]

    def _write(self, appends: Sequence[Append]) -> list[Outcome]:
        """Begin a transaction and write all that is not refused."""
        outcomes: list[Outcome] = []
        self._begin()
        before = self._db.total_changes
        transaction = Transaction(self._cursor, self._clock)
        transaction.look_up([append.run for append in appends])
        for append in appends:
            try:
                outcomes.append(transaction.add(append))
            except REFUSALS as refusal:
                # whoever appended gets it; with these frames, which know it, it would hold itself
                outcomes.append(refusal.with_traceback(None))
        transaction.finish()
        rows = self._db.total_changes - before
        payloads = sum([len(payload) for append in appends for payload in append.events])
        self._written = rows * PAGE_BYTES + payloads
        return outcomes

    def _end(self) -> None:
        began = time.perf_counter()
        self._cursor.execute("COMMIT")
        self.pace.note(time.perf_counter() - began)
        self._checkpoints.wrote(self._written)

    def _settled(self, append: Append, error: sqlite3.Error) -> Outcome:
        """After a failed transaction: was this append made after all?"""
        try:
            known = Transaction(self._cursor, self._clock).outcome(append)
        except sqlite3.Error:
            known = None
        return known or unavailable(error, self._path)

    def roll_back(self) -> None:
        """Leave a transaction, if there is one: some failures have left it already."""
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error:
                # Nothing of it is in the file; the next BEGIN says what is the matter.
                return
