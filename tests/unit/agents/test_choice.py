"""The order in which agents are asked: what each way means, and what always holds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.agents.choice import Candidate, Ranking, is_meant, lot, rank
from aiworkflow.bundle.choosing import WAYS, AgentChoice
from aiworkflow.bundle.workflow import agent_spec

NUMBER = st.none() | st.floats(0.001, 100)
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.sampled_from([f"{name}/{model}" for name in "abc" for model in "xyz"]),
        NUMBER,
        st.none() | st.floats(0, 1),
        st.none() | st.floats(0, 1),
        st.integers(0, 50),
        NUMBER,
        NUMBER,
        st.integers(0, 9),
        st.frozensets(st.sampled_from(["tools", "vision"])),
        st.sampled_from(["", "", "", "no key"]),
    ),
    max_size=6,
    unique_by=lambda one: one.label,
)
SPECS = st.lists(st.sampled_from(["a", "b/x", "c"]).map(agent_spec), max_size=2).map(tuple)
CHOICES = st.builds(
    AgentChoice,
    st.sampled_from(WAYS),
    st.lists(st.sampled_from(["tools", "vision"]), max_size=2).map(tuple),
    NUMBER,
    SPECS,
    SPECS,
)


def labels(ranking: Ranking) -> list[str]:
    return [one.candidate.label for one in ranking.order]


def order(how: str, *several: Candidate, **more: Any) -> list[str]:
    turn = more.pop("turn", 0)
    return labels(rank(AgentChoice(how, **more), several, draw="run step", turn=turn))


@settings(deadline=None)
@given(CHOICES, CANDIDATES, st.text(), st.integers(0, 99))
def test_everybody_is_asked_or_left_out_for_a_reason(
    choice: AgentChoice, several: list[Candidate], draw: str, turn: int
) -> None:
    found = rank(choice, several, draw=draw, turn=turn)
    asked, left = labels(found), [label for label, _ in found.left_out]
    assert sorted(asked + left) == sorted(one.label for one in several)
    assert all(why for _, why in found.left_out)
    assert all(one.why.startswith(choice.how.replace("_", " ")) for one in found.order)
    for one in found.order:
        assert not one.candidate.problem
        assert set(choice.able) <= one.candidate.able
        if choice.max_usd is not None:
            assert one.candidate.usd is not None
            assert one.candidate.usd <= choice.max_usd
    assert rank(choice, several, draw=draw, turn=turn) == found, "the same values, the same order"


@settings(deadline=None)
@given(CHOICES, CANDIDATES)
def test_who_is_preferred_comes_first_and_who_is_avoided_last(
    choice: AgentChoice, several: list[Candidate]
) -> None:
    def place(label: str) -> int:
        if any(is_meant(spec, label) for spec in choice.avoid):
            return 1
        return -1 if any(is_meant(spec, label) for spec in choice.prefer) else 0

    places = [place(label) for label in labels(rank(choice, several))]
    assert places == sorted(places)


@settings(deadline=None)
@given(CANDIDATES)
def test_cheapest_and_fastest_are_in_order(several: list[Candidate]) -> None:
    unknown = float("inf")
    cheapest = rank(AgentChoice("cheapest"), several).order
    prices = [unknown if one.candidate.usd is None else one.candidate.usd for one in cheapest]
    assert prices == sorted(prices)
    fastest = rank(AgentChoice("fastest"), several).order
    times = [one.candidate.expected_s or unknown for one in fastest]
    assert times == sorted(times)


def test_each_way_means_what_it_says() -> None:
    a = Candidate("a", usd=0.01, quality=0.9, seconds=5.0, load=2)
    b = Candidate("b", usd=0.001, quality=0.3, seconds=2.0, load=0)
    c = Candidate("c", quality=0.5, speed=1000.0, load=1)
    assert order("priority", a, b, c) == ["a", "b", "c"]
    assert order("cheapest", a, b, c) == ["b", "a", "c"]
    assert order("best", a, b, c) == ["a", "c", "b"]
    assert order("fastest", a, b, c) == ["c", "b", "a"]
    assert order("least_loaded", a, b, c) == ["b", "c", "a"]
    assert order("round_robin", a, b, c, turn=1) == ["b", "c", "a"]
    assert order("round_robin", a, b, c, turn=5) == ["c", "a", "b"]
    assert order("balanced", a, b) == ["b", "a"], "worse, but cheaper and faster"
    assert order("balanced", a, Candidate("d", usd=0.009, quality=0.3, seconds=4.9)) == ["d", "a"]


def test_best_counts_what_was_measured() -> None:
    good = Candidate("good", quality=0.8, success=0.2, attempts=50)
    plain = Candidate("plain", quality=0.6, success=1.0, attempts=50)
    assert order("best", good, plain) == ["plain", "good"]
    once = Candidate("once", quality=0.8, success=0.0, attempts=1)
    assert once.score == pytest.approx(0.8 * 2 / 3)


def test_why_is_said_with_figures() -> None:
    a, b = Candidate("a", usd=0.004), Candidate("b", usd=0.0012)
    found = rank(AgentChoice("cheapest"), [a, b, Candidate("c", problem="no key")])
    assert found.order[0].why == "cheapest of 2 (b $0.0012, a $0.0040)"
    assert found.order[1].why == "cheapest, place 2 of 2 (a $0.0040)"
    assert found.left_out == (("c", "no key"),)
    preferred = rank(AgentChoice("priority", prefer=(agent_spec("b"),)), [a, b])
    assert preferred.order[0].why == "priority of 2 preferred"


def test_who_does_not_fit_is_left_out() -> None:
    a = Candidate("a", usd=0.5, able=frozenset({"tools"}))
    b = Candidate("b", able=frozenset({"tools", "vision"}))
    choice = AgentChoice("priority", able=("tools", "vision"))
    assert rank(choice, [a, b]).left_out == (("a", "it cannot do vision"),)
    choice = AgentChoice("priority", max_usd=0.1)
    assert rank(choice, [a, b]).left_out == (
        ("a", "it may cost $0.5000, more than $0.1"),
        ("b", "its price is not known"),
    )


def test_lots_are_fair_and_stay() -> None:
    several = [Candidate(name) for name in "abc"]
    firsts = Counter(
        labels(rank(AgentChoice("random"), several, draw=f"run{n}"))[0] for n in range(900)
    )
    assert all(240 < firsts[name] < 360 for name in "abc")
    assert min(lot(str(n)) for n in range(999)) >= 0


def test_shares_are_kept() -> None:
    shares = ((agent_spec("a"), 9.0), (agent_spec("b/m"), 1.0))
    several = [Candidate("a"), Candidate("b/m")]
    choice = AgentChoice("ab", shares=shares)
    found = [rank(choice, several, draw=f"key{n}").order for n in range(1000)]
    assert all(len(one) == 1 for one in found), "nobody stands in for another"
    count = Counter(one[0].candidate.label for one in found)
    assert 60 < count["b/m"] < 140
    assert {one[0].why for one in found} == {"ab, 90% of the steps", "ab, 10% of the steps"}
    down = [Candidate("a", problem="no key"), Candidate("b/m")]
    drawn = [rank(choice, down, draw=f"key{n}").order for n in range(100)]
    assert () in drawn
