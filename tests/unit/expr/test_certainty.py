"""What is said to be certain before the run is so: guards, bounded schemas, values that fit."""

from __future__ import annotations

import pytest

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import (
    Enum,
    JsonSchema,
    ListOf,
    Nullable,
    Number,
    Schema,
    Text,
    check,
    coerce,
    infer,
    is_bounded,
    parse_expression,
    references,
)


@pytest.mark.parametrize(
    ("test", "guarded"),
    [
        ("x.a < 3", True),
        ("x.a == 1", True),
        ("x.a in [1, 2]", True),
        ("x.a == y", False),  # both may be null
        ("x.a in y", False),
        ("x.a in [none]", False),
        ("x.a not in [1]", False),  # holds for null
        ("x.a | to_json", False),
        ("x.a | digest", False),
    ],
)
def test_a_test_guards_only_where_it_cannot_hold_for_null(test: str, guarded: bool) -> None:
    expression = parse_expression(Fragment.of(f"{test} and x.a.b"), Report())
    assert expression is not None
    assert references(expression)[-1].path == ("x", "a", "b")
    assert references(expression)[-1].guarded is guarded


@pytest.mark.parametrize(
    "pattern",
    ["^[a-z]{1,9}$", r"^\d+\.\d+$", "^(yes|no)$", r"^[\w.-]+$", r"^[+-]?\d+$", "^[A-Z]{2}-[0-9]+$"],
)
def test_a_pattern_of_letters_and_digits_is_a_bound(pattern: str) -> None:
    assert is_bounded(JsonSchema({"type": "string", "pattern": pattern}))


@pytest.mark.parametrize(
    "pattern",
    [r"^(\x20|\w)*$", r"^(\t|\w)*$", r"^(\u0020|\w)*$", r"^(\n|\w)*$", r"^[\x00-\uffff]*$", "^[!-~]*$",
     "^[A-z]*$", r"^[\w -]*$", r"^(\ |\w)*$"],
)  # fmt: skip
def test_a_pattern_that_lets_sentences_through_is_none(pattern: str) -> None:
    assert not is_bounded(JsonSchema({"type": "string", "pattern": pattern}))


@pytest.mark.parametrize("schema", [Enum(("high", "low")), Nullable(Enum(("high", "low")))])
def test_a_part_of_an_enumeration_is_text(schema: Schema) -> None:
    expression = parse_expression(Fragment.of("r[:2] == 'hi'"), Report())
    assert expression is not None
    report = Report()
    infer(expression, {"r": schema}, report)
    assert list(report) == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"$ref": "http://127.0.0.1:1/x"}, "`$ref: http://127.0.0.1:1/x` is not in the schema"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
            "it or the schema is nested too deep",
        ),
        ({"type": "string", "pattern": "("}, "the schema is no JSON Schema"),
        ({"type": "nonsense"}, "the schema is no JSON Schema"),
    ],
)
def test_what_cannot_be_checked_does_not_fit(document: dict[str, object], message: str) -> None:
    [problem] = check(JsonSchema(document), "a")  # type: ignore[arg-type]
    assert problem.message == f"cannot be checked: {message}"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True])
def test_what_json_has_no_number_for_is_no_number(value: float) -> None:
    assert [problem.message.split(",")[0] for problem in check(Number(), value)] == [
        "must be a number"
    ]
    assert check(Number(), 10**400) == []


def test_text_of_a_command_line_that_does_not_fit_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="must be one of a, b, not `c`"):
        coerce(Enum(("a", "b")), "c")
    with pytest.raises(ValueError, match=r"must be JSON for \[string\]: it is nested deeper"):
        coerce(ListOf(Text()), "[" * 100_000)
    with pytest.raises(ValueError, match=r"must be JSON for \[string\]: it is nested deeper"):
        coerce(ListOf(Text()), "[" * 101 + "]" * 101)
    with pytest.raises(ValueError, match="must be a number, not `1111"):
        coerce(Number(), "1" * 1_000_000 + "x")
