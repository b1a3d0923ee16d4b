"""Server-sent events, as they come: in any pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.errors import UnavailableError
from aiworkflow.http.remote.connection import Connection
from aiworkflow.http.remote.stream import Events, _pieces

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=20)


class Answer:
    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


def read(parts: list[bytes]) -> list[tuple[str, str, str]]:
    async def collect() -> list[tuple[str, str, str]]:
        return [one async for one in _pieces(cast("httpx2.Response", Answer(parts)))]

    return asyncio.run(collect())


@given(
    st.lists(st.tuples(st.integers(1, 10**6), TEXTS), max_size=5),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_events_are_the_same_in_any_pieces(events: list[tuple[int, str]], cuts: list[int]) -> None:
    whole = b"retry: 1000\n\n: alive\n\n" + b"".join(
        f"id: {seq}\ndata: {data}\n\n".encode() for seq, data in events
    )
    places = [0, *sorted(cuts), len(whole)]
    parts = [whole[a:b] for a, b in zip(places, places[1:], strict=False)]
    assert read(parts) == [("", str(seq), data) for seq, data in events]


def test_what_others_take_for_line_ends_is_text() -> None:
    assert read(["id: 1\ndata: a\u2028b\u0085c\n\n".encode()]) == [("", "1", "a\u2028b\u0085c")]


def test_an_event_that_was_cut_off_is_none() -> None:
    assert read([b"id: 1\ndata: a\n\nid: 2\ndata: b\n"]) == [("", "1", "a")]


def test_a_name_holds_for_one_event() -> None:
    text = b"event: end\ndata: {}\n\ndata: x\ndata: y\n\n"
    assert read([text]) == [("end", "", "{}"), ("", "", "x\ny")]


class Connections:
    """A server whose streams are what is given, one for each connection, and then the last again."""

    def __init__(self, *streams: list[str]) -> None:
        self.streams = [*streams]
        self.made = 0

    def asynchronous(self) -> httpx2.AsyncClient:
        async def answer(request: httpx2.Request) -> httpx2.Response:
            del request
            self.made += 1
            stream = self.streams.pop(0) if len(self.streams) > 1 else self.streams[0]

            async def coming() -> AsyncIterator[bytes]:
                for line in stream:
                    await asyncio.sleep(0.1)
                    yield line.encode()

            return httpx2.Response(200, content=coming())

        return httpx2.AsyncClient(base_url="http://x", transport=httpx2.MockTransport(answer))

    def unreachable(self, error: Exception) -> UnavailableError:
        return UnavailableError(f"{error}")


async def followed(server: Connections, patience_s: float) -> list[int]:
    events = Events(cast("Connection", server), "run", patience_s=patience_s)
    return [seq async for seq, _ in events]


def test_a_connection_that_is_lost_after_long_silence_is_made_again() -> None:
    """A step of an hour sends no event for an hour; then the server is begun anew."""
    first = "id: 1\ndata: {}\n\n"
    quiet = ["retry: 1000\n\n", first, *[": alive\n\n"] * 20]
    server = Connections(quiet, [first, "id: 2\ndata: {}\n\n", "event: end\ndata: {}\n\n"])
    assert asyncio.run(followed(server, 1.5)) == [1, 2]
    assert server.made == 2


def test_a_server_that_cuts_off_each_time_is_not_followed_for_ever() -> None:
    with pytest.raises(UnavailableError, match="it cuts off"):
        asyncio.run(followed(Connections(["retry: 1000\n\n"]), 0.5))
