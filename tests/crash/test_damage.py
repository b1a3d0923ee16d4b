"""A journal that was damaged is refused with a clear error, and nothing is written over it.

Where less than a whole commit is lost (the tail of the WAL, which SQLite leaves out), what was running
is looked for by its `check`, or waits for a person.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import JournalUnavailable, UnknownRun, open_journal
from tests.crash.box import BLIND, assert_done_once, killed, ledger, project_with, short
from tests.support import Done, Project

CLOCK = SystemClock()
STATE = ".aiworkflow/state"


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run was killed in the middle: after `big`, whose output is a blob."""
    folder = tmp_path_factory.mktemp("interrupted")
    project = short(folder)
    killed(project, 4, "after", "run", "flow")
    assert project.run("runs", "list").code == 0  # the last to close it moves the WAL into the file
    assert not (folder / STATE / "journal.db-wal").exists()
    return folder


@pytest.fixture
def project(interrupted: Path, tmp_path: Path) -> Project:
    shutil.copytree(interrupted, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path, git=False)


def assert_refused(project: Project, done: Done, database: bytes) -> None:
    assert done.code == 1, done.out + done.err
    error = done.json["error"]
    assert error["code"] == "journal-unavailable", error
    assert "from a backup" in error["hint"], error
    assert "Traceback" not in done.err
    assert (project.root / STATE / "journal.db").read_bytes() == database
    assert sum(ledger(project)[0].values()) == 2, "nothing was begun"


def whole(state: Path) -> list[tuple[int, bytes]]:
    """All events of the only run, as its next driver sees them, or an error."""
    journal = open_journal("sqlite", state, clock=CLOCK, ids=SystemIds(CLOCK))
    try:
        (row,) = journal.runs().runs
        stream = journal.stream(row.run)
        tail = journal.claim(row.run, "next", instead_of=stream.driver).tail
        records = [(record.seq, record.payload) for record in journal.read(row.run)]
        assert len(records) == tail
        return records
    finally:
        journal.close()


def test_events_are_whole_or_refused_whatever_bytes_were_changed(project: Project) -> None:
    state = project.root / STATE
    path = state / "journal.db"
    content = path.read_bytes()
    events = whole(state)
    chance = random.Random(1)
    refused = 0
    for _ in range(400):
        at = chance.randrange(100, len(content))
        damaged = bytearray(content)
        for byte in range(at, min(at + chance.choice([1, 1, 16, 512]), len(content))):
            damaged[byte] ^= chance.randrange(1, 256)
        path.write_bytes(damaged)
        try:
            found = whole(state)
        except (JournalUnavailable, UnknownRun) as error:
            assert error.hint
            refused += 1
        except (ValueError, AssertionError):
            # what names the run was hit: it is not to be found, or not by its name
            refused += 1
        else:
            assert found == events, at
        for rest in state.glob("journal.db-*"):
            rest.unlink()
    assert refused > 20


def test_an_event_that_moved_to_another_place_is_missed(project: Project) -> None:
    """The last of a run: no later one of the run would tell that it is gone."""
    path = project.root / STATE / "journal.db"
    for at in ("id + 5", "id + (1 << 34)"):
        good = path.read_bytes()
        with sqlite3.connect(path) as db:
            db.execute(f"UPDATE events SET id = {at} WHERE id = (SELECT max(id) FROM events)")
        db.close()
        bad = path.read_bytes()
        for command in (["runs", "show", "last", "--json"], ["runs", "resume", "last", "--json"]):
            assert_refused(project, project.run(*command), bad)
        path.write_bytes(good)


def test_a_run_that_has_lost_all_its_events_is_refused(project: Project) -> None:
    path = project.root / STATE / "journal.db"
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM events")
    db.close()
    bad = path.read_bytes()
    for command in (["runs", "show", "last", "--json"], ["runs", "resume", "last", "--json"]):
        done = project.run(*command)
        assert_refused(project, done, bad)
        assert "has no events" in done.json["error"]["message"]


def test_a_changed_byte_of_an_event_stops_the_resume(project: Project) -> None:
    path = project.root / STATE / "journal.db"
    good = path.read_bytes()
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT payload FROM events ORDER BY id").fetchall()
    db.close()
    for (payload,) in (rows[0], rows[-1]):
        at = good.index(payload) + len(payload) - 5
        bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        path.write_bytes(bad)
        done = project.run("runs", "resume", "last", "--json")
        assert_refused(project, done, bad)
        assert "is damaged" in done.json["error"]["message"]
    path.write_bytes(good)
    assert_done_once(project.run("runs", "resume", "last", "--json"), project)


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_cut_off_journal_stops_the_resume(project: Project, keep: float) -> None:
    path = project.root / STATE / "journal.db"
    good = path.read_bytes()
    bad = good[: int(len(good) * keep)]
    path.write_bytes(bad)
    done = project.run("runs", "resume", "last", "--json")
    assert_refused(project, done, bad)
    path.write_bytes(good)
    assert_done_once(project.run("runs", "resume", "last", "--json"), project)


