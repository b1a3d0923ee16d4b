"""The contract of an agent, as tests that every adapter passes.

An adapter joins by a class of a few lines in a test file of its own:

    class TestMine(AgentSuite):
        stage = MyStage()

A stage puts the adapter before something that answers for it, by a script of behaviours:

- a text, or an object (a dict): what it answers, turn by turn, the last again and again;
- `Calls((name, arguments), …)`: tools it calls, then goes on with the next of the script;
- `"hang"`: it begins to answer (`begun`) and says nothing more; `"flood"`: 100 MB; `"nonsense"`: not
  its protocol; `"cut"`: it goes away in the middle; `"auth"`, `"rate_limit"`, `"unavailable"`, `"gone"`
  (nobody there at all);
- `Claims(usage)` with one of `ABSURD`: answers `begun` with a usage report that cannot be true.

What an adapter cannot do by its nature stands in `lacks`, with the reason; those tests are skipped.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from aiworkflow.agents import (
    Ability,
    Agent,
    AgentError,
    AgentEvent,
    Answer,
    AskedAgain,
    Called,
    Message,
    Task,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    Used,
)
from aiworkflow.expr import Enum, Integer, ListOf, ObjectOf, Property, Text

KEY = "sk-planted-secret-key"
VERDICT = ObjectOf({"score": Property(Integer()), "verdict": Property(Enum(("good", "bad")))})
GOOD = {"score": 7, "verdict": "good"}


@dataclass(frozen=True)
class Calls:
    """Tools that are called in one turn, by our names; arguments as a text come as they stand."""

    calls: tuple[tuple[str, Any], ...]

    def __init__(self, *calls: tuple[str, Any]) -> None:
        object.__setattr__(self, "calls", calls)


ABSURD: Mapping[str, Any] = {
    "negative": -5,
    "huge": 10**18,
    "text": "many",
    "fraction": 1.5,
    "truth": True,
    "no number": float("nan"),
    "without end": float("inf"),
    "a list": [5],
}


@dataclass(frozen=True)
class Claims:
    """An answer `begun` with a usage report that cannot be true."""

    usage: str

    @property
    def count(self) -> Any:
        """What stands where each count does."""
        return ABSURD[self.usage]


@dataclass
class Opened:
    """An adapter before its counterpart.

    Attributes:
        heard: all that the other side was sent, as text.
        gone: set once the other side sees that the agent has left; None where it cannot.
    """

    agent: Agent
    heard: Callable[[], str]
    gone: threading.Event | None = None


class Stage(Protocol):
    lacks: Mapping[str, str]
    """Of `streaming structured asking_again tools turns history auth rate_limit unavailable cut gone
    check_gone usage models flood nonsense hang`, what it cannot do, and why."""

    def open(self, folder: Path, *script: Any) -> AbstractContextManager[Opened]: ...


@dataclass
class Toolbox:
    """Tools that note what they are called with."""

    answer: Callable[[ToolCall], ToolResult] = lambda call: ToolResult(f"noted {call.name}")
    made: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def call(self, call: ToolCall) -> ToolResult:
        self.made.append((call.name, dict(call.arguments)))
        return self.answer(call)


def tool(name: str, **properties: Any) -> ToolSpec:
    return ToolSpec(
        name,
        f"Does {name}.",
        {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    )


NOTE = tool("notes.add", text={"type": "string"})
READ = tool("mcp:files/read", path={"type": "string"})


def perform(opened: Opened, **task: Any) -> tuple[Answer, list[AgentEvent]]:
    events: list[AgentEvent] = []
    task.setdefault("prompt", "Say hello.")
    task.setdefault("timeout_s", 60.0)
    return asyncio.run(opened.agent.perform(Task(**task), events.append)), events


def failing(opened: Opened, **task: Any) -> AgentError:
    with pytest.raises(AgentError) as raised:
        perform(opened, **task)
    text = f"{raised.value.message} {raised.value.hint}"
    assert KEY not in text
    assert raised.value.message
    return raised.value


def texts(events: list[AgentEvent]) -> str:
    return "".join(one.text for one in events if isinstance(one, TextDelta))


class AgentSuite:
    stage: Stage

    @pytest.fixture
    def stand(self, tmp_path: Path) -> Callable[..., AbstractContextManager[Opened]]:
        return lambda *script: self.stage.open(tmp_path, *script)

    def needs(self, *what: str) -> None:
        for one in what:
            if one in self.stage.lacks:
                pytest.skip(f"{one}: {self.stage.lacks[one]}")

    # -- answers --

    def test_answers_with_text(self, stand: Any) -> None:
        with stand("Hello, wörld! ✓") as opened:
            answer, events = perform(opened)
        assert answer.text.strip() == "Hello, wörld! ✓"
        assert answer.value is None
        assert answer.turns >= 1
        assert texts(events).strip() in {"", "Hello, wörld! ✓"}

    def test_text_is_heard_as_it_comes(self, stand: Any) -> None:
        self.needs("streaming")
        with stand("Hello, wörld! ✓") as opened:
            answer, events = perform(opened)
        assert texts(events) == answer.text

    def test_the_prompt_arrives_whole(self, stand: Any) -> None:
        prompt = "Überprüfe „das“:\n\n```\n{{ not ours }} $HOME `x` \\ \n```\n-- end"
        with stand("ok") as opened:
            perform(opened, prompt=prompt)
            heard = opened.heard()
        for line in prompt.splitlines():
            assert line.strip() in heard

    def test_has_a_name_and_says_what_it_can_do(self, stand: Any) -> None:
        with stand("ok") as opened:
            assert opened.agent.name
            assert opened.agent.abilities <= frozenset(Ability)

    def test_answers_with_an_object_that_fits(self, stand: Any) -> None:
        self.needs("structured")
        with stand(GOOD) as opened:
            answer, _ = perform(opened, schema=VERDICT)
        assert answer.value == GOOD

    def test_answers_with_a_list(self, stand: Any) -> None:
        self.needs("structured")
        with stand({"value": ["a", "b"]}) as opened:
            answer, _ = perform(opened, schema=ListOf(Text()))
        assert answer.value == ["a", "b"]

    def test_asks_again_when_an_answer_does_not_fit(self, stand: Any) -> None:
        self.needs("structured", "asking_again")
        with stand({"score": "high"}, GOOD) as opened:
            answer, events = perform(opened, schema=VERDICT)
            heard = opened.heard()
        assert answer.value == GOOD
        assert answer.turns == 2
        (again,) = (one for one in events if isinstance(one, AskedAgain))
        assert "`score`: must be a whole number" in again.reason
        assert "`verdict`: is missing" in heard

    def test_an_answer_that_never_fits_is_bad_output(self, stand: Any) -> None:
        self.needs("structured")
        with stand("no json at all") as opened:
            error = failing(opened, schema=VERDICT)
        assert error.kind == "bad_output"
        assert "does not fit" in error.message

    def test_an_empty_answer_is_bad_output(self, stand: Any) -> None:
        with stand("") as opened:
            assert failing(opened).kind == "bad_output"

    # -- usage --

    def test_usage_is_reported(self, stand: Any) -> None:
        self.needs("usage")
        with stand("hi") as opened:
            answer, events = perform(opened)
        used = [one for one in events if isinstance(one, Used)]
        assert used
        assert used[-1].consumed == answer.consumed
        assert answer.consumed.input_tokens >= answer.consumed.cached_tokens >= 0
        assert answer.consumed.output_tokens > 0

    @pytest.mark.parametrize("kind", ABSURD)
    def test_a_usage_that_cannot_be_true_fails_and_counts_what_can(
        self, stand: Any, kind: str
    ) -> None:
        self.needs("usage")
        with stand(Claims(kind)) as opened:
            error = failing(opened)
        assert error.kind == "bad_output"
        assert "reports a usage that cannot be: " in error.message
        used = error.consumed
        for count in (used.input_tokens, used.output_tokens):
            assert 1 <= count < 100_000, "neither for nothing, nor all there is"
            assert f"{count:,} " in error.message
        assert used.cached_tokens == used.written_tokens == 0
        assert used.cost_usd is None or 0 <= used.cost_usd < 1_000

    # -- tools --

    def test_a_tool_call_makes_its_round(self, stand: Any) -> None:
        self.needs("tools")
        box = Toolbox()
        with stand(Calls(("notes.add", {"text": "milk"})), "done") as opened:
            answer, events = perform(opened, tools=(NOTE, READ), call=box.call)
            heard = opened.heard()
        assert box.made == [("notes.add", {"text": "milk"})]
        assert answer.text.strip() == "done"
        assert "noted notes.add" in heard
        called = [one for one in events if isinstance(one, Called)]
        assert {one.call.name for one in called} == {"notes.add"}
        results = [one.result for one in called if one.result is not None]
        assert [one.text for one in results] == ["noted notes.add"]

    def test_events_come_in_the_order_of_what_happens(self, stand: Any) -> None:
        self.needs("tools", "streaming")
        with stand(Calls(("notes.add", {"text": "milk"})), "done") as opened:
            _, events = perform(opened, tools=(NOTE,), call=Toolbox().call)
        kinds = [type(one) for one in events if not isinstance(one, Used)]
        last_call = max(at for at, kind in enumerate(kinds) if kind is Called)
        first_text = min(at for at, kind in enumerate(kinds) if kind is TextDelta)
        assert last_call < first_text

    def test_calls_of_one_turn_run_at_once(self, stand: Any) -> None:
        self.needs("tools")
        meeting: list[asyncio.Barrier] = []

        async def call(one: ToolCall) -> ToolResult:
            if not meeting:
                meeting.append(asyncio.Barrier(2))
            await meeting[0].wait()  # neither gets further without the other
            return ToolResult(f"met {one.name}")

        script = Calls(("notes.add", {"text": "a"}), ("mcp:files/read", {"path": "b"}))
        with stand(script, "done") as opened:
            answer, _ = perform(opened, tools=(NOTE, READ), call=call, timeout_s=20.0)
            heard = opened.heard()
        assert answer.text.strip() == "done"
        assert "met notes.add" in heard
        assert "met mcp:files/read" in heard

    @pytest.mark.parametrize(
        ("calls", "says"),
        [
            (("rm", {}), "there is no tool `rm`"),
            (("notes.add", {"text": 5}), "must be text, not 5"),
            (("notes.add", {}), "'text' is a required property"),
        ],
    )
    def test_a_call_that_cannot_be_is_told_to_the_model(
        self, stand: Any, calls: tuple[str, Any], says: str
    ) -> None:
        self.needs("tools")
        box = Toolbox()
        with stand(Calls(calls), "sorry") as opened:
            answer, _ = perform(opened, tools=(NOTE,), call=box.call)
            heard = opened.heard()
        assert box.made == []
        assert answer.text.strip() == "sorry"
        assert says in heard

    def test_a_tool_that_fails_is_told_to_the_model(self, stand: Any) -> None:
        self.needs("tools")
        box = Toolbox(lambda _: ToolResult("the disk is full", is_error=True))
        with stand(Calls(("notes.add", {"text": "milk"})), "sorry") as opened:
            answer, _ = perform(opened, tools=(NOTE,), call=box.call)
            heard = opened.heard()
        assert answer.text.strip() == "sorry"
        assert "the disk is full" in heard

    def test_an_object_and_tools_go_together(self, stand: Any) -> None:
        self.needs("tools", "structured")
        box = Toolbox()
        with stand(Calls(("notes.add", {"text": "milk"})), GOOD) as opened:
            answer, _ = perform(opened, tools=(NOTE,), call=box.call, schema=VERDICT)
        assert box.made == [("notes.add", {"text": "milk"})]
        assert answer.value == GOOD

    def test_an_empty_answer_after_calls_is_asked_for_again(self, stand: Any) -> None:
        self.needs("tools", "turns", "asking_again")
        box = Toolbox()
        with stand(Calls(("notes.add", {"text": "milk"})), "", "noted it") as opened:
            answer, events = perform(opened, tools=(NOTE,), call=box.call)
        assert answer.text.strip() == "noted it"
        assert len(box.made) == 1
        assert [one.reason for one in events if isinstance(one, AskedAgain)] == ["it is empty"]

    def test_calls_without_end_are_bounded(self, stand: Any) -> None:
        self.needs("tools", "turns")
        box = Toolbox()
        with stand(Calls(*[("notes.add", {"text": "x"})] * 200), "done") as opened:
            answer, _ = perform(opened, tools=(NOTE,), call=box.call)
        assert answer.text.strip() == "done"
        assert len(box.made) <= 64

    def test_turns_are_bounded(self, stand: Any) -> None:
        self.needs("tools", "turns")
        box = Toolbox()
        with stand(Calls(("notes.add", {"text": "again"}))) as opened:
            error = failing(opened, tools=(NOTE,), call=box.call, max_turns=4)
        assert error.kind == "limit"
        assert "4 turns" in error.message
        assert 1 <= len(box.made) <= 4

    # -- conversations --

    def test_what_was_said_before_is_heard(self, stand: Any) -> None:
        self.needs("history")
        history = (Message("user", "My name is Ada."), Message("assistant", "Hello Ada."))
        with stand("You are Ada.") as opened:
            answer, _ = perform(opened, prompt="Who am I?", history=history)
            heard = opened.heard()
        assert heard.index("My name is Ada.") < heard.index("Hello Ada.")
        assert heard.index("Hello Ada.") < heard.index("Who am I?")
        assert [one.role for one in answer.messages] == ["user", "assistant"]
        assert answer.messages[-1].text.strip() == "You are Ada."

    def test_what_was_called_is_part_of_the_conversation(self, stand: Any) -> None:
        self.needs("history", "tools", "turns")
        with stand(Calls(("notes.add", {"text": "milk"})), "done") as opened:
            answer, _ = perform(opened, tools=(NOTE,), call=Toolbox().call)
        assert [one.role for one in answer.messages] == ["user", "assistant", "tool", "assistant"]
        (call,) = answer.messages[1].calls
        assert call.name == "notes.add"
        assert answer.messages[2].results[call.id].text == "noted notes.add"

    # -- failures --

    @pytest.mark.parametrize("kind", ["auth", "rate_limit", "unavailable"])
    def test_a_refusal_has_its_kind(self, stand: Any, kind: str) -> None:
        self.needs(kind)
        with stand(kind) as opened:
            error = failing(opened)
        assert error.kind == kind

    def test_nobody_there_is_unavailable(self, stand: Any) -> None:
        self.needs("gone")
        with stand("gone") as opened:
            assert failing(opened).kind in {"unavailable", "not_found"}

    def test_an_answer_that_breaks_off_is_none(self, stand: Any) -> None:
        self.needs("cut")
        with stand("cut") as opened:
            assert failing(opened).kind in {"cut_off", "bad_output", "unavailable"}

    def test_nonsense_is_bad_output(self, stand: Any) -> None:
        self.needs("nonsense")
        with stand("nonsense") as opened:
            assert failing(opened).kind == "bad_output"

    def test_a_flood_is_cut_off(self, stand: Any) -> None:
        self.needs("flood")
        with stand("flood") as opened:
            assert failing(opened).kind == "limit"

    def test_one_that_hangs_is_given_up(self, stand: Any) -> None:
        self.needs("hang")
        with stand("hang") as opened:
            error = failing(opened, timeout_s=1.0)
        assert error.kind == "timeout"

    def test_cancelling_leaves_at_once(self, stand: Any) -> None:
        self.needs("hang")

        async def leave(opened: Opened) -> float:
            begun = asyncio.Event()

            def emit(event: AgentEvent) -> None:
                if isinstance(event, TextDelta):
                    begun.set()

            async with asyncio.TaskGroup() as group:
                task = group.create_task(opened.agent.perform(Task("x", timeout_s=60.0), emit))
                async with asyncio.timeout(30):
                    await begun.wait()
                began = time.monotonic()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                return time.monotonic() - began

        with stand("hang") as opened:
            assert asyncio.run(leave(opened)) < 1
            if opened.gone is not None:
                assert opened.gone.wait(5), "the other side still holds the connection"

    # -- health --

    def test_a_look_finds_it_well(self, stand: Any) -> None:
        with stand("ok") as opened:
            standing = asyncio.run(opened.agent.check())
        assert standing.problem == ""
        assert standing.seconds >= 0

    def test_a_look_at_nobody_says_what_is_the_matter(self, stand: Any) -> None:
        self.needs("gone", "check_gone")
        with stand("gone") as opened:
            standing = asyncio.run(opened.agent.check())
        assert standing.problem
        assert KEY not in standing.problem

    def test_a_look_lists_models(self, stand: Any) -> None:
        self.needs("models")
        with stand("ok") as opened:
            assert "m1" in asyncio.run(opened.agent.check()).models
