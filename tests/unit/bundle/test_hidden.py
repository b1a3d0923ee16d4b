"""What is visible is what is effective: characters, markup and cells that readers do not see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.bundle.rules.hidden import blank_code, check_hidden, may_hide
from aiworkflow.bundle.rules.prose import check_tables
from aiworkflow.diagnostics import Fragment, Report


def found(text: str, *, code: bool = False) -> list[str]:
    report = Report()
    check_hidden(Fragment.of(text), report, code=code)
    return [f"{one.code} {one.place.line}:{one.place.column}" for one in report]


@pytest.mark.parametrize(
    "char",
    ["\u200b", "\u200e", "\u202e", "\u2066", "\u2060", "\ufeff", "\u00ad", "\u180e", "\u3164", "\u115f",
     "\U000e0041", "\U000e0100", "\u200c", "\u200d", "\ufe0f", "\ufe00", "\x00", "\x08", "\x1b", "\x7f",
     "\x85", "\u034f", "\u061c"],
)  # fmt: skip
def test_characters_that_show_nothing(char: str) -> None:
    assert found(f"ab{char}c") == ["AW801 1:3"]
    assert found(f"ab{char}c", code=True) == ["AW801 1:3"]


@pytest.mark.parametrize(
    "text",
    ["plain\n\ttext", "é ü ß 日本 עברית العربية", "❤️ ☀️ 1️⃣ #️⃣", "👩‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 ❤️‍🔥",
     "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "می‌خواهم",
     "क्‍ष", "a\u00a0b"],
)  # fmt: skip
def test_characters_that_emoji_and_scripts_need(text: str) -> None:
    assert found(text) == []


def test_a_joiner_between_latin_letters_is_hidden() -> None:
    assert found("pass\u200dword") == ["AW801 1:5"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>x</b>", ["AW802 1:1", "AW802 1:5"]),
        ("a <!-- b --> c", ["AW802 1:3"]),
        ("a <!-- b", ["AW802 1:3"]),
        ("<?php ?>", ["AW802 1:1"]),
        ("<![CDATA[x]]>", ["AW802 1:1"]),
        ("<div\nhidden>", ["AW802 1:1"]),
        ("x<br>y<br/><kbd>a</kbd> H<sub>2</sub>O<SUP>x</SUP>", []),
        ("`<b>` ``a ` <i>`` <https://a.example> <a@b.example>", []),
        ("```html\n<b>\n```\n\n~~~\n<i>\n~~~", []),
        ("`` <b> `", ["AW802 1:4"]),
        ("a < b and c > d, x <- y, <3", []),
    ],
)
def test_html(text: str, expected: list[str]) -> None:
    assert found(text) == expected
    assert found(text, code=True) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\n[x]: https://a.example", ["AW804 3:1"]),
        ("see [x]\n\n[x]: https://a.example", []),
        ("see [text][X  y]\n\n[x Y]: https://a.example", []),
        ("[x]: a\n[x]: b\n", ["AW804 1:1", "AW804 2:1"]),
        ("a[^1]\n\n[^1]: b\n[^2]: c", ["AW804 4:1"]),
        ("[x]:\n  https://a.example", ["AW804 1:1"]),
        ("```\n[x]: a\n```", []),
        ("- [x] done: yes", []),
    ],
)
def test_definitions_that_nobody_refers_to(text: str, expected: list[str]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("| a | b |\n|---|---|\n| 1 | 2 | 3 |", [(3, 10)]),
        ("a | b\n-|-\n1 | 2 | 3", [(3, 8)]),
        ("| a |\n| - |\n| x \\| y |", []),
        ("| a | b |\n|---|\n| 1 | 2 | 3 |", []),
        ("| a |\n|---|\n| 1 |\n\n1 | 2 | 3", []),
        ("1 | 2 | 3", []),
        ("```\n| a |\n|---|\n| 1 | 2 |\n```", []),
    ],
)
def test_cells_beyond_the_columns(text: str, expected: list[tuple[int, int]]) -> None:
    report = Report()
    check_tables(Fragment.of(text), report)
    assert [(one.place.line, one.place.column) for one in report] == expected


@given(st.text())
def test_blanking_keeps_every_offset(text: str) -> None:
    blank = blank_code(text)
    assert len(blank) == len(text)
    assert [at for at, char in enumerate(blank) if char == "\n"] == [
        at for at, char in enumerate(text) if char == "\n"
    ]


@given(st.text())
def test_no_text_crashes_the_checks_and_places_are_within_it(text: str) -> None:
    report = Report()
    check_hidden(Fragment.of(text), report)
    check_tables(Fragment.of(text), report)
    for one in report:
        assert 0 <= one.place.span.start <= one.place.span.end <= len(text)


@given(st.text())
def test_the_quick_look_misses_nothing(text: str) -> None:
    if not may_hide(text):
        assert found(text, code=True) == []
