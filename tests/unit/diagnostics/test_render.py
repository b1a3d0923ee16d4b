"""How findings are shown: to people, to programs, and never so that a file steers the terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.diagnostics import Diagnostic, Label, Severity, Source
from aiworkflow.diagnostics.catalogue import all_rules, rule
from aiworkflow.diagnostics.render import (
    escape,
    rule_page,
    summary,
    to_github,
    to_json,
    to_sarif,
    to_text,
)

LINE = "if: steps.reveiw.output.score < 8"
SOURCE = Source("b/workflow.md", "one\n" * 51 + LINE + "\n")


def diagnostic(
    source: Source, part: str, hint: str | None = None, *labels: Label, message: str = "wrong",
    severity: Severity = Severity.ERROR,
) -> Diagnostic:  # fmt: skip
    at = source.text.index(part)
    return Diagnostic("AW103", severity, message, source.place(at, at + len(part)), hint, labels)


def shown(*found: Diagnostic) -> str:
    return to_text(found, colour=False)


def test_a_finding_looks_like_a_good_compilers() -> None:
    found = diagnostic(
        SOURCE, "reveiw", "did you mean `review`?",
        message="`if` refers to a step that does not exist",
    )  # fmt: skip
    assert shown(found) == (
        "error[AW103]: `if` refers to a step that does not exist\n"
        "  --> b/workflow.md:52:11\n"
        "   |\n"
        "52 | if: steps.reveiw.output.score < 8\n"
        "   |           ^^^^^^ did you mean `review`?\n"
        "\n"
        "1 error\n"
    )


def test_a_long_hint_stands_below() -> None:
    text = shown(diagnostic(SOURCE, "reveiw", "word " * 20 + "\nsecond line"))
    assert "^^^^^^\n" in text
    assert "   = help: word word" in text
    assert "\n           second line\n" in text


def test_labels_stand_at_their_lines_and_in_their_files() -> None:
    other = Source("b/tools.yaml", "github: {}\n")
    text = shown(
        diagnostic(
            SOURCE, "reveiw", None,
            Label(SOURCE.place(0, 3), "the first"), Label(other.place(0, 6), "declared here"),
            Label(Source("b/tools/a.py", "").place(0), "its script"),
        )
    )  # fmt: skip
    assert text.splitlines()[2:] == [
        "   |",
        " 1 | one",
        "   | --- the first",
        "...",
        "52 | if: steps.reveiw.output.score < 8",
        "   |           ^^^^^^",
        "  ::: b/tools.yaml:1:1",
        "   |",
        " 1 | github: {}",
        "   | ------ declared here",
        "  ::: b/tools/a.py: its script",
        "",
        "1 error",
    ]


def test_a_file_without_text_is_named_only() -> None:
    found = Diagnostic(
        "AW006", Severity.ERROR, "too large", Source("b/data", "").place(0), "cut it"
    )
    assert shown(found) == "error[AW006]: too large\n --> b/data\n  = help: cut it\n\n1 error\n"


@pytest.mark.parametrize(
    ("line", "part", "expected"),
    [
        ("\tif: x", "x", ("    if: x", "        ^")),
        ("ab\tx", "x", ("ab  x", "    ^")),
        ("日本 x", "x", ("日本 x", "     ^")),
        ("日本 x", "本", ("日本 x", "  ^^")),
        ("e\u0301 x", "x", ("e\u0301 x", "  ^")),
        ("a\x1b[31mx", "x", ("a\\x1b[31mx", "         ^")),
        ("a\u202eb", "\u202e", ("a\\u202eb", " ^^^^^^")),
        ("a\U000e0041b", "b", ("a\\U000e0041b", "           ^")),
        ("❤\ufe0f x", "x", ("❤\ufe0f x", "  ^")),
        ("a\ufe0fb", "\ufe0f", ("a\\ufe0fb", " ^^^^^^")),
        ("a\u2028b", "b", ("a\\u2028b", "       ^")),
    ],
)
def test_columns_are_aligned_and_nothing_is_hidden(
    line: str, part: str, expected: tuple[str, str]
) -> None:
    lines = shown(diagnostic(Source("f", line), part)).splitlines()
    assert lines[3] == f"1 | {expected[0]}"
    assert lines[4] == f"  | {expected[1]}"


@pytest.mark.parametrize("before", [0, 50, 100, 500, 100_000])
@pytest.mark.parametrize("fill", ["a", "日", "\t", "\x1b"])
def test_a_long_line_is_clipped_around_the_caret(before: int, fill: str) -> None:
    source = Source("f", fill * before + "HERE" + fill * 100_000)
    lines = shown(diagnostic(source, "HERE")).splitlines()
    assert len(lines[3]) < 200
    assert lines[3].endswith("…")
    wide = sum(2 if char == "日" else 1 for char in lines[3][: lines[3].index("HERE")])
    assert lines[4].index("^^^^") == wide


def test_a_range_over_lines_is_marked_on_the_first() -> None:
    source = Source("f", "ab\ncd\n")
    found = Diagnostic("AW103", Severity.ERROR, "wrong", source.place(1, 5))
    assert shown(found).splitlines()[3:5] == ["1 | ab", "  |  ^"]


def test_a_place_at_the_end_of_a_file() -> None:
    source = Source("f", "ab")
    found = Diagnostic("AW103", Severity.ERROR, "wrong", source.place(2))
    assert shown(found).splitlines()[3:5] == ["1 | ab", "  |   ^"]


def test_findings_are_counted() -> None:
    found = [
        diagnostic(SOURCE, "if", severity=severity)
        for severity in (Severity.ERROR, Severity.ERROR, Severity.WARNING, Severity.HINT)
    ]
    assert summary(found) == "2 errors, 1 warning, 1 hint"
    assert summary([]) == "nothing found"
    assert to_text([], colour=True) == ""


def test_colour_changes_nothing_but_colour() -> None:
    import re

    found = diagnostic(SOURCE, "reveiw", "hint", Label(SOURCE.place(0, 3), "first"))
    coloured = to_text([found], colour=True)
    assert "\x1b[1;31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == shown(found)


@given(st.text(max_size=60), st.text(max_size=20), st.integers(0, 60), st.integers(0, 60))
def test_no_text_of_a_file_reaches_the_terminal_as_it_is(
    text: str, words: str, start: int, length: int
) -> None:
    source = Source(words, text)
    start = min(start, len(text))
    place = source.place(start, min(len(text), start + length))
    found = Diagnostic("AW103", Severity.ERROR, words, place, words, (Label(place, words),))
    for char in to_text([found], colour=False):
        assert char == "\n" or char.isprintable() or char in "\u00a0\u3000"


def test_escaping() -> None:
    assert escape("a\nb\r\t\x07\u200b\ud800é日") == "a\\nb\\r\\t\\x07\\u200b\\ud800é日"


def test_json_has_exactly_these_fields() -> None:
    [one] = to_json([diagnostic(SOURCE, "reveiw", "did you mean `review`?")])
    assert one == {
        "code": "AW103", "severity": "error", "message": "wrong", "file": "b/workflow.md",
        "line": 52, "column": 11, "end_line": 52, "end_column": 17,
        "hint": "did you mean `review`?",
    }  # fmt: skip
    json.dumps(one)


def test_sarif_counts_columns_as_editors_do_and_carries_the_pages() -> None:
    source = Source("b/my file.md", "😀😀 x\n")
    other = Source("/abs/ü.md", "")
    found = Diagnostic(
        "AW103", Severity.WARNING, "wrong", source.place(3, 4), "mend it",
        (Label(other.place(0), "see"),),
    )  # fmt: skip
    sarif = to_sarif([found], "1.2.3")
    json.dumps(sarif)
    run = sarif["runs"][0]  # type: ignore[index]
    assert run["columnKind"] == "utf16CodeUnits"
    [described] = run["tool"]["driver"]["rules"]
    assert described["id"] == "AW103"
    assert described["name"] == "UnknownStep"
    assert "## Mended" in described["help"]["markdown"]
    [result] = run["results"]
    assert result["level"] == "warning"
    assert result["message"]["text"] == "wrong\nmend it"
    where = result["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "b/my%20file.md"
    assert where["region"] == {"startLine": 1, "startColumn": 6, "endLine": 1, "endColumn": 7}
    [related] = result["relatedLocations"]
    assert related["physicalLocation"] == {"artifactLocation": {"uri": "file:///abs/%C3%BC.md"}}
    assert related["message"]["text"] == "see"


def test_a_code_without_a_page_is_still_valid_sarif() -> None:
    found = Diagnostic("XX999", Severity.HINT, "wrong", SOURCE.place(0, 1))
    run = to_sarif([found], "1")["runs"][0]  # type: ignore[index]
    assert run["tool"]["driver"]["rules"] == [{"id": "XX999"}]
    assert run["results"][0]["level"] == "note"


def test_annotations_of_github_cannot_be_forged() -> None:
    source = Source("a,b:c.md", "x\ny\n")
    found = Diagnostic(
        "AW103", Severity.HINT, "100%\n::error::gotcha\r", source.place(0, 1), "mend it"
    )
    assert to_github([found]) == (
        "::notice file=a%2Cb%3Ac.md,line=1,endLine=1,col=1,endColumn=2,title=AW103::"
        "100%25%0A::error::gotcha%0D%0Amend it\n"
    )
    over = Diagnostic("AW103", Severity.ERROR, "m", source.place(0, 3))
    assert to_github([over]) == "::error file=a%2Cb%3Ac.md,line=1,endLine=2,title=AW103::m\n"
    whole = Diagnostic("AW006", Severity.WARNING, "m", Source("f", "").place(0))
    assert to_github([whole]) == "::warning file=f,title=AW006::m\n"


@pytest.mark.parametrize("code", [found.code for found in all_rules()])
def test_every_rule_has_a_page_that_hides_nothing(code: str) -> None:
    found = rule(code)
    assert found is not None
    page = rule_page(found)
    assert page.startswith(f"# {code}: {found.title}\n\n`{found.name}`\n")
    assert all(char == "\n" or char.isprintable() for char in page)
    fences = [line for line in page.splitlines() if set(line) == {"`"}]
    assert len(fences) >= 2
