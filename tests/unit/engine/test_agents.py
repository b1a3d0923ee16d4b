"""Which agent does an attempt: the first that is up, or that fits into the budget."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.bundle.policies import Budget, Retry
from aiworkflow.bundle.workflow import AgentCall, Effect, Kind
from aiworkflow.diagnostics import Fragment
from aiworkflow.engine import Answer, Asked, Bounds, Failure, Inline, Offer
from aiworkflow.engine import events as ev
from aiworkflow.expr import Template

_spec = importlib.util.spec_from_file_location("simulate7", Path(__file__).with_name("simulate.py"))
assert _spec is not None
assert _spec.loader is not None
sim = importlib.util.module_from_spec(_spec)
sys.modules["simulate7"] = sim
_spec.loader.exec_module(sim)


class Offered(sim.Simulation):  # type: ignore[name-defined,misc]
    """Three agents stand in order; those in `alone` are left alone."""

    alone: frozenset[str] = frozenset()

    def answer(self, question: Any) -> Answer:
        if question.about not in {Asked.ARGUMENTS, Asked.AGENTS}:
            return super().answer(question)  # type: ignore[no-any-return]
        prices = {"a": 4.0, "b": 2.0, "c": 1.0}
        offers = [Offer(name, usd, 10, name in self.alone) for name, usd in prices.items()]
        ref = Inline({}) if question.about is Asked.ARGUMENTS else None
        return Answer(ref=ref, usd=4.0, tokens=10, offers=offers)


def one(**more: Any) -> Any:
    action = AgentCall(Template(Fragment.of("x"), ()))
    return sim.plan(sim.step("s", kind=Kind.AGENT, action=action, **more))


def agent(run: Any) -> str:
    return str(run.state.instances["s"].agent)


def because(run: Any) -> str:
    """What the journal says of the last choice."""
    events = [sim.decode(payload) for payload in run.journal]
    return str([one for one in events if isinstance(one, ev.Started)][-1].because)


def fail(run: Any, kind: str = "unavailable") -> Any:
    return run.end("s", "failed", error=Failure(kind, "no", step="s"))


@pytest.mark.parametrize("kind", ["unavailable", "rate_limit", "timeout"])
def test_each_agent_is_asked_once_when_the_ones_before_are_down(kind: str) -> None:
    run = Offered(one()).start()
    asked = []
    while run.running:
        asked.append(agent(run))
        fail(run, kind)
    assert asked == ["a", "b", "c"]
    assert run.state.status == "failed"


def test_what_another_agent_does_is_no_attempt_again() -> None:
    run = Offered(one(retry=Retry(1, "constant", 1.0))).start()
    for _ in "abc":
        fail(run)
    assert run.running == []
    assert run.state.instances["s"].failures == 1
    run.now += 60
    run.turn()
    assert agent(run) == "a", "the next round begins with the first"
    for _ in "abc":
        fail(run)
    assert run.state.status == "failed"


@pytest.mark.parametrize("kind", ["cut_off", "bad_output", "refused"])
def test_the_next_is_asked_when_one_is_not_up_to_it(kind: str) -> None:
    run = fail(Offered(one()).start(), kind)
    assert agent(run) == "b"
    assert because(run) == f"after a: {kind}"


@pytest.mark.parametrize("kind", ["cut_off", "bad_output", "refused"])
def test_but_not_when_it_may_have_changed_something(kind: str) -> None:
    run = fail(Offered(one(effect=Effect.WRITE)).start(), kind)
    assert run.state.status == "failed"


@pytest.mark.parametrize("kind", ["auth", "budget", "exit"])
def test_a_no_is_a_no(kind: str) -> None:
    run = fail(Offered(one()).start(), kind)
    assert run.state.status == "failed"


def test_who_is_left_alone_is_asked_last() -> None:
    run = Offered(one())
    run.alone = frozenset("ab")
    run.start()
    assert agent(run) == "c"
    assert because(run) == "after a is left alone, b is left alone"
    assert agent(fail(run)) == "a", "all are down: there is nothing to lose"


def test_a_death_forgets_neither_who_was_asked_nor_who_is_down() -> None:
    run = fail(Offered(one()).start())
    assert agent(run) == "b"
    for keep in range(2, len(run.journal) + 1):
        after = Offered(run.plan)
        after.journal = run.journal[:keep]
        for payload in after.journal:
            after.state.apply(sim.decode(payload))
        after.turn(ev.RunResumed(after.now, 2, "me"))
        told = [sim.decode(payload) for payload in run.journal[:keep]]
        is_down = any(isinstance(event, ev.Delayed) for event in told)
        assert agent(after) == ("b" if is_down else "a")


def test_with_switch_the_first_that_fits_is_used() -> None:
    bounds = Bounds(budget=Budget(3.0, on_exceed="switch"))
    run = Offered(one(), bounds=bounds).start()
    assert agent(run) == "b"
    assert because(run) == "after a does not fit into the budget"
    bounds = Bounds(budget=Budget(0.5, on_exceed="switch"))
    run = Offered(one(), bounds=bounds).start()
    assert run.state.status == "failed"
    assert run.state.finished.error.kind == "budget"


def test_a_budget_says_whose_attempt_it_was_when_the_one_before_is_down() -> None:
    run = Offered(one(), bounds=Bounds(budget=Budget(1.5)))
    run.alone = frozenset({"a"})
    said = run.start().state.finished.error.message
    assert said.endswith("of its budget of $1.5: for `b`, after a is left alone")
    alone = Offered(one(), bounds=Bounds(budget=Budget(1.5))).start()
    assert alone.state.finished.error.message.endswith("of its budget of $1.5")


def test_the_innermost_budget_that_does_not_switch_stops() -> None:
    bounds = Bounds(budget=Budget(3.0, on_exceed="switch"))
    run = Offered(one(budget=Budget(1.5)), bounds=bounds).start()
    assert run.state.status == "failed"
    bounds = Bounds(budget=Budget(3.0, on_exceed="wait"))
    assert Offered(one(), bounds=bounds).start().decision.waits == ("s",)
