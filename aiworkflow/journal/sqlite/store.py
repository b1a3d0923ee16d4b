"""The journal in one SQLite file: WAL, every commit on the disk before it is acknowledged.

One connection writes, and reads too, since nothing else can happen between the begin and the end of
a transaction on the event loop. Only while commits are made in a thread (see `commit.py`) is there a
second one for reading. No read lasts longer than a page of results.

Not for use across `fork`: a child opens its own. Any number of processes may have the same journal
open. When the last one closes it, the WAL is moved into the file, so that a closed journal is
`journal.db` and `blobs/` and can be copied.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final  # noqa: TID251  rows of a table

from aiworkflow.journal.blobs import FileBlobs
from aiworkflow.journal.contract import (
    Append,
    Appended,
    Claim,
    Health,
    Held,
    JournalUnavailable,
    Record,
    Register,
    RegisterWrite,
    RunPage,
    RunRow,
    StreamState,
    UnknownRun,
)
from aiworkflow.journal.sqlite.checkpoint import Checkpoints
from aiworkflow.journal.sqlite.commit import Commits, Pace
from aiworkflow.journal.sqlite.connect import connect, open_database, prepare_writing
from aiworkflow.journal.sqlite.failures import damaged, patiently, unavailable
from aiworkflow.journal.sqlite.parts import PARTS, schema_problems
from aiworkflow.journal.sqlite.queries import SQL
from aiworkflow.journal.sqlite.tail import PAGE_BYTES
from aiworkflow.journal.sqlite.transaction import Transaction
from aiworkflow.journal.sqlite.whole import check_next, check_pages, records_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.journal.signs import Signs

    Rows = list[tuple[Any, ...]]

FILE: Final = "journal.db"
_OUTCOMES_KEPT_S: Final = 7 * 86_400
_PAGE: Final = 500
_LOOK_EVERY_S: Final = 0.05
_DIRTY: Final = 7  # its place among the columns of a run
_CHECKED_BYTES: Final = 16_000_000  # a look at all of it takes less than 20 ms
_LAST: Final = "\U0010ffff"  # sorts after every id and key
_NO_LIMIT: Final = -1


class SqliteJournal:
    """A journal in a folder: `journal.db` and `blobs/`.

    Args:
        folder: made if need be, for its owner only.
        pace: decides whether commits are made on the event loop or in a thread.

    Raises:
        JournalUnavailable: the file is damaged, newer, on a network file system, or not writable.
    """

    signs: Signs | None = None

    def __init__(self, folder: Path, *, clock: Clock, ids: Ids, pace: Pace | None = None) -> None:
        self.path = folder / FILE
        self.blobs = FileBlobs(folder / "blobs")
        self._clock = clock
        self._db = open_database(self.path, clock=clock, ids=ids)
        self._reader: sqlite3.Connection | None = None
        self._file = self._find_file()
        self._seen_at = 0.0
        self._may_write = False
        self._process = os.getpid()
        self._is_closed = False
        self._signals = 0
        self._id = ""
        self._is_checked = False
        self._checkpoints = Checkpoints(self.path)
        self._commits = Commits(
            self._db,
            self.path,
            self._begin,
            clock=clock,
            pace=pace or Pace(),
            checkpoints=self._checkpoints,
        )

    @property
    def id(self) -> str:
        """The journal's own id."""
        if not self._id:
            found = self._rows("journal_id")
            if not found:
                raise damaged(self.path, "it does not say its id")
            self._id = str(found[0][0])
        return self._id

    # -- writing ----------------------------------------------------------------------------------

    def append(self, append: Append) -> asyncio.Future[Appended]:
        """Append with all else of this turn of the event loop.

        Cancelling the future does not take the append back.
        """
        if self._is_closed:
            raise _closed(self.path)
        future = self._commits.add(append)
        if append.epoch is None:
            future.add_done_callback(lambda _: self._has_signalled())
        return future

    def append_now(self, append: Append) -> Appended:
        """Append at once, together with what waits for the end of the turn."""
        if self._is_closed:
            raise _closed(self.path)
        outcome = self._commits.now(append)
        if append.epoch is None:
            self._has_signalled()
        if isinstance(outcome, Appended):
            return outcome
        raise outcome

    def claim(self, run: str, driver: str, *, instead_of: str | None = None) -> Claim:
        """Take the run: epoch + 1. A small file is looked at whole, since an event may be gone."""
        if self._is_closed:
            raise _closed(self.path)
        self._commits.drain()
        before: StreamState | None = None

        def take() -> Claim:
            nonlocal before
            self._begin()
            before = self._stream(run, self._db.execute(SQL["stream"], (run,)).fetchall())
            if before.driver is not None and before.driver != instead_of:
                raise Held(run, before.driver)
            self._db.execute(SQL["claim_stream"], (driver, run))
            self._db.execute("COMMIT")
            return Claim(run, before.epoch + 1, before.tail)

        try:
            if not self._is_checked:
                patiently(lambda: check_pages(self._db, _CHECKED_BYTES))
                self._is_checked = True
            return patiently(take)
        except sqlite3.Error as error:
            self._commits.roll_back()
            if before is not None and self._is_taken(before, driver):
                return Claim(run, before.epoch + 1, before.tail)
            raise unavailable(error, self.path) from error
        finally:
            self._commits.roll_back()

    def _is_taken(self, before: StreamState, driver: str) -> bool:
        """After a failed commit of a claim: was it made after all?"""
        try:
            now = self.stream(before.run)
        except JournalUnavailable:
            return False
        return now.driver == driver and now.epoch == before.epoch + 1

    def _begin(self) -> None:
        """Begin to write, on the file that is there."""
        if os.getpid() != self._process:
            raise JournalUnavailable(
                f"the journal {self.path} was opened before a fork", hint="open it after it"
            )
        now = time.monotonic()
        if now - self._seen_at > _LOOK_EVERY_S:
            if self._find_file() != self._file:
                raise JournalUnavailable(
                    f"the journal {self.path} was moved or deleted while it was in use",
                    hint="put it back; what is not there any more cannot be resumed",
                )
            self._seen_at = now
        if not self._may_write:
            prepare_writing(self._db)
            self._may_write = True
        self._db.execute("BEGIN IMMEDIATE")

    def _find_file(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)  # noqa: PTH116  half the time of Path.stat
        except OSError:
            return None
        return found.st_dev, found.st_ino

    # -- reading ----------------------------------------------------------------------------------

    def stream(self, run: str) -> StreamState:
        """Where the stream stands."""
        return self._stream(run, self._rows("stream", (run,)))

    def read(self, run: str, after: int = 0, limit: int = 1000) -> list[Record]:
        """A page of events."""
        records = self._records("events", (run, after, limit), after)
        if len(records) < limit:
            self._check_end(run, is_empty=after == 0 and not records)
        return records

    def _check_end(self, run: str, *, is_empty: bool) -> None:
        """Whether a stream ends where it seems to."""
        if is_empty and self._rows("run", (run,)):
            raise damaged(self.path, f"run {run} has no events")
        try:
            check_next(self._rows("event_after_stream", (run,)))
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error

    def record(self, run: str, seq: int) -> Record:
        """One event."""
        for record in self._records("event", (run, seq), seq - 1):
            return record
        raise UnknownRun(run)

    def _records(self, query: str, values: Sequence[object], after: int) -> list[Record]:
        try:
            return records_of(self._rows(query, values), after)
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error

    def run(self, run: str) -> RunRow:
        """The run's row."""
        for row in self._rows("run", (run,)):
            return _run_row(row)
        raise UnknownRun(run)

    def find(self, prefix: str) -> list[str]:
        """Ids that begin with a text."""
        return [run for (run,) in self._rows("find_runs", (prefix, prefix + _LAST, 10))]

    def runs(
        self,
        *,
        status: Iterable[str] = (),
        bundle: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> RunPage:
        """Runs, newest first: a page for each status by its index, then the newest of them all."""
        query = "runs" if bundle is None else "runs_of_bundle"
        values = {"bundle": bundle, "before": before or _LAST, "limit": limit + 1}
        wanted = sorted(set(status))
        if not wanted:
            rows = self._rows(query, values)
        else:
            query = "runs_of_status" if bundle is None else "runs_of_bundle_and_status"
            rows = [row for word in wanted for row in self._rows(query, {**values, "status": word})]
            rows.sort(key=lambda row: row[0], reverse=True)
        found = tuple(_run_row(row) for row in rows[:limit])
        return RunPage(found, found[-1].run if found and len(rows) > limit else None)

    def register(self, space: str, key: str) -> Register | None:
        """One register."""
        for row in self._rows("register", (space, key)):
            return Register(space, key, *row)
        return None

    def registers(
        self, space: str, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[Register]:
        """The registers of a space."""
        is_first = not after or after < prefix
        name, first = ("registers", prefix) if is_first else ("registers_after", after)
        most = _NO_LIMIT if limit is None else limit
        rows = self._rows(name, (space, first, prefix + _LAST, most))
        return [Register(space, *row) for row in rows]

    def streams(self, after: str = "", limit: int = 1000) -> list[StreamState]:
        """Streams, in order."""
        return [StreamState(*row) for row in self._rows("streams", (after, limit))]

    def uses(self, run: str) -> list[str]:
        """Blobs that a run refers to."""
        return sorted(digest for (digest,) in self._rows("uses", (run,)))

    def all_registers(self, after: tuple[str, str] = ("", ""), limit: int = 1000) -> list[Register]:
        """Registers of all spaces."""
        return [Register(*row) for row in self._rows("all_registers", (*after, limit))]

    def version(self) -> int:
        """Changes when another process has committed, and when this one has signalled."""
        ((found,),) = self._ask("PRAGMA data_version")
        return int(found) + self._signals

    def _has_signalled(self) -> None:
        """The file says nothing of our own commits to a driver in this process."""
        self._signals += 1

    def _stream(self, run: str, rows: Rows) -> StreamState:
        for epoch, driver, tail in rows:
            return StreamState(run, epoch, tail, driver)
        raise UnknownRun(run)

    def _rows(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> Rows:
        return self._ask(SQL[query], values)

    def _ask(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> Rows:
        """All rows of an answer; the read is over when this returns."""
        if self._is_closed:
            raise _closed(self.path)
        db = self._db
        if self._commits.is_in_thread:
            db = self._reader = self._reader or connect(self.path)
        try:
            return db.execute(statement, values).fetchall()
        except (
            sqlite3.OperationalError
        ):  # another process recovers or closes the journal, it may be
            pass
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error
        try:
            return patiently(lambda: db.execute(statement, values).fetchall())
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error

    # -- care -------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Size, counts, what SQLite's own check finds, and blobs that are gone."""
        wal = self.path.with_name(f"{FILE}-wal")
        size = self.blobs.size() + (wal.stat().st_size if wal.exists() else 0)
        try:
            ((page_bytes,),) = self._ask("PRAGMA page_size")
            found = self._ask("PRAGMA quick_check(10)")
            problems = [row[0] for row in found if row[0] != "ok"]
            file_bytes = self.path.stat().st_size if self.path.exists() else 0
            size += file_bytes
            if file_bytes % page_bytes:
                problems.append("it is damaged: it ends in the middle of a page")
            problems += schema_problems(self._ask(PARTS))
            problems += self._missing_blobs()
            ((runs,),) = self._rows("count_runs")
            ((events,),) = self._rows("count_events")
        except JournalUnavailable as error:
            return Health(str(self.path), size, 0, 0, (error.message,))
        return Health(str(self.path), size, runs, events, tuple(problems))

    def _missing_blobs(self) -> list[str]:
        missing: list[str] = []
        number = 0
        while rows := self._rows("blobs_after", (number, _PAGE)):
            missing += [
                f"blob {digest} is missing" for _, digest in rows if digest not in self.blobs
            ]
            if len(missing) >= 10:
                break
            number = rows[-1][0]
        return missing[:10]

    def sweep(self, *, older_than_s: float) -> int:
        """Remove unreferenced blobs and forgotten outcomes, in short steps."""
        now = self._clock.now().timestamp()
        ((last,),) = self._rows("last_stream")
        for first in range(1, last + 1, _PAGE):
            values = (first, first + _PAGE - 1, now - _OUTCOMES_KEPT_S)
            self._write(partial(_forget_outcomes, values))
        return self.blobs.sweep(
            lambda digest: bool(self._rows("is_blob_used", (digest,))), before=now - older_than_s
        )

    def put(self, writes: Sequence[RegisterWrite]) -> None:
        """Write registers."""
        self._write(lambda db: Transaction(db, self._clock).put(writes))

    def forget(
        self, streams: Sequence[StreamState], registers: Sequence[RegisterWrite] = ()
    ) -> None:
        """Remove runs."""

        def remove(db: sqlite3.Cursor) -> None:
            transaction = Transaction(db, self._clock)
            for seen in streams:
                transaction.forget(seen)
            transaction.put(registers)

        self._write(remove)

    def become(self, id_: str) -> None:
        """Take over another journal's id."""
        self._id = ""
        self._write(lambda db: db.execute(SQL["change_journal_id"], (id_,)))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A read transaction; nobody is kept from writing meanwhile."""
        self._commits.settle()
        self._commits.drain()
        self._ask("BEGIN")
        try:
            self._rows("journal_id")  # the moment is that of the first read
            yield
        finally:
            self._commits.roll_back()

    def _write(self, work: Callable[[sqlite3.Cursor], object]) -> None:
        """Write in a transaction of its own."""

        def write() -> None:
            self._begin()
            before = self._db.total_changes
            work(self._db.cursor())
            self._db.execute("COMMIT")
            self._checkpoints.wrote((self._db.total_changes - before) * PAGE_BYTES)

        self._commits.drain()
        try:
            patiently(write)
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error
        finally:
            self._commits.roll_back()

    def close(self) -> None:
        """Commit what is pending and close."""
        if self._is_closed:
            return
        self._commits.close()
        self._is_closed = True
        self._checkpoints.close()
        if self._reader is not None:
            self._reader.close()
        self._db.close()


def _run_row(row: tuple[Any, ...]) -> RunRow:
    """Columns in the order of the fields; SQLite knows no bool."""
    values = list(row)
    values[_DIRTY] = bool(values[_DIRTY])
    return RunRow(*values)


def _forget_outcomes(values: tuple[float, ...], db: sqlite3.Cursor) -> None:
    db.execute(SQL["forget_outcomes"], values)


def _closed(path: Path) -> JournalUnavailable:
    return JournalUnavailable(f"the journal {path} is closed")
