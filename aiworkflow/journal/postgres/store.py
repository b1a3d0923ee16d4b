"""The journal in PostgreSQL: for a project whose runs are driven from several machines.

One connection, used for writing, reading and listening in turns. All appends of a turn of the event
loop are one call of a function on the server, which is one transaction and one round trip, with the
durability that the server has (`synchronous_commit`).

An append is settled by its id: it may be given again on a new connection, and is answered with what
happened first. When the server does not come back within the patience (30 s), the append is refused as
`JournalUnavailable`, and only giving the same append again tells whether it had been made.

Not for use behind a pool that changes the connection between statements: it listens, prepares
statements and names its session.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

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
from aiworkflow.journal.postgres.blobs import TableBlobs
from aiworkflow.journal.postgres.care import InTransaction, forget_run, put_registers
from aiworkflow.journal.postgres.commit import Commits
from aiworkflow.journal.postgres.connect import open_line
from aiworkflow.journal.postgres.failures import Lost, Refused, unavailable
from aiworkflow.journal.postgres.group import lock_of
from aiworkflow.journal.postgres.line import texts
from aiworkflow.journal.postgres.signs import TableSigns

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from aiworkflow.clock import Ids
    from aiworkflow.journal.postgres.address import Address
    from aiworkflow.journal.postgres.line import Rows, Value

_OUTCOMES_KEPT_S: Final = 7 * 86_400
_LAST: Final = "\U0010ffff"  # sorts after every id and key
_LOOK_EVERY_S: Final = 5.0
_WATCH_EVERY_S: Final = 0.2


class PostgresJournal:
    """A journal in a schema of a PostgreSQL database, made if need be.

    Raises:
        JournalUnavailable: the server does not answer or refuses, or the journal is a newer one.
    """

    def __init__(self, address: Address, *, ids: Ids) -> None:
        self.address = address
        self._line, self._id = open_line(address, ids=ids)
        self._commits = Commits(self._line)
        self.blobs = TableBlobs(self._ask_of_blobs, address.shown)
        self.signs = TableSigns(self._ask, address, ids)
        self._ids = ids
        self._process = os.getpid()
        self._is_closed = False
        self._drives = False
        self._in_snapshot = False
        self._listens = False
        self._looks = 0
        self._looked_at = time.monotonic()
        self._connect_at = 0.0

    @property
    def id(self) -> str:
        """The journal's own id."""
        return self._id

    # -- writing ----------------------------------------------------------------------------------

    def append(self, append: Append) -> asyncio.Future[Appended]:
        """Append with all else of this turn of the event loop.

        Cancelling the future does not take the append back.
        """
        self._check_usable()
        self._drives = self._drives or append.epoch is not None
        future = self._commits.add(append)
        if append.epoch is None:
            future.add_done_callback(lambda _: self._has_signalled())
        return future

    def append_now(self, append: Append) -> Appended:
        """Append at once, together with what waits for the end of the turn."""
        self._check_usable()
        self._drives = self._drives or append.epoch is not None
        outcome = self._commits.now(append)
        if append.epoch is None:
            self._has_signalled()
        if isinstance(outcome, Appended):
            return outcome
        raise outcome

    def claim(self, run: str, driver: str, *, instead_of: str | None = None) -> Claim:
        """Take the run: epoch + 1."""
        self._check_usable()
        self._commits.drain()
        tries = 0

        def take() -> Rows:
            nonlocal tries
            tries += 1
            # after a lost connection we may hold it already: then it is taken once more
            gone = [one for one in (instead_of, driver if tries > 1 else None) if one is not None]
            return self._line.ask("claim", lock_of(run), run, driver, texts(gone))

        try:
            ((code, epoch, tail, holder),) = self._line.patiently(take)
        except (Lost, Refused) as error:
            raise unavailable(error, self.address) from error
        if code == 2:
            raise UnknownRun(run)
        if code == 1:
            raise Held(run, holder)
        return Claim(run, epoch, tail)

    def _check_usable(self) -> None:
        if self._is_closed:
            raise JournalUnavailable(f"the journal {self.address.shown} is closed")
        if os.getpid() != self._process:
            raise JournalUnavailable(
                f"the journal {self.address.shown} was opened before a fork",
                hint="open it after it",
            )

    # -- reading ----------------------------------------------------------------------------------

    def stream(self, run: str) -> StreamState:
        """Where the stream stands."""
        for epoch, driver, tail in self._ask("stream", run):
            return StreamState(run, epoch, tail, driver)
        raise UnknownRun(run)

    def read(self, run: str, after: int = 0, limit: int = 1000) -> list[Record]:
        """A page of events."""
        return [Record(seq, payload) for seq, payload in self._ask("events", run, after, limit)]

    def record(self, run: str, seq: int) -> Record:
        """One event."""
        for (payload,) in self._ask("event", run, seq):
            return Record(seq, payload)
        raise UnknownRun(run)

    def run(self, run: str) -> RunRow:
        """The run's row."""
        for row in self._ask("run", run):
            return RunRow(*row)
        raise UnknownRun(run)

    def find(self, prefix: str) -> list[str]:
        """Ids that begin with a text."""
        return [run for (run,) in self._ask("find_runs", prefix, prefix + _LAST, 10)]

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
        values: list[Value] = [before or _LAST, limit + 1]
        values += [] if bundle is None else [bundle]
        wanted = sorted(set(status))
        if not wanted:
            rows = self._ask(query, *values)
        else:
            query = "runs_of_status" if bundle is None else "runs_of_bundle_and_status"
            rows = [row for word in wanted for row in self._ask(query, *values, word)]
            rows.sort(key=lambda row: row[0], reverse=True)
        found = tuple(RunRow(*row) for row in rows[:limit])
        return RunPage(found, found[-1].run if found and len(rows) > limit else None)

    def register(self, space: str, key: str) -> Register | None:
        """One register."""
        for row in self._ask("register", space, key):
            return Register(space, key, *row)
        return None

    def registers(
        self, space: str, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[Register]:
        """The registers of a space."""
        is_first = not after or after < prefix
        name, first = ("registers", prefix) if is_first else ("registers_after", after)
        rows = self._ask(name, space, first, prefix + _LAST, limit)
        return [Register(space, *row) for row in rows]

    def streams(self, after: str = "", limit: int = 1000) -> list[StreamState]:
        """Streams, in order."""
        return [StreamState(*row) for row in self._ask("streams", after, limit)]

    def uses(self, run: str) -> list[str]:
        """Blobs that a run refers to."""
        return sorted(digest for (digest,) in self._ask("uses", run))

    def all_registers(self, after: tuple[str, str] = ("", ""), limit: int = 1000) -> list[Register]:
        """Registers of all spaces."""
        return [Register(*row) for row in self._ask("all_registers", *after, limit)]

    def _has_signalled(self) -> None:
        """The server tells us nothing of our own signals, and drivers in this process want them."""
        self._looks += 1

    def version(self) -> int:
        """Changes when another process has signalled, after a reconnect, and now and then.

        Only signals notify. So a process that drives looks again every five seconds for the rest; one
        that only watches others does so five times a second.
        """
        self._check_usable()
        now = time.monotonic()
        if now - self._looked_at >= (_LOOK_EVERY_S if self._drives else _WATCH_EVERY_S):
            self._looked_at = now
            self._looks += 1
        if self._commits.is_in_thread:  # it connects again, and has the line for itself
            return self._looks + self._line.heard + self._line.count
        try:
            if not self._listens:
                self._commits.settle()
                self._line.listen()
                self._listens = True
            self._line.hear()
        except (Lost, Refused):
            self._come_back(now)
        return self._looks + self._line.heard + self._line.count

    def _come_back(self, now: float) -> None:
        """Try to connect again, once in a while; who only asks for the version is not kept waiting."""
        if now < self._connect_at:
            return
        self._commits.settle()
        try:
            self._line.connect()
        except (Lost, Refused):
            self._connect_at = time.monotonic() + 1.0

    def _ask(self, name: str, *values: Value) -> Rows:
        """All rows of an answer; may be done twice."""
        self._check_usable()
        self._commits.settle()
        try:
            if self._in_snapshot:  # which is gone with its connection
                return self._line.ask(name, *values)
            asked = partial(self._line.ask, name, *values)
            return self._line.patiently(asked, self._line.patience_s)
        except (Lost, Refused) as error:
            if self._in_snapshot:
                self._line.give_up()
            raise unavailable(error, self.address) from error

    def _ask_of_blobs(self, name: str, *values: Value) -> Rows:
        """The same; also of a closed journal, since results of runs outlive it and name blobs."""
        if not self._is_closed:
            return self._ask(name, *values)
        line, _ = open_line(self.address, ids=self._ids)
        try:
            return line.patiently(lambda: line.ask(name, *values))
        except (Lost, Refused) as error:
            raise unavailable(error, self.address) from error
        finally:
            line.close()

    # -- care -------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Size, counts, and blobs that are gone."""
        where = self.address.shown
        try:
            ((size,),) = self._ask("size")
            ((runs,),) = self._ask("count_runs")
            ((events,),) = self._ask("count_events")
            missing = [f"blob {digest} is missing" for (digest,) in self._ask("missing_blobs")]
        except JournalUnavailable as error:
            return Health(where, 0, 0, 0, (error.message,))
        return Health(where, size, runs, events, tuple(missing))

    def sweep(self, *, older_than_s: float) -> int:
        """Remove unreferenced blobs and forgotten outcomes."""
        self._ask("forget_outcomes", _OUTCOMES_KEPT_S)
        self.signs.forget(older_than_s=_OUTCOMES_KEPT_S)
        return self.blobs.sweep(older_than_s=older_than_s)

    def put(self, writes: Sequence[RegisterWrite]) -> None:
        """Write registers."""
        self._write(lambda: put_registers(self._line, writes))

    def forget(
        self, streams: Sequence[StreamState], registers: Sequence[RegisterWrite] = ()
    ) -> None:
        """Remove runs."""

        def remove() -> None:
            for seen in streams:
                forget_run(self._line, seen)
            put_registers(self._line, registers)

        self._write(remove)

    def become(self, id_: str) -> None:
        """Take over another journal's id."""
        self._write(lambda: self._line.ask("change_journal_id", id_))
        self._id = id_

    def _write(self, work: Callable[[], object]) -> None:
        """Write in a transaction of its own."""
        self._check_usable()
        self._commits.drain()
        try:
            self._line.patiently(InTransaction(self._line, work))
        except (Lost, Refused) as error:
            raise unavailable(error, self.address) from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A transaction that only reads; nobody is kept from writing meanwhile."""
        self._ask("journal_id")  # there is a connection
        try:
            self._line.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._in_snapshot = True
            self._ask("journal_id")  # the moment is that of the first read
            yield
        except (Lost, Refused) as error:
            raise unavailable(error, self.address) from error
        finally:
            self._in_snapshot = False
            with suppress(Lost, Refused):
                self._line.run("ROLLBACK")

    def close(self) -> None:
        """Commit what is pending and close."""
        if self._is_closed:
            return
        if os.getpid() == self._process:
            self._commits.close()
        self._is_closed = True
        self._line.close()
