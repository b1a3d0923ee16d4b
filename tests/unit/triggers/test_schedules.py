"""Schedules start their runs once, at their times, whatever clocks, servers and people do."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
from pathlib import Path

import pytest

from aiworkflow.clock import JumpingClock
from aiworkflow.errors import UsageError
from aiworkflow.journal import JournalUnavailable, RunRow
from aiworkflow.plan.triggers import trigger_fields
from aiworkflow.runtime.lanes import Overlap
from aiworkflow.triggers.schedule.planned import planned
from aiworkflow.triggers.schedule.source import Schedules, start_now
from aiworkflow.triggers.schedule.standing import change, paused, read
from tests.unit.triggers.stage import HandClock, Runs, armed, memory

EXHAUSTIVE = os.environ.get("EXHAUSTIVE") == "true"


class Stage:
    """One server, whose clock is moved by hand."""

    def __init__(self, start: str = "2026-11-21T08:30Z") -> None:
        self.clock = HandClock(start)
        self.journal = memory(self.clock)
        self.runs = Runs()
        self.source = self.server()

    def server(self) -> Schedules:
        return Schedules(self.journal, self.runs, self.clock)

    def arm(self, *entries: object, **options: object) -> list[str]:
        self.source.arm([*entries] or [armed("b/schedule", "schedule", **options)])  # type: ignore[list-item]
        return self.at(None)

    def restart(self, text: str, **options: object) -> list[str]:
        self.source = self.server()
        self.clock.set(text)
        return self.arm(**options)

    def at(self, text: str | None) -> list[str]:
        """The clock shows this, and is looked at."""
        if text is not None:
            self.clock.set(text)
        asyncio.run(self.source.look())
        return self.runs.times()

    def until(self, text: str, step_s: float = 5) -> list[str]:
        """Time passes, looked at every few seconds."""
        end, found = HandClock(text).at, []
        while self.clock.at < end:
            self.clock.at = min(end, self.clock.at + step_s)
            found += self.at(None)
        return found


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_run_starts_when_its_time_comes(stage: Stage) -> None:
    stage.arm(cron="0 9,10 * * *")
    assert stage.at("2026-11-21T08:59:59.9Z") == []
    asyncio.run(stage.source.look())
    stage.clock.set("2026-11-21T09:00:00Z")
    asyncio.run(stage.source.look())
    assert stage.runs.happened[("b/schedule", "2026-11-21T09:00:00Z")].at == stage.clock.at
    (one,) = stage.runs.took()
    assert one.data == {
        "time": "2026-11-21T09:00:00+00:00", "timezone": "UTC", "schedule": "b/schedule", "missed": False,
    }  # fmt: skip
    assert {"type", "at", *one.data} == set(trigger_fields(["schedule"]))
    assert stage.until("2026-11-21T10:00:03Z") == ["10:00"]
    standing = read(stage.journal, "b")[0]["b/schedule"]
    assert standing.last == HandClock("2026-11-21T10:00Z").at
    assert standing.run == "run b/schedule 2026-11-21T10:00:00Z"


def test_times_are_those_of_the_zone_and_each_schedule_has_its_own() -> None:
    stage = Stage("2026-10-24T12:00Z")
    stage.arm(
        armed("b/schedule", "schedule", cron="30 2 * * *", timezone="Europe/Berlin"),
        armed("b/schedule.2", "schedule", cron="0 3 * * *"),
        armed("b/watch", "watch", paths=["x"]),
    )
    assert stage.until("2026-10-26T03:00Z", 30) == ["02:30", "03:00", "02:30", "03:00"]


def test_seconds(stage: Stage) -> None:
    stage.arm(cron="*/20 * * * * *")
    found = stage.until("2026-11-21T08:31:30Z", 1)
    assert len(found) == 4


def test_a_new_schedule_makes_up_for_nothing(stage: Stage) -> None:
    stage.arm(cron="* * * * *", missed="all")
    assert stage.runs.asked == 0


@pytest.mark.parametrize(
    ("missed", "started"),
    [
        ({}, []),
        ({"missed": "skip"}, []),
        ({"missed": "once"}, ["12:00 missed"]),
        ({"missed": "all"}, ["09:00 missed", "10:00 missed", "11:00 missed", "12:00 missed"]),
        ({"missed": "all", "missed_limit": 2}, ["11:00 missed", "12:00 missed"]),
    ],
)
def test_times_at_which_nothing_ran(
    stage: Stage, missed: dict[str, object], started: list[str]
) -> None:
    stage.arm(cron="0 * * * *", **missed)
    assert stage.restart("2026-11-21T12:30Z", cron="0 * * * *", **missed) == started
    assert stage.restart("2026-11-21T12:40Z", cron="0 * * * *", missed="all") == []
    assert stage.until("2026-11-21T13:00:10Z") == ["13:00"]


def test_one_that_is_due_now_stands_for_those_that_were_missed(stage: Stage) -> None:
    stage.arm(cron="0 * * * *", missed="once")
    assert stage.restart("2026-11-21T12:00:20Z", cron="0 * * * *", missed="once") == ["12:00"]


def test_a_short_restart_misses_nothing(stage: Stage) -> None:
    stage.arm(cron="0 9 * * *")
    assert stage.restart("2026-11-21T09:00:50Z", cron="0 9 * * *") == ["09:00"]
    assert stage.restart("2026-11-21T09:00:55Z", cron="0 9 * * *") == []


def test_years_of_missed_seconds_cost_no_more_than_what_is_started(stage: Stage) -> None:
    stage.arm(cron="* * * * * *", missed="all", missed_limit=3)
    found = stage.restart("2031-11-21T08:30Z", cron="* * * * * *", missed="all", missed_limit=3)
    assert found[:3] == ["08:28 missed"] * 3
    assert len(found) < 70


def test_a_machine_that_slept_has_missed_times(stage: Stage) -> None:
    stage.arm(cron="0 * * * *", missed="once")
    assert stage.at("2026-11-21T11:30Z") == ["11:00 missed"]


def test_a_clock_that_is_set_back_starts_nothing_twice(stage: Stage) -> None:
    stage.arm(cron="0 * * * *")
    assert stage.until("2026-11-21T11:00:01Z", 30) == ["09:00", "10:00", "11:00"]
    asked = stage.runs.asked
    assert stage.at("2026-11-21T08:59Z") == []
    assert stage.until("2026-11-21T11:30Z", 30) == []
    assert stage.runs.asked == asked
    assert stage.until("2026-11-21T12:00:05Z", 30) == ["12:00"]
    assert stage.restart("2026-11-21T09:30Z", cron="0 * * * *") == []


def test_a_clock_that_was_years_ahead_does_not_stop_schedules_for_years(stage: Stage) -> None:
    stage.arm(cron="0 * * * *")
    stage.at("2031-11-21T11:00:01Z")
    stage.restart("2026-11-21T08:40Z", cron="0 * * * *")
    assert stage.until("2026-11-21T09:00:05Z", 30) == ["09:00"]
    stage.at("2026-11-18T08:40Z")
    assert stage.until("2026-11-18T09:00:05Z", 30) == ["09:00"]


def test_two_servers_on_one_journal_start_a_run_once(stage: Stage) -> None:
    other = stage.server()
    entry = armed("b/schedule", "schedule", cron="*/10 * * * *", jitter="2m")
    stage.source.arm([entry])
    other.arm([entry])

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(stage.source.look())
            group.create_task(other.look())

    for _ in range(12 * 60):
        asyncio.run(both())
        stage.clock.at += 10
    assert len(stage.runs.happened) == 11
    assert stage.runs.asked >= 11


def test_a_crash_before_it_is_written_down_is_harmless(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.arm(cron="0 9 * * *")
    stage.clock.set("2026-11-21T09:00:01Z")
    with monkeypatch.context() as patch:
        patch.setattr("aiworkflow.triggers.schedule.source.change", _crash)
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(stage.source.look())
    stage.restart("2026-11-21T09:00:30Z", cron="0 9 * * *")
    assert stage.runs.asked == 2  # the second time it is the same occurrence
    assert stage.at("2026-11-21T09:00:40Z") == []


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_journal_that_does_not_answer_is_asked_again_and_nothing_is_missed(stage: Stage) -> None:
    stage.arm(cron="0 9 * * *")
    for minute in range(10):
        stage.runs.fails.append(JournalUnavailable("no answer"))
        with pytest.raises(JournalUnavailable):
            stage.at(f"2026-11-21T09:0{minute}:00Z")
    assert stage.at("2026-11-21T09:10:00Z") == ["09:00"]


def test_an_error_of_ours_in_one_schedule_loses_no_time_of_the_others(stage: Stage) -> None:
    stage.arm(*(armed(f"b{n}/schedule", "schedule", cron="0 9 * * *") for n in range(5)))
    stage.runs.fails = [RuntimeError("ours")]
    with pytest.raises(ExceptionGroup):
        stage.at("2026-11-21T09:00:00Z")
    asyncio.run(stage.source.look())
    assert len(stage.runs.happened) == 5
    assert stage.source.next_at == HandClock("2026-11-22T09:00Z").at


def test_what_can_start_no_run_is_left_and_said(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    stage.arm(cron="*/10 * * * *")
    row = RunRow("01", "b", "running", 0.0)
    stage.runs.fails = [UsageError("input `x` is missing"), Overlap("b", row)]
    assert stage.until("2026-11-21T09:00:10Z") == ["09:00"]
    said = [(one.levelname, one.getMessage()) for one in caplog.records]
    assert said[0] == ("ERROR", "no run can be started: input `x` is missing")
    assert said[1][0] == "INFO"
    assert "is going" in said[1][1]
    assert said[2] == ("INFO", "run started")


def test_a_pause_outlives_the_server_and_what_it_left_out_is_not_made_up(stage: Stage) -> None:
    entry = armed("b/schedule", "schedule", cron="0 * * * *", missed="all")
    stage.arm(entry)
    change(stage.journal, "b", paused(planned(entry), stage.clock.at, pause=True))
    assert stage.until("2026-11-21T10:30Z", 60) == []
    assert stage.restart("2026-11-21T11:30Z", cron="0 * * * *", missed="all") == []
    assert stage.until("2026-11-21T12:30Z", 60) == []
    change(stage.journal, "b", paused(planned(entry), stage.clock.at, pause=False))
    assert stage.until("2026-11-21T13:00:10Z") == ["13:00"]


def test_one_that_was_never_armed_can_be_paused(stage: Stage) -> None:
    entry = armed("b/schedule", "schedule", cron="0 * * * *")
    change(stage.journal, "b", paused(planned(entry), stage.clock.at, pause=True))
    stage.arm(entry)
    assert stage.until("2026-11-21T10:30Z", 60) == []


def test_jitter_is_the_same_everywhere_another_each_time_and_keeps_the_order(stage: Stage) -> None:
    entry = armed("b/schedule", "schedule", cron="0 * * * *", jitter="30m")
    plan = planned(entry)
    times = [plan.times.after(stage.clock.at + 3600 * n) or 0 for n in range(200)]
    late = [plan.fires(one) - one for one in times]
    assert late == [
        planned(dataclasses.replace(entry, digest="x")).fires(one) - one for one in times
    ]
    assert 0 <= min(late) < 200
    assert 1600 < max(late) < 1800
    assert len(set(late)) == 200
    stage.arm(entry)
    found = []
    while len(found) < 5:
        stage.clock.at += 10
        asyncio.run(stage.source.look())
        for one in stage.runs.took():
            assert one.at <= plan.fires(one.at) <= stage.clock.at < plan.fires(one.at) + 10
            found.append(one.at)
    assert found == sorted(found)
    # longer than what lies between the times: none overtakes another, none is lost
    stage.arm(cron="* * * * *", jitter="20m")
    found = stage.until("2026-11-22T08:30Z", 10)
    assert found == sorted(found[: found.index("23:59") + 1]) + sorted(
        found[found.index("23:59") + 1 :]
    )
    assert len(found) > 20 * 15


def test_a_schedule_that_changes_begins_anew_and_stays_paused(stage: Stage) -> None:
    stage.arm(cron="0 9 * * *", missed="all")
    assert stage.restart("2026-11-21T12:30Z", cron="*/5 * * * *", missed="all") == []
    assert stage.until("2026-11-21T12:35:05Z") == ["12:35"]
    entry = armed("b/schedule", "schedule", cron="*/5 * * * *")
    change(stage.journal, "b", paused(planned(entry), stage.clock.at, pause=True))
    assert stage.restart("2026-11-21T12:36Z", cron="*/4 * * * *") == []
    assert stage.until("2026-11-21T13:00Z") == []
    # the time zone is of the times
    assert (
        stage.restart(
            "2026-11-21T20:00Z", cron="*/4 * * * *", timezone="Asia/Kolkata", missed="all"
        )
        == []
    )


def test_a_schedule_keeps_its_place_when_another_is_put_before_it_or_removed(stage: Stage) -> None:
    nine = armed("b/schedule", "schedule", cron="0 9 * * *", missed="all")
    stage.arm(nine)
    stage.source = stage.server()
    stage.clock.set("2026-11-21T10:00Z")
    moved = dataclasses.replace(nine, name="b/schedule.2")
    stage.source.arm([armed("b/schedule", "schedule", cron="0 7 * * *", missed="all"), moved])
    asyncio.run(stage.source.look())
    (one,) = stage.runs.took()
    assert one.data["schedule"] == "b/schedule.2"
    stage.source = stage.server()
    stage.clock.set("2026-11-22T10:00Z")
    assert stage.arm(nine) == ["09:00 missed"]
    assert set(read(stage.journal, "b")[0]) == {"b/schedule"}


def test_a_server_with_an_older_version_takes_no_schedule_from_the_others(stage: Stage) -> None:
    old = armed("b/schedule", "schedule", cron="0 12 * * *")
    new = [armed(f"b/schedule.{n}", "schedule", cron=f"0 {n} * * *") for n in (9, 10)]
    stage.arm(old, *new)
    change(stage.journal, "b", paused(planned(new[1]), stage.clock.at, pause=True))
    other = stage.server()
    other.arm([old])
    asyncio.run(other.look())
    assert stage.until("2026-11-21T11:00Z") == ["09:00"]
    stage.source = stage.server()
    stage.arm(old, *new)
    assert stage.until("2026-11-22T11:00Z", 30) == ["12:00", "09:00"]


def test_an_entry_that_is_disarmed_starts_nothing_more(stage: Stage) -> None:
    stage.arm(cron="0 * * * *")
    stage.source.arm([])
    assert stage.until("2026-11-21T10:30Z", 60) == []
    assert stage.source.next_at is None


@pytest.mark.parametrize(
    ("missed", "started"),
    [({}, []), ({"missed": "once"}, ["12:00 missed"]), ({"missed": "all", "missed_limit": 2}, ["11:00 missed", "12:00 missed"])],
)  # fmt: skip
def test_one_that_comes_back_while_the_server_runs_has_missed_the_times_meanwhile(
    stage: Stage, missed: dict[str, object], started: list[str]
) -> None:
    stage.arm(cron="0 * * * *", **missed)
    stage.source.arm([])  # another branch, or a bundle that was broken when the server began
    assert stage.until("2026-11-21T12:30Z", 20) == []
    assert stage.arm(cron="0 * * * *", **missed) == started
    assert stage.until("2026-11-21T13:00:10Z") == ["13:00"]


def test_one_that_comes_back_goes_on_when_the_clock_was_years_ahead(stage: Stage) -> None:
    stage.clock.set("2029-11-21T08:30Z")
    stage.arm(cron="0 * * * *")
    stage.source.arm([])
    stage.arm(cron="0 * * * *")
    assert stage.at("2026-11-21T08:30Z") == []
    assert stage.until("2026-11-21T09:00:10Z") == ["09:00"]


def test_it_drains(stage: Stage) -> None:
    stage.arm(cron="0 * * * *")
    asyncio.run(stage.source.drain())
    assert stage.until("2026-11-21T10:30Z", 60) == []


def test_a_schedule_can_be_started_at_once_and_its_times_stay(stage: Stage) -> None:
    entry = armed("b/schedule", "schedule", cron="0 9 * * *", timezone="Europe/Berlin")
    stage.arm(entry)
    asyncio.run(start_now(planned(entry), stage.runs, stage.clock.at, "one"))
    asyncio.run(start_now(planned(entry), stage.runs, stage.clock.at, "two"))
    assert stage.runs.times() == ["09:30", "09:30"]
    assert stage.until("2026-11-22T08:00Z", 60) == ["09:00"]


def test_it_runs_by_itself_and_sees_what_is_armed_later(tmp_path: Path) -> None:
    clock = JumpingClock(HandClock("2026-11-21T08:30Z").at)
    runs = Runs()

    async def some_days() -> None:
        source = Schedules(memory(clock), runs, clock)  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(source.run())
            await asyncio.sleep(0)
            source.arm([armed("b/schedule", "schedule", cron="0 9 * * *")])
            while len(runs.happened) < 30:
                await asyncio.sleep(0)
            task.cancel()

    asyncio.run(some_days())
    assert len(runs.took()) == 30


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_journal_that_does_not_answer_is_not_asked_all_the_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aiworkflow.triggers.schedule.source._RETRY_S", 0.05)
    clock = JumpingClock(HandClock("2026-11-21T08:30Z").at)
    runs = Runs()
    runs.fails = [JournalUnavailable("no answer") for _ in range(3)]

    async def until_it_answers() -> float:
        source = Schedules(memory(clock), runs, clock)  # type: ignore[arg-type]
        source.arm([armed("b/schedule", "schedule", cron="0 9 * * *")])
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(source.run())
            while not runs.happened:
                await asyncio.sleep(0)
            task.cancel()
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(until_it_answers()) >= 3 * 0.05
    assert caplog.text.count("schedules wait: no answer") == 3
    assert runs.took()[0].at == HandClock("2026-11-21T09:00Z").at


@pytest.mark.skipif(not EXHAUSTIVE, reason="takes a minute; EXHAUSTIVE=true")
def test_a_day_of_schedules_leaves_nothing_behind(tmp_path: Path) -> None:
    """24 hours of 12 schedules; memory and file descriptors stay as they are."""
    clock = JumpingClock(HandClock("2026-11-21T00:00Z").at)
    journal = memory(clock, tmp_path, "sqlite")  # type: ignore[arg-type]
    runs = Runs()
    source = Schedules(journal, runs, clock)
    zones = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/New_York"]
    source.arm(
        [
            armed(
                f"b{n}/schedule",
                "schedule",
                cron=f"*/{n % 7 + 2} * * * *",
                timezone=zones[n % 5],
                jitter="30s",
            )
            for n in range(12)
        ]
    )
    sizes: list[tuple[int, int]] = []
    counted = 0

    async def a_day() -> None:
        nonlocal counted
        start = clock.monotonic()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(source.run())
            for hour in range(1, 25):
                while clock.monotonic() < start + hour * 3600:
                    await asyncio.sleep(0)
                counted += len(runs.took())
                gc.collect()
                sizes.append((resident(), len(os.listdir("/proc/self/fd"))))
            task.cancel()

    asyncio.run(a_day())
    journal.close()
    per_day = sum(
        1440 // (n % 7 + 2) if 1440 % (n % 7 + 2) == 0 else 24 * -(-60 // (n % 7 + 2))
        for n in range(12)
    )
    assert abs(counted - per_day) <= 24  # those at the edges, whose jitter leads out
    assert len({files for _, files in sizes}) == 1
    assert sizes[-1][0] - sizes[3][0] < 4_000_000, sizes
