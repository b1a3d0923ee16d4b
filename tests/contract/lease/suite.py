"""What every lease promises: a run has one driver, and it gets another when that is gone.

A lease's own test module gives the fixture `places`: where this process and others stand.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import Append, Held, Journal, open_journal
from aiworkflow.runtime.holding import Holding

LEASE_S = 2.0
RUN = "0000000000-0000000000"
HOLDER = Path(__file__).with_name("holder.py")
PATIENCE_S = 30.0


class Places(Protocol):
    """Where the drivers of a journal are."""

    where: str
    """The journal, as a setting names it."""
    here: Path
    """The folder of this process."""
    there: Path
    """The folder of the other processes."""
    dies_at_once: bool
    """Whether a death is known without waiting for a lease."""


class Other:
    """Another process that holds the run."""

    def __init__(self, places: Places) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HOLDER), places.where, str(places.there), str(LEASE_S), RUN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        self.epoch = int(self.says().partition(" ")[2])

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def told(self, line: str) -> str:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self.says()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class LeaseContract:
    """Subclass it with a fixture `places`."""

    @pytest.fixture
    def journal(self, places: Places) -> Iterator[Journal]:
        clock = SystemClock()
        ids = SystemIds(clock)
        journal = open_journal(places.where, places.here / "state", clock=clock, ids=ids)
        journal.append_now(Append("first", RUN, [b"{}"], epoch=1, after=0, releases=True))
        yield journal
        journal.close()

    @pytest.fixture
    def holding(self, places: Places, journal: Journal) -> Iterator[Holding]:
        clock = SystemClock()
        holding = Holding(
            places.here / "drivers", journal, clock, SystemIds(clock), lambda: LEASE_S
        )
        yield holding
        holding.close()

    @pytest.fixture
    def start(self, places: Places, journal: Journal) -> Iterator[Callable[[], Other]]:
        started: list[Other] = []

        def one() -> Other:
            started.append(Other(places))
            return started[-1]

        yield one
        for other in started:
            other.go_on()
            other.kill()

    def eventually(self, holding: Holding) -> int:
        """The epoch of a claim that is made as soon as it can be."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return holding.claim(RUN).epoch
            except Held:
                assert time.monotonic() < give_up
                time.sleep(0.05)

    def test_a_living_driver_is_left_alone_and_named(
        self, holding: Holding, start: Callable[[], Other], journal: Journal
    ) -> None:
        other = start()
        for _ in range(3):
            with pytest.raises(Held) as refused:
                holding.claim(RUN)
            assert f"process {other.process.pid}" in refused.value.message
            assert holding.is_driven(RUN)
            time.sleep(LEASE_S / 2 if journal.signs is not None else 0)
        assert other.told("check") == other.told("append") == "yes"

    def test_one_that_does_nothing_but_compute_is_alive(
        self, holding: Holding, start: Callable[[], Other], journal: Journal
    ) -> None:
        other = start()
        seconds = LEASE_S * 1.6 if journal.signs is not None else 0.1
        assert other.told(f"spin {seconds}") == "yes"
        with pytest.raises(Held):
            holding.claim(RUN)
        assert other.told("check") == "yes"

    def test_the_run_of_a_dead_one_is_taken(
        self, holding: Holding, start: Callable[[], Other], places: Places
    ) -> None:
        other = start()
        other.kill()
        if places.dies_at_once:
            assert holding.claim(RUN).epoch == other.epoch + 1
        else:
            with pytest.raises(Held):
                holding.claim(RUN)
            assert self.eventually(holding) == other.epoch + 1

    def test_one_that_has_ended_is_not_waited_for(
        self, holding: Holding, start: Callable[[], Other]
    ) -> None:
        other = start()
        assert other.told("end") == "ended"
        other.process.wait()
        assert not holding.is_driven(RUN)
        assert holding.claim(RUN).epoch == other.epoch + 1

    def test_one_that_was_stopped_and_taken_over_does_nothing_more(
        self, holding: Holding, start: Callable[[], Other]
    ) -> None:
        other = start()
        other.stop()
        epoch = holding.claim(RUN, take_over=True).epoch
        assert epoch == other.epoch + 1
        other.go_on()
        for word in ("check", "append", "check"):
            assert other.told(word).partition(" ")[0] in {"", "fenced"}  # it was killed, or heard
        assert holding.is_alive(holding.lease.id)

    def test_of_two_that_want_the_run_of_a_dead_one_one_gets_it(
        self, holding: Holding, start: Callable[[], Other]
    ) -> None:
        start().kill()
        self.eventually(holding)
        journal = holding._journal
        assert journal.stream(RUN).driver == holding.lease.id
        assert journal.stream(RUN).epoch == 3
