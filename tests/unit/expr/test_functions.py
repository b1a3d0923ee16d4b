"""Every row of the table of functions does what its example says."""

from __future__ import annotations

import pytest

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import EvaluationError, evaluate, parse_expression
from aiworkflow.expr.functions import FILTERS, FUNCTIONS, TESTS, Function


def value(text: str, **names: object) -> object:
    report = Report()
    expression = parse_expression(Fragment.of(text), report)
    assert expression is not None, [found.message for found in report]
    return evaluate(expression, names)


def failure(text: str, **names: object) -> str:
    with pytest.raises(EvaluationError) as caught:
        value(text, **names)
    return f"{caught.value.kind}: {caught.value.message}"


ROWS = [
    pytest.param(name, function, id=f"{kind}-{name}")
    for kind, table in (("filter", FILTERS), ("test", TESTS), ("function", FUNCTIONS))
    for name, function in table.items()
]


@pytest.mark.parametrize(("name", "function"), ROWS)
def test_the_example_gives_its_result(name: str, function: Function) -> None:
    found = value(function.example, inputs={})
    assert found == function.result
    assert type(found) is type(function.result)
    assert name in function.example


@pytest.mark.parametrize(("name", "function"), ROWS)
def test_the_result_is_of_the_type_the_table_says(name: str, function: Function) -> None:
    kinds = {
        "string": str, "integer": int, "number": (int, float), "boolean": bool, "list": list,
        "any": object,
    }  # fmt: skip
    assert isinstance(function.result, kinds[function.gives])
    assert function.doc.endswith("."), name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[{'a': 2}, {'a': 1}] | sort('a')", [{"a": 1}, {"a": 2}]),
        ("[1, 3, 2] | sort(reverse=true)", [3, 2, 1]),
        ("[none, 'b', 2, true] | sort", [None, True, 2, "b"]),
        ("[{'a': {'b': 1}}] | map('a.b')", [1]),
        ("[{'a': [5, 6]}] | map('a.1')", [6]),
        ("[{'a': 1}] | map('b')", [None]),
        ("[0, 1, '', 'x'] | select", [1, "x"]),
        ("[0, 1] | reject", [0]),
        ("[{'a': 1}, {'a': 1}] | unique('a')", [{"a": 1}]),
        ("[{'n': 'x'}, {'n': 'y'}] | join(', ', attribute='n')", "x, y"),
        ("'a b' | split", ["a", "b"]),
        ("2.345 | round(2)", 2.35),
        ("2.5 | round", 2),
        ("'x' | int(0)", 0),
        ("'x' | float(none)", None),
        ("'1e3' | float", 1000.0),
        ("[] | first", None),
        ("'' | last", None),
        ("{'b': 1, 'a': 2} | list", ["b", "a"]),
        ("{'a': 1} | contains('a')", True),
        ("[{'a': 'x|y'}, {'b': 1}] | markdown_table", "| a | b |\n|-|-|\n| x\\|y |  |\n|  | 1 |"),
        ("[{'a': 1, 'b': [2]}] | markdown_list", "- a: 1, b: [2]"),
        ("{'b': 1, 'a': [1]} | to_json", '{"b": 1, "a": [1]}'),
        ("0 | date", "1970-01-01T00:00:00+00:00"),
        ("range(1, 4)", [1, 2, 3]),
        ("range(4, 0, -2)", [4, 2]),
        ("max([1, 5, 2])", 5),
        ("'abc' | truncate(2, end='')", "ab"),
        ("'abc' | truncate(1)", "…"),
        ("[1, 1.0, true, '1', [2.0], [2]] | unique", [1, True, "1", [2.0]]),
        ("([{'a': 1}, {'a': 1.0}] | group_by('a'))[0].items | length", 2),
        ("'abc' | truncate(end='', length=2)", "ab"),
        ("'a\\n\\nb' | indent(2)", "  a\n\n  b"),
        ("nothing | default('x')", "x"),
        ("none | default('x')", "x"),
        ("(inputs.a.b.c) | default(1)", 1),
        ("false | default(1)", False),
    ],
)
def test_filters_and_functions(text: str, expected: object) -> None:
    assert value(text, inputs={}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'x' | int", "value: `int` cannot read 'x'"),
        ("'nan' | float", "value: `float` cannot read 'nan'"),
        ("'1e999' | float", "value: `float` cannot read '1e999'"),
        ("'1_0' | int", "value: `int` cannot read '1_0'"),
        ("none | upper", "null: `upper` takes text, not null"),
        ("1 | length", "type: `length` takes text, a list or an object, not a number"),
        ("'a' | join", "type: a list is needed here, not text"),
        ("[] | max", "value: an empty list has no greatest or least element"),
        ("[1] | batch(0)", "value: `batch` takes a size of at least 1"),
        ("'a' | split('')", "value: `split` needs something to split by"),
        ("'abc' | truncate(0)", "value: `truncate` takes a length of at least 1: that of its end"),
        (
            "'a' | truncate(-1, end='')",
            "value: `truncate` takes a length of at least 0: that of its end",
        ),
        ("'{' | from_json", "value: `from_json` cannot read it: "),
        ("'NaN' | from_json", "value: `from_json` cannot read it: NaN is not JSON"),
        (
            r"""'["\\ud800"]' | from_json""",
            "value: `from_json` cannot read it: it holds half a surrogate pair",
        ),
        (
            """'{"a":1,"a":2}' | from_json""",
            "value: `from_json` cannot read it: the key `a` is there",
        ),
        ("'soon' | date", "value: `date` takes a date as 2026-01-31T12:00:00Z, not `soon`"),
        ("1e300 | date", "value: `date` leads out of the calendar"),
        ("'2026-01-01' | add_days(1e12)", "value: `add_days` leads out of the calendar"),
        ("range(0, 1, 0)", "value: `range` cannot go on in steps of 0"),
        ("range()", "value: `range` takes one to three whole numbers"),
        ("[none] | join(',')", "null: null cannot stand in a text"),
    ],
)
def test_misuse_says_what_is_wrong(text: str, expected: str) -> None:
    assert failure(text).startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        "range(10 ** 9)",
        "range(2000) | product(range(2000))",
        "('a' * 5000000) | replace('a', 'aaa')",
        "('a,' * 2000000) | split(',')",
        "('a\n' * 2000000) | lines",
        "('a' * 2000000) | list",
        "('a\n' * 2000000) | indent(40)",
        "range(3000) | join('a' * 10000)",
        "[{'a': 1}] | markdown_table(range(1000001) | list)",
        "'a' * 10 ** 9",
        "10 ** (10 ** 7)",
        "[range(1000000), range(1000000)] | flatten",
        "('a' * 9000000) ~ ('a' * 9000000)",
    ],
)
def test_what_would_take_too_much_fails_at_once(text: str) -> None:
    assert failure(text).startswith("limit: ")
