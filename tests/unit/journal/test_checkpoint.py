"""Checkpoints beside the writer: the WAL stays short, and no commit waits for them."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import Append, RegisterWrite
from aiworkflow.journal.sqlite import SqliteJournal
from aiworkflow.journal.sqlite.checkpoint import Checkpoints
from aiworkflow.journal.sqlite.connect import connect, prepare_writing
from aiworkflow.journal.sqlite.failures import patiently
from aiworkflow.journal.sqlite.tail import PAGE_BYTES

CLOCK = SystemClock()
MUCH = 1000 * PAGE_BYTES
MOUTHFUL = MUCH // 40
LONGEST = 10 * MUCH  # of the WAL; what is written is many times that


@pytest.fixture
def db(tmp_path: Path):
    db = connect(tmp_path / "a file?.db")
    prepare_writing(db)
    db.execute("CREATE TABLE t (x BLOB)")
    yield db
    db.close()


def path_of(db: sqlite3.Connection) -> Path:
    return Path(db.execute("PRAGMA database_list").fetchone()[2])


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def salt_of(path: Path) -> bytes:
    """What another WAL has another of."""
    return wal_of(path).read_bytes()[16:24]


def write(db: sqlite3.Connection, size: int) -> None:
    patiently(lambda: db.execute("INSERT INTO t VALUES (?)", (bytes(size),)))


def rows_without_wal(path: Path, to: Path) -> int:
    """What the file alone holds."""
    shutil.copy(path, to)
    with closing(sqlite3.connect(to)) as db:
        try:
            ((count,),) = db.execute("SELECT count(*) FROM t")
        except sqlite3.OperationalError:  # not even the table
            return 0
    return int(count)


def test_what_was_written_is_moved_into_the_file(db: sqlite3.Connection, tmp_path: Path) -> None:
    checkpoints = Checkpoints(path_of(db))
    write(db, MUCH)
    checkpoints.wrote(MUCH - 1)
    checkpoints.close()
    assert rows_without_wal(path_of(db), tmp_path / "before.db") == 0

    checkpoints.wrote(1)
    checkpoints.close()
    assert rows_without_wal(path_of(db), tmp_path / "after.db") == 1


def test_the_wal_stays_short_while_somebody_writes_all_the_time(db: sqlite3.Connection) -> None:
    checkpoints = Checkpoints(path_of(db))
    longest = 0
    for _ in range(1600):
        write(db, MOUTHFUL)
        checkpoints.wrote(MOUTHFUL)
        longest = max(longest, wal_of(path_of(db)).stat().st_size)
    checkpoints.close()
    assert longest < LONGEST
    assert db.execute("SELECT count(*), sum(length(x)) FROM t").fetchone() == (
        1600,
        1600 * MOUTHFUL,
    )
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_who_reads_for_long_is_not_disturbed_and_nothing_is_lost(db: sqlite3.Connection) -> None:
    checkpoints = Checkpoints(path_of(db))
    with closing(connect(path_of(db))) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
        for _ in range(160):
            write(db, MOUTHFUL)
            checkpoints.wrote(MOUTHFUL)
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (160,)
    checkpoints.close()


def test_a_file_that_was_moved_is_not_made_anew(db: sqlite3.Connection) -> None:
    path = path_of(db)
    checkpoints = Checkpoints(path)
    write(db, MUCH)
    path.rename(path.with_name("elsewhere.db"))
    checkpoints.wrote(MUCH)
    checkpoints.close()
    assert not path.exists()


def test_it_goes_on_after_one_that_failed(db: sqlite3.Connection, tmp_path: Path) -> None:
    path = path_of(db)
    checkpoints = Checkpoints(path)
    write(db, MUCH)
    path.rename(path.with_name("elsewhere.db"))
    checkpoints.wrote(MUCH)
    assert checkpoints._pass is not None
    checkpoints._pass.result()
    path.with_name("elsewhere.db").rename(path)
    checkpoints.wrote(MUCH)
    checkpoints.close()
    assert rows_without_wal(path, tmp_path / "after.db") == 1


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("pages", [1000, 2500])
def test_nothing_is_moved_of_a_wal_that_is_begun_anew_meanwhile(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, pages: int, times: int
) -> None:
    """SQLite up to 3.51.2 may take the new one for moved, and lose what is written into it."""
    path = path_of(db)
    moved_of_new = []

    class Late(sqlite3.Connection):
        """Another writes in the moment in which a checkpoint begins."""

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if "wal_checkpoint" not in sql:
                return super().execute(sql, *values)
            before = salt_of(path)
            try:
                db.execute("INSERT INTO t VALUES ('meanwhile')")
            except sqlite3.OperationalError as error:
                assert "locked" in str(error)  # noqa: PT017  it keeps writers out: as well
            found = super().execute(sql, *values).fetchall()
            if salt_of(path) != before:
                moved_of_new.append(found[0][2])
            return super().execute("SELECT ?, ?, ?", found[0])

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Late))
    checkpoints = Checkpoints(path)
    write(db, pages * PAGE_BYTES)
    for _ in range(times):
        checkpoints.wrote(MUCH)
        checkpoints.close()
    assert not any(moved_of_new)


def fill(journal: SqliteJournal, how: str, times: int) -> int:
    """Write in many commits. How long the WAL was at most, in bytes."""
    longest = 0
    for number in range(times):
        if how == "appends":
            journal.append_now(Append(f"{number}", "r", (b" " * MOUTHFUL,)))
        else:
            value = "x" * (MOUTHFUL // 25)
            journal.put([RegisterWrite("s", f"{number}/{n}", value) for n in range(25)])
        longest = max(longest, wal_of(journal.path).stat().st_size)
    return longest


def opened(folder: Path) -> SqliteJournal:
    return SqliteJournal(folder, clock=CLOCK, ids=SystemIds(CLOCK))


@pytest.mark.parametrize("how", ["appends", "registers"])
@pytest.mark.parametrize("has_threads", [True, False])
def test_a_journal_keeps_its_wal_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, has_threads: bool
) -> None:
    journal = opened(tmp_path)
    journal.append_now(Append("first", "r", (b"{}",), epoch=1, after=0, driver="d"))
    before = journal.path.stat().st_size
    if not has_threads:

        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
    longest = fill(journal, how, 600)
    grown = journal.path.stat().st_size - before
    journal.close()
    assert grown > 3 * MUCH  # while it was open
    assert longest < LONGEST


def test_many_that_write_a_little_each_keep_it_short_together(tmp_path: Path) -> None:
    server = opened(tmp_path)  # so that none of them is the last to close it
    server.append_now(Append("first", "r", (b"{}",), epoch=1, after=0, driver="d"))
    longest = 0
    for _ in range(20):
        command = opened(tmp_path)
        longest = max(longest, fill(command, "appends", 30))
        command.close()
    server.close()
    assert longest < LONGEST


def test_who_writes_makes_no_checkpoint_within_a_commit(tmp_path: Path) -> None:
    """SQLite's own are not guarded; see `checkpoint`."""
    journal = opened(tmp_path)
    journal.append_now(Append("first", "r", (b"{}",), epoch=1, after=0, driver="d"))
    size = journal.path.stat().st_size
    assert journal._db.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)  # noqa: SLF001
    journal.append_now(Append("much", "r", (b" " * (MUCH - MUCH // 10),)))
    assert journal.path.stat().st_size == size
    journal.close()
    assert journal.path.stat().st_size > size
