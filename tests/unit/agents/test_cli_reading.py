"""Whatever a program writes, reading it ends in what it said, never in an error of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.agents import CLI_PROGRAMS, TextDelta
from aiworkflow.agents.cli.profile import fill, known_profile, read_profile
from aiworkflow.agents.cli.reading import Reading, look
from aiworkflow.agents.contract import Consumed

PROFILES = [read_profile(name, known_profile(name)) for name in CLI_PROGRAMS]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
TYPES = ["thread.started", "item.completed", "turn.completed", "error", "result", "assistant", "user",
         "text", "tool_use", "step_finish", "message", "assistant.message", "system", "span"]  # fmt: skip
FIELDS = ["usage", "message", "part", "data", "item", "stats", "result", "content", "session_id"]
ROWS = st.fixed_dictionaries({"type": st.sampled_from(TYPES)}, optional=dict.fromkeys(FIELDS, JSON))


def read(profile: Any, pieces: list[bytes]) -> tuple[Any, list[Any]]:
    events: list[Any] = []
    reading = Reading(profile, events.append)
    for piece in pieces:
        reading.take(piece)
    reading.close()
    for beside in profile.beside:
        reading.beside(beside, b"".join(pieces).decode("utf-8", "replace"))
    return reading.said(), events


@pytest.mark.parametrize("profile", PROFILES, ids=lambda one: one.name)
@settings(max_examples=25, deadline=None)
@given(pieces=st.lists(st.binary(max_size=80), max_size=8))
def test_any_bytes_at_all(profile: Any, pieces: list[bytes]) -> None:
    said, _ = read(profile, pieces)
    assert isinstance(said.text, str)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda one: one.name)
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(ROWS, max_size=6))
def test_any_rows_at_all(profile: Any, rows: list[Any]) -> None:
    said, _ = read(profile, [json.dumps(row).encode() + b"\n" for row in rows])
    used = said.consumed + said.whole
    assert 0 <= used.cached_tokens <= used.input_tokens
    assert used.output_tokens >= 0


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(1, 200), max_size=10))
def test_pieces_of_any_size_say_the_same(cuts: list[int]) -> None:
    profile = next(one for one in PROFILES if one.name == "gemini")
    rows = [
        {"type": "init", "session_id": "s"},
        {"type": "message", "role": "assistant", "content": "Grüß", "delta": True},
        {"type": "message", "role": "assistant", "content": " Gott ✓", "delta": True},
        {"type": "result", "stats": {"input_tokens": 10, "cached": 4, "output_tokens": 3}},
    ]
    data = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    pieces, at = [], 0
    for cut in sorted(cuts):
        pieces.append(data[at:cut])
        at = max(at, cut)
    said, events = read(profile, [*pieces, data[at:]])
    assert (said.text, said.session, said.consumed) == ("Grüß Gott ✓", "s", Consumed(10, 4, 3))
    assert "".join(one.text for one in events if isinstance(one, TextDelta)) == said.text


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", 1),
        ("a.c%d", 2),
        ("l.1", "y"),
        ("l.2", None),
        ("a.x.y", None),
        ("", None),
        ("s.0", None),
    ],
)
def test_fields_are_found_by_their_paths(path: str, found: Any) -> None:
    assert look({"a": {"b": 1, "c.d": 2}, "l": ["x", "y"], "s": "text"}, path) == found


def test_only_placeholders_are_filled_in() -> None:
    values = {"model": 'a"b', "url": ""}
    text = '{model} {model:json} {url}| {unknown} {"a": {}} {{model}}'
    assert fill(text, values) == 'a"b "a\\"b" | {unknown} {"a": {}} {a"b}'
    assert fill("{model}", {"model": "{url}", "url": "x"}) == "{url}"  # never a second time
