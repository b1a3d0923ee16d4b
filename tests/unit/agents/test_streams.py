"""What servers send: whole is as good as in pieces, and nothing at all breaks more than the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.agents import AgentConfig, AgentError, Message, ToolSpec
from aiworkflow.agents.api import ApiAgent
from aiworkflow.agents.api.http import Connection, events, lines
from aiworkflow.agents.api.protocols import PROTOCOLS
from aiworkflow.agents.api.turn import Query

WORDS = (  # noqa: SIM905  words are read as words
    "type message content delta text partial_json index content_block tool_use id name input usage "
    "choices tool_calls function arguments finish_reason error response item output_index call_id "
    "message_start content_block_start content_block_delta message_delta message_stop stop_reason "
    "response.completed response.output_item.added response.output_text.delta function_call model "
    "done done_reason eval_count prompt_eval_count input_tokens output_tokens prompt_tokens "
    "completion_tokens prompt_tokens_details cached_tokens reasoning_content extra_content cost"
).split()
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(WORDS),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)
    ),
    max_leaves=12,
)
EVENTS = st.lists(st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=6), max_size=6)


async def chunks(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in zip(at, at[1:], strict=False)]


def collected(found: AsyncIterator[Any]) -> list[Any]:
    async def collect() -> list[Any]:
        return [one async for one in found]

    return asyncio.run(collect())


STREAM = "event: a\r\ndata: één\ndata: two\r\n\r\n: note\n\ndata: {}\n\nid: 1\ndata: last"


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_events_are_the_same_however_the_stream_is_cut(places: list[int]) -> None:
    found = collected(events(chunks(cut(STREAM.encode(), places)), "m"))
    assert found == [("a", "één\ntwo"), ("message", "{}"), ("message", "last")]


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=10))
def test_lines_are_the_same_however_the_stream_is_cut(data: bytes, places: list[int]) -> None:
    whole = collected(lines(chunks([data])))
    assert collected(lines(chunks(cut(data, places)))) == whole


def test_a_line_without_end_is_cut_off() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(300):
            yield b"x" * 65_536

    with pytest.raises(AgentError, match="longer than 16 MB") as raised:
        collected(lines(chunks(list(endless()))))
    assert raised.value.kind == "limit"


class Played:
    """A connection whose server sends what it is told."""

    sent = received = 1000

    def __init__(self, data: bytes) -> None:
        self._data = data

    @asynccontextmanager
    async def post(self, path: str, body: Any, timeout_s: float) -> AsyncIterator[Any]:
        assert json.dumps(body)
        yield chunks([self._data])


def ask(api: str, data: bytes) -> None:
    """One turn; anything but an answer or an AgentError fails the test."""
    agent = ApiAgent(AgentConfig("x", api, "http://x", "m", None, provider="deepseek"), "")
    query = Query((Message("user", "hi"),), tools=(ToolSpec("t", "", {}),), schema={})
    try:
        turn = asyncio.run(
            agent.ask(cast("Connection", Played(data)), query, 1.0, lambda event: None)
        )
    except AgentError as error:
        used = error.consumed
    else:
        used = turn.consumed
        assert isinstance(turn.text, str)
        assert isinstance(turn.model, str)
        assert all(isinstance(call.name, str) for call in turn.calls)
        assert len({call.id for call in turn.calls}) == len(turn.calls)
    assert 0 <= used.cached_tokens <= used.input_tokens < 100_000
    assert 0 <= used.output_tokens < 100_000


def stream(api: str, sent: list[dict[str, Any]]) -> bytes:
    form = "{}\n" if api == "ollama" else "data: {}\n\n"
    return "".join(form.format(json.dumps(one)) for one in sent).encode()


@pytest.mark.parametrize("api", sorted(PROTOCOLS))
@given(sent=EVENTS)
@settings(max_examples=60, deadline=None)
def test_no_event_breaks_more_than_the_answer(api: str, sent: list[dict[str, Any]]) -> None:
    ask(api, stream(api, sent))


@pytest.mark.parametrize("api", sorted(PROTOCOLS))
@given(data=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_no_bytes_break_more_than_the_answer(api: str, data: bytes) -> None:
    ask(api, data)


@pytest.mark.parametrize("api", sorted(PROTOCOLS))
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, '{"usage": NaN}'])
def test_no_depth_breaks_more_than_the_answer(api: str, text: str) -> None:
    ask(api, f"data: {text}\n\n{text}\n".encode())
