"""The arithmetic of circuit breakers, against a model that keeps the whole history."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.engine.breaker import (
    CLOSED,
    LONGEST_S,
    Breaker,
    BreakerPolicy,
    BreakerState,
    Entry,
    Evidence,
    ask,
    evidence,
    settle,
    trying,
)

POLICY = BreakerPolicy(threshold=3, cool_down_s=30, window_s=100)
ANSWER, OUTAGE, NONE = Evidence.ANSWER, Evidence.OUTAGE, Evidence.NONE


def after(*found: Evidence, policy: BreakerPolicy = POLICY) -> Breaker:
    """The breaker after attempts that ended at 0 s, 1 s, 2 s, …"""
    breaker = CLOSED
    for now, one in enumerate(found):
        breaker = settle(breaker, policy, now, one, reason="down")
    return breaker


def test_outages_in_a_row_open_it() -> None:
    assert after(OUTAGE, OUTAGE).state(2) is BreakerState.CLOSED
    opened = after(OUTAGE, OUTAGE, OUTAGE)
    assert opened.state(2) is BreakerState.OPEN
    assert (opened.since, opened.until, opened.reason) == (2, 32, "down")
    assert ask(opened, 31.9) is Entry.REFUSED
    assert opened.left_s(12) == 20


def test_an_answer_begins_the_count_again() -> None:
    assert after(OUTAGE, OUTAGE, ANSWER) == CLOSED
    assert after(OUTAGE, OUTAGE, ANSWER, OUTAGE, OUTAGE).state(5) is BreakerState.CLOSED


def test_what_says_nothing_changes_nothing() -> None:
    assert after(OUTAGE, NONE, OUTAGE, NONE, OUTAGE).state(5) is BreakerState.OPEN
    assert after(NONE, NONE, NONE, NONE) == CLOSED


def test_outages_older_than_the_window_do_not_count() -> None:
    breaker = settle(after(OUTAGE, OUTAGE), POLICY, 101, OUTAGE)
    assert breaker == Breaker((1, 101))
    assert settle(breaker, POLICY, 101, OUTAGE).state(101) is BreakerState.OPEN


def test_half_open_lets_one_through() -> None:
    opened = after(OUTAGE, OUTAGE, OUTAGE)
    assert opened.state(32) is BreakerState.HALF_OPEN
    assert ask(opened, 32) is Entry.TRIAL
    tried = trying(opened, 32, "a", 60)
    assert ask(tried, 33) is Entry.REFUSED
    assert settle(tried, POLICY, 34, ANSWER, who="a") == CLOSED
    again = settle(tried, POLICY, 34, OUTAGE, who="a", reason="still")
    assert (again.since, again.until, again.reason) == (2, 64, "still")
    free = settle(tried, POLICY, 34, NONE, who="a")
    assert ask(free, 34) is Entry.TRIAL


def test_a_trial_that_nobody_ends_lapses() -> None:
    tried = trying(after(OUTAGE, OUTAGE, OUTAGE), 32, "a", 60)
    assert ask(tried, 91.9) is Entry.REFUSED
    assert ask(tried, 92) is Entry.TRIAL
    assert ask(tried, 33, is_lost=True) is Entry.TRIAL


def test_only_the_trial_of_now_decides() -> None:
    opened = after(OUTAGE, OUTAGE, OUTAGE)
    tried = trying(trying(opened, 32, "a", 60), 92, "b", 60)
    for who in ("", "a"):
        for found in Evidence:
            assert settle(tried, POLICY, 93, found, who=who) == tried, "it began before"
    assert settle(opened, POLICY, 3, ANSWER) == opened


@pytest.mark.parametrize(("asked", "cool"), [(None, 30), (5, 5), (600, 600), (1e9, LONGEST_S)])
def test_the_cool_down_is_what_the_other_side_asks_for(asked: float | None, cool: float) -> None:
    opened = settle(after(OUTAGE, OUTAGE), POLICY, 2, OUTAGE, asked_s=asked)
    assert opened.left_s(2) == cool


def test_a_clock_that_was_set_back_makes_nobody_wait_for_a_day() -> None:
    opened = after(OUTAGE, OUTAGE, OUTAGE)
    assert ask(opened, -86_400) is Entry.TRIAL
    assert opened.left_s(-1) == 33, "clocks of two machines may differ a little"


@pytest.mark.parametrize(
    ("kind", "status", "found"),
    [
        (None, None, ANSWER),
        ("unavailable", None, OUTAGE),
        ("cut_off", None, OUTAGE),
        ("timeout", None, OUTAGE),
        ("rate_limit", None, OUTAGE),
        ("http", 500, OUTAGE),
        ("http", 503, OUTAGE),
        ("http", 408, OUTAGE),
        ("rate_limit", 429, OUTAGE),
        ("http", 501, ANSWER),
        ("http", 404, ANSWER),
        ("http", 301, ANSWER),
        ("exit", None, ANSWER),
        ("output", None, ANSWER),
        ("auth", None, ANSWER),
        ("input", None, NONE),
        ("permission", None, NONE),
        ("limit", None, NONE),
        ("a kind of tomorrow", None, NONE),
    ],
)
def test_which_failures_are_outages(kind: str | None, status: int | None, found: Evidence) -> None:
    assert evidence(kind, status) is found


TIMES = st.floats(0, 1000, allow_nan=False)
EVIDENCE = st.sampled_from(list(Evidence))


class Model:
    """One client, asking at rising moments: what a reader of the docs expects."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.row: list[float] = []
        self.closed_until: float | None = None  # when the next trial is due; None: closed

    def may(self, now: float) -> bool:
        return self.closed_until is None or now >= self.closed_until

    def ends(self, now: float, found: Evidence) -> None:
        if found is ANSWER:
            self.row, self.closed_until = [], None
        elif found is OUTAGE:
            self.row.append(now)
            within = [at for at in self.row if now - at <= self.policy.window_s]
            if self.closed_until is not None or len(within) >= self.policy.threshold:
                self.row, self.closed_until = [], now + self.policy.cool_down_s


