"""Kinds of failure: those that there are, and words that will never match one."""

from __future__ import annotations

import ast

import pytest

from aiworkflow.bundle.failures import KINDS, NEVER
from aiworkflow.bundle.keys import Scope, read_settings
from aiworkflow.bundle.yamltree import compose
from aiworkflow.diagnostics import Report, Source
from tests.support import ROOT

FAIL = {"ToolError", "AgentError", "StepError", "Failure"}


def said(word: str) -> list[str]:
    """What is reported of a kind in `retry.on`: `code severity message | hint`."""
    text = f"retry: {{times: 1, on: [{word}]}}\n"
    report = Report()
    source = Source("f.yaml", text)
    read_settings(compose(source, 0, len(text), report), Scope.STEP, None, report, lambda _: None)
    return [f"{d.code} {d.severity} {d.message} | {d.hint}" for d in report.sorted()]


def test_all_that_fails_here_fails_as_a_kind_that_is_listed() -> None:
    used = {
        node.args[0].value
        for path in (ROOT / "aiworkflow").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in FAIL
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert {"timeout", "rate_limit", "exit"} <= used
    assert used | NEVER <= set(KINDS)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("time_out", "timeout"),
        ("ratelimit", "rate_limit"),
        ("timeouts", "timeout"),
        ("unavailible", "unavailable"),
        ("exit_75", "exit:75"),
        ("exit75", "exit:75"),
        ("code_075", "exit:75"),
    ],
)
def test_a_slip_is_warned_of(word: str, meant: str) -> None:
    text = f"`retry.on` names `{word}`, which nothing here fails as | did you mean `{meant}`?"
    assert said(word) == [f"AW533 warning {text}"]


@pytest.mark.parametrize("word", sorted(NEVER))
def test_what_is_never_tried_again_is_warned_of(word: str) -> None:
    (only,) = said(word)
    assert only.startswith(f"AW533 warning `retry.on` names `{word}`, and such a failure is never")


@pytest.mark.parametrize(
    "word", [*sorted(set(KINDS) - NEVER), "exit:1", "exit:255", "out_of_paper"]
)
def test_kinds_and_those_of_plugins_are_taken(word: str) -> None:
    assert said(word) == []


@pytest.mark.parametrize("word", ["exit:0", "exit:256", "exit:075", "Timeout", "exit:x"])
def test_what_no_failure_can_be_is_an_error(word: str) -> None:
    (only,) = said(word)
    assert only.startswith(
        "AW503 error `retry.on` takes a kind of failure such as `timeout`, or `ex"
    )
