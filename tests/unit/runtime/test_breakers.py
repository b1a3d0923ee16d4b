"""Circuit breakers as registers: what several processes on one journal see of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from aiworkflow.clock import SystemIds
from aiworkflow.engine.breaker import BreakerPolicy, Evidence
from aiworkflow.journal import Append, RunRow
from aiworkflow.journal.sqlite import SqliteJournal
from aiworkflow.runtime.breakers import Breakers
from aiworkflow.steps.contract import StepError, Work

POLICY = BreakerPolicy(threshold=2, cool_down_s=30, window_s=600)
WORK = cast("Work", SimpleNamespace(run="r", timeout_s=5.0))
KEY = "host:example.org"


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def go(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Processes:
    """Processes on one journal, each with a connection of its own; those in `alive` live."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.alive: set[str] = set()
        self.journals: list[SqliteJournal] = []
        self._folder = folder
        self._clock = clock

    def __call__(self, name: str) -> Breakers:
        ids = SystemIds(self._clock)
        journal = SqliteJournal(self._folder, clock=self._clock, ids=ids)
        if not self.journals:
            row = RunRow("r", "b", "running", 0.0, "", False, "d", "manual", "me")
            journal.append_now(Append("a", "r", [b"{}"], epoch=1, after=0, driver="one", row=row))
        self.journals.append(journal)
        self.alive.add(name)
        return Breakers(
            journal,
            self._clock,
            ids,
            mask=lambda text: text.replace("s3cret", "***"),
            driver=lambda: name,
            is_alive=self.alive.__contains__,
        )


@pytest.fixture
def processes(tmp_path: Path, clock: Clock) -> Iterator[Processes]:
    found = Processes(tmp_path, clock)
    yield found
    for journal in found.journals:
        journal.close()


def fail(breakers: Breakers, trial: str = "", words: str = "no answer") -> None:
    breakers.leave(KEY, POLICY, "r", trial, Evidence.OUTAGE, StepError("unavailable", words))


def test_failures_in_several_processes_add_up(processes: Processes) -> None:
    one, two = processes("one"), processes("two")
    fail(one)
    assert two.enter(KEY, WORK) == ""
    fail(two, words="no answer to s3cret")
    with pytest.raises(StepError, match="no answer to \\*\\*\\*") as refused:
        one.enter(KEY, WORK)
    assert refused.value.kind == "unavailable"
    assert refused.value.retry_after_s == 30


def test_one_makes_the_trial_and_the_others_wait_for_it(processes: Processes, clock: Clock) -> None:
    one, two = processes("one"), processes("two")
    fail(one)
    fail(one)
    clock.go(31)
    trial = one.enter(KEY, WORK)
    assert trial
    with pytest.raises(StepError, match="another attempt is trying it now"):
        two.enter(KEY, WORK)
    one.leave(KEY, POLICY, "r", trial, Evidence.ANSWER, None)
    assert two.enter(KEY, WORK) == ""


def test_a_trial_that_fails_opens_it_again(processes: Processes, clock: Clock) -> None:
    one = processes("one")
    fail(one)
    fail(one)
    clock.go(31)
    fail(one, one.enter(KEY, WORK))
    with pytest.raises(StepError, match="is open since 2026-01-01T00:00:00Z"):
        one.enter(KEY, WORK)


def test_the_trial_of_a_process_that_died_is_taken_over(processes: Processes, clock: Clock) -> None:
    one, two = processes("one"), processes("two")
    fail(one)
    fail(one)
    clock.go(31)
    assert one.enter(KEY, WORK)
    processes.alive.remove("one")
    assert two.enter(KEY, WORK)


def test_a_journal_that_cannot_be_read_holds_nobody_up(processes: Processes) -> None:
    one = processes("one")
    fail(one)
    fail(one)
    processes.journals[0].close()
    assert one.enter(KEY, WORK) == ""
