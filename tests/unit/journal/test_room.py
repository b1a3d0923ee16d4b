"""Room ahead in the WAL: small commits make the file no longer, and nothing is lost by it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from aiworkflow.journal.sqlite.checkpoint import Checkpoints
from aiworkflow.journal.sqlite.connect import connect, prepare_writing
from aiworkflow.journal.sqlite.room import ROOM_BYTES, Room

SMALL = 100
LARGE = 100_000


@pytest.fixture
def db(tmp_path: Path):
    db = connect(tmp_path / "a.db")
    prepare_writing(db)
    db.execute("CREATE TABLE t (x BLOB)")
    yield db
    db.close()


@pytest.fixture
def wal(db: sqlite3.Connection, tmp_path: Path) -> Path:
    return tmp_path / "a.db-wal"


def write(db: sqlite3.Connection, times: int, checkpoints: Checkpoints, size: int = SMALL) -> None:
    for _ in range(times):
        db.execute("INSERT INTO t VALUES (?)", (bytes(size),))
        checkpoints.wrote(size)


def rows_after_a_crash(wal: Path, to: Path) -> int:
    """What is found by who opens the files as they lie there now."""
    to.mkdir()
    for name in ("a.db", "a.db-wal"):
        shutil.copy(wal.with_name(name), to)
    with closing(sqlite3.connect(to / "a.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ((count,),) = db.execute("SELECT count(*) FROM t")
    return int(count)


def test_small_commits_make_the_file_much_longer_and_then_no_longer(
    db: sqlite3.Connection, wal: Path, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path / "a.db")
    write(db, 32, checkpoints)
    checkpoints.close()  # the thread is done
    size = wal.stat().st_size
    assert size > ROOM_BYTES

    write(db, 100, checkpoints)
    assert wal.stat().st_size == size
    assert rows_after_a_crash(wal, tmp_path / "crash") == 132


def test_when_the_room_is_used_up_there_is_more(
    db: sqlite3.Connection, wal: Path, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path / "a.db")
    write(db, 1000, checkpoints)
    checkpoints.close()
    assert wal.stat().st_size > 4 * ROOM_BYTES
    assert wal.stat().st_size < 6 * ROOM_BYTES
    assert rows_after_a_crash(wal, tmp_path / "crash") == 1000


def test_while_it_is_made_no_more_is_wanted(wal: Path, db: sqlite3.Connection) -> None:
    """The file is longer by what is just made, and not because somebody needed it."""
    room = Room(wal)
    wanted = 0
    for _ in range(200):
        db.execute("INSERT INTO t VALUES (?)", (bytes(SMALL),))
        wanted += room.is_wanted(SMALL)
    assert wanted == 1
    room.make()
    size = wal.stat().st_size
    for _ in range(100):
        db.execute("INSERT INTO t VALUES (?)", (bytes(SMALL),))
        assert not room.is_wanted(SMALL)
    assert wal.stat().st_size == size


def test_room_of_another_process_is_room_for_all(
    db: sqlite3.Connection, wal: Path, tmp_path: Path
) -> None:
    """It makes the file longer, too, and would have each make more for what the others made."""
    processes = [Checkpoints(tmp_path / "a.db") for _ in range(4)]
    for _ in range(100):
        for checkpoints in processes:
            write(db, 1, checkpoints)
    for checkpoints in processes:
        checkpoints.close()
    assert wal.stat().st_size < 4 * ROOM_BYTES
    assert rows_after_a_crash(wal, tmp_path / "crash") == 400


def test_who_comes_second_makes_none(wal: Path, db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO t VALUES (?)", (bytes(SMALL),))
    Room(wal).make()
    size = wal.stat().st_size
    Room(wal).make()
    assert wal.stat().st_size == size


def test_few_commits_make_none(db: sqlite3.Connection, wal: Path, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "a.db")
    write(db, 31, checkpoints)
    checkpoints.close()
    assert wal.stat().st_size < ROOM_BYTES


def test_large_commits_make_none(db: sqlite3.Connection, wal: Path, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "a.db")
    write(db, 3, checkpoints, LARGE)
    before = wal.stat().st_size
    write(db, 32, checkpoints, LARGE)
    checkpoints.close()
    assert wal.stat().st_size < before * 35 / 3 + ROOM_BYTES / 2


def test_what_is_written_meanwhile_is_not_written_over(
    db: sqlite3.Connection, wal: Path, tmp_path: Path
) -> None:
    room, is_over = Room(wal), threading.Event()

    def make() -> None:
        while not is_over.wait(0.001):
            if wal.stat().st_size < 40 * ROOM_BYTES:
                room.make()

    def reach() -> None:
        """Write past the end of the file again and again, where the room is made."""
        for _ in range(60):
            db.execute("INSERT INTO t VALUES (?)", (bytes(ROOM_BYTES),))

    thread = threading.Thread(target=make)
    thread.start()
    try:
        reach()
    finally:
        is_over.set()
        thread.join()
    assert rows_after_a_crash(wal, tmp_path / "crash") == 60


def test_the_last_of_the_disk_is_left_for_what_is_written(
    db: sqlite3.Connection, wal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_bavail=16_000, f_frsize=4096))
    checkpoints = Checkpoints(tmp_path / "a.db")
    write(db, 64, checkpoints)
    checkpoints.close()
    assert wal.stat().st_size < ROOM_BYTES


def test_a_disk_that_takes_no_more_disturbs_nobody(
    db: sqlite3.Connection, wal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    checkpoints = Checkpoints(tmp_path / "a.db")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        write(db, 64, checkpoints)
        checkpoints.close()
    assert rows_after_a_crash(wal, tmp_path / "crash") == 64


def test_a_file_that_was_moved_is_not_made_anew(tmp_path: Path) -> None:
    room = Room(tmp_path / "a.db-wal")
    assert not any(room.is_wanted(SMALL) for _ in range(64))
    room.make()
    assert not list(tmp_path.iterdir())
