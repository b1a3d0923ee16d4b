"""Any write to the disk may fail, and the process may die before any: nothing is torn or lost.

Real calls fail: a small library stands between SQLite and the C library (fail_nth.c).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import open_journal
from tests.crash import journal_faults

HERE = Path(__file__).parent
PROGRAM = HERE / "journal_faults.py"


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process whose writes can be made to fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("faults") / "fail_nth.so"
    build = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "fail_nth.c")]
    subprocess.run([*build, "-ldl"], check=True)
    root = str(HERE.parent.parent)
    return {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": root}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: it is not the disk that is tested here."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as name:
        yield Path(name)


def python(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments],
        capture_output=True,
        text=True,
        env=env,
        timeout=120,
    )


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["full", "failing"])
@pytest.mark.parametrize("once", [1, 0], ids=["once", "for-long"])
def test_whichever_write_fails_nothing_is_torn(
    faults: dict[str, str], folder: Path, error: int, once: int
) -> None:
    result = python(["fail", str(folder), str(error), str(once)], faults)
    assert result.stderr == ""
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) > 30
    assert lines[-1]["seen"] < lines[-1]["n"]  # the last n was beyond the last write
    assert [line for line in lines if line["wrong"] or line["left_out"]] == []
    refused = [line for line in lines if line["messages"]]
    assert len(refused) > 20
    assert all(hint for _, hint in (line["messages"] for line in refused))
    if error == errno.ENOSPC:  # but for `fsync`, after which SQLite says no more than "I/O error"
        told = ["no space left" in line["messages"][0] for line in refused]
        assert sum(told) > len(told) / 2


def test_whichever_write_it_dies_before_all_that_was_acknowledged_is_there(
    faults: dict[str, str], folder: Path
) -> None:
    clock = SystemClock()
    deaths = 0
    for n in range(1, 400, 4 if "EXHAUSTIVE" not in os.environ else 1):
        place = folder / str(n)
        result = python(["die", str(place), str(n)], faults)
        *_, said = ["0", *result.stdout.split()]
        if said == "end":
            break
        assert result.returncode == -9
        deaths += 1
        journal = open_journal("sqlite", place, clock=clock, ids=SystemIds(clock))
        acknowledged = int(said)
        tails = {
            len(journal.read(row.run)) // journal_faults.EVENTS for row in journal.runs().runs
        } or {0}
        assert len(tails) == 1, "a group is one transaction"
        (turns,) = tails
        assert turns in {acknowledged, acknowledged + 1}
        assert journal_faults.problems(journal, turns) == []
        journal.close()
    else:
        pytest.fail("it was always killed")
    assert deaths > 10


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A real file system of two megabytes, where one can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        env = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
        result = python(["full", str(disk)], env)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert result.stderr == ""
    line = json.loads(result.stdout)
    assert line["turns"] > 5
    assert "no space left" in line["messages"][0]
    assert line["wrong"] == []
