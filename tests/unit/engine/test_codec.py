"""Events as they are stored: round trips, old and new versions, and one golden journal a release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiworkflow.engine import UnknownEvent, decode, encode, type_name
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Failure, Inline, Spent, Stored
from aiworkflow.engine.said import Said

EVENTS = [
    ev.RunStarted(
        1.5,
        "r",
        "b",
        "p",
        "d",
        "f",
        Inline({}),
        Stored("sha256:0", 9),
        {"s": ("sum", None, 0, None)},
        {"type": "manual"},
        "me",
        "c0ffee",
        True,
        "n",
    ),
    ev.RunResumed(2.0, 2, "me", ("a", "b"), ("f",)),
    ev.CancelRequested(3.0, "me", "enough"),
    ev.Entered(4.0, "e", "e", "", "each", 2, Inline([1]), 1, "d", None, None, True),
    ev.Entered(4.0, "u#1", "u", "u", "group", round=1),
    ev.Skipped(5.0, "s", "s", "", "else", 2, 3),
    ev.Started(6.0, "e[0]", "e", "e", 1, 2, "write", "key", None, 0, "join"),
    ev.Released(6.5, "e[0]"),
    ev.Ended(
        7.0,
        "e[0]",
        1,
        2,
        "failed",
        None,
        Failure("exit", "no", 3, "e[0]", "try"),
        Spent(1, 2, 3, 0.5),
        "a/m",
        0.25,
        "sha256:1",
    ),
    ev.Ended(7.0, "e[0]", 1, 1, "succeeded", Inline("ünï ☃ \ud800")),
    ev.Broken(8.0, "x", "x", "", Failure("expression", "no")),
    ev.Resolved(9.0, "w", "done", "me", Inline(None), "seen"),
    ev.Assigned(10.0, "a", "a", "", {"s": 1}, given={"t": [1]}),
    ev.Stopping(11.0, "", "failed", Failure("x", "y")),
    ev.Closed(12.0, "g", "succeeded", Inline(1), None, {"t": 2}, ("p", "q")),
    ev.RunFinished(13.0, "succeeded", Inline({"o": 1})),
]
LATER = [  # with fields that came after the first release
    ev.RunResumed(2.0, 2, "me", undo=True, only=("a",), on="c0ffee"),
    ev.Replanned(
        2.5,
        "me",
        "p",
        "d",
        "f",
        Inline({}),
        Stored("sha256:0", 9),
        {"s": ("sum", None, 0, None)},
        "c0ffee",
        False,
        {"d": {"plan": "p"}},
        ("a",),
        ("", "g"),
        ("x",),
        {"b": "c"},
        ("s",),
        ("x",),
    ),
    ev.RunStarted(
        1.0,
        "r",
        "b",
        "p",
        "d",
        "f",
        Inline({}),
        Inline({}),
        {},
        {"type": "manual"},
        "me",
        lane="deploy",
    ),
    ev.Started(
        6.0, "s", "s", "", 1, 1, "read", "k", Inline({}), agent="b/m", agents=("a/m", "b/m")
    ),
    ev.Delayed(6.2, "s", 6.2, "agent"),
    ev.Started(
        7.0,
        "s/call[1]",
        "s",
        "s",
        1,
        1,
        "write",
        "k",
        Inline({}),
        role="call",
        tool="board.comment",
    ),
    Said(7.1, "s", 1, 1, Inline([{"role": "assistant", "text": "so"}])),
    Said(7.2, "s", 1, 1, Stored("sha256:aa", 9), whole=True, agent="a/m", held="id"),
]


@pytest.mark.parametrize("event", [*EVENTS, *LATER], ids=lambda event: type_name(event))
def test_an_event_comes_back_as_it_was(event: ev.Event) -> None:
    assert decode(encode(event)) == event


def test_what_is_not_set_is_not_stored() -> None:
    stored = json.loads(encode(ev.Ended(1.0, "p", 1, 1, "succeeded")))
    assert stored == {
        "t": "ended",
        "at": 1.0,
        "path": "p",
        "visit": 1,
        "attempt": 1,
        "status": "succeeded",
    }


@pytest.mark.parametrize(
    "payload", [b'{"t":"exploded","at":1}', b'{"t":"ended","v":2,"at":1}', b'{"t":"ended","at":1}']
)
def test_a_newer_event_is_shown_and_not_driven(payload: bytes) -> None:
    with pytest.raises(UnknownEvent) as raised:
        decode(payload)
    assert "which this version of aiworkflow does not know" in raised.value.message
    assert raised.value.hint == "update aiworkflow to go on with this run"
    assert raised.value.exit_code == 2


def test_the_journal_of_the_first_release_can_still_be_read() -> None:
    golden = Path(__file__).with_name("golden-0.1.jsonl")
    assert [decode(line) for line in golden.read_bytes().splitlines()] == EVENTS
