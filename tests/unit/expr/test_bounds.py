"""No expression takes more than its bounds, however small its parts look; no number leaves JSON."""

from __future__ import annotations

import json
import time

import pytest

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import (
    EvaluationError,
    Limits,
    evaluate,
    parse_expression,
    parse_template,
    render,
)


def value(text: str, **names: object) -> object:
    report = Report()
    expression = parse_expression(Fragment.of(text), report)
    assert expression is not None, [found.message for found in report]
    return evaluate(expression, names)


def failure(text: str, **names: object) -> EvaluationError:
    with pytest.raises(EvaluationError) as caught:
        value(text, **names)
    return caught.value


def rendering(text: str, limits: Limits, **names: object) -> str:
    report = Report()
    template = parse_template(Fragment.of(text), report, blocks=True)
    assert template is not None, [found.message for found in report]
    return render(template, names, limits=limits)


@pytest.mark.parametrize(
    "text",
    [
        "range(1000) | product([range(1000000)])",
        "range(1000) | product([range(1000000)]) | to_json",
        "range(1000) | product([range(1000000)]) | unique",
        "range(1000) | product(['a' * 10000000]) | to_json",
        "range(1000) | product(['a' * 10000000]) | join",
        "range(3000) | product(['a' * 1000000]) | markdown_list",
        "range(1000) | product(['a' * 10000000]) ~ ''",
    ],
)
def test_a_part_that_stands_in_many_places_counts_in_each(text: str) -> None:
    found = failure(text)
    assert found.kind == "limit"
    assert found.place is not None


@pytest.mark.parametrize(
    "body",
    [
        "{% if ('a' * 1000000) == 'b' %}{% endif %}",
        "{% if (l[1:])[0] == 1 %}{% endif %}",
        "{% if l == m %}{% endif %}",
        "{% if ['b'] in l %}{% endif %}",
        "{% if l + l %}{% endif %}",
        "{{ l | to_json | length }}",
        "{{ min(l, m) | length }}",
        "{% if a is in(l) %}{% endif %}",
    ],
)
def test_work_in_a_loop_is_counted_by_what_it_goes_through(body: str) -> None:
    names = {"l": ["a"] * 1000, "m": ["a"] * 1000, "a": "b"}
    text = "{% for x in range(100) %}" + body + "{% endfor %}"
    with pytest.raises(EvaluationError) as caught:
        rendering(text, Limits(operations=20_000), **names)
    assert caught.value.kind == "limit"


def test_no_name_is_suggested_for_what_has_a_default() -> None:
    wide = {f"field_number_{n}": n for n in range(5000)}
    text = "{% for x in range(5000) %}{{ o.nope | default('') }}{% endfor %}"
    started = time.process_time()
    assert rendering(text, Limits(), o=wide) == ""
    assert time.process_time() - started < 2  # with a search in each round it is half a minute


def test_rounding_to_the_left_takes_no_time() -> None:
    started = time.process_time()
    assert value("12345 | round(-1000000000)") == 0
    assert value("12345 | round(-2)") == 12300
    assert value("1.25 | round(1000000000)") == 1.25
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1e308, 1e308] | sum", "the sum is larger than a number can be"),
        ("'[1e999]' | from_json", "`from_json` cannot read it: the number 1e999 is too large"),
        (
            "('9' * 5000) | from_json",
            "`from_json` cannot read it: it holds a whole number of thousands of digits",
        ),
        (
            "('[' * 100000) | from_json",
            "`from_json` cannot read it: it is nested deeper than 100 levels",
        ),
        (
            "('[' * 101 ~ ']' * 101) | from_json",
            "`from_json` cannot read it: it is nested deeper than 100 levels",
        ),
        ("('1' * 1000000 ~ 'x') | float", "`float` cannot read '" + "1" * 60 + "'"),
        ("('1' * 1000000) | float", "`float` cannot read '" + "1" * 60 + "'"),
        ("2.0 ** 100000", "the result is larger than a number can be"),
        ("0 ** -1", "this cannot be computed: division by zero"),
        ("5 is divisibleby(0)", "division by zero"),
        ("range(1.5)", "`range` takes a whole number, not 1.5"),
        ("[1] | batch(1.5)", "`batch` takes a whole number, not 1.5"),
    ],
)
def test_what_is_no_number_of_json_is_an_error(text: str, message: str) -> None:
    found = failure(text)
    assert (found.kind, found.message) == ("value", message)


def test_whole_numbers_may_be_longer_than_a_float() -> None:
    assert value("x | sum", x=[10**400, 1]) == 10**400 + 1


def test_a_bar_in_the_name_of_a_column_does_not_split_it() -> None:
    assert value("x | markdown_table", x=[{"a|b": "c|d"}]) == "| a\\|b |\n|-|\n| c\\|d |"


def test_a_value_may_be_built_around_what_was_read_but_not_without_end() -> None:
    deep = json.loads("[" * 100 + "]" * 100)
    assert value("[x]", x=deep) == [deep]
    for _ in range(100):
        deep = [deep]
    found = failure("[x]", x=deep)
    assert (found.kind, found.message) == ("limit", "the value is nested deeper than 200 levels")
