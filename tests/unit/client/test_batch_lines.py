"""Input lines of a batch: what is read, and what is said of lines that cannot be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.client.batch import run_of
from aiworkflow.client.batch_lines import check_lines, given_lines, read_lines

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=5), st.booleans())
def test_what_was_written_is_read(values: list[dict[str, object]], crlf: bool) -> None:
    end = "\r\n" if crlf else "\n"
    text = "".join(json.dumps(value, ensure_ascii=False) + end for value in values)
    found = read_lines(text.encode("utf-8", "surrogatepass") if values else b"")
    assert [one.number for one in found] == list(range(1, len(values) + 1))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character: such a line is refused
        return
    assert [one.inputs for one in found] == values


@given(st.binary(max_size=60))
def test_whatever_stands_there_a_line_has_inputs_or_a_problem(data: bytes) -> None:
    for one in read_lines(data):
        assert (one.inputs is None) == (one.problem is not None)
        if one.problem is not None:
            assert one.problem.line == one.number
            assert one.problem.column >= 1


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("{", 2, "it is not JSON"),
        ('{"a": 1} x', 10, "it is not JSON: extra data"),
        ('{"a": NaN}', 1, "NaN is not JSON"),
        ('{"a": 1e999}', 1, "the number 1e999 is too large"),
        ('{"a": 1, "a": 2}', 1, "the key `a` is there twice in one object"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", 1, "it is nested deeper than 100 levels"),
        ('{"a": "\\ud800"}', 1, "it holds half a surrogate pair"),
        ("  [1]", 3, "it is no object"),
        ("[" * 100_000, 1, "it is nested deeper than 100 levels"),
    ],
)
def test_a_mistake_is_said_with_its_place(text: str, column: int, message: str) -> None:
    (found,) = read_lines(b"\n" + text.encode())
    assert found.problem is not None
    assert (found.problem.line, found.problem.column) == (2, column)
    assert message in found.problem.message


def test_what_is_no_utf8_is_said_with_its_place() -> None:
    (found,) = read_lines('{"ä": "'.encode() + b'\xff"}')
    assert found.problem is not None
    assert (found.problem.column, found.problem.message) == (8, "it is not UTF-8 text")


def test_lines_say_what_they_say_whatever_the_order_of_keys() -> None:
    one, two, three = check_lines(
        given_lines([{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}]), "w", []
    )
    assert one.digest == two.digest != three.digest


def test_ids_sort_by_line_and_differ_by_batch_and_attempt() -> None:
    ids = [run_of("01m7y14xeh-6rca14hpkf", line, 1) for line in range(1, 2000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert run_of("01m7y14xeh-6rca14hpkf", 1, 2) != ids[0]
    assert run_of("01m7y14xeh-6rca14hpkg", 1, 1) != ids[0]
