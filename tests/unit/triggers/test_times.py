"""When a schedule comes: against a second implementation, and what the clocks of the world do."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.bundle.cron import fields_of, problem_with_cron, values_of
from aiworkflow.triggers.schedule.times import Times

# both hemispheres, half and quarter hours, half an hour of daylight saving, changes at midnight,
# daylight saving that is the other way round, and zones that changed their offset for good
ZONES = [
    "Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata", "Australia/Lord_Howe",
    "Asia/Kathmandu", "America/Santiago", "Africa/Casablanca", "Asia/Almaty", "America/St_Johns",
]  # fmt: skip
CRONS = [
    "30 2 * * *", "*/30 * * * *", "0 0 * * *", "15 1-3 * * *", "0 9 * * 1-5", "59 23 28-31 * *", "5 */2 * * sun",
    "*/7 0-4 * * 0,6", "0 0 29 2 *", "0 0 1,15 * 1", "0 3 */2 * 1", "45 1,2,3 * mar,apr,sep-nov *", "17 * 1 * *",
]  # fmt: skip
START = datetime(2022, 1, 1, 12, tzinfo=UTC)
YEARS = 5
EXHAUSTIVE = os.environ.get("EXHAUSTIVE") == "true"


def stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def shown(cron: str, zone: str, start: str, count: int) -> list[str]:
    times = Times(cron, zone)
    return [times.shown(one) for one in islice(times.since(stamp(start)), count)]


def for_the_oracle(cron: str) -> str:
    """The same schedule as the other implementation must have it written to mean it.

    It goes by time that passes where the minute or the hour begins with a star, not where all hours are
    meant.
    """
    _, minute, hour, *rest = fields_of(cron)
    if values_of(hour, 2) == set(range(24)):
        hour = "*"
    else:
        minute, hour = minute.replace("*", "0-59"), hour.replace("*", "0-23")
    return " ".join([minute, hour, *rest])


def agree(cron: str, zone: str, start: datetime, years: float) -> int:
    end = start + timedelta(days=365.25 * years)
    oracle = CronSim(for_the_oracle(cron), start.astimezone(ZoneInfo(zone)))
    count = 0
    for moment in Times(cron, zone).since(start.timestamp()):
        expected = next(oracle).timestamp()
        assert moment == expected, f"{cron} in {zone}: {datetime.fromtimestamp(moment, UTC)}"
        if moment > end.timestamp():
            break
        count += 1
    return count


@pytest.mark.parametrize("zone", ZONES)
def test_the_years_are_as_another_implementation_has_them(zone: str) -> None:
    crons = CRONS if EXHAUSTIVE else ["30 2 * * *", "0 0 * * 1-5"]
    for cron in crons:
        agree(cron, zone, START, YEARS)
    agree("*/30 * * * *", zone, START, YEARS if EXHAUSTIVE else 0.3)


FIELD = st.sampled_from
SCHEDULES = st.builds(
    lambda *fields: " ".join(fields),
    FIELD(["0", "30", "*/20", "5,35", "0-59/29", "1-3"]),
    FIELD(["*", "0", "1", "2", "3", "*/2", "0-4", "2,3,23"]),
    FIELD(["*", "*", "1", "31", "*/5", "24-31"]),
    FIELD(["*", "*", "2", "mar,oct", "4-10/2", "nov"]),
    FIELD(["*", "*", "0", "7", "sun", "1-5", "*/3", "sat,sun"]),
)


@settings(max_examples=3000 if EXHAUSTIVE else 60, deadline=None)
@given(SCHEDULES, st.sampled_from(ZONES), st.integers(0, 365 * 24), st.booleans())
def test_any_schedule_is_as_another_implementation_has_it(
    cron: str, zone: str, hours: int, near_a_change: bool
) -> None:
    if problem_with_cron(cron) is not None or oracle_errs(cron, zone):
        return
    start = START + timedelta(hours=hours)
    if near_a_change:
        start = before_a_change(zone, start)
    oracle = CronSim(for_the_oracle(cron), start.astimezone(ZoneInfo(zone)))
    found = list(islice(Times(cron, zone).since(start.timestamp()), 20))
    expected = [one.timestamp() for one in islice(oracle, 20)]
    assert found == expected


def oracle_errs(cron: str, zone: str) -> bool:
    """Whether the other implementation jumps over readings that come again within the hour.

    It adds minutes to come to the only one of a schedule, whatever the clock does on the way: where half an
    hour comes twice, `30 * * * *` misses what `30,31 * * * *` does not.
    """
    _, minute, hour, *_ = fields_of(cron)
    minutes, hours = values_of(minute, 1) or set(), values_of(hour, 2) or set()
    return zone == "Australia/Lord_Howe" and len(minutes) == 1 and len(hours) == 24


def before_a_change(zone: str, start: datetime) -> datetime:
    """Some hours before the next time that clocks are set."""
    there = ZoneInfo(zone)
    for hours in range(24 * 366):
        at = start + timedelta(hours=hours)
        if at.astimezone(there).utcoffset() != start.astimezone(there).utcoffset():
            return at - timedelta(hours=6)
    return start


@settings(max_examples=200, deadline=None)
@given(st.text("0123456789*/-, janSUN@dily", max_size=20))
def test_a_schedule_that_is_right_can_be_computed(text: str) -> None:
    if problem_with_cron(text) is None:
        assert Times(text).after(START.timestamp()) is not None


def test_a_time_that_comes_twice_counts_once() -> None:
    zone = "Europe/Berlin"
    assert shown("30 2 * * *", zone, "2026-10-24T12:00+02:00", 2) == [
        "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00",
    ]  # fmt: skip
    # what is computed with would start two runs that night
    naive = croniter("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=ZoneInfo(zone)))
    twice = [naive.get_next(datetime).isoformat() for _ in range(2)]
    assert twice == ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]


def test_a_time_that_is_skipped_comes_after_the_gap_once() -> None:
    assert shown("15,30,45 2 * * *", "Europe/Berlin", "2026-03-28T12:00+01:00", 2) == [
        "2026-03-29T03:00:00+02:00", "2026-03-30T02:15:00+02:00",
    ]  # fmt: skip
    assert shown("0 0 * * *", "America/Santiago", "2026-09-05T12:00-04:00", 2) == [
        "2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00",
    ]  # fmt: skip
    # a whole day was left out there
    assert shown("0 9 30 12 *", "Pacific/Apia", "2011-12-01T00:00-10:00", 2) == [
        "2011-12-31T00:00:00+14:00", "2012-12-30T09:00:00+14:00",
    ]  # fmt: skip


def test_half_an_hour_of_daylight_saving() -> None:
    zone = "Australia/Lord_Howe"
    assert shown("15 2 * * *", zone, "2026-10-03T12:00+10:30", 2) == [
        "2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00",
    ]  # fmt: skip
    assert shown("45 1 * * *", zone, "2026-04-04T12:00+11:00", 2) == [
        "2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30",
    ]  # fmt: skip
    assert shown("0 * * * *", zone, "2026-04-05T00:30+11:00", 3) == [
        "2026-04-05T01:00:00+11:00", "2026-04-05T02:00:00+10:30", "2026-04-05T03:00:00+10:30",
    ]  # fmt: skip


def test_where_half_an_hour_comes_twice_a_schedule_of_every_hour_has_it_twice() -> None:
    assert shown("30 * * * *", "Australia/Lord_Howe", "2022-04-03T01:00+11:00", 3) == [
        "2022-04-03T01:30:00+11:00", "2022-04-03T01:30:00+10:30", "2022-04-03T02:30:00+10:30",
    ]  # fmt: skip


def test_a_schedule_of_every_hour_goes_by_time_that_passes() -> None:
    times = Times("*/30 * * * *", "Europe/Berlin")
    for start in ("2026-10-24T12:10+02:00", "2026-03-28T12:10+01:00"):
        found = list(islice(times.since(stamp(start)), 60))
        assert {later - sooner for sooner, later in zip(found, found[1:], strict=False)} == {1800.0}


def test_seconds_come_first() -> None:
    assert shown("*/20 30 2 * * *", "Europe/Berlin", "2026-10-24T12:00+02:00", 4) == [
        "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:20+02:00", "2026-10-25T02:30:40+02:00", "2026-10-26T02:30:00+01:00",
    ]  # fmt: skip


def test_words_for_schedules() -> None:
    for word, cron in {
        "@daily": "0 0 * * *",
        " @Hourly": "0 * * * *",
        "@weekly": "0 0 * * 0",
    }.items():
        assert shown(word, "UTC", "2026-02-03T04:05Z", 3) == shown(
            cron, "UTC", "2026-02-03T04:05Z", 3
        )


def test_one_day_is_enough_where_both_are_named() -> None:
    assert shown("0 0 13 * fri", "UTC", "2026-11-01T00:00Z", 3) == [
        "2026-11-06T00:00:00+00:00", "2026-11-13T00:00:00+00:00", "2026-11-20T00:00:00+00:00",
    ]  # fmt: skip
    assert shown("0 0 1-31 * fri", "UTC", "2026-11-01T00:00Z", 2) == [
        "2026-11-02T00:00:00+00:00", "2026-11-03T00:00:00+00:00",
    ]  # fmt: skip


@pytest.mark.parametrize("cron", ["* * * * * *", "0 9 * * *", "0 0 29 2 *", "*/5 9-10 * * *"])
def test_the_latest_of_a_span(cron: str) -> None:
    times = Times(cron, "Europe/Berlin")
    start, end = stamp("2016-01-01T00:00Z"), stamp("2026-06-01T12:34:56Z")
    few = times.latest(end - 86400 * 3, end, 100)
    assert (
        few == list(islice(times.since(end - 86400 * 3), 300))[: len(few)][-100:] or len(few) == 100
    )
    assert times.latest(start, end, 2) == times.latest(0, end, 5)[-2:]
    assert times.latest(end, end, 3) == []
