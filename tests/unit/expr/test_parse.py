"""Parsing: every mistake is reported at its place, and no text whatever crashes the parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import Expression, Template, parse_expression, parse_template, parse_text
from aiworkflow.expr import tree as t
from aiworkflow.expr.references import children

WORDS = """
{{ }} {% %} {%- -%} {# #} if else elif endif for endfor in include raw endraw
set a b.c d inputs steps 1 2.5 1e999 'x' " ' ( ) [ ] { } , : | ~ + - * ** / // %
== != < > <= not and or is defined default none null && || ! ? ; . \\ é 日 $ `
"""
PIECES = st.lists(
    st.sampled_from([*WORDS.split(), "\n", "\x00"]),
    max_size=25,
).map(" ".join)
TEXTS = st.one_of(st.text(max_size=80), PIECES, PIECES.map(lambda text: text.replace(" ", "")))


def parsed(text: str, *, blocks: bool = True) -> tuple[Template | None, list[str]]:
    report = Report()
    found = parse_template(Fragment.of(text), report, blocks=blocks)
    return found, [f"{one.code} {one.place.column} {one.message}" for one in report]


def in_expression(text: str) -> list[str]:
    report = Report()
    assert parse_expression(Fragment.of(text), report) is None
    return [f"{one.code} {one.place.column} {one.message} | {one.hint}" for one in report]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "AW401 1 an expression is missing | write one, or leave the setting out"),
        ("  {{ }} ", "AW401 5 an expression is missing | write one, or leave the setting out"),
        ("a && b", "AW404 3 `&&` means nothing in an expression | write `and`"),
        ("a || b", "AW404 3 `||` means nothing in an expression | write `or`"),
        ("!a", "AW404 1 `!` means nothing in an expression | write `not`"),
        ("a ? b : c", "AW404 3 `?` means nothing in an expression | write `yes if test else no`"),
        ("a ?? b", "AW404 3 `??` means nothing in an expression | write `x | default(y)`"),
        ("a?.b", "AW404 2 `?.` means nothing in an expression | write `x.y | default(none)`"),
        ("a === b", "AW404 3 `===` means nothing in an expression | write `==`"),
        ("a !== b", "AW404 3 `!==` means nothing in an expression | write `!=`"),
        ("a == null", "AW404 6 `null` means nothing here | write `none`"),
        ("a == True", "AW404 6 `True` means nothing here | write `true`"),
        ("a b", "AW405 3 `b` cannot stand here | join the parts with an operator, or remove one"),
        ("a = b", "AW405 3 `=` cannot stand here | write `==` to compare"),
        ("{{ a }", "AW405 6 `}` cannot stand here | an expression ends with `}}`"),
        ("a +", "AW406 3 the expression ends before it is complete | write what is missing"),
        ("(a", "AW406 1 `(` is never closed | close it with `)`"),
        ("[1, (2]", "AW406 5 `(` is never closed | close it with `)`"),
        ("'abc", "AW406 1 the quote `'` is never closed | close it, or remove it"),
        ("a | uper", "AW420 5 there is no filter `uper` | did you mean `upper`?"),
        ("a | range", "AW420 5 there is no filter `range` | `range` is a function: `range(…)`"),
        ("a is definde", "AW421 6 there is no test `is definde` | did you mean `defined`?"),
        ("rnage(3)", "AW422 1 there is no function `rnage` | did you mean `range`?"),
        ("upper(a)", "AW422 1 there is no function `upper` | `upper` is a filter: `value | upper`"),
        ("a.upper()", ("AW423 3 values have no methods such as `upper()` | "
         "use the filter: `… | upper`")),
        ("a | replace('x')", ("AW424 5 filter `replace` needs the argument `new` | "
         "it is used like `'a-b' | replace('-', '+')`")),
        ("a | upper(1)", ("AW424 5 filter `upper` takes at most 0 arguments, not 1 | "
         "it is used like `'ab' | upper`")),
        ("a | sort(bye='x')", ("AW424 5 filter `sort` has no argument `bye` (arguments: by, reverse)"
         " | it is used like `[2, 1] | sort`")),
        ("f(*a)", "AW422 1 there is no function `f` | functions are range, min, max"),
        ("range(*a)", "AW405 6 `*` and `**` arguments are not possible | None"),
        ("1e999", "AW405 1 this is no number | None"),
        (
            r"'a\ud800'",
            "AW405 1 this text holds half a surrogate pair, which is no text"
            " | write the character itself",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_expressions(text: str, expected: str) -> None:
    assert in_expression(text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ a", "AW406 1 `{{` is never closed"),
        ("a {% if b", "AW406 3 `{%` is never closed"),
        ("{% if a %}b", "AW406 1 `{% if %}` is never closed"),
        ("{% if a %}{% for b in c %}{% endfor %}", "AW406 1 `{% if %}` is never closed"),
        ("{{ a + }}", "AW405 8 the expression ends at `}}` before it is complete"),
        ("{{ }}", "AW401 4 an expression is missing"),
        ("{% endif %}", "AW407 4 `endif` closes nothing here"),
        ("{% foo %}", "AW407 4 there is no tag `foo`"),
        ("{% set a = 1 %}", "AW407 1 there is no tag `set` here"),
        ("{% macro a() %}{% endmacro %}", "AW407 1 there is no tag `macro` here"),
        ("{% for a in b if c %}{% endfor %}", ("AW407 1 `for` takes a list, without `if` and "
         "`recursive`")),
        ("{% for a.b in c %}{% endfor %}", "AW405 9 `.` cannot stand here"),
        ("{% include a %}", ("AW409 1 `include` takes a path written out, so that what a prompt "
         "holds is known")),
        ("{% include 'a' %}", "AW411 1 `include` is not possible here"),
        ("x {{ a }} {{ b && c }}", "AW404 16 `&&` means nothing in an expression"),
    ],
)  # fmt: skip
def test_mistakes_in_texts(text: str, expected: str) -> None:
    assert parsed(text) == (None, [expected])


