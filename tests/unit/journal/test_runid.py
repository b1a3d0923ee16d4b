"""Run ids: sorted by time, and known by their journal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiworkflow.client.batch import run_of
from aiworkflow.clock import JumpingClock, SystemClock, SystemIds
from aiworkflow.journal import (
    beginning_of,
    mark_of_journal,
    mark_of_run,
    new_run_id,
    open_journal,
)
from aiworkflow.runtime.waits import child_id

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


class Ticking:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at

    def monotonic(self) -> float:
        return 0.0


def test_ids_sort_by_time_and_bear_the_mark_of_their_journal(tmp_path: Path) -> None:
    one, two = (
        open_journal("memory", tmp_path, clock=CLOCK, ids=IDS),
        open_journal("memory", tmp_path, clock=CLOCK, ids=IDS),
    )
    ids = SystemIds(Ticking())
    found = [new_run_id(ids, journal) for journal in (one, two, one, two)]
    assert found == sorted(found)
    assert {len(run) for run in found} == {25}
    assert mark_of_run(found[0]) == mark_of_run(found[2]) == mark_of_journal(one.id)
    assert mark_of_run(found[1]) == mark_of_journal(two.id) != mark_of_journal(one.id)


def test_ids_of_one_millisecond_sort_as_they_were_made() -> None:
    ids = SystemIds(JumpingClock(1_900_000_000.0))
    found = [ids.run_id() for _ in range(1000)]
    assert found == sorted(set(found))
    assert len({one.partition("-")[0] for one in found}) == 1


def test_ids_that_follow_from_another_bear_its_mark() -> None:
    run = "06f2k3m9q0-h4vqa7c2d9e4r1"
    for made in (child_id(run, "a", 1), run_of(run, 3, 1), child_id(child_id(run, "a", 1), "b", 2)):
        assert made.startswith("06f2k3m9q0-h4vq")
        assert mark_of_run(made) == "h4vq"
    lines = [run_of(run, line, 1) for line in range(50)]
    assert lines == sorted(lines)


def test_an_id_without_a_mark_is_one_too() -> None:
    run = "06f2k3m9q0-a7c2d9e4r1"
    assert mark_of_run(run) == mark_of_run("run-1") == ""
    assert beginning_of(run) == "06f2k3m9q0-"
    assert child_id(run, "a", 1).startswith("06f2k3m9q0-")
