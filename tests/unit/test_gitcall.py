"""What git says when it fails, in one line, and what it gets of the environment."""

from __future__ import annotations

import pytest

from aiworkflow.gitcall import gist, git_environ


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("", ""),
        ("fatal: not a git repository", "fatal: not a git repository"),
        ("Cloning into 'x'...\nfatal: no\n\nPlease make sure\nit exists.\n", "fatal: no"),
        ("hint: a\nerror: first\nfatal: second\n", "error: first"),
        (
            "error: these would be overwritten:\n\ta.txt\n\tb.txt\nPlease commit.\nAborting\n",
            "error: these would be overwritten: a.txt b.txt",
        ),
        ("usage: git x\nunknown option\n\n", "unknown option"),
        ("a fatal: in the middle\n", "a fatal: in the middle"),
        ("fatal: " + "x" * 400, "fatal: " + "x" * 293),
    ],
)
def test_it_is_said_what_was_wrong(said: str, found: str) -> None:
    assert gist(said) == found


def test_another_repository_cannot_be_pointed_at() -> None:
    given = {"PATH": "/bin", "GIT_DIR": "/x", "GIT_INDEX_FILE": "/y", "GIT_SSH_COMMAND": "ssh -4"}
    found = git_environ(given)
    assert {"GIT_DIR", "GIT_INDEX_FILE"}.isdisjoint(found)
    assert (found["PATH"], found["GIT_SSH_COMMAND"]) == ("/bin", "ssh -4")
