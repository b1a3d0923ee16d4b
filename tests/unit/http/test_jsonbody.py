"""Bodies: strict JSON, whatever is sent."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.http.jsonbody import check_body, read_json
from aiworkflow.http.problem import RequestRefused
from aiworkflow.http.schemas import TEXT, takes
from aiworkflow.jsontext import MOST_DEPTH

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_what_is_json_is_read_as_it_is(value: object) -> None:
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(
    st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
)
def test_anything_else_is_refused_and_nothing_breaks(content: bytes) -> None:
    try:
        found = read_json(content)
    except RequestRefused as refused:
        assert "the body is no JSON" in refused.message
        assert refused.hint
    else:
        json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"a": 1, "a": 2}', "the key `a` is there twice in one object"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e999]", "the number 1e999 is too large"),
        (b"[" * 101 + b"]" * 101, "nested deeper than 100"),
        (b"[" * 100_000, "nested deeper than 100"),
        (b'{"a":' * 100_000, "nested deeper than 100"),
        (b"\xff", "not UTF-8"),
        (b'"\\ud800"', "half a surrogate pair"),
        (b"1" * 5000, "thousands of digits"),
        (b"", "expecting value at line 1, column 1"),
        (b"{} {}", "extra data at line 1, column 4"),
    ],
)
def test_what_only_some_take_for_json(content: bytes, says: str) -> None:
    with pytest.raises(RequestRefused, match=says):
        read_json(content)


def test_brackets_in_texts_do_not_nest() -> None:
    text = "[{" * 500 + '\\"' + "["
    assert read_json(json.dumps([text]).encode()) == [text]
    deepest = b"[" * MOST_DEPTH + b"]" * MOST_DEPTH
    assert read_json(deepest) is not None


def test_numbers_stay_numbers() -> None:
    found = read_json(b"[1, 1.5, -0.0, 12345678901234567890]")
    assert found == [1, 1.5, -0.0, 12345678901234567890]
    assert isinstance(found, list)
    assert math.copysign(1, found[2]) == -1  # type: ignore[arg-type]


def test_all_mistakes_are_said_at_once() -> None:
    schema = takes("a b", a=TEXT, b=TEXT, c=takes(d=TEXT))
    with pytest.raises(RequestRefused) as refused:
        check_body(schema, {"a": 1, "c": {"d": 2}, "x": "y" * 1000})
    assert len(refused.value.problems) == 4
    assert any(one.startswith("`c.d`: ") for one in refused.value.problems)
    assert all(len(one) <= 200 for one in refused.value.problems)
