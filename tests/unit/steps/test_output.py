"""Standard output becomes the output that was declared, or a failure that says what is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.bundle.workflow import Output, OutputForm
from aiworkflow.expr import Anything, Integer, ListOf, ObjectOf, Property, Text
from aiworkflow.steps.contract import StepError
from aiworkflow.steps.output import parse_output, shape_output

AUTO = Output()
JSON = Output(OutputForm.JSON)
TEXT = Output(OutputForm.TEXT)
LINES = Output(OutputForm.LINES)
SCORE = Output(OutputForm.SCHEMA, ObjectOf({"score": Property(Integer())}))

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.parametrize(
    ("stdout", "output"),
    [
        (b'{"a": 1}\n', {"a": 1}),
        (b' \n[1, "x", null]\n\n', [1, "x", None]),
        (b"{}", {}),
        (b"42\n", "42"),
        (b'"text"\n', '"text"'),
        (b"true", "true"),
        (b"null", "null"),
        (b"", ""),
        (b"two\n\n", "two\n"),
        (b"windows\r\n", "windows"),
        (b"  kept  \n", "  kept  "),
        (b"[info] all is well [ok]\n", "[info] all is well [ok]"),
        (b'{"a": NaN}', '{"a": NaN}'),
        (b'{"a": 1, "a": 2}\n', '{"a": 1, "a": 2}'),
        (b'{"a": 1e999}', '{"a": 1e999}'),
        (b'["\\ud800"]', '["\\ud800"]'),
        (b"[" * 2000 + b"]" * 2000, "[" * 2000 + "]" * 2000),
    ],
)
def test_undeclared_output_is_json_where_it_is_an_object_or_a_list_else_text(stdout, output):
    assert parse_output(stdout, AUTO) == output


@given(values)
def test_json_comes_through_whole(value):
    stdout = json.dumps(value).encode()
    try:
        found = parse_output(stdout, JSON)
    except StepError as error:
        assert "surrogate" in error.message  # noqa: PT017
    else:
        assert found == value


@given(st.binary())
def test_any_bytes_give_an_output_or_a_step_error(stdout):
    for form in (AUTO, JSON, TEXT, LINES, SCORE):
        try:
            json.dumps(parse_output(stdout, form), allow_nan=False).encode()
        except StepError as error:
            assert error.kind == "output"  # noqa: PT017


@pytest.mark.parametrize(
    ("stdout", "message"),
    [
        (b"", "standard output is empty; declared is JSON"),
        (b" \n", "standard output is empty"),
        (b"note\n{}", "not JSON: expecting value at line 1, column 1, near `note`"),
        (b'{"a": 1,\n "b": }', "at line 2, column 7, near `}`"),
        (b'{"a": 1} trailing', "extra data at line 1, column 10"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"-Infinity", "-Infinity is not JSON"),
        (b"[1e999]", "the number 1e999 is too large"),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "the key `b` is there twice in one object"),
        (b'"\\udfff"', "half a surrogate pair"),
        (b"[" * 101 + b"]" * 101, "nested deeper than 100 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "nested deeper than 100 levels"),
        (b"1" * 5000, "thousands of digits"),
        (b"{'a': 1}", "property name"),
    ],
)
def test_declared_json_fails_with_what_is_wrong_and_where(stdout, message):
    with pytest.raises(StepError) as failed:
        parse_output(stdout, JSON)
    assert message in failed.value.message
    assert failed.value.kind == "output"
    assert not failed.value.in_doubt


def test_a_pair_of_surrogates_is_a_character():
    assert parse_output(rb'"\ud83d\ude00"', JSON) == "😀"


def test_a_byte_order_mark_is_no_part_of_json():
    assert parse_output(b"\xef\xbb\xbf[1]", JSON) == [1]


@pytest.mark.parametrize("form", [AUTO, JSON, TEXT, LINES])
def test_output_that_is_not_utf8_is_a_failure(form):
    with pytest.raises(StepError, match=r"not UTF-8: byte 0xff at offset 5 \(line 2\)"):
        parse_output(b"ab\ncd\xff", form)


@pytest.mark.parametrize(
    ("stdout", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb", ["a", "b"]),
        (b"a\n\n", ["a", ""]),
        ("a\u2028b\x0bc\n".encode(), ["a\u2028b\x0bc"]),
    ],
)
def test_lines(stdout, lines):
    assert parse_output(stdout, LINES) == lines


def test_declared_text_is_never_json():
    assert parse_output(b'{"a": 1}\n', TEXT) == '{"a": 1}'


def test_a_schema_is_checked_with_the_place():
    assert parse_output(b'{"score": 3}', SCORE) == {"score": 3}
    with pytest.raises(StepError, match="`score`: must be a whole number"):
        parse_output(b'{"score": "high"}', SCORE)
    with pytest.raises(StepError, match=r"declared is JSON that fits \{score: integer\}"):
        parse_output(b"score: 3", SCORE)
    many = Output(OutputForm.SCHEMA, ListOf(Integer()))
    with pytest.raises(StepError, match="and 3 more"):
        parse_output(b'["a", "a", "a", "a", "a", "a", "a", "a"]', many)


def test_a_schema_takes_json_only():
    assert parse_output(b'"x"', Output(OutputForm.SCHEMA, Text())) == "x"
    with pytest.raises(StepError, match="not JSON"):
        parse_output(b"x", Output(OutputForm.SCHEMA, Text()))
    assert parse_output(b"3", Output(OutputForm.SCHEMA, Anything())) == 3


def test_values_of_built_ins_take_the_declared_form_too():
    assert shape_output({"score": 3}, SCORE) == {"score": 3}
    assert shape_output({"a": 1}, AUTO) == {"a": 1}
    assert shape_output({"a": "ä"}, TEXT) == '{"a": "ä"}'
    assert shape_output("a\nb\n", LINES) == ["a", "b"]
    with pytest.raises(StepError, match="the result does not fit"):
        shape_output({"score": None}, SCORE)
    with pytest.raises(StepError, match="has no lines"):
        shape_output({}, LINES)
