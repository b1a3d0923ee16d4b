"""Evaluating: what each operator gives, what fails and where, and what is too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import EvaluationError, Limits, evaluate, parse_expression

NAMES = {
    "inputs": {"n": 3, "text": "héllo", "list": [1, 2, 3], "nothing": None, "yes": True,
               "items": 5, "keys": "k"},
    "state": {},
}  # fmt: skip


def value(text: str, limits: Limits = Limits()) -> object:  # noqa: B008  frozen
    report = Report()
    expression = parse_expression(Fragment.of(text), report)
    assert expression is not None, [found.message for found in report]
    return evaluate(expression, NAMES, limits)


def failure(text: str, limits: Limits = Limits()) -> EvaluationError:  # noqa: B008  frozen
    with pytest.raises(EvaluationError) as caught:
        value(text, limits)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("7 // 2", 3),
        ("7 % 4", 3),
        ("7 / 2", 3.5),
        ("2 ** 10", 1024),
        ("2 ** -1", 0.5),
        ("-inputs.n", -3),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("'ab' * 2", "abab"),
        ("1 ~ 'a' ~ [1] ~ true", "1a[1]true"),
        ("inputs.text", "héllo"),
        ('inputs["text"]', "héllo"),
        ("inputs.items", 5),
        ("inputs.keys", "k"),
        ("inputs.list[0]", 1),
        ("inputs.list[-1]", 3),
        ("inputs.list[1:]", [2, 3]),
        ("inputs.text[::-1]", "olléh"),
        ("1 < 2 < 3", True),
        ("1 < 3 < 2", False),
        ("'a' < 'b'", True),
        ("1 == 1.0", True),
        ("1 == true", False),
        ("1 == '1'", False),
        ("[1] == [true]", False),
        ("{'a': [1]} == {'a': [1.0]}", True),
        ("1 in [true]", False),
        ("[1] in [[1]]", True),
        ("[] in {}", False),
        ("none == none", True),
        ("inputs.nothing == none", True),
        ("2 in inputs.list", True),
        ("'n' in inputs", True),
        ("'eh' in inputs.text", False),
        ("4 not in inputs.list", True),
        ("not inputs.list", False),
        ("inputs.yes and inputs.n", 3),
        ("inputs.nothing or 'x'", "x"),
        ("'a' if inputs.yes else 'b'", "a"),
        ("'a' if false", None),
        ("inputs.missing is defined", False),
        ("inputs.missing.deeper is undefined", True),
        ("inputs.nothing.deeper is defined", False),
        ("nowhere is undefined", True),
        ("inputs.missing | default('d')", "d"),
        ("inputs.nothing | default('d')", "d"),
        ("{'a': 1, 'b': [2]}", {"a": 1, "b": [2]}),
        ("(1, 2)", [1, 2]),
        ("inputs.yes or nowhere", True),
        ("false and nowhere", False),
    ],
)
def test_values(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "kind", "message", "columns"),
    [
        ("nowhere", "undefined", "`nowhere` is not defined here", (1, 8)),
        ("inputs.txt", "undefined", "there is no field `txt`", (1, 11)),
        ("inputs.nothing.a", "null", "`a` is read from null", (1, 17)),
        ("inputs.n.a", "undefined", "a number has no field `a`", (1, 11)),
        ("inputs.list[9]", "undefined", "there is no element 9 (the length is 3)", (1, 15)),
        (
            "1 + 'a'",
            "type",
            "`+` cannot take a number and text; put them together with `~`",
            (1, 8),
        ),
        ("1 + none", "null", "`+` cannot take a number and null", (1, 9)),
        ("1 < 'a'", "type", "`<` cannot compare a number with text", (1, 8)),
        ("none < 1", "null", "`<` cannot compare null with a number", (1, 9)),
        ("1 in 'a'", "type", "text can hold text only, not a number", (1, 9)),
        ("1 in 1", "type", "`in` takes a list, an object or text, not a number", (1, 7)),
        ("1 / 0", "value", "division by zero", (1, 6)),
        ("1 % 0", "value", "division by zero", (1, 6)),
        ("0 ** -1", "value", "this cannot be computed: ", (1, 8)),
        ("(-8) ** 0.5", "value", "the result is no number that JSON has", (2, 12)),
        ("1e308 * 10", "value", "the result is no number that JSON has", (1, 11)),
        ("-'a'", "type", "`-` takes a number, not text", (1, 5)),
        ("'a' ~ none", "null", "null cannot stand in a text", (1, 11)),
        ("inputs.n[1:]", "type", "a part can be taken of text and lists, not of a number", (1, 13)),
        ("inputs.list['a':]", "type", "the bounds of `[:]` are whole numbers", (1, 18)),
        ("inputs.list[::0]", "value", "the step of `[::]` cannot be 0", (1, 17)),
        ("{1: 2}", "type", "names of fields are text, not a number", (1, 7)),
        ("1 + (2 + nowhere)", "undefined", "`nowhere` is not defined here", (10, 17)),
    ],
)
def test_failures_say_what_and_where(
    text: str, kind: str, message: str, columns: tuple[int, int]
) -> None:
    found = failure(text)
    assert found.kind == kind
    assert found.message.startswith(message)
    place = found.place
    assert place is not None
    assert (place.column, place.end[1]) == columns  # type: ignore[attr-defined]


def test_a_close_name_is_suggested() -> None:
    assert failure("inputs.txt").hint == "did you mean `text`?"
    assert failure("input.n").hint == "did you mean `inputs`?"


@pytest.mark.parametrize(
    "text",
    ["'a' * 10**9", "10 ** (10 ** 7)", "[0] * 3 if false else 2 ** 5000", "range(10 ** 8) | length",
     "(range(1000000) | sort) + (range(1000000) | sort) + range(1000000)"],
)  # fmt: skip
def test_what_would_take_too_much_fails_at_once(text: str) -> None:
    assert failure(text).kind == "limit"


def test_operations_are_counted() -> None:
    assert value("range(100) | sum", Limits(operations=1000)) == 4950
    assert failure("range(2000) | sum", Limits(operations=1000)).kind == "limit"


def test_a_large_text_costs_little() -> None:
    report = Report()
    expression = parse_expression(Fragment.of("text | trim | upper"), report)
    assert expression is not None
    assert evaluate(expression, {"text": "a" * 5_000_000}) == "A" * 5_000_000


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(-1e6, 1e6)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
FORMS = [
    "{a} + {b}",
    "{a} == {b}",
    "{a} < {b}",
    "{a} in {b}",
    "{a} ~ {b}",
    "{a} ** {b}",
    "{a} % {b}",
    "{a}[{b}]",
    "{a} | default({b})",
    "{a} | join({b})",
    "{a} | round({b})",
    "{a} | int",
    "{a} | date",
    "{a} | sort",
    "{a} | sum",
    "{a} | markdown_table",
    "{a} | to_json",
    "{a} | map({b})",
    "{a} | select({b})",
    "{a} | add_days({b})",
    "{a} is even",
    "{a} is in({b})",
    "range({a}, {b})",
]


@given(st.sampled_from(FORMS), JSON, JSON)
def test_any_values_give_a_value_or_a_failure_with_a_place(form: str, a: object, b: object) -> None:
    expression = parse_expression(Fragment.of(form.format(a="a", b="b")), Report())
    assert expression is not None
    failed = None
    try:
        evaluate(expression, {"a": a, "b": b})
    except EvaluationError as error:
        failed = error
    assert failed is None or (failed.place is not None and failed.message)
