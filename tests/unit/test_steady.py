"""Text of others on its way to a terminal, to the log of a server, and to an error."""

from __future__ import annotations

import json
import logging

import pytest

from aiworkflow.cli.out import Out
from aiworkflow.cli.serverlog import JsonLines, TextLines
from aiworkflow.errors import UsageError
from aiworkflow.steady import columns, one_line, steady, steady_json

HOSTILE = "a\x1b]52;c;eA==\x07\x9b2J\r\u202eb\x7f\u2066"


def test_what_steers_a_terminal_becomes_blanks_and_lines_stay() -> None:
    assert steady("one\r\n\ttwo\né日") == "one\n\ttwo\né日"
    assert steady(HOSTILE) == "a ]52;c;eA==  2J  b  "
    assert steady("\x1b[1;31mred\x1b[0m \x1b[8mgone") == " [1;31mred [0m  [8mgone"
    assert (
        steady("\x1b[1;31mred\x1b[0m \x1b[8mgone", styled=True) == "\x1b[1;31mred\x1b[0m  [8mgone"
    )


def test_json_says_the_same_with_escapes() -> None:
    text = json.dumps({"a": HOSTILE, "é": "日"}, ensure_ascii=False, indent=2)
    found = steady_json(text)
    assert json.loads(found) == json.loads(text)
    assert not set(found) & set("\x1b\x07\x9b\x7f\u202e\u2066")
    assert "é" in found


def test_an_error_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Out().error(UsageError(f"no `{HOSTILE}`", hint=HOSTILE))
    assert capsys.readouterr().err == (
        "error: no `a ]52;c;eA==  2J  b  `\n  help: a ]52;c;eA==  2J  b  \n"
    )


@pytest.mark.parametrize("form", [TextLines(), JsonLines()])
def test_a_line_of_a_server_log_is_one_line_that_steers_nothing(form: logging.Formatter) -> None:
    record = logging.makeLogRecord({"msg": f"lost {HOSTILE}", "path": f"/hooks/\x1b[2J{HOSTILE}"})
    line = form.format(record)
    assert not set(line) & set("\x1b\x07\x9b\x7f\r\n\u202e\u2066")
    assert "\\u001b[2J" in line


def test_what_hides_or_cannot_be_written_becomes_blanks_and_emoji_stay_whole() -> None:
    assert steady("a\u200bb\ufeffc\u2028d\udcffe\U000e0041f") == "a b c d e f"
    assert (
        steady("👩\u200d💻 x\u00a0y 日本 می\u200cخواهم") == "👩\u200d💻 x\u00a0y 日本 می\u200cخواهم"
    )


def test_json_of_halves_and_of_tags_can_be_written_and_says_the_same() -> None:
    text = json.dumps({"a": "\udcff\U000e0041👩"}, ensure_ascii=False)
    found = steady_json(text)
    assert found.encode() == b'{"a": "\\udcff\\udb40\\udc41' + "👩".encode() + b'"}'
    assert json.loads(found) == json.loads(text)


def test_one_line_is_short_and_has_single_blanks() -> None:
    assert one_line(" a\r\n\tb \x1b c\n") == "a b c"
    assert one_line("abcdef", 4) == "abc…"


def test_columns_of_wide_and_joined_characters() -> None:
    assert [columns(text) for text in ("abc", "日本", "e\u0301", "é", "❤\ufe0f")] == [3, 4, 1, 1, 1]
