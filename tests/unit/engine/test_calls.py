"""Calls of an agent: facts in the state; their doubts hold the step, and their undos are its own."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.bundle.workflow import AgentCall, Effect, Kind, OnError
from aiworkflow.bundle.workflow import ToolCall as Operated
from aiworkflow.diagnostics import Fragment
from aiworkflow.engine import Answer, Asked, Failure, Inline, Offer, Question, RunState, decode
from aiworkflow.engine import events as ev
from aiworkflow.engine.said import Said
from aiworkflow.expr import Template
from tests.unit.engine.simulate import Simulation, plan, step

PROMPT = Template(Fragment.of("", "plan"), ())


def operation(name: str, effect: Effect, **more: Any) -> Any:
    return step("ask", kind=Kind.TOOL, action=Operated("board", name), effect=effect, **more)


LOOK = operation("look", Effect.READ)
HANDED = {
    "board.read": operation("read", Effect.READ),
    "board.write": operation("write", Effect.WRITE),
    "board.careful": operation("careful", Effect.WRITE, check=LOOK),
}


class Agents(Simulation):
    """Agents whose calls stand in the journal."""

    def answer(self, question: Question) -> Answer:
        if question.about in {Asked.ARGUMENTS, Asked.AGENTS}:
            return Answer(ref=Inline({}), offers=(Offer("", 0.0, 0, journalled=True),))
        return super().answer(question)

    def call(self, number: int, tool: str, end: str | None = "succeeded", **more: Any) -> Agents:
        """A call of the agent of `ask`, as facts."""
        step_ = self.state.instances["ask"]
        path = f"ask/call[{number}]"
        effect = str(HANDED[tool].effect)
        known = self.state.instances.get(path)
        attempt = 1 if known is None else known.attempt + 1
        arguments = Inline({"uses": tool, "with": {}, "id": str(number)})
        begun = ev.Started(
            self.now, path, "ask", "ask", step_.visit, attempt, effect, "k", arguments,
            role="call", tool=tool,
        )  # fmt: skip
        self.turn(begun)
        if end is not None:
            if end == "succeeded":
                more.setdefault("output", Inline(number))
            self.turn(ev.Ended(self.now, path, step_.visit, attempt, end, **more))
        return self

    def say(self, *messages: Any) -> None:
        visit = self.state.instances["ask"].visit
        self.turn(Said(self.now, "ask", visit, 1, Inline(list(messages))))


def agents(*more: Any, **settings_: Any) -> Agents:
    asks = step(
        "ask",
        kind=Kind.AGENT,
        action=AgentCall(PROMPT, (), tuple(HANDED)),
        effect=Effect.WRITE,
        handed=HANDED,
        **settings_,
    )
    found = Agents(plan(asks, *more))
    found.start()
    assert found.performed == ["ask"]
    return found


def test_a_lost_attempt_without_open_calls_is_begun_again() -> None:
    sim = agents().call(1, "board.write")
    after = sim.crash()
    assert after.performed == ["ask"]
    assert after.state.instances["ask"].attempt == 2
    assert after.state.instances["ask"].calls[0].status == "succeeded"


def test_a_lost_attempt_with_an_open_read_is_begun_again() -> None:
    after = agents().call(1, "board.read", None).crash()
    assert after.performed == ["ask"]


def test_an_open_write_is_in_doubt_and_not_the_step() -> None:
    after = agents().call(1, "board.write", None).crash()
    assert after.performed == []
    assert after.decision.doubts == ("ask/call[1]",)
    assert after.decision.idle
    assert after.status("ask") == "in_doubt"
    after.turn(arrived=(ev.Resolved(after.now, "ask/call[1]", "redo", "anna"),))
    assert after.performed == ["ask"]
    assert after.state.instances["ask"].attempt == 2
    assert after.state.instances["ask"].visit == 1


def test_all_doubtful_calls_are_settled_before_the_step_goes_on() -> None:
    sim = agents().call(1, "board.write", None).call(2, "board.write", None)
    after = sim.crash()
    assert after.decision.doubts == ("ask/call[1]", "ask/call[2]")
    after.turn(arrived=(ev.Resolved(after.now, "ask/call[1]", "done", "a", Inline(7)),))
    assert after.performed == []
    again = after.crash()
    assert again.decision.doubts == ("ask/call[2]",)
    again.turn(arrived=(ev.Resolved(again.now, "ask/call[2]", "failed", "a"),))
    assert again.performed == ["ask"]


def test_killed_between_the_settling_and_the_step_it_goes_on() -> None:
    sim = agents().call(1, "board.write", None).crash()
    sim.turn(arrived=(ev.Resolved(sim.now, "ask/call[1]", "redo", "anna"),))
    resolved = next(
        at for at, one in enumerate(sim.journal) if isinstance(decode(one), ev.Resolved)
    )
    after = sim.crash(resolved + 1)
    assert after.performed == ["ask"]


def test_the_tool_looks_before_a_person_is_asked() -> None:
    after = agents().call(1, "board.careful", None).crash()
    assert after.performed == ["ask/call[1]/check"]
    after.end("ask/call[1]/check", output=Inline({"id": 3}))
    assert after.performed == ["ask/call[1]/check", "ask"]
    assert after.status("ask/call[1]") == "succeeded"


def test_a_look_that_finds_nothing_has_the_call_made_again() -> None:
    after = agents().call(1, "board.careful", None).crash()
    after.end("ask/call[1]/check", output=Inline(None))
    assert after.status("ask/call[1]") == "pending"
    assert after.performed[-1] == "ask"


def test_a_call_in_doubt_while_the_agent_runs_ends_the_attempt() -> None:
    lost = Failure("timeout", "no answer", step="ask/call[1]")
    sim = agents().call(1, "board.write", "in_doubt", error=lost)
    sim.end("ask", "in_doubt", error=Failure("in_doubt", "a call", step="ask"))
    assert sim.decision.doubts == ("ask/call[1]",)
    sim.turn(arrived=(ev.Resolved(sim.now, "ask/call[1]", "redo", "anna"),))
    assert sim.performed == ["ask", "ask"]


def test_a_cancel_ends_a_run_with_calls_in_doubt() -> None:
    sim = agents().call(1, "board.write", None).call(2, "board.careful", None).crash()
    sim.turn(arrived=(ev.CancelRequested(sim.now, "anna"),))
    assert sim.to_cancel == ["ask/call[2]/check"]
    sim.end("ask/call[2]/check", "cancelled")
    assert sim.decision.finished
    assert sim.status() == "cancelled"


def test_calls_of_a_lost_attempt_of_a_run_that_stops_are_cancelled() -> None:
    sim = agents().call(1, "board.read", None)
    sim.turn(arrived=(ev.CancelRequested(sim.now, "anna"),))
    after = sim.crash()
    assert after.status("ask/call[1]") == "cancelled"
    assert after.status() == "cancelled"


def test_calls_are_taken_back_the_last_first() -> None:
    back = Inline({"uses": "board.delete", "with": {}})
    sim = agents(step("boom"))
    root = sim.plan.nodes[""]
    object.__setattr__(root, "on_error", OnError.ROLLBACK)
    sim.call(1, "board.write", undo=back).call(2, "board.read").call(3, "board.write", undo=back)
    sim.end("ask").end("boom", "failed")
    assert sim.performed[-1] == "ask/call[3]/undo"
    sim.end("ask/call[3]/undo")
    assert sim.performed[-1] == "ask/call[1]/undo"
    sim.end("ask/call[1]/undo")
    assert sim.status() == "rolled_back"
    assert sim.state.finished is not None
    assert sim.state.finished.standing == ()
    assert (
        sim.state.instances["ask/call[3]/undo"].key != sim.state.instances["ask/call[1]/undo"].key
    )


def picture(state: RunState) -> dict[str, Any]:
    """All that a state holds, as values that compare."""

    def plain(value: Any) -> Any:
        if hasattr(value, "__slots__") and type(value).__name__ == "Instance":
            return value.path
        if isinstance(value, tuple | list):
            return [plain(one) for one in value]
        if isinstance(value, dict):
            return {str(key): plain(one) for key, one in value.items()}
        if type(value).__name__ in {"Purse", "Scope"}:
            return [plain(getattr(value, name)) for name in value.__slots__]
        return value

    return {
        path: {name: plain(getattr(one, name)) for name in one.__slots__}
        for path, one in state.instances.items()
    }


CALLS = st.lists(
    st.tuples(
        st.sampled_from([*HANDED]),
        st.sampled_from(["succeeded", "failed", "in_doubt", "cancelled", None]),
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(CALLS, st.booleans())
def test_folded_in_any_split_the_state_is_the_same(made: list[tuple[str, Any]], ends: bool) -> None:
    sim = agents(step("next"))
    for number, (tool, end) in enumerate(made, 1):
        sim.say({"role": "assistant", "calls": [str(number)]})
        sim.call(number, tool, end)
    if ends:
        sim.end("ask")
    sim = sim.crash()
    whole = RunState()
    events = [decode(payload) for payload in sim.journal]
    for event in events:
        whole.apply(event)
    assert picture(whole) == picture(sim.state)
    for at in range(len(events) + 1):
        part = RunState()
        for event in events[:at]:
            part.apply(event)
        for payload in sim.journal[at:]:
            part.apply(decode(payload))
        assert picture(part) == picture(whole)


@settings(max_examples=60, deadline=None)
@given(CALLS)
def test_wherever_the_driver_dies_the_step_ends_and_answered_calls_stand(
    made: list[tuple[str, Any]],
) -> None:
    sim = agents()
    for number, (tool, end) in enumerate(made, 1):
        sim.call(number, tool, end)
    for keep in range(2, len(sim.journal) + 1):
        after = sim.crash(keep)
        answered = {
            path: one.status
            for path, one in after.state.instances.items()
            if one.role == "call" and one.status in {"succeeded", "failed"}
        }
        for _ in range(20):
            if after.decision.finished:
                break
            if after.running:
                path = after.running[0]
                after.end(path, output=Inline(None)) if "check" in path else after.end(path)
            for path in after.decision.doubts:
                after.turn(arrived=(ev.Resolved(after.now, path, "redo", "anna"),))
                break
        assert after.status() == "succeeded", (keep, after.statuses)
        for path, status in answered.items():
            assert after.status(path) == status
