"""Waiting for consent, answers, moments and events."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.bundle.policies import Approval, Retry
from aiworkflow.bundle.workflow import Ask, Each, Gate, Kind, Wait
from aiworkflow.engine import events as ev

_spec = importlib.util.spec_from_file_location("simulate4", Path(__file__).with_name("simulate.py"))
assert _spec is not None
assert _spec.loader is not None
sim = importlib.util.module_from_spec(_spec)
sys.modules["simulate4"] = sim
_spec.loader.exec_module(sim)
Simulation, group, plan, step = sim.Simulation, sim.group, sim.plan, sim.step


def gate(id_: str, **more: Any) -> Any:
    more.setdefault("approve", Approval())
    return step(id_, kind=Kind.GATE, action=Gate(None), **more)


def timer(id_: str, **more: Any) -> Any:
    return step(id_, kind=Kind.WAIT, action=Wait(seconds=10.0), **more)


AFTER = {("wait", "t"): {"after": 10.0}, ("wait", "g"): {"after": 10.0}}


# -- consent --------------------------------------------------------------------------------------


def test_a_step_with_approve_waits_and_then_runs_with_what_was_shown() -> None:
    run = Simulation(plan(step("a", approve=Approval()), step("b"))).start()
    assert (run.status("a"), run.running) == ("waiting", [])
    assert run.decision.idle
    shown = run.state.instances["a"].arguments_seq
    run.reply("a")
    assert run.running == ["a"]
    assert run.state.instances["a"].arguments_seq == shown
    assert run.asked.count(("arguments", "a")) == 1
    run.end("a")
    assert run.running == ["b"]


def test_one_refusal_fails_the_step_and_is_never_tried_again() -> None:
    run = Simulation(plan(step("a", approve=Approval(quorum=3), retry=Retry(3)))).start()
    run.reply("a").reply("a", "reject", "ben")
    assert run.state.status == "failed"
    assert run.state.finished.error.kind == "rejected"
    assert "ben" in run.state.finished.error.message


def test_a_quorum_counts_people_not_answers() -> None:
    run = Simulation(plan(gate("g", approve=Approval(quorum=2)))).start()
    run.reply("g", actor="anna").reply("g", actor="anna")
    assert run.status("g") == "waiting"
    run.reply("g", actor="ben")
    assert run.state.status == "succeeded"
    ended = next(e for e in map(sim.decode, run.journal) if isinstance(e, ev.Ended))
    assert ended.output.value["by"] == "anna, ben"


def test_each_asks_once_for_all_items() -> None:
    items = step("a", each=Each(sim.expression("x")), approve=Approval())
    run = Simulation(plan(items), answers={("each", "a"): [1, 2, 3]}).start()
    assert run.decision.waits == ("a",)
    run.reply("a")
    assert run.running == ["a[0]", "a[1]", "a[2]"]
    assert run.run().state.status == "succeeded"


def test_a_group_asks_before_its_first_step() -> None:
    run = Simulation(plan(*group("g", step("a", parent="g"), approve=Approval()))).start()
    assert (run.running, run.decision.waits) == ([], ("g",))
    run.reply("g")
    assert run.running == ["g.a"]


def test_a_group_that_was_refused_runs_nothing_of_it_not_even_its_finals() -> None:
    steps = group("g", step("a", parent="g"), step("f", parent="g", final=True), approve=Approval())
    run = Simulation(plan(*steps)).start().reply("g", "reject")
    assert run.performed == []
    assert run.state.status == "failed"


def test_a_step_that_was_visited_again_is_asked_for_again() -> None:
    steps = group("g", step("a", parent="g", approve=Approval()), retry=Retry(1, jitter=0.0))
    run = Simulation(plan(*steps), {"g.a": ["failed"]}).start().reply("g.a").run()
    assert run.decision.waits == ("g.a",)
    assert run.state.instances["g.a"].visit == 2


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "path", "kind"),
    [
        (gate("g"), "g", "expired"),
        (step("g", approve=Approval()), "g", "expired"),
        (step("g", kind=Kind.ASK, action=Ask(None, {})), "g", "expired"),
        (step("g", kind=Kind.WAIT, action=Wait(event="x")), "g", "timeout"),
    ],
)
def test_what_nobody_answers_in_time_fails(node: Any, path: str, kind: str) -> None:
    run = Simulation(plan(node), answers=AFTER).start()
    assert run.decision.wake_at == run.now + 10
    run.now += 9
    run.turn()
    assert run.status(path) == "waiting"
    run.now += 1
    run.turn()
    assert run.state.finished.error.kind == kind


def test_a_timer_is_done_when_its_time_has_come() -> None:
    run = Simulation(plan(timer("t"), step("b")), answers=AFTER).start()
    assert run.decision.idle
    run.now += 10
    run.turn()
    assert (run.status("t"), run.running) == ("succeeded", ["b"])


def test_a_timer_rings_late_when_nobody_drove() -> None:
    run = Simulation(plan(timer("t"), step("b")), answers=AFTER).start()
    run.now += 100_000
    assert run.crash().running == ["b"]


def test_what_came_too_late_is_let_be() -> None:
    run = Simulation(plan(gate("g", on_error=sim.OnError.CONTINUE), step("b")), answers=AFTER)
    run.start()
    run.now += 10
    run.turn()
    run.reply("g")
    assert run.status("g") == "failed"
    assert run.running == ["b"]


def test_time_that_people_take_does_not_count_in_a_deadline() -> None:
    steps = group("g", step("a", parent="g", approve=Approval()), timeout_s=60.0)
    run = Simulation(plan(*steps, timeout_s=100.0)).start()
    run.now += 1_000_000
    run.turn()
    assert run.status("g") == "running"
    run.reply("g.a")
    run.now += 59
    run.turn()
    assert run.status("g") == "running"
    run.now += 2
    run.turn()
    assert run.state.instances["g"].stopping == "timeout"


def test_time_that_a_timer_takes_counts() -> None:
    steps = group("g", timer("t", parent="g"), timeout_s=5.0)
    run = Simulation(plan(*steps), answers={("wait", "g.t"): {"after": 10.0}}).start()
    run.now += 5
    run.turn()
    assert run.state.finished.error.kind == "timeout"
    assert run.status("g.t") == "cancelled"


# -- others ---------------------------------------------------------------------------------------


def test_a_wait_holds_no_slot() -> None:
    nodes = [gate(f"g{n}") for n in range(5)]
    bounds = sim.Bounds(8, 1, 100)
    run = Simulation(plan(*nodes, step("a"), step("b"), parallel=True), bounds=bounds).start()
    assert run.running == ["a"]
    run.end("a")
    assert run.running == ["b"]
    assert not run.decision.idle
    run.end("b")
    assert run.decision.idle
    assert len(run.decision.waits) == 5


def test_an_answer_that_came_while_nobody_drove_counts() -> None:
    run = Simulation(plan(gate("g"), step("b"))).start()
    run.journal.append(sim.encode(ev.Answered(run.now, "g", 1, "approve", "anna")))
    after = run.crash()
    assert (after.status("g"), after.running) == ("succeeded", ["b"])


def test_a_failure_beside_it_ends_a_wait() -> None:
    run = Simulation(plan(gate("g"), step("a"), parallel=True)).start().end("a", "failed")
    assert run.statuses == {"g": "cancelled", "a": "failed"}
    assert run.state.status == "failed"


def test_a_cancel_ends_waits_and_pauses() -> None:
    nodes = [gate("g"), timer("t"), step("a", retry=Retry(3))]
    run = Simulation(plan(*nodes, parallel=True), answers=AFTER).start().end("a", "failed")
    run.turn(arrived=(ev.CancelRequested(run.now, "me"),))
    assert run.state.status == "cancelled"
    assert set(run.statuses.values()) == {"cancelled"}


def test_what_others_appended_while_this_process_drove_is_decided_with_the_next_turn() -> None:
    run = Simulation(plan(gate("g"), step("a"), parallel=True)).start()
    # Moved: the state is folded anew with a cancel and a consent that are not decided yet
    for event in (
        ev.Answered(run.now, "g", 1, "approve", "anna"),
        ev.CancelRequested(run.now, "me"),
    ):
        run.journal.append(sim.encode(event))
    again = Simulation(run.plan, run.outcomes, run.answers)
    again.journal = list(run.journal)
    for payload in again.journal:
        again.state.apply(sim.decode(payload))
    again.running = ["a"]
    again.decider.adopt({"a"})
    again.turn()
    kinds = [type(event).__name__ for event in again.decision.events]
    assert "Stopping" in kinds, "a decision that is folded stands in the append"
    assert again.decision.cancels == ["a"]
    assert again.state.seq == len(again.journal)
