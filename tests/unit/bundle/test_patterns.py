"""Patterns that could take for ever are found; those that people write are let be."""

from __future__ import annotations

import re
import signal
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.bundle.patterns import is_costly


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(a+)+$",
        r"^([a-z]+)*$",
        r"(\d*)*",
        r"^(?:[a-z]+[ ]?)+$",
        r"((a{1,20}))*",
        r"((a{1,3}))*",
        r"^(.|x)+$",
        r"^(a|a)*$",
        r"^(a|b|ab)*$",
        r"^(\w|\d|ab)+$",
        r"^([^x]|\s)*$",
        r"(?i)^(ab|AB)*$",
        r"(?s)^(.|\n)*$",
        r"^(.*,){11}P",
        r"^(a|aa){30}$",
        r"((a?)?b)*c",
        r"x(y(z+)*)?",
        r"(?=(a+)+)b",
        r"(?!(\s*x?)*y)z",
        r"(?>a|aa)+b",
        r"(a)?(?(1)(b+)+|c)d",
        r"(a+?)+?$",
        r"^([A-Za-z0-9]+[-_.]?)+@x$",
    ],
)
def test_what_can_take_for_ever_is_found(pattern: str) -> None:
    assert is_costly(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"",
        r"^[a-z]+$",
        r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$",
        r"^([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)?$",
        r"^[a-z]+( [a-z]+)*$",
        r"^[a-z0-9]+(?:-[a-z0-9]+)*$",
        r"^\d{4}-\d{2}-\d{2}T[0-9:]+Z$",
        r"^(foo|bar|baz)*$",
        r"^(ab|a)*$",
        r"^(a{3}){4}$",
        r"^(a{32}){10}$",
        r"^([0-9a-f]{2}:){15}[0-9a-f]{2}$",
        r"^([0-9]{1,3}\.){3}[0-9]{1,3}$",
        r"^v?\d+(\.\d+){0,3}(-[a-z]+(\.\d+)*)?$",
        r"^(?=.*[a-z])(?=.*\d).{8,}$",
        r'^"([^"\\]|\\.)*"$',
        r"^(\d+\s)*$",
        r"^(\w|\d)+$",  # the matcher makes one set of both
        r"(?i)^(a|B)*$",
        r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
        r"^(https?|ftp)://[^\s/$.?#].[^\s]*$",
        r"[",
    ],
)
def test_what_people_write_is_let_be(pattern: str) -> None:
    assert not is_costly(pattern)


class Endless(Exception):
    """A match that did not end."""


ATOMS = st.sampled_from(["a", "b", "ab", "[ab]", "[^b]", ".", r"\w", ""])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,3}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(PATTERNS)
def test_what_is_let_be_ends_on_every_text_of_forty_characters(pattern: str) -> None:
    if is_costly(pattern):
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Endless(pattern)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 20)
    try:
        for text in ("a" * 40, "b" * 40, "ab" * 20):
            re.search(f"^(?:{pattern})$", text + "!\n!")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_large_pattern_is_judged_soon() -> None:
    words = "|".join(f"word{number}x" for number in range(100))
    assert not is_costly(f"^({words})(,({words}))*$")
    assert is_costly("(" * 60 + "a" + ")*" * 60)
