"""Budgets are reserved before they are spent, whatever runs together and whatever it really costs."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.bundle.policies import Budget, Retry
from aiworkflow.bundle.workflow import OnError
from aiworkflow.engine import Answer, Asked, Bounds, Inline, Spent
from aiworkflow.engine import events as ev

_spec = importlib.util.spec_from_file_location("simulate6", Path(__file__).with_name("simulate.py"))
assert _spec is not None
assert _spec.loader is not None
sim = importlib.util.module_from_spec(_spec)
sys.modules["simulate6"] = sim
_spec.loader.exec_module(sim)


class Priced(sim.Simulation):  # type: ignore[name-defined,misc]
    """Every attempt may cost so much; `costs` says what it really does."""

    most = 1.0
    costs: tuple[float | None, ...] = (0.5,)
    free: tuple[str, ...] = ()

    def answer(self, question: Any) -> Answer:
        if question.about is Asked.ARGUMENTS and question.node not in self.free:
            return Answer(ref=Inline({}), usd=self.most, tokens=100)
        return super().answer(question)  # type: ignore[no-any-return]

    def end(self, path: str, status: str = "succeeded", **details: Any) -> Any:
        cost = self.costs[len(self.journal) % len(self.costs)]
        return super().end(path, status, spent=Spent(10, 0, 10, cost), seconds=1.0, **details)


def steps(count: int, **more: Any) -> list[Any]:
    return [sim.step(f"s{n}", on_error=OnError.CONTINUE, **more) for n in range(count)]


@given(
    st.floats(0.5, 10),
    st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=5),
    st.integers(1, 12),
    st.booleans(),
)
def test_a_run_never_spends_more_than_its_budget(
    usd: float, costs: list[float | None], count: int, together: bool
) -> None:
    run = Priced(sim.plan(*steps(count), parallel=together), bounds=Bounds(budget=Budget(usd)))
    run.costs = tuple(costs)
    run.run()
    root = run.state.root
    assert run.state.finished is not None
    if root.purse is not None:
        assert root.purse.usd <= usd + 1e-6
        assert abs(root.purse.reserved_usd) < 1e-6
    begun = sum(isinstance(event, ev.Started) for event in map(sim.decode, run.journal))
    assert begun == count or usd < count, "what fits is begun"


@given(st.floats(0.5, 6), st.floats(0.01, 1), st.integers(1, 9), st.integers(1, 4))
def test_as_many_fit_together_as_one_after_the_other(
    usd: float, cost: float, count: int, slots: int
) -> None:
    """What others have reserved is waited for, and not taken for spent."""

    def succeeded(*, together: bool) -> int:
        bounds = Bounds(budget=Budget(usd), max_running=slots)
        run = Priced(sim.plan(*steps(count), parallel=together), bounds=bounds)
        run.costs = (cost,)
        run.run()
        assert run.state.finished is not None
        children = run.state.root.children.values()
        assert all(child.at_rest for child in children)
        return sum(child.status == "succeeded" for child in children)

    assert succeeded(together=True) == succeeded(together=False)


def test_what_waits_for_others_begins_when_one_of_them_ends() -> None:
    run = Priced(sim.plan(*steps(4), parallel=True), bounds=Bounds(budget=Budget(2.5)))
    run.costs = (0.1,)
    run.start()
    assert run.performed == ["s0", "s1"]
    run.end("s1")
    assert run.performed == ["s0", "s1", "s2"]
    run.end("s0")
    assert run.performed == ["s0", "s1", "s2", "s3"]


def test_what_waits_for_others_does_not_hold_up_what_is_free() -> None:
    plain = [sim.step(f"p{n}", after=("s2",) if n else ()) for n in range(2)]
    run = Priced(sim.plan(*steps(4), *plain, parallel=True), bounds=Bounds(budget=Budget(2.5)))
    run.free = ("p0", "p1")
    run.start()
    assert run.performed == ["s0", "s1", "p0"]


def test_a_price_that_is_not_known_counts_as_what_was_reserved() -> None:
    run = Priced(sim.plan(*steps(5)), bounds=Bounds(budget=Budget(3.0)))
    run.costs = (None,)
    run.run()
    assert run.performed == ["s0", "s1", "s2"]


def test_what_was_lost_in_a_crash_counts_as_what_it_had_reserved() -> None:
    run = Priced(sim.plan(*steps(2)), bounds=Bounds(budget=Budget(4.5))).start()
    for lost in range(1, 5):
        after = Priced(run.plan, bounds=run.bounds)
        after.journal = list(run.journal)
        for payload in after.journal:
            after.state.apply(sim.decode(payload))
        after.turn(ev.RunResumed(after.now, 2, "me"))
        run = after
        assert run.state.root.purse.usd == lost
        assert run.state.root.purse.reserved_usd == (1.0 if lost < 4 else 0.0)
    assert run.state.finished is not None, "a fifth attempt does not fit"
    assert run.state.instances["s0"].error.kind == "budget"


def test_attempts_after_the_first_are_reserved_too() -> None:
    step = sim.step("a", retry=Retry(9, jitter=0.0))
    run = Priced(sim.plan(step), {"a": "failed"}, bounds=Bounds(budget=Budget(2.2)))
    run.run()
    assert run.performed == ["a"] * 3
    assert run.state.finished.error.kind == "budget"


def test_a_higher_budget_goes_on_from_there() -> None:
    run = Priced(
        sim.plan(*[sim.step(f"s{n}") for n in range(4)]), bounds=Bounds(budget=Budget(1.5))
    )
    run.run()
    assert run.performed == ["s0", "s1"]
    reset, anew = run.decider.to_reset()
    run.turn(ev.RunResumed(run.now, 2, "me", reset, anew, budget={"usd": 9.0}))
    run.run()
    assert run.performed == ["s0", "s1", "s2", "s3"]
    assert run.state.status == "succeeded"


def test_a_warning_comes_once() -> None:
    run = Priced(sim.plan(*steps(4)), bounds=Bounds(budget=Budget(2.4)))
    run.costs = (1.0,)
    run.run()
    warned = [event for event in map(sim.decode, run.journal) if isinstance(event, ev.Warned)]
    assert [(one.path, one.unit, one.spent, one.bound) for one in warned] == [("", "usd", 2.0, 2.4)]


def test_what_the_project_may_spend_today_bounds_a_turn_as_a_whole() -> None:
    run = Priced(sim.plan(*steps(5), parallel=True))
    run.decider.may_spend(2.5)
    run.start()
    assert len(run.running) == 2


def test_a_budget_of_a_step_is_its_own() -> None:
    nodes = [sim.step("a", budget=Budget(0.5)), sim.step("b")]
    nodes[0] = dataclasses.replace(nodes[0], on_error=OnError.CONTINUE)
    run = Priced(sim.plan(*nodes)).run()
    assert run.performed == ["b"]
    assert run.state.instances["a"].error.kind == "budget"
