"""Which journal a setting names, and what is refused with a way out."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.errors import UsageError
from aiworkflow.journal import Append, Journal, JournalUnavailable, open_journal
from aiworkflow.journal.sqlite.place import file_system, refuse_network

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


def opened(where: str, state: Path) -> Journal:
    return open_journal(where, state, clock=CLOCK, ids=IDS)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of a journal that has one run."""
    journal = opened("sqlite", tmp_path / "state")
    journal.append_now(Append("1", "r", [b"x" * 2000] * 50, epoch=1, after=0, driver="d"))
    journal.blobs.put(b"blob")
    journal.close()
    return tmp_path / "state"


@pytest.mark.parametrize("form", ["sqlite:///{0}/here", "{0}/here"])
def test_a_folder_may_be_named(tmp_path: Path, form: str) -> None:
    opened(form.format(str(tmp_path)).replace("////", "///"), tmp_path / "state").close()
    assert (tmp_path / "here" / "journal.db").exists()
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("where", ["", "sqlit", "mysql://host/db", "sqlite://", "sqlite:///"])
def test_other_journals_there_are_none(tmp_path: Path, where: str) -> None:
    with pytest.raises(UsageError, match="no journal"):
        opened(where, tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        opened(f"sqlite://{tmp_path}/file", tmp_path)


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        journal = opened("sqlite", tmp_path / "a" / "state")
        journal.append_now(Append("1", "r", [b"x"], epoch=1, after=0))
        assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700
        files = {path.name: path for path in (tmp_path / "a" / "state").iterdir()}
        assert {"journal.db", "journal.db-wal", "journal.db-shm"} <= files.keys()
        for path in files.values():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        journal.close()
    finally:
        os.umask(old)


def test_a_closed_journal_is_one_file_and_blobs(state: Path) -> None:
    assert sorted(path.name for path in state.iterdir()) == ["blobs", "journal.db"]


def test_a_text_file_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("dear diary " * 500)
    with pytest.raises(JournalUnavailable, match="is damaged: file is not a database") as error:
        opened("sqlite", tmp_path)
    assert "restore" in error.value.hint
    assert "move it away" in error.value.hint


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "journal.db") as other:
        other.execute("CREATE TABLE streams (mine)")
    other.close()
    before = (tmp_path / "journal.db").stat().st_size
    with pytest.raises(JournalUnavailable, match="no journal of aiworkflow"):
        opened("sqlite", tmp_path)
    assert (tmp_path / "journal.db").stat().st_size == before


def test_a_newer_journal_is_left_alone(state: Path) -> None:
    db = sqlite3.connect(state / "journal.db")
    db.execute("PRAGMA user_version=999")
    db.close()
    with pytest.raises(JournalUnavailable, match="needs a newer aiworkflow"):
        opened("sqlite", state)


def test_an_emptied_journal_is_not_taken_for_a_new_one(state: Path) -> None:
    (state / "journal.db").write_bytes(b"")
    with pytest.raises(JournalUnavailable, match="is damaged: it is empty"):
        opened("sqlite", state)


def test_what_a_crash_left_of_a_first_opening_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"")
    journal = opened("sqlite", tmp_path)
    journal.append_now(Append("1", "r", [b"x"], epoch=1, after=0))
    assert journal.stream("r").tail == 1
    journal.close()


@pytest.mark.parametrize("cut", [1, 4096, 20_000])
def test_a_cut_off_journal_is_damaged(state: Path, cut: int) -> None:
    size = (state / "journal.db").stat().st_size
    os.truncate(state / "journal.db", size - cut)
    with pytest.raises(JournalUnavailable, match="is damaged"):
        use_all(state)


def use_all(state: Path) -> None:
    journal = opened("sqlite", state)
    try:
        problems = journal.health().problems
        if problems:
            raise JournalUnavailable(problems[0])
        journal.read("r")
    finally:
        journal.close()


def test_damage_in_the_middle_is_found(state: Path) -> None:
    path = state / "journal.db"
    content = bytearray(path.read_bytes())
    content[8192:20_480] = b"\xff" * 12_288
    path.write_bytes(content)
    with pytest.raises(JournalUnavailable):
        use_all(state)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_network_file_systems_are_refused(tmp_path: Path, kind: str) -> None:
    home = tmp_path / "my home"
    home.mkdir()
    mounts = tmp_path / "mounts"
    escaped = str(home).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {escaped} {kind} rw 0 0\n")
    refuse_network(tmp_path, mounts)
    with pytest.raises(JournalUnavailable, match=f"network file system \\({kind}\\)") as error:
        refuse_network(home / "state", mounts)
    assert "local disk" in error.value.hint


def test_the_innermost_and_last_mount_counts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "a / nfs rw 0 0\nb /data ext4 rw 0 0\nc /data tmpfs rw 0 0\nd /database nfs rw 0 0\nodd\n"
    )
    assert file_system(Path("/data/x"), mounts) == "tmpfs"
    assert file_system(Path("/data"), mounts) == "tmpfs"
    assert file_system(Path("/dat"), mounts) == "nfs"
    assert file_system(Path("/x"), tmp_path / "none") == ""


def test_the_real_mounts_can_be_read(tmp_path: Path) -> None:
    assert file_system(tmp_path) != ""


AS_NOBODY = """
import os, sys
from pathlib import Path
from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import Append, JournalUnavailable, open_journal
import aiworkflow.journal.sqlite
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
clock = SystemClock()
try:
    journal = open_journal("sqlite", Path(sys.argv[1]), clock=clock, ids=SystemIds(clock))
    journal.append_now(Append("1", "new", [b"x"], epoch=1, after=0))
except JournalUnavailable as error:
    print(error.message, "/", error.hint)
"""


@pytest.mark.parametrize("case", ["new", "file", "folder"])
def test_a_place_that_cannot_be_written_is_named(case: str) -> None:
    """As another user, since root may write anywhere; hence a folder others can reach."""
    with tempfile.TemporaryDirectory() as home:
        place = Path(home) / "state"
        if case != "new":
            opened("sqlite", place).close()
            place.chmod(0o555 if case == "folder" else 0o777)
            (place / "journal.db").chmod(0o444)
        Path(home).chmod(0o555)
        result = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(place)],
            capture_output=True,
            text=True,
            timeout=20,
        )
        Path(home).chmod(0o755)
    assert result.stderr == ""
    assert "cannot" in result.stdout
    assert str(place) in result.stdout
    assert "writable" in result.stdout


def test_opening_asks_one_question_and_loads_little(state: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import open_journal
import aiworkflow.journal.sqlite, sqlite3
asked = []
real = sqlite3.connect
def connect(*args, **rest):
    db = real(*args, **rest)
    db.set_trace_callback(asked.append)
    return db
sqlite3.connect = connect
clock = SystemClock()
journal = open_journal("sqlite", Path({str(state)!r}), clock=clock, ids=SystemIds(clock))
print(asked)
heavy = {{"asyncio", "concurrent.futures", "threading", "importlib.resources"}}
print(sorted(heavy & sys.modules.keys()))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True
    )
    asked, loaded = result.stdout.splitlines()
    assert asked == "['PRAGMA user_version']"
    assert loaded == "[]"
