"""Arithmetic on JSON values, within limits of size and digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from aiworkflow.expr.values import MOST_ITEMS, MOST_TEXT, Limited, Misused, kind

MOST_BITS: Final = 4096


def is_number(value: object) -> bool:
    """Whether a value is a number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def arithmetic(operator: str, one: object, two: object) -> object:
    """`one operator two`. Raises Misused, and Limited where the result would be too large."""
    if (
        isinstance(one, int | float)
        and isinstance(two, int | float)
        and is_number(one)
        and is_number(two)
    ):
        return _numbers(operator, one, two)
    if operator == "+":
        if isinstance(one, str) and isinstance(two, str):
            if len(one) + len(two) > MOST_TEXT:
                raise Limited("the text is longer than 10 MB")
            return one + two
        if isinstance(one, Sequence) and isinstance(two, Sequence) and kind(one) == kind(two):
            if len(one) + len(two) > MOST_ITEMS:
                raise Limited("the list is longer than a million items")
            return [*one, *two]
    if operator == "*":
        for text, times in ((one, two), (two, one)):
            if isinstance(text, str) and isinstance(times, int) and not isinstance(times, bool):
                if len(text) * max(times, 0) > MOST_TEXT:
                    raise Limited("the text is longer than 10 MB")
                return text * times
    hint = (
        "; put them together with `~`" if operator == "+" and str in {type(one), type(two)} else ""
    )
    raise Misused(
        "null" if None in (one, two) else "type",
        f"`{operator}` cannot take {kind(one)} and {kind(two)}{hint}",
    )


def _numbers(operator: str, one: float, two: float) -> int | float:
    match operator:
        case "+":
            found: int | float = one + two
        case "-":
            found = one - two
        case "*":
            if isinstance(one, int) and isinstance(two, int):
                _check_bits(one.bit_length() + two.bit_length())
            found = one * two
        case "**":
            if isinstance(one, int) and isinstance(two, int) and two > 0:
                _check_bits(one.bit_length() * two)
            found = one**two
        case _:
            if two == 0:
                raise Misused("value", "division by zero")
            found = one / two if operator == "/" else one // two if operator == "//" else one % two
    if isinstance(found, complex) or (isinstance(found, float) and not math.isfinite(found)):
        raise Misused("value", "the result is no number that JSON has")
    return found


def _check_bits(bits: int) -> None:
    if bits > MOST_BITS:
        raise Limited(f"the number is longer than {MOST_BITS} bits")