def test_tags_have_no_place_in_values() -> None:
    assert parsed("{% if a %}b{% endif %}", blocks=False)[1] == [
        "AW408 1 tags such as `{% if %}` may stand in prompts and messages only"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 41 + "1" + ")" * 41,
        "[" * 10_000,
        "-" * 10_000 + "1",
        "not " * 10_000 + "a",
        "a" + ".b" * 10_000,
        "a" + " | upper" * 10_000,
        "1" + " + 1" * 10_000,
        "a if b else " * 10_000 + "c",
    ],
)
def test_expressions_nested_too_deep_are_refused(text: str) -> None:
    [found] = in_expression(text)
    assert found.startswith("AW403 ")


def test_blocks_nested_too_deep_are_refused() -> None:
    text = "{% if a %}" * 10_000 + "{% endif %}" * 10_000
    assert parsed(text[:190_000])[1][0].startswith("AW403 ")


def test_what_a_person_would_write_is_not_too_deep() -> None:
    deep = "(" * 20 + "a" + ")" * 20
    assert parse_expression(Fragment.of(deep), Report()) is not None
    assert parse_expression(Fragment.of(" + ".join("a" * 50)), Report()) is not None


def test_brackets_in_prose_are_prose() -> None:
    text = ":( " * 500 + "[" * 200 + "{{ a }}"
    assert parsed(text)[1] == []


def test_a_text_of_many_outputs_is_parsed_in_no_time() -> None:
    assert parsed("{{a}} " * 2_000)[1] == []
    assert parsed("{{a}} " * 30_000)[1] == ["AW402 12003 a text holds at most 2,000 expressions"]


def test_too_long_a_text_is_refused() -> None:
    assert parsed("{{ a }}" + "x" * 200_000)[1][0].startswith("AW402 1 ")


def test_inside_raw_everything_stands_as_it_is() -> None:
    assert parsed("{% raw %}{{ a && b }} {% foo %}{% endraw %}")[1] == []
    assert parsed("{% raw %}x{% endraw %}{{ a && b }}")[1] == [
        "AW404 28 `&&` means nothing in an expression"
    ]


def test_includes_are_put_in_and_listed() -> None:
    files = {"a.md": "A {% include 'b.md' %}", "b.md": "B {{ x }}"}
    report = Report()
    found = parse_template(
        Fragment.of("{{ y }} {% include 'a.md' %}"), report, blocks=True,
        include=lambda path, _: Fragment.of(files[path], path),
    )  # fmt: skip
    assert found is not None
    assert found.included == ("a.md", "b.md")
    assert [part.index for part in found.parts if isinstance(part, t.Output)] == [0, 1]


def test_includes_in_a_circle_are_refused() -> None:
    report = Report()
    found = parse_template(
        Fragment.of("{% include 'a.md' %}"), report, blocks=True,
        include=lambda path, _: Fragment.of("{% include 'a.md' %}", path),
    )  # fmt: skip
    assert found is None
    assert [(one.code, one.message) for one in report] == [
        ("AW410", "`include` goes in a circle: a.md → a.md")
    ]


def test_files_that_include_each_other_many_times_end() -> None:
    report = Report()
    files = {f"{n}": f"{{% include '{n + 1}' %}}" * 10 for n in range(9)} | {"9": "x"}
    parse_template(
        Fragment.of("{% include '0' %}"), report, blocks=True,
        include=lambda path, _: Fragment.of(files[path], path),
    )  # fmt: skip
    assert [one.code for one in report] == ["AW411"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("plain", str), ("{{ a }}", Expression), (" {{ a }} ", Expression), ("{{ a }}b", Template),
     ("{{ a }}{{ b }}", Template), ("{{ '}}' }}", Expression)],
)  # fmt: skip
def test_one_whole_expression_keeps_its_type(text: str, kind: type) -> None:
    assert isinstance(parse_text(Fragment.of(text), Report()), kind)


def spans(tree: t.Tree) -> list[tuple[int, int]]:
    return [(tree.start, tree.end), *(span for child in children(tree) for span in spans(child))]


@given(TEXTS)
def test_no_text_crashes_the_parser_of_expressions(text: str) -> None:
    report = Report()
    found = parse_expression(Fragment.of(text), report)
    assert (found is None) == bool(report.diagnostics)
    if found is not None:
        for start, end in spans(found.tree):
            assert 0 <= start <= end <= len(found.text)


@given(TEXTS, st.booleans())
def test_no_text_crashes_the_parser_of_texts(text: str, blocks: bool) -> None:
    report = Report()
    found = parse_template(Fragment.of(text), report, blocks=blocks)
    assert (found is None) == bool(report.diagnostics)
    for one in report:
        assert 0 <= one.place.span.start <= one.place.span.end <= len(text)


@given(TEXTS)
def test_places_of_a_text_cut_from_a_file_are_within_it(text: str) -> None:
    whole = "x" * 7 + text + "y" * 3
    report = Report()
    parse_template(Fragment.of(whole).cut(7, 7 + len(text)), report, blocks=True)
    for one in report:
        assert 7 <= one.place.span.start <= one.place.span.end <= 7 + len(text)
