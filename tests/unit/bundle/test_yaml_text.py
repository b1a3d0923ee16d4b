"""What is written as YAML reads back as it was, by our own resolver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.bundle.datafile import read_map
from aiworkflow.bundle.yaml_text import yaml_text

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    [
        "",
        "on",
        "1:30",
        "012",
        "1e3",
        "0x1f",
        "- a",
        "a: b",
        "a #b",
        "{x}",
        "~",
        "null",
        "x\ny\n",
        " x\ny",
        "x \ny",
        "x\n\n",
        ".5",
        "2027-01-31",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(TEXTS.filter(len), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(st.dictionaries(TEXTS.filter(len), VALUES, max_size=6))
def test_what_is_written_reads_back(data: dict[str, object]) -> None:
    text = yaml_text(data)  # type: ignore[arg-type]
    assert read_map(text, "it") == data
    assert "\r" not in text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "{}\n"),
        ({"a": {"b": 1, "c": "x y"}}, "a: {b: 1, c: x y}\n"),
        ({"a": "one\ntwo\n"}, "a: |\n  one\n  two\n"),
        ({"a": "one\ntwo"}, "a: |-\n  one\n  two\n"),
        ({"a": [{"b": "x\ny"}]}, "a:\n  - b: |-\n      x\n      y\n"),
        ({"a": "yes"}, 'a: "yes"\n'),
    ],
)
def test_it_reads_well(data: dict[str, object], text: str) -> None:
    assert yaml_text(data) == text  # type: ignore[arg-type]