@given(
    st.builds(
        BreakerPolicy,
        threshold=st.integers(1, 5),
        cool_down_s=st.integers(0, 50),
        window_s=st.integers(1, 100),
    ),
    st.lists(st.tuples(st.integers(0, 40), EVIDENCE), max_size=40),
)
def test_one_client_sees_what_the_model_says(
    policy: BreakerPolicy, history: list[tuple[int, Evidence]]
) -> None:
    model, breaker, now = Model(policy), CLOSED, 0
    for number, (pause, found) in enumerate(history):
        now += pause
        entry = ask(breaker, now)
        assert (entry is not Entry.REFUSED) is model.may(now)
        if entry is Entry.REFUSED:
            continue
        who = ""
        if entry is Entry.TRIAL:
            who = str(number)
            breaker = trying(breaker, now, who, 60)
        breaker = settle(breaker, policy, now, found, who=who)
        model.ends(now, found)
        assert (breaker.since is None) is (model.closed_until is None)


@given(st.lists(st.tuples(st.sampled_from("abc"), TIMES, EVIDENCE), max_size=60))
def test_never_two_trials_at_once(history: list[tuple[str, float, Evidence]]) -> None:
    """Three clients in any order: whoever is let through holds the only trial, until it lapses."""
    breaker = settle(CLOSED, BreakerPolicy(threshold=1, cool_down_s=1), 0, OUTAGE)
    policy = BreakerPolicy(threshold=1, cool_down_s=1)
    trying_now: dict[str, float] = {}
    for who, now, found in sorted(history, key=lambda one: one[1]):
        if who in trying_now:
            breaker = settle(breaker, policy, now, found, who=who)
            del trying_now[who]
        elif ask(breaker, now) is Entry.TRIAL:
            assert all(now >= lapses for lapses in trying_now.values())
            breaker = trying(breaker, now, who, 20)
            trying_now[who] = now + 20


@given(
    st.builds(
        Breaker,
        outages=st.lists(TIMES, max_size=5).map(tuple),
        since=st.none() | TIMES,
        until=TIMES,
        cool_s=TIMES,
        trial=st.text(),
        lapses=TIMES,
        reason=st.text(),
    )
)
def test_it_is_stored_as_it_is(breaker: Breaker) -> None:
    assert Breaker.from_json(json.loads(json.dumps(breaker.to_json()))) == breaker
