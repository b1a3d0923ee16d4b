"""Texts with expressions: what is put in, what stays, and what can never get out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import EvaluationError, Limits, data_block, parse_template, render, resolve
from aiworkflow.expr.parse import parse_text


def rendered(text: str, names: dict[str, object] | None = None, **options: object) -> str:
    report = Report()
    template = parse_template(Fragment.of(text), report, blocks=True)
    assert template is not None, [found.message for found in report]
    return render(template, names or {}, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ s }} {{ n }} {{ t }} {{ l }} {{ o }}", 'é 1.5 true [1, "é"] {"a": null}'),
        ("{% if t %}a{% elif n %}b{% else %}c{% endif %}", "a"),
        ("{% for x in l %}{{loop.index}}{{ x }}{% if loop.first %},{% endif %}{% endfor %}", "11,2é"),
        ("{% for x in [] %}a{% else %}none{% endfor %}", "none"),
        ("{% for e in o | entries %}{{ e.key }}{% endfor %}", "a"),
        ("{% for a, b in [[1, 2]] %}{{ a }}{{ b }}{% endfor %}", "12"),
        ("{% raw %}{{ s }}{% endraw %}", "{{ s }}"),
        ("{# a comment is text #}", "{# a comment is text #}"),
        ("{{- s -}}  x", "éx"),
    ],
)  # fmt: skip
def test_what_is_put_in(text: str, expected: str) -> None:
    names = {"s": "é", "n": 1.5, "t": True, "l": [1, "é"], "o": {"a": None}}
    assert rendered(text, names) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n{% if t %}\nb\n{% endif %}\nc\n", "a\nb\nc\n"),
        ("a\n  {% if t %}  \n  b\n  {% endif %}\nc", "a\n  b\nc"),
        ("a {% if t %}b{% endif %}\nc", "a b\nc"),
        ("{% if t %}b\n{% endif %}\nc", "b\nc"),
        ("{% if t %}{% if t %}\nb\n{% endif %}{% endif %}", "b\n"),
        ("x\n{% raw %}\n{% if t %}\n{% endraw %}\ny", "x\n{% if t %}\ny"),
        ("{% for x in [1, 2] %}\n- {{ x }}\n{% endfor %}\nend", "- 1\n- 2\nend"),
    ],
)
def test_tags_alone_on_a_line_leave_no_line(text: str, expected: str) -> None:
    assert rendered(text, {"t": True}) == expected


def test_an_include_alone_on_a_line_keeps_its_line() -> None:
    template = parse_template(
        Fragment.of("a\n{% include 'x' %}\nb"), Report(), blocks=True,
        include=lambda path, _: Fragment.of("X", path),
    )  # fmt: skip
    assert template is not None
    assert render(template, {}) == "a\nX\nb"


def test_what_is_put_in_is_never_expanded_again() -> None:
    assert rendered("{{ a }}", {"a": "{{ b }}", "b": "no"}) == "{{ b }}"


def test_null_and_undefined_cannot_stand_in_a_text() -> None:
    for names in ({"a": None}, {}):
        with pytest.raises(EvaluationError) as caught:
            rendered("x {{ a }}", names)
        assert caught.value.place is not None
        assert caught.value.place.column == 6  # type: ignore[attr-defined]


def test_a_text_grows_no_further_than_its_limit() -> None:
    with pytest.raises(EvaluationError) as caught:
        rendered(
            "{% for a in range(1000) %}{{ 'x' * 100 }}{% endfor %}", limits=Limits(characters=5000)
        )
    assert caught.value.kind == "limit"


def test_loops_in_loops_end() -> None:
    text = "{% for a in r %}{% for b in r %}{% for c in r %}{{ a }}{% endfor %}{% endfor %}{% endfor %}"
    with pytest.raises(EvaluationError) as caught:
        rendered(text, {"r": list(range(10_000))}, limits=Limits(operations=20_000))
    assert caught.value.kind == "limit"


def test_values_from_outside_stand_between_delimiters_that_they_cannot_contain() -> None:
    text = rendered("Read: {{ a }} and {{ b }}", {"a": "x", "b": "y"}, fenced=frozenset({1}))
    assert text == f"Read: x and {data_block('y')}"
    assert data_block("y") == data_block("y")
    name = data_block("y").split("\n", 1)[0]
    assert name not in data_block(name).split("\n")[1:-1][1:]
    assert data_block(name) != data_block("y")


@given(st.text())
def test_no_text_closes_its_own_data_block(text: str) -> None:
    block = data_block(text)
    first, last = block.split("\n")[0], block.split("\n")[-1]
    assert last == first.replace("<", "</")
    assert last not in text
    assert block == f"{first}\n{text}\n{last}"


@given(st.text().filter(lambda text: "{{" not in text and "{%" not in text))
def test_text_without_braces_stays_as_it_is(text: str) -> None:
    assert rendered(text) == text


@given(st.text().filter(lambda text: "{" not in text and "\x00" not in text and "\r" not in text))
def test_text_around_an_expression_stays_as_it_is(text: str) -> None:
    assert rendered(text + "{{ a }}" + text, {"a": "A"}) == text + "A" + text


def test_nested_values_are_resolved_and_keep_their_types() -> None:
    def parsed(text: str) -> object:
        return parse_text(Fragment.of(text), Report())

    value = {"a": parsed("{{ n }}"), "b": [parsed("x{{ n }}"), parsed("plain")], "c": None}
    assert resolve(value, {"n": 1}) == {"a": 1, "b": ["x1", "plain"], "c": None}  # type: ignore[arg-type]
