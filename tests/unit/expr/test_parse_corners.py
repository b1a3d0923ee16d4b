"""Braces that touch, tags of jinja2 that the format does not have, numbers that are too long."""

from __future__ import annotations

import pytest

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import (
    Expression,
    Template,
    evaluate,
    parse_expression,
    parse_template,
    parse_text,
)
from aiworkflow.expr import tree as t


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("{{ {'a': {'b': 1}}}}", {"a": {"b": 1}}),
        ("{{ {'}}': '{{'} }}", {"}}": "{{"}),
    ],
)
def test_an_object_in_an_object_keeps_its_type(text: str, expected: object) -> None:
    for parsed in (
        parse_text(Fragment.of(text), Report()),
        parse_expression(Fragment.of(text), Report()),
    ):
        assert isinstance(parsed, Expression)
        assert evaluate(parsed, {}) == expected


@pytest.mark.parametrize(
    "text", ["{{ a }} {{ {'b': {'c': 1}} }}", "{{ a }} it's {{ b }} it's {{ c }}", "{{ a }}{{ b }}"]
)
def test_several_expressions_are_a_text(text: str) -> None:
    assert isinstance(parse_text(Fragment.of(text), Report()), Template)


def finding(text: str) -> tuple[str, int, str]:
    report = Report()
    assert parse_template(Fragment.of(text), report, blocks=True) is None
    [found] = report
    return found.code, found.place.column, found.message


@pytest.mark.parametrize(
    "tag",
    [
        "autoescape true %}x{% endautoescape", "with a = 1 %}x{% endwith",
        "filter upper %}x{% endfilter",
        "block a %}x{% endblock", "macro a() %}x{% endmacro", "call a() %}x{% endcall", "set a = 1",
        "import 'a' as a", "from 'a' import b", "extends 'a'", "print 1", "print(1, 2)",
    ],
)  # fmt: skip
def test_tags_that_the_format_does_not_have_are_named(tag: str) -> None:
    word = tag.split(maxsplit=1)[0].partition("(")[0]
    assert finding("ab {% " + tag + " %}") == ("AW407", 4, f"there is no tag `{word}` here")


@pytest.mark.parametrize("more", ["ignore missing", "without context"])
def test_include_takes_nothing_but_a_path(more: str) -> None:
    assert finding("a {% include 'b' " + more + " %}") == (
        "AW409", 3, "`include` takes a path and nothing else",
    )  # fmt: skip


def test_the_word_print_is_no_tag() -> None:
    assert parse_template(Fragment.of("print {{ 1 }}print"), Report(), blocks=True) is not None


def test_a_number_that_is_too_long_is_shown() -> None:
    assert finding("ab {{ 1 + " + "9" * 5000 + " }}") == (
        "AW405",
        11,
        "a number has too many digits",
    )


def test_expressions_of_one_text_are_told_apart() -> None:
    def outputs() -> list[Expression]:
        template = parse_template(Fragment.of("{{ a }} {{ b }}"), Report(), blocks=True)
        assert template is not None
        return [part.expression for part in template.parts if isinstance(part, t.Output)]

    first, second = outputs()
    assert first != second
    assert [first, second] == outputs()


def test_equal_texts_have_equal_hashes() -> None:
    raw = parse_template(Fragment.of("{% raw %}a{% endraw %}"), Report(), blocks=True)
    assert raw == parse_template(Fragment.of("a"), Report(), blocks=True)
    assert hash(raw) == hash(parse_template(Fragment.of("a"), Report(), blocks=True))
