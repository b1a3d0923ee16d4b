"""Retry, its pauses, and `goto`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.bundle.policies import Goto, Retry
from aiworkflow.bundle.workflow import Each, OnError
from aiworkflow.engine import Failure
from aiworkflow.engine import events as ev
from aiworkflow.engine.retry import NEVER, may_retry, pause_s

_spec = importlib.util.spec_from_file_location("simulate3", Path(__file__).with_name("simulate.py"))
assert _spec is not None
assert _spec.loader is not None
sim = importlib.util.module_from_spec(_spec)
sys.modules["simulate3"] = sim
_spec.loader.exec_module(sim)
Simulation, group, plan, step = sim.Simulation, sim.group, sim.plan, sim.step

FLAT = Retry(3, jitter=0.0)


# -- arithmetic -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry", "pauses"),
    [
        (Retry(5, "constant", 2.0, jitter=0.0), [2.0, 2.0, 2.0]),
        (Retry(5, "linear", 2.0, jitter=0.0), [2.0, 4.0, 6.0]),
        (Retry(5, "exponential", 2.0, 3.0, jitter=0.0), [2.0, 6.0, 18.0]),
        (Retry(5, "exponential", 2.0, 3.0, 10.0, 0.0), [2.0, 6.0, 10.0]),
    ],
)
def test_pauses_grow_as_the_author_says(retry: Retry, pauses: list[float]) -> None:
    assert [pause_s(retry, n, "k") for n in (1, 2, 3)] == pauses


@given(st.integers(1, 100), st.floats(0, 1), st.text(max_size=5))
def test_chance_takes_no_more_than_its_share_and_is_always_the_same(
    failures: int, jitter: float, key: str
) -> None:
    retry = Retry(100, base_s=1.0, max_s=60.0, jitter=jitter)
    calm = pause_s(Retry(100, base_s=1.0, max_s=60.0, jitter=0.0), failures, key)
    pause = pause_s(retry, failures, key)
    assert calm * (1 - jitter) - 1e-9 <= pause <= calm
    assert pause == pause_s(retry, failures, key)


def test_two_steps_do_not_come_back_together() -> None:
    retry = Retry(3, jitter=1.0, base_s=10.0)
    assert len({pause_s(retry, 1, f"key{n}") for n in range(50)}) == 50


def test_the_other_side_is_left_alone_as_long_as_it_asked() -> None:
    assert pause_s(Retry(1, base_s=1.0, max_s=5.0), 1, "k", 90.0) == 90.0


@pytest.mark.parametrize("kind", sorted(NEVER))
def test_what_somebody_refused_is_not_tried_again(kind: str) -> None:
    assert not may_retry(Retry(3), Failure(kind, "no"), 1)


@pytest.mark.parametrize(
    ("on", "failure", "tried"),
    [
        ((), Failure("exit", "", 1), True),
        (("timeout",), Failure("exit", "", 1), False),
        (("timeout",), Failure("timeout", ""), True),
        (("exit:75",), Failure("exit", "", 75), True),
        (("exit:75",), Failure("exit", "", 1), False),
        (("exit",), Failure("exit", "", 1), True),
    ],
)
def test_only_the_kinds_that_are_named_are_tried_again(
    on: tuple[str, ...], failure: Failure, tried: bool
) -> None:
    assert may_retry(Retry(3, on=on), failure, 1) is tried


# -- steps ----------------------------------------------------------------------------------------


def test_a_failed_step_is_tried_again_after_its_pause_with_the_same_key() -> None:
    run = Simulation(plan(step("a", retry=FLAT))).start()
    key = run.state.instances["a"].key
    run.end("a", "failed")
    assert run.status("a") == "waiting"
    assert run.running == []
    assert run.decision.wake_at == run.now + 1.0
    run.now += 0.5
    run.turn()
    assert run.running == []
    run.now += 0.5
    run.turn()
    assert run.running == ["a"]
    instance = run.state.instances["a"]
    assert (instance.attempt, instance.visit, instance.key) == (2, 1, key)


def test_it_fails_with_its_last_error_when_no_attempt_is_left() -> None:
    run = Simulation(plan(step("a", retry=Retry(2, jitter=0.0)), step("b")), {"a": "failed"}).run()
    assert run.performed == ["a", "a", "a"]
    assert run.state.status == "failed"
    assert run.state.finished.error.step == "a"


def test_a_crash_does_not_use_up_an_attempt() -> None:
    run = Simulation(plan(step("a", retry=Retry(1, jitter=0.0)))).start()
    for _ in range(3):
        run = run.crash()
    run.running = ["a"]
    run.end("a", "failed")
    assert run.status("a") == "waiting"


def test_a_pause_survives_the_driver() -> None:
    run = Simulation(plan(step("a", retry=FLAT))).start().end("a", "failed")
    after = run.crash()
    assert after.running == []
    assert after.decision.wake_at == run.now + 1.0
    assert after.run().state.status == "succeeded"


def test_a_doubt_is_never_tried_again() -> None:
    run = Simulation(plan(step("a", retry=FLAT, effect="write"))).start()
    run.end("a", "in_doubt")
    assert run.status("a") == "in_doubt"
    assert run.decision.doubts == ("a",)


def test_what_waits_for_another_attempt_stops_with_its_group() -> None:
    steps = [step("a", retry=FLAT), step("b")]
    run = Simulation(plan(*steps, parallel=True)).start().end("a", "failed").end("b", "failed")
    assert run.statuses == {"a": "cancelled", "b": "failed"}
    assert run.state.status == "failed"


def test_each_item_has_its_own_attempts() -> None:
    items = step("a", each=Each(sim.expression("x"), max_parallel=1), retry=Retry(1, jitter=0.0))
    run = Simulation(plan(items), {"a[1]": ["failed"]}, {("each", "a"): [1, 2, 3]}).run()
    assert run.performed == ["a[0]", "a[1]", "a[1]", "a[2]"]
    assert run.state.status == "succeeded"


# -- groups ---------------------------------------------------------------------------------------


def test_a_group_begins_again_as_a_whole_with_new_keys() -> None:
    steps = group("g", step("a", parent="g"), step("b", parent="g"), retry=Retry(1, jitter=0.0))
    run = Simulation(plan(*steps), {"g.b": ["failed"]}).run()
    assert run.performed == ["g.a", "g.b", "g.a", "g.b"]
    keys = {
        event.key
        for event in (sim.decode(payload) for payload in run.journal)
        if isinstance(event, ev.Started) and event.path == "g.a"
    }
    assert len(keys) == 2
    assert run.state.status == "succeeded"


def test_a_group_that_fails_for_good_says_why() -> None:
    steps = group("g", step("a", parent="g"), retry=Retry(2, jitter=0.0))
    run = Simulation(plan(*steps, step("z")), {"g.a": "failed"}).run()
    assert run.performed == ["g.a"] * 3
    assert run.state.finished.error.step == "g.a"


def test_the_rounds_of_an_until_are_counted_anew() -> None:
    steps = group("g", step("a", parent="g"), until="x", max_rounds=2, retry=Retry(1, jitter=0.0))
    run = Simulation(plan(*steps), answers={("until", "g"): False}).run()
    assert run.performed == ["g#1.a", "g#2.a"] * 2
    assert run.state.finished.error.kind == "rounds"


def test_the_visits_of_a_goto_are_counted_anew() -> None:
    back = step("b", parent="g", on_error=OnError.GOTO, goto=Goto("a", 2))
    steps = group("g", step("a", parent="g"), back, retry=Retry(1, jitter=0.0))
    run = Simulation(plan(*steps), {"g.b": "failed"}).run()
    assert run.performed == ["g.a", "g.b", "g.a", "g.b"] * 2
    assert run.state.status == "failed"


def test_the_visits_of_a_goto_within_another_are_counted_anew() -> None:
    inner = step("b", parent="g", on_error=OnError.GOTO, goto=Goto("a", 2))
    steps = group("g", step("a", parent="g"), inner)
    last = step("z", on_error=OnError.GOTO, goto=Goto("g", 2))
    ends = {"g.b": ["failed", "succeeded", "failed", "succeeded"], "z": ["failed"]}
    run = Simulation(plan(*steps, last), ends).run()
    assert run.performed == ["g.a", "g.b", "g.a", "g.b", "z"] * 2
    assert run.state.status == "succeeded"


# -- goto -----------------------------------------------------------------------------------------


def test_goto_begins_again_all_from_the_step_it_names() -> None:
    back = step("c", on_error=OnError.GOTO, goto=Goto("b", 3))
    run = Simulation(plan(step("a"), step("b"), back, step("d")), {"c": ["failed", "failed"]}).run()
    assert run.performed == ["a", "b", "c", "b", "c", "b", "c", "d"]
    assert run.state.instances["c"].visit == 3
    assert run.state.status == "succeeded"


def test_goto_is_bounded() -> None:
    back = step("b", on_error=OnError.GOTO, goto=Goto("a", 2))
    run = Simulation(plan(step("a"), back), {"b": "failed"}).run()
    assert run.performed == ["a", "b", "a", "b"]
    assert run.state.status == "failed"


def test_goto_comes_after_the_attempts_of_a_visit() -> None:
    back = step("b", on_error=OnError.GOTO, goto=Goto("a", 2), retry=Retry(1, jitter=0.0))
    run = Simulation(plan(step("a"), back), {"b": ["failed", "failed", "failed"]}).run()
    assert run.performed == ["a", "b", "b", "a", "b", "b"]
    assert run.state.status == "succeeded"


def test_goto_survives_a_crash_at_every_event() -> None:
    back = step("c", on_error=OnError.GOTO, goto=Goto("b", 3))
    steps = [step("a"), *group("b", step("x", parent="b")), back]
    outcomes = {"c": "failed"}
    whole = Simulation(plan(*steps), dict(outcomes)).run()
    for cut in range(1, len(whole.journal)):
        after = Simulation(plan(*steps), dict(outcomes))
        after.journal = whole.journal[:cut]
        after = after.crash().run()
        assert after.state.status == "failed", f"after event {cut}"
        assert after.state.instances["c"].visit == 3, f"after event {cut}"


def test_an_item_that_fails_takes_its_whole_each_back() -> None:
    items = step(
        "b",
        each=Each(sim.expression("x"), max_parallel=1),
        on_error=OnError.GOTO,
        goto=Goto("a", 2),
    )
    answers = {("each", "b"): [1, 2]}
    run = Simulation(plan(step("a"), items), {"b[1]": ["failed"]}, answers).run()
    assert run.performed == ["a", "b[0]", "b[1]", "a", "b[0]", "b[1]"]
    assert run.state.status == "succeeded"


def test_what_waits_for_a_slot_after_its_pause_stops_with_its_group_once() -> None:
    """Counted twice, it would let the group end while `b` still runs."""
    inner = [
        step("a", parent="g", retry=Retry(1, jitter=0.0)),
        step("b", parent="g"),
        step("c", parent="g", after=()),
    ]
    run = Simulation(plan(*group("g", *inner, parallel=True)), bounds=sim.Bounds(2, 2, 100))
    run.start().end("g.a", "failed")
    assert run.running == ["g.b", "g.c"]
    run.now = run.decision.wake_at
    run.turn()
    run.end("g.c", "failed")
    assert run.state.finished is None
    run.end("g.b", "cancelled")
    assert run.state.status == "failed"
    assert run.status("g.a") == "cancelled"


def test_a_doubt_that_a_cancel_left_behind_may_be_settled_and_counts_once() -> None:
    inner = [step(name, parent="g", effect=sim.Effect.WRITE) for name in ("a", "b")]
    run = Simulation(plan(*group("g", *inner, parallel=True))).start()
    run.end("g.a", "in_doubt")
    run.turn(arrived=(ev.CancelRequested(run.now, "anna"),))
    run.turn(arrived=(ev.Resolved(run.now, "g.a", "done", "anna"),))
    assert run.running == ["g.b"]
    assert run.state.finished is None
    run.end("g.b")
    assert run.state.status == "cancelled"
    assert (run.status("g.a"), run.status("g.b")) == ("succeeded", "succeeded")
