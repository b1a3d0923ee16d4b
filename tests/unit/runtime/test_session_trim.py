"""What is left of a conversation that is too long."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.runtime.sessions import trimmed


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "text": text}


def says(text: str) -> dict[str, Any]:
    return {"role": "assistant", "text": text}


def called(id_: str, text: str) -> list[dict[str, Any]]:
    call = {"id": id_, "name": "board.read", "arguments": {}}
    return [
        {"role": "assistant", "calls": [call]},
        {"role": "tool", "results": {id_: {"text": text}}},
    ]


def test_what_fits_is_left_as_it_is() -> None:
    talk: list[Any] = [user("a"), says("b")]
    assert trimmed(talk, 1000) == talk


def test_the_oldest_exchange_goes_first_whole_but_for_the_first_prompt() -> None:
    talk: list[Any] = [user("what"), *called("1", "x" * 400), says("so"), user("more"), says("yes")]
    assert trimmed(talk, 60) == [
        user("what"),
        says("[what came next is left out]"),
        user("more"),
        says("yes"),
    ]


def test_of_the_last_exchange_the_oldest_calls_go_with_their_results() -> None:
    talk: list[Any] = [
        user("what"),
        *called("1", "x" * 400),
        *called("2", "fine"),
        says("so"),
    ]
    assert trimmed(talk, 80) == [user("what"), *called("2", "fine"), says("so")]


EXCHANGE = st.tuples(
    st.text(max_size=60), st.lists(st.text(max_size=80), max_size=4), st.text(max_size=60)
)


@settings(max_examples=150)
@given(st.lists(EXCHANGE, min_size=1, max_size=6), st.integers(1, 400))
def test_calls_keep_their_results_and_the_first_prompt_stays(
    exchanges: list[tuple[str, list[str], str]], tokens: int
) -> None:
    talk: list[Any] = []
    for at, (prompt, results, answer) in enumerate(exchanges):
        talk.append(user(prompt))
        for n, text in enumerate(results):
            talk += called(f"{at}.{n}", text)
        talk.append(says(answer))
    before = list(talk)
    left: list[Any] = trimmed(talk, tokens)
    assert talk == before
    assert left[0] == talk[0]
    for one, after in zip(left, [*left[1:], None], strict=True):
        if "calls" in one:
            assert after is not None
            assert [call["id"] for call in one["calls"]] == [*after["results"]]
        if one["role"] == "tool":
            assert one in talk
    answered = [one for one in left if one["role"] == "tool"]
    assert len(answered) == sum("calls" in one for one in left)
