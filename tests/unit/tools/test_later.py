"""How long the other side asks to be left alone, whatever it says."""

import pytest

from aiworkflow.steps.contract import StepError
from aiworkflow.tools.later import LONGEST_S, bounded_s, retry_after_s

NOW = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("-5", 0.0),
        ("1e308", LONGEST_S),
        ("inf", LONGEST_S),
        ("99999999999999", LONGEST_S),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 09:28:30 +0200", 30.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_S),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_nobody_is_waited_for_longer_than_a_day(asked: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": asked, "date": NOW}) == seconds


def test_a_date_means_nothing_without_the_clock_it_was_read_from() -> None:
    assert retry_after_s({"retry-after": NOW}) is None


@pytest.mark.parametrize("asked", [float("inf"), -1.0, float("nan"), None])
def test_what_an_agent_of_ones_own_asks_for_is_bounded_too(asked: float | None) -> None:
    kept = StepError("rate_limit", "slow down", retry_after_s=asked).retry_after_s
    assert kept == bounded_s(asked)
    assert kept is None or 0 <= kept <= LONGEST_S
