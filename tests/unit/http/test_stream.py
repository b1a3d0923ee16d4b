"""Server-sent events, as they come: in any pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import httpx2
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.http.remote.stream import _pieces

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
