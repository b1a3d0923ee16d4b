"""Seats and the pace of starts, on a clock that is set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiworkflow.clock import JumpingClock, SystemIds
from aiworkflow.journal import Append, Journal, RegisterWrite, RunRow, open_journal
from aiworkflow.runtime.dispatch.limits import PACE, SEAT, Gate
from aiworkflow.settings.fleet import FleetLimits

CLOCK = JumpingClock(1_900_000_000.0)
IDS = SystemIds(CLOCK)
RUNS = [f"000000000{n}-0000000000" for n in range(9)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = open_journal("memory", tmp_path, clock=CLOCK, ids=IDS)
    for run in RUNS:
        row = RunRow(run, "bundles/etl", "waiting", 1.0)
        found.append_now(Append(run, run, [b"{}"], epoch=1, after=0, row=row, releases=True))
    yield found
    found.close()


def gate(journal: Journal, limits: FleetLimits, me: str = "me", dead: str = "") -> Gate:
    return Gate(
        journal, CLOCK, IDS, limits, driver=lambda: me, is_alive=lambda other: other != dead
    )


def test_all_workers_share_the_seats(journal: Journal) -> None:
    one, other = (gate(journal, FleetLimits(max_runs=2), me) for me in ("one", "other"))
    assert one.enter(RUNS[0], "bundles/etl", begins=True)
    assert other.enter(RUNS[1], "bundles/x", begins=True)
    assert one.is_shut("bundles/etl", begins=True)
    assert not one.enter(RUNS[2], "bundles/etl", begins=True)
    other.leave(RUNS[1])
    assert one.enter(RUNS[2], "bundles/etl", begins=False)


def test_a_bundle_has_seats_of_its_own_by_its_path_or_its_name(journal: Journal) -> None:
    for name in ("etl", "bundles/etl"):
        one = gate(journal, FleetLimits(max_runs_of={name: 1}), name)
        assert one.enter(RUNS[0], "bundles/etl", begins=True)
        assert not one.enter(RUNS[1], "bundles/etl", begins=True)
        assert one.enter(RUNS[2], "bundles/other", begins=True)
        one.leave(RUNS[0])
    for name in ("etl", "etl.md", "bundles/etl.md"):  # a bundle may be a lone file
        one = gate(journal, FleetLimits(max_runs_of={name: 1}), name)
        assert one.enter(RUNS[0], "bundles/etl.md", begins=True)
        assert not one.enter(RUNS[1], "bundles/etl.md", begins=True)
        one.leave(RUNS[0])


def test_who_finds_one_group_full_keeps_no_seat_of_another(journal: Journal) -> None:
    one = gate(journal, FleetLimits(max_runs=5, max_runs_of={"etl": 1}))
    assert one.enter(RUNS[0], "bundles/etl", begins=True)
    assert not one.enter(RUNS[1], "bundles/etl", begins=True)
    assert len(journal.registers(SEAT)) == 2


def test_the_seats_of_the_dead_are_free(journal: Journal) -> None:
    gone = gate(journal, FleetLimits(max_runs=1), "gone")
    assert gone.enter(RUNS[0], "bundles/etl", begins=True)
    assert not gate(journal, FleetLimits(max_runs=1)).enter(RUNS[1], "bundles/etl", begins=True)
    heir = gate(journal, FleetLimits(max_runs=1), dead="gone")
    assert not heir.is_shut("bundles/etl", begins=True)
    assert heir.enter(RUNS[1], "bundles/etl", begins=True)


@pytest.mark.parametrize(("most", "seconds"), [(3, 60.0), (1000, 10.0)])
def test_no_more_begin_in_any_such_time(journal: Journal, most: int, seconds: float) -> None:
    one = gate(journal, FleetLimits(rate=(most, seconds)))
    began: list[float] = []
    for _ in range(most * 4):
        if one.enter(RUNS[0], "bundles/etl", begins=True):
            began.append(CLOCK.monotonic())
        assert one.enter(RUNS[1], "bundles/etl", begins=False), "what goes on is not held up"
        CLOCK.skip_to(CLOCK.monotonic() + seconds / most / 1.5)
    for at in began:
        assert sum(at <= other < at + seconds for other in began) <= most
    assert len(began) >= most


def test_a_start_that_somebody_else_made_meanwhile_does_not_count_twice(journal: Journal) -> None:
    limits = FleetLimits(rate=(2, 60.0))
    one, other = gate(journal, limits, "one"), gate(journal, limits, "other")
    assert one.enter(RUNS[0], "bundles/etl", begins=True)
    assert other.enter(RUNS[0], "bundles/etl", begins=True)  # both saw it; one of them has it
    assert one.is_shut("bundles/etl", begins=True)
    other.leave(RUNS[0], has_begun=False)
    assert other.enter(RUNS[1], "bundles/etl", begins=True)
    one.leave(RUNS[0])
    other.leave(RUNS[1])
    assert one.is_shut("bundles/etl", begins=True), "those that began count on"


def test_starts_of_a_clock_that_was_ahead_hold_nobody_up_for_long(journal: Journal) -> None:
    value = json.dumps([CLOCK.now().timestamp() + 3600.0] * 2)
    journal.put([RegisterWrite(PACE, "starts", value)])
    one = gate(journal, FleetLimits(rate=(2, 60.0)))
    assert one.enter(RUNS[0], "bundles/etl", begins=True)
    assert one.enter(RUNS[1], "bundles/etl", begins=True)
    assert one.is_shut("bundles/etl", begins=True)
