"""Confidence intervals: known values, and what always holds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.observe.intervals import mean, share


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_shares_as_in_the_literature(successes: int, count: int, low: float, high: float) -> None:
    found = share(successes, count)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(1, 500))
def test_a_share_lies_in_its_interval(successes: int, count: int) -> None:
    found = share(min(successes, count), count)
    assert found is not None
    assert 0 <= found.low <= found.value <= found.high <= 1


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_a_mean_lies_in_its_interval(values: list[float]) -> None:
    found = mean(values)
    assert found is not None
    assert found.low <= found.value <= found.high


def test_of_nothing_nothing_is_known() -> None:
    assert share(0, 0) is None
    assert mean([]) is None


@pytest.mark.parametrize(("freedom", "wide"), [(1, 12.706), (9, 2.262), (20, 2.086), (60, 2.000)])
def test_means_of_few_values_are_less_sure(freedom: int, wide: float) -> None:
    values = [5.0 + (-1) ** number for number in range(freedom + 1)]
    middle = sum(values) / len(values)
    spread = (sum((one - middle) ** 2 for one in values) / freedom) ** 0.5
    found = mean(values)
    assert found is not None
    half = wide * spread / len(values) ** 0.5
    assert found.high - found.value == pytest.approx(half, rel=2e-3)
    assert found.low == pytest.approx(max(0.0, found.value - half), abs=0.02)


def test_what_is_never_negative_has_no_negative_bound() -> None:
    found, other = mean([0.0, 0.0, 3.0]), mean([-1.0, 0.0, 3.0])
    assert found is not None
    assert other is not None
    assert found.low == 0.0
    assert other.low < 0
