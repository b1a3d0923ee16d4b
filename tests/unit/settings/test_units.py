"""Quantities are read as people write them, and refused with what is allowed."""

# ruff: noqa: E501  a case is one line

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.settings import units


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1.5h", 5400), (90, 90),
     (0.25, 0.25), ("90", 90), ("2 m", 120), ("0s", 0)],
)  # fmt: skip
def test_durations(written: object, seconds: float) -> None:
    assert units.duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "5 minutes", "1h30m", "-1s", "5M", "1w", "٣s", True, None, "s", "1e3s", -5, "9" * 60, "200000d", float("nan"), float("inf")]
)  # fmt: skip
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match="a duration such as `500ms`"):
        units.duration(written)


@given(st.floats(0, 3_000_000_000, allow_nan=False))
def test_a_formatted_duration_reads_back_as_the_same(seconds: float) -> None:
    if len(units.format_duration(seconds)) <= 40:
        assert units.duration(units.format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.5, "500ms"),
        (90, "90s"),
        (300, "5m"),
        (7200, "2h"),
        (86400, "1d"),
        (90000, "25h"),
    ],
)
def test_durations_are_formatted_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("written", "size"),
    [("10MB", 10_000_000), ("10MiB", 10_485_760), ("32KiB", 32_768), ("1.5kB", 1500), (7, 7), ("7", 7), ("3B", 3), ("2 GB", 2 * 10**9)],
)  # fmt: skip
def test_sizes(written: object, size: int) -> None:
    assert units.size(written) == size


@given(st.integers(0, 2**50))
def test_a_formatted_size_reads_back_as_the_same(size: int) -> None:
    assert units.size(units.format_size(size)) == size


@pytest.mark.parametrize("written", ["10 megabytes", "10Mb", "-1", "0.5B", 1.5, "", False])
def test_what_is_no_size(written: object) -> None:
    with pytest.raises(ValueError, match="a size such as"):
        units.size(written)


def test_counts() -> None:
    assert [units.count(x) for x in (3, "500", "100k", "2M", "2.5k")] == [
        3,
        500,
        100_000,
        2_000_000,
        2500,
    ]
    for wrong in ("100K", "1.5", 1.5, "many", True):
        with pytest.raises(ValueError, match="a count such as"):
            units.count(wrong)


def test_money_is_exact() -> None:
    assert [units.money(x) for x in (0.1, "0.50", "$3", 5)] == [
        Decimal("0.1"),
        Decimal("0.50"),
        3,
        5,
    ]
    for wrong in ("-1", "1 EUR", None, "1,50"):
        with pytest.raises(ValueError, match="US dollars"):
            units.money(wrong)


def test_rates() -> None:
    assert [units.rate(x) for x in ("5/s", "30/m", "100/h", "7/d")] == [
        (5, 1),
        (30, 60),
        (100, 3600),
        (7, 86400),
    ]
    for wrong in ("30", 30, "30/min", "0/s", "-1/s", "1.5/s"):
        with pytest.raises(ValueError, match="a rate such as"):
            units.rate(wrong)


@given(st.text(max_size=50) | st.floats() | st.integers() | st.booleans() | st.none())
def test_anything_is_read_or_refused(written: object) -> None:
    for read in (units.duration, units.size, units.count, units.money, units.rate):
        refused = ""
        try:
            read(written)
        except ValueError as error:
            refused = str(error)
        assert refused == "" or refused.startswith("a")
