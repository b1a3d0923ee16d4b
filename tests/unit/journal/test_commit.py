"""Grouped commits: other writers, the thread for slow disks, and what outlives its event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import (
    Append,
    Appended,
    JournalUnavailable,
    RegisterWrite,
    RunRow,
    UnknownRun,
)
from aiworkflow.journal.sqlite import SqliteJournal
from aiworkflow.journal.sqlite.commit import Pace
from aiworkflow.journal.sqlite.connect import connect

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


@pytest.fixture
def journal(tmp_path: Path):
    journal = SqliteJournal(tmp_path / "state", clock=CLOCK, ids=IDS)
    yield journal
    journal.close()


def append(run: str, *events: bytes, **rest: object) -> Append:
    return Append(IDS.token(), run, events, **rest)


def first(run: str, *events: bytes, **rest: object) -> Append:
    return append(run, *events, epoch=1, after=0, driver="d", **rest)


# -- other writers --------------------------------------------------------------------------------


def test_the_loop_goes_on_while_another_process_writes(journal: SqliteJournal) -> None:
    journal.append_now(first("r"))
    other = connect(journal.path)
    other.execute("BEGIN IMMEDIATE")

    async def main() -> tuple[int, list[int]]:
        loop = asyncio.get_running_loop()
        pending = [journal.append(append("r", b"a"))]
        ticks = 0
        end = loop.time() + 0.1
        while loop.time() < end:
            await asyncio.sleep(0)
            ticks += 1
            if ticks == 50:
                pending.append(journal.append(append("r", b"b")))
        assert not any(one.done() for one in pending)
        other.execute("ROLLBACK")
        return ticks, [(await one).first for one in pending]

    ticks, seqs = asyncio.run(main())
    other.close()
    assert ticks > 100
    assert seqs == [1, 2]


def test_what_waits_for_another_process_is_not_lost_with_its_loop(journal: SqliteJournal) -> None:
    journal.append_now(first("r"))
    other = connect(journal.path)
    other.execute("BEGIN IMMEDIATE")

    async def leave() -> None:
        journal.append(append("r", b"a"))
        await asyncio.sleep(0)  # tried once; then the loop ends before the next try

    async def come() -> int:
        other.execute("ROLLBACK")
        return (await journal.append(append("r", b"b"))).first

    asyncio.run(leave())
    assert asyncio.run(come()) == 2
    other.close()


def test_one_who_is_not_let_in_says_so(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiworkflow.journal.sqlite import commit, failures

    monkeypatch.setattr(failures, "PATIENCE_S", 0.05)
    monkeypatch.setattr(commit, "PATIENCE_S", 0.05)
    journal.append_now(first("r"))
    other = connect(journal.path)
    other.execute("BEGIN IMMEDIATE")

    async def main() -> None:
        await journal.append(append("r", b"a"))

    try:
        for attempt in (
            lambda: asyncio.run(main()),
            lambda: journal.append_now(append("r", b"b")),
            lambda: journal.claim("r", "e", instead_of="d"),
        ):
            with pytest.raises(JournalUnavailable, match="locked"):
                attempt()
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert journal.append_now(append("r", b"c")).first == 1


def test_a_reader_never_keeps_a_writer_out(journal: SqliteJournal) -> None:
    journal.append_now(first("r", *[b"x"] * 50, row=RunRow("r", "b", "running", 1.0)))
    other = SqliteJournal(journal.path.parent, clock=CLOCK, ids=IDS)
    for _ in range(20):
        journal.read("r")
        journal.runs()
        other.append_now(append("r", b"y"))
    assert not journal._db.in_transaction
    # A read that was still open would keep the WAL from being moved into the file.
    assert other._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    other.close()


# -- the thread -----------------------------------------------------------------------------------


def test_most_of_the_last_commits_decide() -> None:
    pace = Pace(limit_s=0.01)
    for seconds in (0.5, 0.001, 0.5, 0.001):
        pace.note(seconds)
    assert not pace.is_slow
    for _ in range(5):
        pace.note(0.02)
    assert pace.is_slow
    for _ in range(8):
        pace.note(0.001)
    assert not pace.is_slow


def slow_pace() -> Pace:
    pace = Pace(limit_s=-1.0)
    for _ in range(8):
        pace.note(0.0)
    return pace


class SlowDisk:
    """A cursor whose commits wait until they are let go."""

    def __init__(self, real: sqlite3.Cursor) -> None:
        self._real = real
        self.began = threading.Event()
        self.may_end = threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def execute(self, statement: str, *values: object) -> object:
        in_thread = threading.current_thread().name.startswith("aiworkflow-journal")
        assert in_thread == (statement == "COMMIT"), "the thread waits for the disk, and only that"
        if statement == "COMMIT":
            self.began.set()
            assert self.may_end.wait(20)
        return self._real.execute(statement, *values)


def test_on_a_slow_disk_the_loop_goes_on(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path, clock=CLOCK, ids=IDS, pace=slow_pace())
    journal.append_now(first("r"))
    disk = journal._commits._cursor = SlowDisk(journal._commits._cursor)

    async def main() -> list[int]:
        pending = [journal.append(append("r", b"a"))]
        while not disk.began.is_set():
            await asyncio.sleep(0)
        for _ in range(3):  # these are the next group
            pending.append(journal.append(append("r", b"b")))
            await asyncio.sleep(0)
            assert journal.stream("r").tail == 0, "what is not committed is not seen"
        assert not any(one.done() for one in pending)
        disk.may_end.set()
        return [(await one).first for one in pending]

    assert asyncio.run(main()) == [1, 2, 3, 4]
    journal.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("aiworkflow-journal")]


class FailingDisk:
    """A cursor whose next commit fails; what was written before it is gone."""

    def __init__(self, real: sqlite3.Cursor, code: int) -> None:
        self._real = real
        self._code: int | None = code

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def execute(self, statement: str, *values: object) -> object:
        if statement == "COMMIT" and self._code is not None:
            error = sqlite3.OperationalError("as told")
            error.sqlite_errorcode, self._code = self._code, None
            raise error
        return self._real.execute(statement, *values)


def test_a_commit_that_fails_in_the_thread_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path, clock=CLOCK, ids=IDS, pace=slow_pace())
    journal.append_now(first("r"))
    real = journal._commits._cursor

    async def main() -> int:
        journal._commits._cursor = FailingDisk(real, sqlite3.SQLITE_IOERR)
        lost = [journal.append(append("r", b"a")), journal.append(append("r", b"b"))]
        found = await asyncio.gather(*lost, return_exceptions=True)
        assert [type(one) for one in found] == [JournalUnavailable] * 2
        assert "the disk failed under the journal" in str(found[0])
        return (await journal.append(append("r", b"c"))).first

    assert asyncio.run(main()) == 1
    journal.close()


def test_a_commit_that_is_in_the_way_of_another_is_made_again(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path, clock=CLOCK, ids=IDS, pace=slow_pace())
    journal.append_now(first("r"))
    journal._commits._cursor = FailingDisk(journal._commits._cursor, sqlite3.SQLITE_BUSY)

    async def main() -> int:
        return (await journal.append(append("r", b"a"))).first

    assert asyncio.run(main()) == 1
    assert [record.payload for record in journal.read("r")] == [b"a"]
    journal.close()


def test_what_is_refused_spoils_nothing_of_a_group_in_the_thread(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path, clock=CLOCK, ids=IDS, pace=slow_pace())
    journal.append_now(first("r"))

    async def main() -> list[object]:
        told = [
            journal.append(append("r", b"a")),
            journal.append(append("gone", b"b")),
            journal.append(append("r", b"x", row=RunRow("r", "\udcff", "running", 1.0))),
            journal.append(append("r", b"c")),
        ]
        return await asyncio.gather(*told, return_exceptions=True)

    first_, unknown, unwritable, last = asyncio.run(main())
    assert isinstance(first_, Appended)
    assert isinstance(last, Appended)
    assert isinstance(unknown, UnknownRun)
    assert isinstance(unwritable, Exception)
    assert [record.payload for record in journal.read("r")] == [b"a", b"c"]
    journal.close()


def test_what_the_thread_has_is_not_lost_with_its_loop(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path, clock=CLOCK, ids=IDS, pace=slow_pace())
    journal.append_now(first("r"))

    async def leave() -> None:
        journal.append(append("r", b"a"))
        await asyncio.sleep(0)  # handed over; nobody waits for the end

    async def come() -> int:
        return (await journal.append(append("r", b"b"))).first

    asyncio.run(leave())
    assert asyncio.run(come()) == 2
    journal.close()


def test_when_the_disk_is_fast_again_commits_return_to_the_loop(tmp_path: Path) -> None:
    pace = Pace(limit_s=10.0)
    for _ in range(8):
        pace.note(11.0)
    journal = SqliteJournal(tmp_path, clock=CLOCK, ids=IDS, pace=pace)
    journal.append_now(first("r"))

    async def main() -> None:
        for _ in range(12):
            await journal.append(append("r", b"a"))

    asyncio.run(main())
    assert not pace.is_slow
    assert journal.stream("r").tail == 12
    journal.close()


def no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("is_slow", [False, True])
def test_where_no_thread_is_to_be_had_commits_are_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_slow: bool
) -> None:
    """The thread for slow disks and the one for checkpoints: in a container with few processes allowed."""
    pace = slow_pace() if is_slow else Pace(limit_s=60.0)
    journal = SqliteJournal(tmp_path, clock=CLOCK, ids=IDS, pace=pace)
    journal.append_now(first("r"))
    monkeypatch.setattr(threading.Thread, "start", no_thread)

    async def main() -> list[int]:
        appended = []
        for _ in range(8):
            one = journal.append(append("r", b"x" * 1_000_000))
            appended.append((await asyncio.wait_for(one, 20)).last)
        return appended

    assert asyncio.run(main()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert journal.append_now(append("r", b"x" * 5_000_000)).last == 9
    journal.put([RegisterWrite("s", f"{n}", "x" * 5000) for n in range(1200)])
    assert journal.register("s", "1199") is not None

    monkeypatch.undo()
    assert journal.append_now(append("r", b"x" * 5_000_000)).last == 10
    journal.close()
    assert not journal.path.with_name("journal.db-wal").exists()
