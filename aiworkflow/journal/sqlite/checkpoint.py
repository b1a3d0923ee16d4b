"""Checkpoints beside the writer: what the WAL holds is moved into the file by a thread of its own.

SQLite would do it within the commit that makes the WAL long enough, and who waits for that commit,
and all behind it, would wait for some thousand pages as well. Nothing depends on when it happens:
what is not moved yet is read from the WAL, and is on the disk there.

The WAL is begun anew by the first write after a checkpoint that left nothing in it. While others write
all the time there is always something left; so once the WAL is long, and little is left, the last of
it is moved while nobody can write.

A WAL that is begun anew in the moment in which a checkpoint begins can be taken for moved by SQLite up
to 3.51.2, so that what is written into it is lost (the "WAL-reset bug"). It takes a checkpoint right
after one that left nothing, of this process or another. So another connection reads meanwhile: as long
as it does, no WAL is begun anew; and if there is nothing to move, nothing is moved. SQLite's own
checkpoints, which nobody could guard so, are off for all that write (see `prepare_writing`), but for
that of the last one that closes, when there is no other.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from aiworkflow.journal.sqlite.room import Room
from aiworkflow.journal.sqlite.tail import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

_EVERY_BYTES: Final = 1000 * PAGE_BYTES
_MOST_BYTES: Final = 3 * _EVERY_BYTES
_LONG_PAGES: Final = 2000
_LONGEST_PAGES: Final = 4000
_FEW_PAGES: Final = 300
_MOST_PASSES: Final = 4
_TURN_MS: Final = 50  # for so long the end of a commit is waited for, to keep others from writing


class Checkpoints:
    """Checkpoints of one file, made by a thread that begins with the first that is due.

    Args:
        path: the file, which another connection of this process keeps open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self._room = Room(self._wal)
        self._written = 0
        self._has_written = False
        self._length = 0  # of the WAL, in pages, at the last look; 0 when it is begun anew
        self._executor: ThreadPoolExecutor | None = None
        self._pass: Future[None] | None = None
        self._db: sqlite3.Connection | None = None
        self._guard: sqlite3.Connection | None = None

    def wrote(self, size: int) -> None:
        """A commit has written about so many bytes: a page a row and what rows hold beyond it, say."""
        self._written += size
        self._has_written = True
        if self._room.is_wanted(size):
            self._begin(self._room.make)
        if self._written < _EVERY_BYTES:
            return
        is_over = self._pass is None or self._pass.done()
        if is_over and self._length <= _LONGEST_PAGES:
            self._written = 0
            self._pass = self._begin(self._move)
        elif is_over or self._written >= _MOST_BYTES:
            # It is written so fast that the thread is behind, or finds no moment when nobody writes.
            if self._pass is not None:
                self._pass.result()
            self._written = 0
            self._move()

    def _begin(self, work: Callable[[], None]) -> Future[None] | None:
        """Have the thread do it; what becomes of it, or None: it is done."""
        try:
            from concurrent.futures import ThreadPoolExecutor

            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, "aiworkflow-checkpoint")
            return self._executor.submit(work)
        except (RuntimeError, OSError, ImportError):
            # No thread is to be had, or no file to load one from: it takes its time here.
            self._executor = None
            work()
            return None

    def close(self) -> None:
        """End the thread; move now and then what many processes have written, each a little."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None
        if self._has_written and self._is_long():
            self._move()
        for db in (self._guard, self._db):
            if db is not None:
                db.close()
        self._guard = self._db = None

    def _is_long(self) -> bool:
        """Whether the WAL may be long; its file stays as large as it was once."""
        try:
            size = self._wal.stat().st_size
        except OSError:
            return False
        return size > _LONG_PAGES * PAGE_BYTES

    def _move(self) -> None:
        try:
            if self._db is None:
                self._db = _connect(self._path)
            if self._guard is None:
                self._guard = _connect(self._path)
                self._guard.execute(f"PRAGMA busy_timeout={_TURN_MS}")
            left = 0
            for _ in range(_MOST_PASSES):
                self._length, left = _checkpoint(self._db, self._guard, "BEGIN")
                if left <= _FEW_PAGES:
                    break
            if self._length > _LONG_PAGES and left <= _FEW_PAGES:  # beside what came meanwhile
                _checkpoint(self._db, self._guard, "BEGIN IMMEDIATE")
                self._length = 0
        except sqlite3.Error:
            # It stays in the WAL, and the next one tries again. Who writes hears of a disk that fails.
            return


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that makes no file, should it have been moved meanwhile."""
    name = f"file:{quote(str(path))}?mode=rw"
    db = sqlite3.connect(name, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous=FULL")
    return db


def _checkpoint(db: sqlite3.Connection, guard: sqlite3.Connection, begin: str) -> tuple[int, int]:
    """Move what can be moved. How many pages the WAL holds, and how many of them are not moved.

    Args:
        guard: reads meanwhile, or keeps others from writing, as its `begin` says.
    """
    guard.execute(begin)
    try:
        guard.execute("PRAGMA schema_version").fetchone()  # with its first read it begins
        ((_, length, moved),) = db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        if guard.in_transaction:
            guard.execute("ROLLBACK")
    return length, length - moved
