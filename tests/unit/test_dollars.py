"""Amounts of US dollars as people read them."""

import pytest

from aiworkflow.dollars import usd_text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0.0, "$0.0000"),
        (1.4, "$1.4000"),
        (0.00005, "$0.0001"),
        (0.000049, "$0.000049"),
        (0.0000123, "$0.000012"),
        (0.000004, "$0.000004"),
        (3.5e-7, "$0.00000035"),
        (1e-17, "$0.0000"),
        (-0.00001, "$-0.00001"),
    ],
)
def test_a_small_amount_is_not_nothing(usd: float, text: str) -> None:
    assert usd_text(usd) == text
