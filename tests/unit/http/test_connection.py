"""Connections to servers: addresses, tokens, and errors as they were there."""

from __future__ import annotations

import httpx2
import pytest

from aiworkflow.client.inputs import InputsInvalid
from aiworkflow.errors import AIWorkflowError, RefusedError, UnavailableError, UsageError
from aiworkflow.http.problem import problem_of, status_of
from aiworkflow.http.remote.connection import Connection, checked, error_of
from aiworkflow.journal import UnknownRun


@pytest.mark.parametrize(
    ("server", "token", "is_clear"),
    [
        ("https://example.org", "awf_x", False),
        ("http://example.org", "awf_x", True),
        ("http://192.0.2.1:8080", "awf_x", True),
        ("http://example.org", None, False),
        ("http://localhost:8080", "awf_x", False),
        ("http://127.0.0.1:8080", "awf_x", False),
        ("http://[::1]:8080", "awf_x", False),
        ("unix:/run/s", "awf_x", False),
    ],
)
def test_when_a_token_could_be_heard(server: str, token: str | None, is_clear: bool) -> None:
    connection = Connection(server, token)
    assert connection.is_in_the_clear is is_clear
    assert "awf_x" not in repr(connection)
    assert "awf_x" not in str(connection.unreachable(httpx2.ConnectError("no")))


@pytest.mark.parametrize(
    "server", ["", "example.org", "ftp://example.org", "http://", "https://user:pass@example.org"]
)
def test_what_is_no_address(server: str) -> None:
    with pytest.raises(UsageError, match="begins with http://") as refused:
        Connection(server)
    assert "pass@" not in refused.value.message


@pytest.mark.parametrize("token", ["a\nb", "", "é", "a\x00"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(UsageError, match="characters that no token has") as refused:
        Connection("https://example.org", token)
    assert not token or token not in refused.value.message


@pytest.mark.parametrize(
    "error",
    [
        UnknownRun("x"),
        UsageError("no", hint="do"),
        RefusedError("never"),
        UnavailableError("not now"),
        InputsInvalid("flow", ["`a` is required"], ()),
    ],
    ids=lambda error: error.code,
)
def test_errors_come_as_they_were(error: AIWorkflowError) -> None:
    status = status_of(error)
    found = error_of(problem_of(error, status), error.message)
    assert isinstance(found, type(error))
    assert (found.code, found.exit_code) == (error.code, error.exit_code)
    assert (found.message, found.hint) == (error.message, error.hint)
    assert getattr(found, "problems", ()) == getattr(error, "problems", ())


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"a": 1}', b"\xff"])
def test_what_answers_may_be_no_server_of_ours(content: bytes) -> None:
    with pytest.raises(UnavailableError, match="answers 502"):
        checked(httpx2.Response(502, content=content))
