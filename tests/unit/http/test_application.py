"""What leaves the application of the API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiworkflow.http.application import _with_headers

PIECE = 65_536


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 7])
def test_a_large_answer_is_handed_over_as_fast_as_it_is_read(size: int) -> None:
    """Handed over at once it counted as answered, and TLS cut off whoever took a minute for it."""
    body = bytes(n % 251 for n in range(size))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(_with_headers(app)({"type": "http"}, None, send))  # type: ignore[arg-type]
    start, *pieces = sent
    assert start["status"] == 200
    assert b"".join(one["body"] for one in pieces) == body
    assert max(len(one["body"]) for one in pieces) <= PIECE
    assert [one.get("more_body", False) for one in pieces] == [True] * (len(pieces) - 1) + [False]
