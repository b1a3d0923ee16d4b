"""A run on a disk that is full or fails: it says so, and goes on to the same end when there is room.

Whatever write of the driver is the one that fails, no effect happens twice and none is lost. The writes
fail for real: a library stands before the C library's (fail_nth.c), the system bounds the size of files
(RLIMIT_FSIZE, which needs no compiler and no rights), or the file system is small and full.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.box import BLIND, assert_done_once, killed, ledger, project_with, short
from tests.crash.test_journal_faults import faults, folder  # noqa: F401  fixtures
from tests.support import Done, Project

FAULT_AT = Path(__file__).with_name("fault_at.py")
AT_ONCE = 4  # most of the time is waiting
LAST = 140  # so many writes of the run; those before make the journal: see test_journal_faults


def on_bad_disk(project: Project, *fault: object, env: dict[str, str]) -> Done:
    command = [sys.executable, str(FAULT_AT), *map(str, fault), "run", "flow", "--json"]
    done = subprocess.run(
        command,
        cwd=project.root,
        env={**project.env, "PYTHONDONTWRITEBYTECODE": "1", **env},  # else its writes count, too
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def assert_clear(done: Done, where: object) -> None:
    """The error says what the matter is and what to do."""
    assert done.code == 1, f"{where}: {done.out}{done.err}"
    assert "Traceback" not in done.err, where
    error = done.json["error"]
    assert error["code"] in {"journal-unavailable", "disk"}, f"{where}: {error}"
    assert re.search("no space left|the disk failed", error["message"]), error
    assert "runs resume RUN" in error["hint"] or "writable" in error["hint"], error


def goes_on(project: Project, failed: Done, where: object) -> None:
    """With the disk well again, the run comes to the end of an undisturbed one."""
    again = project.run("runs", "resume", "last", "--json")
    if again.code == 2 and "no runs" in again.out:  # its first append failed: nothing had begun
        assert not (project.root / "ledger").exists(), where
        again = project.run("run", "flow", "--json")
    elif again.code == 2:
        assert "has succeeded" in again.out, f"{where}: {again.out}"
        again = project.run("runs", "show", "last", "--json")
    assert_done_once(again, project, where)


@pytest.fixture(scope="module")
def preload(faults: dict[str, str]) -> dict[str, str]:  # noqa: F811
    return {"LD_PRELOAD": faults["LD_PRELOAD"]}


def writes_of(project: Project, preload: dict[str, str]) -> int:
    """How many writes an undisturbed run makes."""
    done = on_bad_disk(project, "write", 1_000_000, 0, 0, env=preload)
    assert done.code == 0, done.err
    found = re.search(r"writes: (\d+)", done.err)
    assert found is not None
    return int(found[1])


@pytest.fixture(scope="module")
def writes(preload: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> int:
    return writes_of(short(tmp_path_factory.mktemp("calm")), preload)


@pytest.mark.parametrize(
    ("error", "once"),
    [(errno.ENOSPC, 1), (errno.ENOSPC, 0), (errno.EIO, 0)],
    ids=["full for a moment", "full", "failing"],
)
def test_whichever_write_fails_the_run_comes_to_the_same_end(
    preload: dict[str, str],
    writes: int,
    folder: Path,  # noqa: F811
    error: int,
    once: int,
) -> None:
    def check(n: int) -> bool:
        project = short(folder / f"{n}")
        done = on_bad_disk(project, "write", n, error, once, env=preload)
        if done.code == 0:  # it waited until there was room, or had ended
            assert_done_once(done, project, n)
            return False
        assert_clear(done, n)
        goes_on(project, done, n)
        return True

    step = 10 if "EXHAUSTIVE" in os.environ else 20
    offset = {1: 0, 0: error % 20}[once] % step
    with ThreadPoolExecutor(AT_ONCE) as pool:
        refused = list(pool.map(check, range(writes - LAST + offset, writes + 1, step)))
    if not once:
        assert sum(refused) > len(refused) // 2


def test_wherever_a_file_may_not_grow_the_run_comes_to_the_same_end(folder: Path) -> None:  # noqa: F811
    def check(size: int) -> bool:
        project = short(folder / f"{size}")
        done = on_bad_disk(project, "size", size, env={})
        if done.code == 0:
            assert_done_once(done, project, size)
            return False
        assert_clear(done, size)
        goes_on(project, done, size)
        return True

    step = 2 * 4096 if "EXHAUSTIVE" in os.environ else 3 * 4096
    with ThreadPoolExecutor(AT_ONCE) as pool:
        refused = list(pool.map(check, range(100_000, 200_000, step)))
    assert sum(refused) > len(refused) // 2


def test_a_full_disk_leaves_a_call_that_nobody_can_look_for_to_a_person(
    preload: dict[str, str],
    folder: Path,  # noqa: F811
) -> None:
    """Its end could not be written down, so whether it had its effect is not known afterwards."""
    found = Counter[str]()
    last = writes_of(project_with(folder / "calm", BLIND), preload)

    def check(n: int) -> None:
        project = project_with(folder / f"{n}", BLIND)
        done = on_bad_disk(project, "write", n, errno.ENOSPC, 0, env=preload)
        if done.code == 0:
            return
        assert_clear(done, n)
        again = project.run("runs", "resume", "last", "--json")
        if again.code == 3:
            (wait,) = again.json["waiting_for"]
            assert wait["kind"] == "in_doubt"
            done_before = ledger(project)[0][wait["step"]] if ledger_is_there(project) else 0
            outcome = "done" if done_before else "redo"
            told = ("--output", json.dumps({"name": wait["step"]})) if done_before else ()
            again = project.run("runs", "resolve", "last", wait["step"], outcome, *told, "--json")
            found[outcome] += 1
        if again.code == 0:
            assert ledger(project)[0] == Counter(["first", "second"]), n

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(check, range(last - 60, last - 20, 7 if "EXHAUSTIVE" in os.environ else 13)))
    assert found["done"], "at some of these moments the call is over and its end is not written"


def ledger_is_there(project: Project) -> bool:
    return (project.root / "ledger").exists()


@pytest.mark.parametrize("free", [60_000, 160_000])
def test_a_run_on_a_full_file_system_goes_on_when_there_is_room(tmp_path: Path, free: int) -> None:
    project = short(tmp_path)
    state = tmp_path / ".aiworkflow"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(state)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        assert project.run("runs", "list").code == 0  # the journal is there
        left = os.statvfs(state)
        ballast = state / "ballast"
        ballast.write_bytes(b"x" * (left.f_bavail * left.f_frsize - free))
        done = project.run("run", "flow", "--json")
        if done.code != 0:
            assert_clear(done, free)
        ballast.unlink()
        goes_on(project, done, free)
    finally:
        subprocess.run(["umount", str(state)], check=True)
    assert json.loads(done.out)


def make_read_only(place: Path) -> None:
    """As soon as nothing of what was killed has a file open there."""
    command = ["mount", "-o", "remount,ro", str(place)]
    for _ in range(100):
        if subprocess.run(command, capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("something is written there all the time")


def test_a_disk_that_became_read_only_can_be_looked_at_and_its_run_goes_on_later(
    tmp_path: Path,
) -> None:
    project = short(tmp_path)
    state = tmp_path / ".aiworkflow"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(state)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        assert killed(project, 4, "after", "run", "flow").returncode == -signal.SIGKILL
        make_read_only(state)
        for words in (("runs", "list"), ("runs", "show", "last"), ("doctor",)):
            looked = project.run(*words)
            assert "read-only" not in looked.err, words
            assert looked.out, words
        for words in (("run", "flow"), ("runs", "resume", "last")):
            refused = project.run(*words)
            assert refused.code == 1, words
            assert "its disk is read-only" in refused.err, words
            assert "runs resume RUN" in refused.err, words
        server = project.start("schedule", "start")
        assert server.stderr is not None
        log = next(line for line in server.stderr if "no look at the journal" in line)
        assert "its disk is read-only" in log
        subprocess.run(["mount", "-o", "remount,rw", str(state)], check=True)
        server.terminate()
        _, rest = server.communicate(timeout=60)
        assert server.returncode == 0, rest
        again = project.run("runs", "resume", "last", "--json")
        if again.code == 2:  # the server was as fast
            assert "has succeeded" in again.out
            again = project.run("runs", "show", "last", "--json")
        assert_done_once(again, project, "read-only")
    finally:
        subprocess.run(["umount", str(state)], check=True)
