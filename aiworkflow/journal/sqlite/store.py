"""The journal in one SQLite file: WAL, every commit on the disk before it is acknowledged.

One connection writes. What is appended within one turn of the event loop is one transaction; each
append is checked before it writes anything, so a refusal leaves the others alone. Another process
that writes at the same moment makes us try again, in short steps with some chance in them, since
SQLite's own waiting sleeps up to 100 ms.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar  # noqa: TID251  rows of a table

from aiworkflow.journal.blobs import FileBlobs
from aiworkflow.journal.contract import (
    Append,
    Appended,
    Claim,
    Closed,
    Conflict,
    Fenced,
    Health,
    Held,
    JournalUnavailable,
    Moved,
    Record,
    Register,
    RegisterWrite,
    RunPage,
    RunRow,
    StreamState,
    UnknownRun,
)

if TYPE_CHECKING:
    import asyncio

    from aiworkflow.clock import Clock, Ids

T = TypeVar("T")

SCHEMA_VERSION: Final = 1
_APPENDS_KEPT_S: Final = 7 * 86_400.0
_BUSY_PATIENCE_S: Final = 30.0
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"}
)
_RUN_COLUMNS: Final = (
    'run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, '
    "waiting"
)
_REFUSALS: Final = (Fenced, Moved, Closed, Conflict, UnknownRun)


class SqliteJournal:
    """A journal in a folder: `journal.db` and `blobs/`.

    Args:
        folder: made if need be, for its owner only.

    Raises:
        JournalUnavailable: the file is damaged, newer, on a network file system, or not writable.
    """

    def __init__(self, folder: Path, *, clock: Clock, ids: Ids) -> None:
        self.path = folder / "journal.db"
        self._clock = clock
        self.blobs = FileBlobs(folder / "blobs")
        self._pending: list[tuple[Append, asyncio.Future[Appended]]] = []
        is_new = not self.path.exists()
        if is_new:
            _make_folder(folder)
            _refuse_network(folder)
        try:
            self._db = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            self._db.execute("PRAGMA synchronous=FULL")
            self._open(ids, is_new=is_new)
        except sqlite3.Error as error:
            raise _unavailable(error, self.path) from error

    def _open(self, ids: Ids, *, is_new: bool) -> None:
        db = self._db
        if is_new:
            os.chmod(self.path, 0o600)  # noqa: PTH101  the file was made by SQLite just now
        found: int = db.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            self._busy(lambda: db.execute("PRAGMA journal_mode=WAL"))
            self._create(ids)
        elif found > SCHEMA_VERSION:
            raise JournalUnavailable(
                f"{self.path} was written by a newer aiworkflow (format {found})",
                hint="update aiworkflow",
            )
        db.execute("PRAGMA journal_size_limit=67108864")
        row = db.execute("SELECT value FROM about WHERE name='id'").fetchone()
        self.id: str = row[0]

    def _create(self, ids: Ids) -> None:
        def create() -> None:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
                    schema = (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")
                    for statement in schema.split(";"):
                        if statement.strip():
                            self._db.execute(statement)
                    self._db.execute("INSERT INTO about VALUES ('id', ?)", (ids.token(),))
                    self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

        self._busy(create)

    # -- appending --------------------------------------------------------------------------------

    def append(self, append: Append) -> asyncio.Future[Appended]:
        """Append with all else of this turn of the event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[Appended] = loop.create_future()
        if not self._pending:
            loop.call_soon(self._flush)
        self._pending.append((append, future))
        return future

    def _flush(self) -> None:
        batch, self._pending = self._pending, []
        outcomes = self._commit([append for append, _ in batch])
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, Appended):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

    def append_now(self, append: Append) -> Appended:
        """Append at once."""
        (outcome,) = self._commit([append])
        if isinstance(outcome, Appended):
            return outcome
        raise outcome

    def _commit(self, batch: list[Append]) -> list[Appended | Exception]:
        """One transaction for a batch; what became of each."""
        outcomes: list[Appended | Exception] = []

        def write() -> None:
            outcomes.clear()
            self._db.execute("BEGIN IMMEDIATE")
            for append in batch:
                try:
                    outcomes.append(self._write(append))
                except _REFUSALS as refusal:
                    outcomes.append(refusal)
            self._db.execute("COMMIT")

        try:
            self._busy(write)
        except sqlite3.Error as error:
            self._roll_back()
            return [self._settle(append, error) for append in batch]
        return outcomes

    def _settle(self, append: Append, error: sqlite3.Error) -> Appended | Exception:
        """After a failed transaction: did this append become durable after all?"""
        try:
            known = self._outcome(append.id)
        except sqlite3.Error:
            known = None
        return known if known is not None else _unavailable(error, self.path)

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error:
                self._db.close()
                self._db = sqlite3.connect(self.path, timeout=0, isolation_level=None)
                self._db.execute("PRAGMA synchronous=FULL")

    def _outcome(self, id_: str) -> Appended | None:
        row = self._db.execute("SELECT first, last FROM appends WHERE id=?", (id_,)).fetchone()
        return Appended(row[0], row[1]) if row is not None else None

    def _write(self, append: Append) -> Appended:
        """Check everything, then write everything: a refusal writes nothing."""
        known = self._outcome(append.id)
        if known is not None:
            return known
        number, tail = self._check(append)
        for wanted in append.requires:
            self._require(wanted.space, wanted.key, wanted.now)
        for register in append.registers:
            self._expect(register)
        db = self._db
        last = tail + len(append.events)
        if number is None:
            number = db.execute(
                "INSERT INTO streams (run, epoch, tail, driver) VALUES (?,?,?,?)",
                (append.run, append.epoch, last, None if append.releases else append.driver),
            ).lastrowid
        elif append.releases:
            db.execute("UPDATE streams SET tail=?, driver=NULL WHERE number=?", (last, number))
        elif last != tail:
            db.execute("UPDATE streams SET tail=? WHERE number=?", (last, number))
        if append.events:
            db.executemany(
                "INSERT INTO events VALUES (?,?,?)",
                [(number, tail + at, payload) for at, payload in enumerate(append.events, 1)],
            )
        for register in append.registers:
            self._put(register)
        if append.row is not None:
            self._put_row(append.row)
        if append.blobs:
            db.executemany(
                "INSERT OR IGNORE INTO blob_refs VALUES (?,?)",
                [(number, digest) for digest in append.blobs],
            )
        db.execute(
            "INSERT INTO appends VALUES (?,?,?,?)",
            (append.id, tail + 1, last, self._clock.now().timestamp()),
        )
        return Appended(tail + 1, last)

    def _check(self, append: Append) -> tuple[int | None, int]:
        row = self._db.execute(
            "SELECT number, epoch, tail, driver FROM streams WHERE run=?", (append.run,)
        ).fetchone()
        if row is None:
            if append.epoch == 1 and append.after == 0:
                return None, 0
            raise UnknownRun(append.run)
        number, epoch, tail, driver = row
        if append.epoch is not None and (append.epoch != epoch or driver is None):
            raise Fenced(append.run, append.epoch, epoch)
        if append.after is not None and append.after != tail:
            raise Moved(append.run, self.read(append.run, append.after))
        return number, tail

    def _require(self, space: str, key: str, now: float) -> None:
        row = self._db.execute(
            "SELECT expires FROM registers WHERE space=? AND key=?", (space, key)
        ).fetchone()
        if row is None or (row[0] is not None and row[0] <= now):
            raise Closed(space, key)

    def _expect(self, write: RegisterWrite) -> None:
        if write.expect is None:
            return
        row = self._db.execute(
            "SELECT version FROM registers WHERE space=? AND key=?", (write.space, write.key)
        ).fetchone()
        current = row[0] if row is not None else 0
        if current != write.expect:
            raise Conflict(write.space, write.key, write.expect, current)

    def _put(self, write: RegisterWrite) -> None:
        if write.value is None:
            self._db.execute(
                "DELETE FROM registers WHERE space=? AND key=?", (write.space, write.key)
            )
            return
        self._db.execute(
            "INSERT INTO registers VALUES (?,?,?,1,?) ON CONFLICT DO UPDATE SET "
            "value=excluded.value, version=version+1, expires=excluded.expires",
            (write.space, write.key, write.value, write.expires),
        )

    def _put_row(self, row: RunRow) -> None:
        self._db.execute(
            f"INSERT OR REPLACE INTO runs ({_RUN_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
            (
                row.run,
                row.bundle,
                row.status,
                row.started,
                row.finished,
                row.cost_usd,
                row.commit,
                row.dirty,
                row.digest,
                row.trigger,
                row.actor,
                row.waiting,
            ),
        )

    def claim(self, run: str, driver: str, *, instead_of: str | None = None) -> Claim:
        """Take the run: epoch + 1."""

        def take() -> Claim:
            self._db.execute("BEGIN IMMEDIATE")
            state = self.stream(run)
            if state.driver is not None and state.driver != instead_of:
                raise Held(run, state.driver)
            self._db.execute(
                "UPDATE streams SET epoch=epoch+1, driver=? WHERE run=?", (driver, run)
            )
            self._db.execute("COMMIT")
            return Claim(run, state.epoch + 1, state.tail)

        try:
            return self._busy(take)
        except sqlite3.Error as error:
            raise _unavailable(error, self.path) from error
        finally:
            self._roll_back()

    # -- reading ----------------------------------------------------------------------------------

    def stream(self, run: str) -> StreamState:
        """Where the stream stands."""
        row = self._db.execute(
            "SELECT epoch, tail, driver FROM streams WHERE run=?", (run,)
        ).fetchone()
        if row is None:
            raise UnknownRun(run)
        return StreamState(run, *row)

    def read(self, run: str, after: int = 0, limit: int = 1000) -> list[Record]:
        """A page of events."""
        rows = self._db.execute(
            "SELECT seq, payload FROM events WHERE stream=(SELECT number FROM streams WHERE run=?) "
            "AND seq>? ORDER BY seq LIMIT ?",
            (run, after, limit),
        ).fetchall()
        return [Record(seq, payload) for seq, payload in rows]

    def record(self, run: str, seq: int) -> Record:
        """One event."""
        found = self.read(run, seq - 1, 1)
        if not found or found[0].seq != seq:
            raise UnknownRun(run)
        return found[0]

    def run(self, run: str) -> RunRow:
        """The run's row."""
        row = self._db.execute(
            f"SELECT {_RUN_COLUMNS} FROM runs WHERE run=?",  # noqa: S608
            (run,),
        ).fetchone()
        if row is None:
            raise UnknownRun(run)
        return _row(row)

    def find(self, prefix: str) -> list[str]:
        """Ids that begin with a text."""
        rows = self._db.execute(
            "SELECT run FROM runs WHERE run>=? AND run<? ORDER BY run DESC LIMIT 10",
            (prefix, prefix + "\U0010ffff"),
        ).fetchall()
        return [run for (run,) in rows]

    def runs(
        self,
        *,
        status: Iterable[str] = (),
        bundle: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> RunPage:
        """Runs, newest first."""
        wanted = list(status)
        where = ["1"]
        values: list[str | int] = []
        if wanted:
            where.append(f"status IN ({','.join('?' * len(wanted))})")
            values.extend(wanted)
        if bundle is not None:
            where.append("bundle=?")
            values.append(bundle)
        if before is not None:
            where.append("run<?")
            values.append(before)
        values.append(limit + 1)
        rows = self._db.execute(
            f"SELECT {_RUN_COLUMNS} FROM runs WHERE {' AND '.join(where)} "  # noqa: S608  no values
            "ORDER BY run DESC LIMIT ?",
            values,
        ).fetchall()
        found = [_row(row) for row in rows[:limit]]
        return RunPage(tuple(found), found[-1].run if len(rows) > limit else None)

    def register(self, space: str, key: str) -> Register | None:
        """One register."""
        row = self._db.execute(
            "SELECT value, version, expires FROM registers WHERE space=? AND key=?", (space, key)
        ).fetchone()
        return Register(space, key, *row) if row is not None else None

    def registers(self, space: str, prefix: str = "") -> list[Register]:
        """The registers of a space."""
        rows = self._db.execute(
            "SELECT key, value, version, expires FROM registers "
            "WHERE space=? AND key>=? AND key<? ORDER BY key",
            (space, prefix, prefix + "\U0010ffff"),
        ).fetchall()
        return [Register(space, *row) for row in rows]

    def version(self) -> int:
        """Changes when another process has committed."""
        found: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return found

    def health(self) -> Health:
        """Size, counts, and what SQLite's own check finds."""
        try:
            problems = [
                row[0] for row in self._db.execute("PRAGMA quick_check(10)") if row[0] != "ok"
            ]
            runs = self._db.execute("SELECT count(*) FROM runs").fetchone()[0]
            events = self._db.execute("SELECT coalesce(sum(tail), 0) FROM streams").fetchone()[0]
        except sqlite3.Error as error:
            return Health(str(self.path), _size(self.path), 0, 0, (str(error),))
        size = _size(self.path) + _size(self.path.with_name("journal.db-wal")) + self.blobs.size()
        return Health(str(self.path), size, runs, events, tuple(problems))

    def sweep(self, *, older_than_s: float) -> int:
        """Remove unreferenced blobs and forgotten append ids."""
        now = self._clock.now().timestamp()

        def forget() -> None:
            self._db.execute("DELETE FROM appends WHERE at<?", (now - _APPENDS_KEPT_S,))

        self._busy(forget)
        keep = {row[0] for row in self._db.execute("SELECT DISTINCT digest FROM blob_refs")}
        return self.blobs.sweep(keep, before=now - older_than_s)

    def close(self) -> None:
        """Commit what is pending and close."""
        if self._pending:
            self._flush()
        self._db.close()

    # -- other writers ----------------------------------------------------------------------------

    def _busy(self, work: Callable[[], T]) -> T:
        """Do something that another writer may be in the way of; again until it is not."""
        began = time.monotonic()
        wait = 0.0005
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                self._roll_back()
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                waited = time.monotonic() - began
                if code not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                    raise
                if waited > _BUSY_PATIENCE_S:
                    raise
                time.sleep(wait * (0.5 + random.random()))  # noqa: S311  only spreads the tries
                wait = min(wait * 1.5, 0.02)


def _row(row: tuple[Any, ...]) -> RunRow:
    return RunRow(*row[:7], bool(row[7]), *row[8:])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise JournalUnavailable(
            f"cannot make {folder} for the journal: {error.strerror}",
            hint="make it writable, or set `journal:` in .aiworkflow/config.yaml",
        ) from error


def _refuse_network(folder: Path) -> None:
    """SQLite's locks do not hold on network file systems."""
    kind = _file_system(folder)
    if kind in _NETWORK:
        raise JournalUnavailable(
            f"{folder} is on a network file system ({kind}), where SQLite's locks do not hold",
            hint="set `journal: sqlite:///…` to a path on a local disk",
        )


def _file_system(folder: Path) -> str:
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    best, kind = -1, ""
    target = str(folder.resolve()) + "/"
    for line in mounts.splitlines():
        words = line.split(" ")
        where = words[1].replace("\\040", " ").rstrip("/") + "/"
        if target.startswith(where) and len(where) > best:
            best, kind = len(where), words[2]
    return kind


def _unavailable(error: sqlite3.Error, path: Path) -> JournalUnavailable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return JournalUnavailable(
            f"no space left for the journal {path}", hint="free some space; nothing was lost"
        )
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return JournalUnavailable(
            f"the journal {path} is damaged: {error}",
            hint="restore it from a backup, or move it away to begin a new one",
        )
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return JournalUnavailable(
            f"the journal {path} cannot be written: {error}",
            hint="check the permissions of the folder",
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return JournalUnavailable(
            f"another process has kept the journal {path} locked for too long",
            hint="look for a process that hangs: `aiworkflow doctor`",
        )
    return JournalUnavailable(f"the journal {path} failed: {error}")
