"""What recordings are found by, and how a miss explains itself."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.agents import AgentError, Called, Consumed, Task, ToolCall, ToolResult, ToolSpec
from aiworkflow.agents.answers import RecordedAnswer, RecordedError, answer_text, read_answer
from aiworkflow.agents.replay import ReplayAgent
from aiworkflow.errors import UsageError
from aiworkflow.steps.replay import Miss, Recording, Recordings, first_difference

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00\ufeff"), max_size=80)


@given(
    TEXTS, st.sampled_from(["", "a/m"]), st.sampled_from(["", "0123456789abcdef"]), st.booleans()
)
def test_an_answer_is_read_as_it_was_written(
    text: str, agent: str, prompt: str, failed: bool
) -> None:
    text = text.strip("\n")
    error = RecordedError("rate_limit", "slow", "wait", 3, True, 2.5) if failed else None
    answer = RecordedAnswer("" if failed else text, agent, prompt, Consumed(3, 1, 2, 0.5), error)
    assert read_answer(answer_text(answer), "it") == answer


@given(TEXTS)
def test_a_bare_answer_is_read_as_it_was_written(text: str) -> None:
    text = text.strip("\n")
    assert read_answer(answer_text(RecordedAnswer(text)), "it").text == text


def found(recordings: list[Recording], path: str, given_: object, turn: int = 0) -> object:
    one = Recordings(recordings).find(path, lambda it: it.given in (None, given_), turn)
    return one.output if one is not None else None


def test_a_recording_is_found_by_path_then_by_step_and_used_in_turn() -> None:
    known = [
        Recording("a[0]", 1, output="zero", given=0),
        Recording("a[1]", 1, output="one", given=1),
        Recording("a[1]", 2, output="one again", given=1),
        Recording("b", 1, output="any"),
    ]
    assert found(known, "a[1]", 1) == "one"
    assert found(known, "a[1]", 1, turn=1) == "one again"
    assert found(known, "a[1]", 1, turn=5) == "one again"
    assert found(known, "a[7]", 0) == "zero", "another item now, the same arguments"
    assert found(known, "a[0]", 5) is None
    assert found(known, "b", object()) == "any"
    assert found(known, "c", 1) is None


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ("abc", "abd", (1, "abc", "abd")),
        ("one\ntwo\nthree", "one\ntwo\nfour", (3, "one two three", "one two four")),
        ("abc", "abc and more", (1, "abc", "abc and more")),
        ("", "x", (1, "(nothing: it ends here)", "x")),
        (None, "x", (0, "", "")),
    ],
)
def test_the_first_difference_has_words_around_it(
    was: str | None, now: str, expected: tuple[int, str, str]
) -> None:
    assert first_difference(was, now) == expected


@given(TEXTS, TEXTS, TEXTS)
def test_a_difference_is_short_whatever_the_texts(a: str, b: str, c: str) -> None:
    for shown in first_difference(a + b * 50, a + c * 50)[1:]:
        assert len(shown) < 200


def test_a_miss_says_what_is_missing() -> None:
    assert Miss("a", "an output").lines() == ["a: there is no recording of an output"]
    assert Miss("a", "the prompt", "a.md").lines()[1].endswith("was not kept in prompts/a.md")


CALLS = "---\ncalls:\n  - {tool: notes.add, with: {text: milk}}\n  - {tool: notes.add, with: {text: eggs}}\n---\nnoted\n"


def test_recorded_calls_are_made_again_and_written_as_they_were_read() -> None:
    answer = read_answer(CALLS, "it")
    assert answer.calls == (("notes.add", {"text": "milk"}), ("notes.add", {"text": "eggs"}))
    assert read_answer(answer_text(answer), "it") == answer
    made: list[object] = []

    async def call(one: ToolCall) -> ToolResult:
        made.append(one.arguments)
        return ToolResult("ok")

    agent = ReplayAgent("m", lambda _: answer)
    task = Task("x", tools=(ToolSpec("notes.add", "", {}),), call=call)
    events: list[object] = []
    assert asyncio.run(agent.perform(task, events.append)).text == "noted"
    assert made == [{"text": "milk"}, {"text": "eggs"}]
    assert len([one for one in events if isinstance(one, Called)]) == 2
    with pytest.raises(AgentError, match="may not any more"):
        asyncio.run(agent.perform(Task("x"), events.append))


@pytest.mark.parametrize("calls", ["3", "[x]", "[{tool: 1}]", "[{tool: a, more: 1}]"])
def test_calls_that_are_none_are_said(calls: str) -> None:
    with pytest.raises(UsageError, match="calls"):
        read_answer(f"---\ncalls: {calls}\n---\n", "it")
