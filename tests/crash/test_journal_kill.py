"""kill -9 while appending: all that was acknowledged is there, and every append whole or not at all."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import Append, Journal, open_journal
from tests.crash import journal_kill

HERE = Path(__file__).parent
CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = open_journal("sqlite", tmp_path / "state", clock=CLOCK, ids=IDS)
    yield journal
    journal.close()


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    what, *rest = arguments
    return subprocess.Popen(
        [sys.executable, str(HERE / "journal_kill.py"), what, str(tmp_path / "state"), *rest],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
        text=True,
    )


def kill_after(process: subprocess.Popen[str], lines: int) -> int:
    """Kill once it has said so many lines; the last number it said."""
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=20)
    whole = [line for line in [*said, *rest.splitlines(keepends=True)] if line.endswith("\n")]
    return int(whole[-1])


@pytest.mark.parametrize("what", ["one", "many"])
def test_nothing_acknowledged_is_lost_and_nothing_is_torn(tmp_path: Path, what: str) -> None:
    """The journal is opened again and again after kills, as one that goes on for long would be."""
    chance = random.Random(what)
    for death in range(12):
        run = f"run-{death}"
        acknowledged = kill_after(start(tmp_path, what, run), chance.randint(1, 120))
        journal = open_journal("sqlite", tmp_path / "state", clock=CLOCK, ids=IDS)
        records = journal.read(run, limit=100_000)
        assert len(records) >= acknowledged
        assert len(records) % 2 == 0
        if what == "many":
            assert len(records) % 20 == 0, "a turn is one transaction"
        wanted = [journal_kill.payload(run, number) for number in range(len(records))]
        assert [record.payload for record in records] == wanted
        register = journal.register("count", run)
        assert register is not None
        assert register.value == str(len(records))
        assert journal.health().problems == ()
        journal.close()


def test_a_killed_writer_holds_nobody_up(tmp_path: Path, journal: Journal) -> None:
    """While this process has the journal open: locks of the dead are gone at once."""
    for death in range(5):
        kill_after(start(tmp_path, "many", f"run-{death}"), 15)
        journal.append_now(Append(IDS.token(), f"run-{death}", [b"after"]))
        last = journal.stream(f"run-{death}").tail
        assert journal.record(f"run-{death}", last).payload == b"after"


def test_four_processes_write_one_journal(tmp_path: Path, journal: Journal) -> None:
    each = 200
    journal.append_now(Append(IDS.token(), "shared", epoch=1, after=0, driver="d"))
    processes = [start(tmp_path, "count", f"own-{n}", "shared", str(each)) for n in range(4)]
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert out == "done\n"
    for n in range(4):
        own = journal.read(f"own-{n}")
        assert [record.payload for record in own] == [b"%d" % number for number in range(each)]
    shared = [record.payload.decode() for record in journal.read("shared", limit=10_000)]
    assert len(shared) == 4 * each
    for n in range(4):  # everyone's own order is kept
        mine = [text for text in shared if text.startswith(f"own-{n}:")]
        assert mine == [f"own-{n}:{number}" for number in range(each)]


def test_a_driver_and_signallers_share_a_stream(tmp_path: Path, journal: Journal) -> None:
    journal.append_now(Append(IDS.token(), "r", epoch=1, after=0, driver="d"))
    driver = start(tmp_path, "drive", "r", "300")
    others = [start(tmp_path, "count", f"own-{n}", "r", "100") for n in range(2)]
    for process in (driver, *others):
        process.communicate(timeout=60)
        assert process.returncode == 0
    texts = [record.payload.decode() for record in journal.read("r", limit=10_000)]
    assert len(texts) == 300 + 2 * 100
    made = [text for text in texts if text.startswith("driver:")]
    assert made == [f"driver:{n}" for n in range(300)]


def test_of_many_that_claim_one_wins(tmp_path: Path, journal: Journal) -> None:
    processes = [start(tmp_path, "claim", f"run-{turn}") for turn in range(3) for _ in range(3)]
    for turn in range(3):
        create = Append(IDS.token(), f"run-{turn}", epoch=1, after=0, driver="dead")
        journal.append_now(create)
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=30)[0].strip() for process in processes]
    for turn in range(3):
        assert sorted(answers[turn * 3 : turn * 3 + 3]) == ["claimed 2", "held", "held"]


def test_processes_that_make_the_journal_at_once_share_it(tmp_path: Path) -> None:
    processes = [start(tmp_path, "make") for _ in range(6)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ids = [process.communicate(timeout=30)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6
    assert len(set(ids)) == 1
    journal = open_journal("sqlite", tmp_path / "state", clock=CLOCK, ids=IDS)
    assert (journal.health().events, journal.health().problems) == (6, ())
    journal.close()
