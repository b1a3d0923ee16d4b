"""The end of a WAL: damage is told from what was cut off by the end of a process."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import LOST_END, Append, RunRow
from aiworkflow.journal.sqlite import SqliteJournal
from aiworkflow.journal.sqlite.connect import connect, prepare_writing
from aiworkflow.journal.sqlite.tail import Tail, is_open_elsewhere

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)
HEADER, FRAME = 32, 24 + 4096


@pytest.fixture
def wal(tmp_path: Path):
    """A WAL of some ten frames, as the end of its process has left it."""
    live = tmp_path / "live"
    live.mkdir()
    db = connect(live / "a.db")
    prepare_writing(db)
    db.execute("CREATE TABLE t (x BLOB)")
    for _ in range(8):
        db.execute("INSERT INTO t VALUES (?)", (bytes(100),))
    left = tmp_path / "left"
    left.mkdir()
    for name in ("a.db", "a.db-wal"):
        shutil.copy(live / name, left)
    yield left / "a.db-wal"
    db.close()


def frames(wal: Path) -> int:
    return (wal.stat().st_size - HEADER) // FRAME


def damage(wal: Path, at: int, *, begin: int = 24, size: int = 50) -> None:
    """Change bytes of a frame, from 1."""
    content = bytearray(wal.read_bytes())
    place = HEADER + (at - 1) * FRAME + begin
    for byte in range(place, place + size):
        content[byte] ^= 0xFF
    wal.write_bytes(content)


def look(wal: Path) -> tuple[bool, bool]:
    """Whether damage is suspected, and whether there is some beside what SQLite finds."""
    with closing(sqlite3.connect(wal.with_name("a.db"))) as db:
        db.execute("PRAGMA user_version").fetchone()
        with closing(Tail(wal)) as tail:
            suspected = tail.may_be_damaged()
        ((_, length, _),) = db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        with closing(Tail(wal)) as tail:
            return suspected, tail.is_damaged(length)


def test_what_was_written_whole_is_sound(wal: Path) -> None:
    assert look(wal) == (False, False)


def test_room_ahead_is_no_damage(wal: Path) -> None:
    with wal.open("ab") as file:
        file.write(bytes(100_000))
    assert look(wal) == (False, False)


@pytest.mark.parametrize("back", [0, 1, 3])
def test_a_page_that_is_not_as_it_was_written_is_damage(wal: Path, back: int) -> None:
    damage(wal, frames(wal) - back)
    assert look(wal) == (True, True)


def test_a_header_of_a_frame_that_is_not_is_damage_when_others_follow(wal: Path) -> None:
    damage(wal, frames(wal) - 1, begin=8, size=4)
    assert look(wal)[1]


def test_a_damaged_header_of_the_whole_is_damage(wal: Path) -> None:
    content = bytearray(wal.read_bytes())
    content[17] ^= 0xFF
    wal.write_bytes(content)
    assert look(wal) == (True, True)


def test_what_was_cut_off_before_its_commit_is_no_damage(wal: Path) -> None:
    """A process ended after some frames of a transaction: they are sound, and no commit follows."""
    content = bytearray(wal.read_bytes())
    last = HEADER + (frames(wal) - 1) * FRAME
    header = (
        content[last : last + 4] + bytes(4) + content[last + 8 : last + 16]
    )  # not the last of one
    page = bytes(content[last + 24 : last + FRAME])
    with closing(Tail(wal)) as tail:
        before = tail._read(frames(wal) - 1, 24)[16:24]
        pair = tail._sums(bytes(header[:8]) + page, tuple(_words(before)))  # type: ignore[arg-type]
    content[last : last + 24] = header + b"".join(word.to_bytes(4, "big") for word in pair)
    wal.write_bytes(content)
    assert look(wal) == (False, False)


def _words(content: bytes) -> list[int]:
    return [int.from_bytes(content[at : at + 4], "big") for at in (0, 4)]


@pytest.mark.parametrize("room", [0, 100_000])
def test_a_header_without_its_page_is_no_damage(wal: Path, room: int) -> None:
    """A process ended between the two."""
    content = wal.read_bytes()
    last = HEADER + (frames(wal) - 1) * FRAME
    wal.write_bytes(content[: last + 24] + bytes(room))
    assert not look(wal)[1]


@pytest.mark.parametrize("content", [b"", b"short", bytes(5000)])
def test_a_file_that_holds_nothing_is_no_damage(wal: Path, content: bytes) -> None:
    wal.write_bytes(content)
    with closing(Tail(wal)) as tail:
        assert not tail.may_be_damaged()
        assert not tail.is_damaged(0)


def test_a_process_that_has_it_open_is_known(tmp_path: Path) -> None:
    hold = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA journal_mode=WAL');"
        "db.execute('CREATE TABLE IF NOT EXISTS t (x)'); print('open', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "a.db"
    with closing(connect(path)) as db:
        prepare_writing(db)
        db.execute("CREATE TABLE t (x)")
        assert not is_open_elsewhere(path), "we ourselves are nobody else"
        command = [sys.executable, "-c", hold, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            assert is_open_elsewhere(path) == Path("/proc/locks").exists()
            other.kill()
        assert not is_open_elsewhere(path)
    assert not is_open_elsewhere(tmp_path / "none.db")


@pytest.mark.parametrize("kept", [2, 4])
def test_what_a_killed_process_left_behind_what_others_wrote_is_no_damage(
    wal: Path, kept: int
) -> None:
    """Frames of the same salt that follow on others than now lie before them."""
    content = bytearray(wal.read_bytes())
    left = content[HEADER + 2 * FRAME : HEADER + (2 + kept) * FRAME]
    for at in range(kept):
        left[at * FRAME + 4 : at * FRAME + 8] = bytes(4)  # it did not come to its commit
    wal.write_bytes(bytes(content) + bytes(left))
    assert not look(wal)[1]


def begin(journal: SqliteJournal, run: str) -> None:
    row = RunRow(run, "b", "running", 1.0, None, 0.0, None, False, "", "manual", "me", "")
    journal.append_now(
        Append(IDS.token(), run, [b'{"t":"x"}'], epoch=1, after=0, driver="d", row=row)
    )


def test_while_others_write_all_the_time_nothing_is_taken_for_damage(tmp_path: Path) -> None:
    writer = SqliteJournal(tmp_path, clock=CLOCK, ids=IDS)
    begin(writer, "run0")
    is_over = threading.Event()

    def write() -> None:
        number = 1
        while not is_over.is_set():
            begin(writer, f"run{number}")
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(150):
            with closing(SqliteJournal(tmp_path, clock=CLOCK, ids=IDS)) as other:
                assert other.register(LOST_END, "wal") is None
    finally:
        is_over.set()
        thread.join()
    writer.close()


def test_what_was_lost_is_noted_with_each_run_that_is_not_over(tmp_path: Path) -> None:
    live, left = tmp_path / "live", tmp_path / "left"
    writer = SqliteJournal(live, clock=CLOCK, ids=IDS)
    begin(writer, "one")
    begin(writer, "two")
    shutil.copytree(live, left)
    writer.close()
    wal = left / "journal.db-wal"
    damage(wal, frames(wal))
    for _ in range(2):  # once noted, it is noted
        with closing(SqliteJournal(left, clock=CLOCK, ids=IDS)) as found:
            assert found.find("two") == []
            said = found.register(LOST_END, "wal")
            assert said is not None
            assert said.version == 1
            assert said.expires == json.loads(said.value)["at"] + 30 * 86_400
            assert found.register("restored", "one") is not None
            assert found.register("restored", "two") is None
