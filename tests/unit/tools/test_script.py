"""How a tool is called: its words, and its arguments checked before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.bundle.workflow import Field
from aiworkflow.expr import Anything, Boolean, Integer, ListOf, Nullable, Text
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.script import argument_words, checked_arguments, program_words

FIELDS = (
    Field("body", Text(), required=True),
    Field("number", Integer(), required=True),
    Field("labels", ListOf(Text()), required=False, default=[]),
    Field("draft", Boolean(), required=False, default=False),
    Field("note", Nullable(Text()), required=False, default="none"),
)


def test_words_are_the_operation_and_one_for_each_argument(tmp_path):
    arguments = {
        "body": "a 'b'\n$(c)",
        "number": 3,
        "list": ["ä", None],
        "map": {},
        "yes": True,
        "no": None,
        "x": "",
    }
    assert argument_words("comment", arguments, tmp_path) == (
        "comment", "--body=a 'b'\n$(c)", "--number=3", '--list=["ä", null]', "--map={}",
        "--yes=true", "--x=",
    )  # fmt: skip
    assert argument_words("", {}, tmp_path) == ()


def test_large_values_go_to_files(tmp_path):
    (word,) = argument_words("", {"body": "ü" * 40_000}, tmp_path)
    name, _, path = word.partition("=")
    assert name == "--body-file"
    assert Path(path).read_text() == "ü" * 40_000


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_-]*", fullmatch=True), st.text(max_size=50)))
def test_no_value_can_become_an_option_or_a_word_of_its_own(arguments):
    words = argument_words("op", arguments, Path("/nowhere"))
    assert words == ("op", *(f"--{key}={value}" for key, value in arguments.items()))


def test_declared_arguments_get_their_defaults():
    assert checked_arguments("t.o", {"body": "x", "number": 1}, FIELDS) == {
        "body": "x", "number": 1, "labels": [], "draft": False, "note": "none",
    }  # fmt: skip


def test_null_means_absent():
    found = checked_arguments(
        "t.o", {"body": "x", "number": 1, "draft": None, "note": None}, FIELDS
    )
    assert found["draft"] is False
    assert "note" not in found
    with pytest.raises(ToolError, match="`body` is required"):
        checked_arguments("t.o", {"body": None, "number": 1}, FIELDS)
    assert checked_arguments("t.o", {"a": None, "b": 1}, None) == {"b": 1}


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ToolError) as failed:
        checked_arguments("github.comment", {"bdy": "x", "number": "3", "labels": ["a", 1]}, FIELDS)
    assert failed.value.kind == "input"
    assert failed.value.message == (
        "`github.comment` was not started: `bdy` is not an argument; did you mean `body`?;"
        ' `body` is required: string; `number` must be a whole number, not "3";'
        " `labels[1]` must be text, not 1"
    )
    assert "body: string, number: integer, labels?: [string]" in str(failed.value.hint)


@pytest.mark.parametrize("key", ["", "-x", "a=b", "a b", "1a", "a\n", "--"])
def test_keys_that_could_be_taken_for_something_else(key):
    with pytest.raises(ToolError, match="no name of an argument"):
        checked_arguments("t", {key: "x"}, None)


def test_anything_goes_where_nothing_is_declared_but_nothing_where_nothing_is_taken():
    assert checked_arguments("t", {"größe": 1, "dry-run": True}, None) == {
        "größe": 1,
        "dry-run": True,
    }
    with pytest.raises(ToolError, match="`x` is not an argument") as failed:
        checked_arguments("t", {"x": 1}, ())
    assert failed.value.hint == "leave `with` out"
    assert checked_arguments("t", {"x": 1}, (Field("x", Anything(), required=True),)) == {"x": 1}


def known(language: str) -> tuple[str, ...]:
    return {"python": ("python3",), "bash": ("bash", "-e"), "javascript": ("node",)}[language]


@pytest.mark.parametrize(
    ("name", "first", "executable", "words"),
    [
        ("t.py", "#!/usr/bin/env other", False, ("python3",)),
        ("t.js", "", False, ("node",)),
        ("t.sh", "echo", False, ("bash", "-e")),
        ("t.sh", "#!/bin/sh", False, ("/bin/sh",)),
        ("t", "#!/usr/bin/env -S python3 -u", False, ("/usr/bin/env", "-S python3 -u")),
        ("t.rb", "#! /usr/bin/ruby \n", True, ("/usr/bin/ruby",)),
        ("t", "\x7fELF", True, ()),
    ],
)
def test_what_runs_a_tool(tmp_path, name, first, executable, words):
    path = tmp_path / name
    path.write_text(first)
    path.chmod(0o755 if executable else 0o644)
    assert program_words(path, "tool `t`", known) == (*words, str(path))


def test_a_tool_that_does_not_say_what_runs_it(tmp_path):
    (tmp_path / "t").write_text("hello")
    with pytest.raises(ToolError, match="does not say what runs it") as failed:
        program_words(tmp_path / "t", "tool `t`", known)
    assert failed.value.kind == "not_found"
    with pytest.raises(ToolError, match="cannot be read"):
        program_words(tmp_path / "gone", "tool `gone`", known)