@pytest.mark.parametrize("how", ["missing", "changed"])
def test_a_blob_that_is_missing_or_changed_stops_the_resume(project: Project, how: str) -> None:
    """Before anything begins, but for that of the large output, which is read when it is needed."""
    state = project.root / STATE
    contents = {blob: blob.read_bytes() for blob in (state / "blobs").glob("*/*")}
    logs = {b"it is in the box\n", b"it is big\n"}  # not needed to go on
    needed = [blob for blob, content in contents.items() if content not in logs]
    needed.sort(key=lambda blob: b"00000" in contents[blob])
    assert len(needed) > 3
    for blob in needed:
        if how == "missing":
            blob.unlink()
        else:
            blob.write_bytes(contents[blob][:-1] + b"?")
        done = project.run("runs", "resume", "last", "--json")
        assert done.code == 1, f"went on without {contents[blob][:80]!r}"
        error = done.json["error"]
        assert error["code"] == "journal-unavailable", error
        assert blob.name in error["message"]
        assert "from a backup" in error["hint"]
        assert "Traceback" not in done.err
        if blob != needed[-1]:
            assert sum(ledger(project)[0].values()) == 2, "nothing was begun"
        blob.write_bytes(contents[blob])
    assert_done_once(project.run("runs", "resume", "last", "--json"), project)


def lose_last_commit(project: Project) -> None:
    """Damage the last frames of the WAL, as a disk that lied about `fsync` leaves it."""
    wal = project.root / STATE / "journal.db-wal"
    content = bytearray(wal.read_bytes())
    page = 4096 + 24
    last = max(
        at for at in range(32, len(content) - page + 1, page) if any(content[at + 4 : at + 8])
    )
    for byte in range(last + 24, last + 200):
        content[byte] ^= 0xFF
    wal.write_bytes(content)


@pytest.mark.parametrize("at", [2, 4, 7])
def test_after_a_damaged_tail_of_the_wal_what_was_running_is_looked_for(
    tmp_path: Path, at: int
) -> None:
    project = short(tmp_path)
    killed(project, at, "after", "run", "flow")
    lose_last_commit(project)
    done = project.run("runs", "resume", "last", "--json")
    assert_done_once(done, project, at)


def test_after_a_damaged_tail_of_the_wal_a_call_that_nobody_can_look_for_waits_for_a_person(
    tmp_path: Path,
) -> None:
    project = project_with(tmp_path, BLIND)
    killed(project, 2, "after", "run", "flow")  # the end of the first call
    lose_last_commit(project)
    done = project.run("runs", "resume", "last", "--json")
    assert done.code == 3, done.out
    assert done.json["waiting_for"] == [{"kind": "in_doubt", "step": "first"}]
    assert ledger(project)[0] == Counter(["first"])
    told = ("--output", '{"name": "first"}')
    done = project.run("runs", "resolve", "last", "first", "done", *told, "--json")
    (wait,) = done.json["waiting_for"]
    assert (wait["step"], wait["because"]) == ("second", "restored"), "it may have begun, too"
    done = project.run("runs", "resolve", "last", "second", "redo", "--json")
    assert done.json["status"] == "succeeded"
    assert ledger(project)[0] == Counter(["first", "second"])


@pytest.mark.parametrize("at", [3, 5, 6, 7])
def test_what_had_begun_in_a_damaged_tail_of_the_wal_is_not_done_again(
    tmp_path: Path, at: int
) -> None:
    """The intent of a call is lost that has had its effect."""
    project = short(tmp_path)
    killed(project, at, "before", "run", "flow")
    lose_last_commit(project)
    done = project.run("runs", "resume", "last", "--json")
    assert_done_once(done, project, at)
    assert "is damaged, and what was written last may be lost" in done.err


@pytest.mark.parametrize("looks_first", [False, True])
def test_what_had_begun_in_a_damaged_tail_and_nobody_can_look_for_waits_for_a_person(
    tmp_path: Path, looks_first: bool
) -> None:
    project = project_with(tmp_path, BLIND)
    killed(project, 3, "before", "run", "flow")  # the second call has been made
    lose_last_commit(project)
    if looks_first:  # the last to close the journal moves its WAL, and who only reads may be that
        assert "may be lost" in project.run("runs", "list").err
    told = ("--output", '{"name": "first"}')
    assert project.run("runs", "resume", "last", "--json").code == 3
    done = project.run("runs", "resolve", "last", "first", "done", *told, "--json")
    assert done.code == 3, done.out
    (wait,) = done.json["waiting_for"]
    assert (wait["step"], wait["because"]) == ("second", "restored")
    shown = project.run("runs", "show", "last").out
    assert "`second` may have run without the journal knowing it" in shown
    told = ("--output", '{"name": "second"}')
    done = project.run("runs", "resolve", "last", "second", "done", *told, "--json")
    assert done.json["status"] == "succeeded"
    assert ledger(project)[0] == Counter(["first", "second"])
    assert "its end was found damaged on" in project.run("doctor").out


def test_a_run_that_is_gone_with_a_damaged_tail_is_told_of(tmp_path: Path) -> None:
    project = project_with(tmp_path, BLIND)
    assert project.run("runs", "list").code == 0
    killed(project, 2, "before", "run", "flow")
    lose_last_commit(project)
    listed = project.run("runs", "list")
    assert "a run that had just begun may be gone" in listed.err
    assert "perhaps runs that had just begun" in project.run("doctor").out


def test_a_driver_that_is_killed_leaves_no_damage(tmp_path: Path) -> None:
    project = short(tmp_path)
    killed(project, 5, "before", "run", "flow")
    done = project.run("runs", "resume", "last", "--json")
    assert_done_once(done, project)
    assert "damaged" not in done.err
    assert "damaged" not in project.run("doctor").out
