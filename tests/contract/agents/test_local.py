"""Agents that need no server: `echo`, and functions given to `connect`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.agents import Ability, AgentError, Answer, Consumed, Roster, Task, TextDelta, Used
from aiworkflow.agents.config import AgentConfig
from aiworkflow.agents.contract import Surroundings
from aiworkflow.agents.echo import EchoAgent
from aiworkflow.agents.python import PythonAgent
from aiworkflow.errors import UsageError
from aiworkflow.expr import (
    Anything,
    Boolean,
    Enum,
    Integer,
    JsonSchema,
    ListOf,
    Nullable,
    Number,
    ObjectOf,
    Property,
    Schema,
    Text,
    check,
)
from tests.contract.agents.suite import ABSURD

SIMPLE = st.sampled_from(
    [Anything(), Text(), Integer(), Number(), Boolean(), Enum(("low", "high"))]
)
SCHEMAS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds(ListOf, inner),
        st.builds(Nullable, inner),
        st.dictionaries(
            st.sampled_from(["a", "b", "c"]), st.builds(Property, inner, st.booleans()), max_size=3
        ).map(ObjectOf),
    ),
    max_leaves=8,
)


def echo(**said: Any) -> EchoAgent:
    return EchoAgent(AgentConfig("echo", "", "", None, None, kind="echo", program=said))


def function(call: Any, **more: Any) -> PythonAgent:
    return PythonAgent(AgentConfig("mine", "", "", None, None, kind="python", **more), call)


def perform(agent: Any, **task: Any) -> tuple[Answer, list[Any]]:
    events: list[Any] = []
    task.setdefault("prompt", "Say hello.")
    return asyncio.run(agent.perform(Task(**task), events.append)), events


def failing(agent: Any, **task: Any) -> AgentError:
    with pytest.raises(AgentError) as raised:
        perform(agent, **task)
    return raised.value


def test_echo_answers_with_the_prompt() -> None:
    answer, events = perform(echo())
    assert answer.text == "Say hello."
    assert events == [TextDelta("Say hello.")]
    assert answer.consumed == Consumed(3, 0, 3)
    assert echo().abilities == frozenset(Ability)
    assert asyncio.run(echo().check()).problem == ""


@settings(deadline=None)
@given(SCHEMAS)
def test_echo_finds_the_smallest_value_that_fits(schema: Schema) -> None:
    answer, _ = perform(echo(), schema=schema)
    assert check(schema, answer.value) == []


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "maximum": -2}, -2),
        ({"type": "string", "minLength": 2}, "xx"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"type": "object", "properties": {"a": {"const": 7}}, "required": ["a"]}, {"a": 7}),
        ({"type": ["string", "null"]}, None),
        ({"oneOf": [{"enum": ["x"]}, {"type": "null"}]}, "x"),
    ],
)
def test_echo_reads_json_schema(document: Any, value: Any) -> None:
    assert perform(echo(), schema=JsonSchema(document))[0].value == value


def test_echo_answers_and_fails_as_it_is_set() -> None:
    assert perform(echo(text="short"))[0].text == "short"
    assert perform(echo(text='{"a": 1}'), schema=ObjectOf({"a": Property(Integer())}))[0].value == {
        "a": 1
    }
    wrong = failing(echo(text="no"), schema=Integer())
    assert (wrong.kind, "does not fit" in wrong.message) == ("bad_output", True)
    failed = failing(echo(fail="unavailable"))
    assert failed.kind == "unavailable"
    assert failed.message == "`echo` is set to fail: unavailable"
    assert asyncio.run(echo(fail="unavailable").check()).problem


def test_echo_takes_as_long_as_it_is_set_but_no_longer_than_the_step_may() -> None:
    assert failing(echo(seconds=60), timeout_s=0.01).kind == "timeout"


async def _says(task: Task, emit: Any) -> str:
    return f"you said: {task.prompt}"


def test_a_function_answers_with_a_text() -> None:
    answer, events = perform(function(_says))
    assert answer.text == "you said: Say hello."
    assert events == [TextDelta("you said: Say hello.")]


def test_a_function_answers_with_all_there_is_to_say() -> None:
    async def answer(task: Task, emit: Any) -> Answer:
        emit(TextDelta("7"))
        return Answer("7", "deep-thought", Consumed(1, 0, 2, 0.5), 7)

    found, events = perform(function(answer), schema=Integer())
    assert (found.value, found.model, found.consumed.cost_usd) == (7, "deep-thought", 0.5)
    assert events == [TextDelta("7")], "what it streamed itself is not told twice"


def test_a_function_is_asked_again_when_its_answer_does_not_fit() -> None:
    prompts = []

    async def answer(task: Task, emit: Any) -> str:
        prompts.append(task.prompt)
        return "41" if len(prompts) > 1 else '"x"'

    assert perform(function(answer), schema=Integer())[0].value == 41
    assert "Your answer does not fit the JSON schema:\n- must be a whole number" in prompts[1]

    async def never(task: Task, emit: Any) -> str:
        return "no json"

    error = failing(function(never), schema=Integer())
    assert error.kind == "bad_output"
    assert "does not fit after 3 tries: it is no JSON" in error.message


@pytest.mark.parametrize(
    ("text", "value"),
    [('Well:\n```json\n{"a": 1}\n```', {"a": 1}), ('So {"a": 2}.', {"a": 2})],
)
def test_what_a_function_says_is_read_like_what_programs_say(text: str, value: Any) -> None:
    async def answer(task: Task, emit: Any) -> str:
        return text

    schema = ObjectOf({"a": Property(Integer())})
    assert perform(function(answer), schema=schema)[0].value == value


def test_what_no_json_is_is_none_of_a_function_either() -> None:
    async def answer(task: Task, emit: Any) -> str:
        return "NaN"

    assert "NaN is not JSON" in failing(function(answer), schema=Anything()).message


@pytest.mark.parametrize("count", ABSURD.values(), ids=ABSURD)
def test_a_usage_of_a_function_that_cannot_be_fails_and_is_never_told(count: Any) -> None:
    said = Consumed(count, 0, count, count)
    told: list[Any] = []

    async def answer(task: Task, emit: Any) -> Answer:
        emit(Used(said))
        emit(Used(Consumed(3, 0, 2)))
        return Answer("fine", "m", said)

    with pytest.raises(AgentError) as failed:
        asyncio.run(function(answer).perform(Task("Say hello."), told.append))
    assert failed.value.kind == "bad_output"
    assert "`mine` reports a usage that cannot be: `input` is " in failed.value.message
    assert failed.value.consumed == Consumed(len("Say hello."), 0, len("fine"))
    assert [one.consumed for one in told if isinstance(one, Used)] == [Consumed(3, 0, 2)]


def test_what_a_function_does_wrong_fails_the_task() -> None:
    async def breaks(task: Task, emit: Any) -> str:
        raise ValueError("broken")

    async def number(task: Task, emit: Any) -> Any:
        return 7

    async def hangs(task: Task, emit: Any) -> str:
        await asyncio.Event().wait()
        return ""

    assert failing(function(breaks)).message == "`mine` has failed: ValueError: broken"

    def plain(task: Task, emit: Any) -> Any:
        return "done"

    assert failing(function(plain)).message == "`mine` cannot be awaited"
    assert failing(function(plain)).hint == "write it as `async def`"
    assert failing(function(number)).kind == "bad_output"
    assert failing(function(hangs), timeout_s=0.01).kind == "timeout"
    assert failing(function(hangs, timeout_s=0.01)).kind == "timeout"


def test_a_process_without_the_function_says_so(tmp_path: Any) -> None:
    config = AgentConfig("mine", "", "", None, None, kind="python")
    around = Surroundings({}, tmp_path, lambda _: None, None, print)  # type: ignore[arg-type, return-value]
    with pytest.raises(UsageError) as raised:
        Roster().open(config, "", around)
    assert "agent `mine` is a function of the program" in raised.value.message
    assert raised.value.hint == "go on from there: connect(agents={'mine': …})"
