"""Taking back what was done, and finding out what nobody knows."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.bundle.policies import Retry
from aiworkflow.bundle.workflow import Each, Effect, OnError
from aiworkflow.engine import Failure, Inline
from aiworkflow.engine import events as ev

_spec = importlib.util.spec_from_file_location("simulate5", Path(__file__).with_name("simulate.py"))
assert _spec is not None
assert _spec.loader is not None
sim = importlib.util.module_from_spec(_spec)
sys.modules["simulate5"] = sim
_spec.loader.exec_module(sim)
Simulation, group, plan = sim.Simulation, sim.group, sim.plan


def step(id_: str, *, undo: bool = True, check: bool = False, **more: Any) -> Any:
    more.setdefault("effect", Effect.WRITE)
    if undo:
        looks = sim.step(id_) if more.pop("undo_check", False) else None
        more["undo"] = sim.step(id_, effect=Effect.WRITE, check=looks)
    if check:
        more["check"] = sim.step(id_)
    return sim.step(id_, **more)


def whole(*nodes: Any, on_error: OnError = OnError.ROLLBACK, **more: Any) -> Any:
    import dataclasses

    made = plan(*nodes, **more)
    root = dataclasses.replace(made.nodes[""], on_error=on_error)
    return dataclasses.replace(made, nodes={**made.nodes, "": root})


def taken_back(run: Any) -> list[str]:
    return [path.removesuffix("/undo") for path in run.performed if path.endswith("/undo")]


# -- order ----------------------------------------------------------------------------------------


def test_a_run_is_taken_back_in_reverse_order() -> None:
    run = Simulation(whole(step("a"), step("b"), step("c")), {"c": "failed"}).run()
    assert taken_back(run) == ["b", "a"]
    assert run.state.status == "rolled_back"
    assert run.state.finished.error.step == "c"
    assert run.state.finished.standing == ()


def test_the_order_is_that_of_completion_not_of_the_document() -> None:
    nodes = [*group("g", step("a", parent="g"), step("b", parent="g"), parallel=True), step("c")]
    run = Simulation(whole(*nodes), {"c": "failed"}).start().end("g.b").end("g.a").run()
    assert taken_back(run) == ["g.a", "g.b"]


def test_items_and_rounds_are_taken_back_one_by_one() -> None:
    items = step("a", each=Each(sim.expression("x"), max_parallel=1))
    rounds = group("u", step("b", parent="u"), until="x", max_rounds=3)
    answers = {
        ("each", "a"): [1, 2],
        ("until", "u"): lambda run: run.state.instances["u"].count == 2,
    }
    run = Simulation(whole(items, *rounds, step("z")), {"z": "failed"}, answers).run()
    assert taken_back(run) == ["u#2.b", "u#1.b", "a[1]", "a[0]"]


def test_the_undo_of_a_group_replaces_those_in_it() -> None:
    back = sim.step("g", effect=Effect.WRITE)
    nodes = [*group("g", step("a", parent="g"), undo=back), step("z")]
    run = Simulation(whole(*nodes), {"z": "failed"}).run()
    assert taken_back(run) == ["g"]


def test_a_group_that_failed_itself_is_taken_back_step_by_step() -> None:
    back = sim.step("g", effect=Effect.WRITE)
    nodes = group("g", step("a", parent="g"), step("b", parent="g"), undo=back)
    run = Simulation(whole(*nodes), {"g.b": "failed"}).run()
    assert taken_back(run) == ["g.a"]


# -- what is taken back ---------------------------------------------------------------------------


def test_without_rollback_nothing_is_taken_back() -> None:
    run = Simulation(whole(step("a"), step("b"), on_error=OnError.FAIL), {"b": "failed"}).run()
    assert taken_back(run) == []
    assert run.state.status == "failed"


def test_a_group_with_rollback_is_taken_back_and_no_more() -> None:
    inner = [step("a", parent="g"), step("b", parent="g")]
    nodes = [step("before"), *group("g", *inner, on_error=OnError.ROLLBACK)]
    run = Simulation(plan(*nodes), {"g.b": "failed"}).run()
    assert taken_back(run) == ["g.a"]
    assert run.state.status == "failed"


def test_a_step_with_rollback_takes_back_what_holds_it() -> None:
    inner = [step("a", parent="g"), step("b", parent="g", on_error=OnError.ROLLBACK)]
    nodes = [step("before"), *group("g", *inner)]
    run = Simulation(plan(*nodes), {"g.b": "failed"}).run()
    assert taken_back(run) == ["g.a"]


def test_a_savepoint_bounds_what_a_failure_takes_back() -> None:
    nodes = [step("a"), step("b", savepoint=True), step("c"), step("d")]
    run = Simulation(whole(*nodes), {"d": "failed"}).run()
    assert taken_back(run) == ["c"]
    assert run.state.finished.standing == ("a", "b")


def test_a_group_is_taken_back_before_it_is_tried_again() -> None:
    inner = [step("a", parent="g"), step("b", parent="g")]
    nodes = group("g", *inner, retry=Retry(1, jitter=0.0))
    run = Simulation(plan(*nodes), {"g.b": ["failed"]}).run()
    assert run.performed == ["g.a", "g.b", "g.a/undo", "g.a", "g.b"]
    keys = {e.key for e in map(sim.decode, run.journal) if isinstance(e, ev.Started)}
    assert len(keys) == 5, "each visit and each undo has a key of its own"


def test_the_last_failure_of_a_group_without_rollback_leaves_what_it_did() -> None:
    nodes = group("g", step("a", parent="g"), step("b", parent="g"), retry=Retry(1, jitter=0.0))
    run = Simulation(plan(*nodes), {"g.b": "failed"}).run()
    assert run.performed == ["g.a", "g.b", "g.a/undo", "g.a", "g.b"]


def test_finals_run_before_a_roll_back() -> None:
    nodes = [step("a"), step("b"), step("f", undo=False, final=True)]
    run = Simulation(whole(*nodes), {"b": "failed"}).run()
    assert run.performed == ["a", "b", "f", "a/undo"]


def test_skipped_and_failed_steps_are_not_taken_back() -> None:
    nodes = [step("a", condition="x"), step("b", on_error=OnError.CONTINUE), step("c")]
    run = Simulation(whole(*nodes), {"b": "failed", "c": "failed"}, {("if", "a"): False}).run()
    assert taken_back(run) == []
    assert run.state.status == "rolled_back"


def test_a_cancelled_run_is_not_taken_back() -> None:
    run = Simulation(whole(step("a"), step("b"))).start().end("a")
    run.turn(arrived=(ev.CancelRequested(run.now, "me"),))
    run.run()
    assert taken_back(run) == []


# -- when it fails --------------------------------------------------------------------------------


def test_an_undo_is_tried_again_and_then_left_standing() -> None:
    run = Simulation(whole(step("a"), step("b"), step("c")), {"c": "failed", "b/undo": "failed"})
    run.run()
    assert taken_back(run) == ["b", "b", "b", "b", "a"]
    assert run.state.status == "failed"
    assert run.state.finished.standing == ("b",)


def test_an_undo_of_what_somebody_has_changed_since_is_not_tried_again() -> None:
    run = Simulation(whole(step("a"), step("b"), step("c"))).start()
    run.end("a").end("b").end("c", "failed")
    run.end("b/undo", "failed", error=Failure("conflict", "it was changed", step="b/undo"))
    run.run()
    assert taken_back(run) == ["b", "a"]
    assert run.state.finished.standing == ("b",)


def test_an_undo_without_arguments_is_left_standing() -> None:
    answers = {("undo", "a"): Failure("expression", "no field `id`")}
    run = Simulation(whole(step("a"), step("b"), step("c")), {"c": "failed"}, answers).run()
    assert taken_back(run) == ["b"]
    assert run.state.finished.standing == ("a",)
    assert run.state.status == "failed"


def test_a_step_without_undo_is_reported() -> None:
    nodes = [step("a", undo=False), step("r", undo=False, effect=Effect.READ), step("b"), step("c")]
    run = Simulation(whole(*nodes), {"c": "failed"}).run()
    assert run.state.finished.standing == ("a",)
    assert run.state.status == "rolled_back"


def test_an_undo_in_doubt_waits_for_a_person() -> None:
    run = Simulation(whole(step("a"), step("b"), step("c")), {"c": "failed", "b/undo": "hang"})
    run.run()
    run = run.crash()
    assert run.decision.doubts == ("b/undo",)
    run.turn(arrived=(ev.Resolved(run.now, "b/undo", "done", "me"),))
    assert run.running == ["a/undo"]
    run.run()
    assert run.state.status == "rolled_back"


def test_arguments_of_an_undo_are_rendered_once_when_the_step_ends() -> None:
    run = Simulation(whole(step("a"), step("b")), {"b": "failed"}).run()
    assert run.asked.count(("undo", "a")) == 1
    ended = [type(e).__name__ for e in map(sim.decode, run.journal)]
    assert ended[ended.index("Ended") + 1] == "Undoable", "in the commit of the step's end"


@pytest.mark.parametrize("effect", [Effect.IDEMPOTENT, Effect.WRITE])
def test_a_roll_back_goes_on_after_a_death_at_any_event(effect: Effect) -> None:
    def made() -> Any:
        nodes = [step("a"), step("b"), *group("g", step("c", parent="g")), step("z")]
        for node in nodes:
            if node.undo is not None:
                object.__setattr__(node.undo, "effect", effect)
        return whole(*nodes)

    outcomes = {"z": "failed"}
    calm = Simulation(made(), dict(outcomes)).run()
    for cut in range(1, len(calm.journal)):
        after = Simulation(made(), dict(outcomes))
        after.journal = calm.journal[:cut]
        after = after.crash()
        while after.decision.doubts:
            path = after.decision.doubts[0]
            outcome = "failed" if path == "z" else "done"
            after.turn(arrived=(ev.Resolved(after.now, path, outcome, "me", Inline("x")),))
            after.run()
        after.run()
        assert after.state.status == "rolled_back", f"after event {cut}"
        undone = [
            e.path
            for e in map(sim.decode, after.journal)
            if (isinstance(e, ev.Ended) and e.status == "succeeded")
            or (isinstance(e, ev.Resolved) and e.outcome == "done")
        ]
        back = [path for path in undone if path.endswith("/undo")]
        assert sorted(back) == ["a/undo", "b/undo", "g.c/undo"], f"after event {cut}"
        assert back == ["g.c/undo", "b/undo", "a/undo"], f"after event {cut}"


# -- days later -----------------------------------------------------------------------------------


def undo_run(run: Any) -> Any:
    run.turn(ev.RunResumed(run.now, 2, "me", undo=True))
    return run.run()


def test_a_run_that_succeeded_is_taken_back_when_a_person_asks() -> None:
    run = Simulation(plan(step("a"), step("b", savepoint=True), step("c"))).run()
    assert run.state.status == "succeeded"
    undo_run(run)
    assert taken_back(run) == ["c", "b", "a"]
    assert run.state.status == "rolled_back"


def test_what_could_not_be_taken_back_is_tried_once_more_when_a_person_asks_again() -> None:
    run = Simulation(plan(step("a"), step("b"))).run()
    run.outcomes["a/undo"] = "failed"
    undo_run(run)
    assert run.state.status == "failed"
    assert run.state.finished.error.kind == "undo"
    assert run.state.finished.standing == ("a",)
    run.outcomes.clear()
    run.performed.clear()
    undo_run(run)
    assert taken_back(run) == ["a"]
    assert run.state.status == "rolled_back"


def test_taking_back_goes_on_after_a_crash() -> None:
    run = Simulation(plan(step("a"), step("b"))).run()
    run.turn(ev.RunResumed(run.now, 2, "me", undo=True))
    run.end("b/undo")
    after = run.crash()
    assert after.decision.doubts == ("a/undo",)
    after.turn(arrived=(ev.Resolved(after.now, "a/undo", "redo", "me"),))
    assert after.running == ["a/undo"]
    after.run()
    assert after.state.status == "rolled_back"


# -- finding out ----------------------------------------------------------------------------------


def test_a_tool_that_can_look_settles_its_own_doubt() -> None:
    run = Simulation(plan(step("a", check=True), step("b"))).start()
    run.end("a", "in_doubt")
    assert run.running == ["a/check"]
    run.end("a/check", output=Inline({"id": 7}))
    assert run.status("a") == "succeeded"
    assert run.running == ["b"]
    assert ("undo", "a") in run.asked, "it can be taken back like any other"


def test_what_the_tool_does_not_find_is_begun_again_with_the_same_key() -> None:
    run = Simulation(plan(step("a", check=True))).start()
    key = run.state.instances["a"].key
    run.end("a", "in_doubt")
    run.end("a/check", output=Inline(None))
    assert run.running == ["a"]
    assert run.state.instances["a"].key == key


def test_a_look_that_fails_leaves_it_to_a_person() -> None:
    run = Simulation(plan(step("a", check=True))).start().end("a", "in_doubt")
    run.outcomes["a/check"] = "failed"
    run.run()
    assert run.performed.count("a/check") == 4
    assert run.decision.doubts == ("a",)
    assert run.decision.idle


def test_a_death_leaves_a_doubt_that_the_tool_settles() -> None:
    after = Simulation(plan(step("a", check=True), step("b"))).start().crash()
    assert after.running == ["a/check"]
    again = after.crash()
    assert again.running == ["a/check"]
    again.end("a/check", output=Inline("found"))
    assert again.running == ["b"]


def test_a_cancel_does_not_wait_for_a_look() -> None:
    run = Simulation(plan(step("a", check=True))).start().end("a", "in_doubt")
    run.turn(arrived=(ev.CancelRequested(run.now, "me"),))
    assert run.cancelled == ["a/check"]
    run.end("a/check", "cancelled")
    assert run.state.status == "cancelled"


def test_an_undo_in_doubt_is_looked_for_too() -> None:
    nodes = whole(step("a", undo_check=True), step("z"))
    run = Simulation(nodes, {"z": "failed", "a/undo": "hang"}).run().crash()
    assert run.running == ["a/undo/check"]
    run.end("a/undo/check", output=Inline(True))
    assert run.state.status == "rolled_back"


def test_what_was_looked_for_and_lost_again_is_looked_for_once() -> None:
    run = Simulation(plan(step("a", check=True))).start().crash()
    run.end("a/check", output=Inline(None))
    assert run.running == ["a"]
    again = run.crash()
    assert again.running == ["a/check"], "one look, however often it was lost before"
    again.end("a/check", output=Inline("found"))
    assert again.state.status == "succeeded"


# -- a doubt that is taken back -------------------------------------------------------------------


def resolve(run: Any, path: str, outcome: str, output: Any = None) -> Any:
    run.turn(arrived=(ev.Resolved(run.now, path, outcome, "me", output),))
    return run


def test_a_doubt_that_is_taken_back_is_begun_again_with_another_key() -> None:
    run = Simulation(plan(step("a"), step("b"))).start()
    key = run.state.instances["a"].key
    resolve(run.end("a", "in_doubt"), "a", "undo", Inline({"id": 7}))
    assert run.running == ["a/undo"]
    assert not run.decision.idle
    run.end("a/undo")
    assert run.running == ["a"]
    again = run.state.instances["a"]
    assert (again.visit, again.attempt) == (2, 1)
    assert again.key != key
    run.run()
    assert run.state.status == "succeeded"
    assert run.state.instances["a"].undone == ""


def test_an_undo_of_a_doubt_that_fails_leaves_the_doubt() -> None:
    run = Simulation(plan(step("a")), {"a/undo": "failed"}).start().end("a", "in_doubt")
    resolve(run, "a", "undo").run()
    assert run.performed.count("a/undo") == 4, "it is tried again like any undo"
    assert run.decision.doubts == ("a",)
    assert run.decision.idle
    run.outcomes["a/undo"] = ["succeeded"]
    resolve(run, "a", "undo").run()
    assert run.state.status == "succeeded"


def test_a_doubt_whose_undo_cannot_be_rendered_stays() -> None:
    answers = {("undo", "a"): Failure("expression", "no output")}
    run = Simulation(plan(step("a")), {}, answers).start().end("a", "in_doubt")
    resolve(run, "a", "undo")
    assert run.decision.doubts == ("a",)
    assert run.state.instances["a"].error.message == "no output"
    resolve(run, "a", "done")
    assert run.state.status == "succeeded"


@pytest.mark.parametrize("ended", [False, True])
def test_a_death_while_a_doubt_is_taken_back_changes_nothing(ended: bool) -> None:
    run = Simulation(plan(step("a"), step("b"))).start().end("a", "in_doubt")
    if ended:  # the fact alone is in the journal, not what followed from it
        resolve(run, "a", "undo")
        fact = ev.Ended(run.now, "a/undo", 1, 1, "succeeded")
        run.journal.append(sim.encode(fact))
        run.state.apply(fact)
    else:  # what the person said is in the journal, and nobody has seen it
        said = ev.Resolved(run.now, "a", "undo", "me")
        run.journal.append(sim.encode(said))
        run.state.apply(said)
    after = run.crash()
    assert after.running == (["a"] if ended else ["a/undo"])
    after.run()
    assert after.state.status == "succeeded"
    assert after.performed.count("a") == 1


def test_an_undo_of_a_doubt_may_be_in_doubt_itself() -> None:
    run = Simulation(plan(step("a"))).start().end("a", "in_doubt")
    resolve(run, "a", "undo").end("a/undo", "in_doubt")
    assert run.decision.doubts == ("a/undo",)
    resolve(run, "a/undo", "done")
    assert run.running == ["a"]


def test_a_cancel_waits_until_a_doubt_is_taken_back() -> None:
    run = Simulation(plan(step("a"))).start().end("a", "in_doubt")
    resolve(run, "a", "undo")
    run.turn(arrived=(ev.CancelRequested(run.now, "me"),))
    assert run.state.finished is None
    run.end("a/undo")
    assert run.state.status == "cancelled"
    assert run.running == []


def test_what_was_done_after_a_failed_undo_of_a_doubt_can_be_taken_back() -> None:
    run = Simulation(whole(step("a"), step("z")), {"z": "failed"}).start().end("a", "in_doubt")
    run.outcomes["a/undo"] = "failed"
    resolve(run, "a", "undo").run()
    run.outcomes["a/undo"] = "succeeded"
    resolve(run, "a", "done").run()
    assert run.state.status == "rolled_back"
