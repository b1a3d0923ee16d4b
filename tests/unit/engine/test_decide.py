"""What follows from what happened, for every form of step."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from aiworkflow.bundle.workflow import Assign, Each, Effect, Kind, OnError
from aiworkflow.engine import Bounds, Failure, Inline
from aiworkflow.engine import events as ev

_spec = importlib.util.spec_from_file_location("simulate", Path(__file__).with_name("simulate.py"))
assert _spec is not None
assert _spec.loader is not None
simulate = importlib.util.module_from_spec(_spec)
sys.modules["simulate"] = simulate
_spec.loader.exec_module(simulate)
Simulation, expression, group, plan, step = (
    simulate.Simulation,
    simulate.expression,
    simulate.group,
    simulate.plan,
    simulate.step,
)


def each(width: int | None = None, **more: object) -> Each:
    return Each(expression("inputs.items"), max_parallel=width, **more)  # type: ignore[arg-type]


# -- order ----------------------------------------------------------------------------------------


def test_steps_run_in_order_one_after_the_other() -> None:
    run = Simulation(plan(step("a"), step("b"), step("c"))).start()
    assert run.running == ["a"]
    run.end("a")
    assert run.running == ["b"]
    run.end("b").end("c")
    assert run.state.status == "succeeded"


def test_needs_replaces_the_order() -> None:
    run = Simulation(
        plan(step("a"), step("b"), step("c", after=("a",)), step("d", after=("b", "c")))
    )
    run.start().end("a")
    assert sorted(run.running) == ["b", "c"]
    run.end("c")
    assert run.running == ["b"]
    run.end("b")
    assert run.running == ["d"]


def test_the_intent_of_a_step_shares_its_append_with_the_end_of_the_one_before() -> None:
    run = Simulation(plan(step("a"), step("b"))).start().end("a")
    assert [type(event) for event in run.decision.events] == [ev.Ended, ev.Started]


def test_no_more_attempts_run_at_once_than_the_bounds_allow() -> None:
    steps = [step(f"s{n}") for n in range(10)]
    run = Simulation(plan(*steps, parallel=True), bounds=Bounds(8, 3, 100)).start()
    assert len(run.running) == 3
    assert len([e for e in run.decision.events if isinstance(e, ev.Started)]) == 3
    run.end("s0")
    assert run.running == ["s1", "s2", "s3"]


# -- if, else, finally ----------------------------------------------------------------------------


def branching() -> object:
    return plan(
        step("a", condition="inputs.x"),
        step("b", after=("a",), otherwise=("a",), condition="inputs.y"),
        step("c", after=("a", "b"), otherwise=("a", "b")),
        step("d", after=("c",)),
    )


@pytest.mark.parametrize(
    ("x", "y", "ran"),
    [(True, True, ["a", "d"]), (False, True, ["b", "d"]), (False, False, ["c", "d"])],
)
def test_exactly_one_branch_of_a_chain_runs(x: bool, y: bool, ran: list[str]) -> None:
    run = Simulation(branching(), answers={("if", "a"): x, ("if", "b"): y}).run()
    assert run.performed == ran
    assert run.state.status == "succeeded"


def test_a_branch_that_lost_says_why_it_was_skipped() -> None:
    run = Simulation(branching(), answers={("if", "a"): True}).run()
    assert run.state.instances["b"].because == "else"
    assert run.state.instances["c"].because == "else"
    run = Simulation(branching(), answers={("if", "a"): False, ("if", "b"): True}).run()
    assert run.state.instances["a"].because == "if"


def test_a_condition_that_cannot_be_evaluated_fails_the_step() -> None:
    failure = Failure("expression", "`x` is not defined")
    run = Simulation(branching(), answers={("if", "a"): failure}).run()
    assert run.state.status == "failed"
    assert run.state.finished.error == Failure("expression", "`x` is not defined", step="a")
    assert run.performed == []


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_finals_run_in_order_after_success_and_failure(outcome: str) -> None:
    run = Simulation(
        plan(step("a"), step("b"), step("f", final=True), step("g", final=True, after=("f",))),
        outcomes={"a": outcome},
    ).run()
    assert run.performed[-2:] == ["f", "g"]
    assert run.state.status == outcome
    assert ("b" in run.performed) == (outcome == "succeeded")


def test_a_final_never_hides_the_first_error() -> None:
    run = Simulation(
        plan(step("a"), step("f", final=True)), outcomes={"a": "failed", "f": "failed"}
    ).run()
    assert run.state.finished.error.step == "a"


def test_a_final_that_fails_fails_a_run_that_went_well() -> None:
    run = Simulation(
        plan(step("a"), step("f", final=True), step("g", final=True, after=("f",))),
        outcomes={"f": "failed"},
    ).run()
    assert run.state.status == "failed"
    assert run.state.finished.error.step == "f"
    assert run.performed == ["a", "f", "g"]


# -- failure --------------------------------------------------------------------------------------


def test_after_a_failure_nothing_new_starts() -> None:
    run = Simulation(plan(step("a"), step("b")), outcomes={"a": "failed"}).run()
    assert run.performed == ["a"]
    assert run.state.status == "failed"
    assert run.state.finished.error.message == "a failed"


def test_continue_lets_the_next_step_run() -> None:
    run = Simulation(
        plan(step("a", on_error=OnError.CONTINUE), step("b")), outcomes={"a": "failed"}
    ).run()
    assert run.statuses == {"a": "failed", "b": "succeeded"}
    assert run.state.status == "succeeded"


def test_a_failure_cancels_running_reads_and_lets_writes_finish() -> None:
    run = Simulation(
        plan(
            step("a"),
            step("r"),
            step("w", effect=Effect.WRITE),
            step("i", effect=Effect.IDEMPOTENT),
            parallel=True,
        )
    ).start()
    run.end("a", "failed")
    assert sorted(run.cancelled) == ["i", "r"]
    run.end("r", "cancelled").end("i", "cancelled")
    assert run.state.finished is None
    run.end("w")
    assert run.state.status == "failed"
    assert run.status("w") == "succeeded"


def test_a_failure_in_a_group_fails_the_group_and_names_the_step() -> None:
    run = Simulation(
        plan(*group("g", step("x", parent="g")), step("b")), outcomes={"g.x": "failed"}
    ).run()
    assert run.statuses == {"g.x": "failed", "g": "failed"}
    assert run.state.finished.error.step == "g.x"


def test_a_group_that_continues_does_not_stop_the_run() -> None:
    run = Simulation(
        plan(*group("g", step("x", parent="g"), on_error=OnError.CONTINUE), step("b")),
        outcomes={"g.x": "failed"},
    ).run()
    assert run.statuses == {"g.x": "failed", "g": "failed", "b": "succeeded"}


# -- parallel -------------------------------------------------------------------------------------


def race(enough: int | None, **settings: object) -> object:
    steps = [step(name, parent="g") for name in "xyz"]
    return plan(*group("g", *steps, parallel=True, enough=enough, **settings), step("after"))


def test_a_parallel_group_starts_all_and_waits_for_all() -> None:
    run = Simulation(race(None)).start()
    assert run.running == ["g.x", "g.y", "g.z"]
    run.end("g.y").end("g.x")
    assert run.status("g") == "running"
    run.end("g.z")
    assert run.running == ["after"]


def test_any_ends_with_the_first_success_and_cancels_the_rest() -> None:
    run = Simulation(race(1)).start().end("g.y")
    assert sorted(run.cancelled) == ["g.x", "g.z"]
    run.end("g.x", "cancelled").end("g.z", "cancelled")
    assert run.status("g") == "succeeded"
    assert run.running == ["after"]


def test_any_survives_failures_while_one_can_succeed() -> None:
    run = Simulation(race(1)).start().end("g.x", "failed").end("g.y", "failed")
    assert run.status("g") == "running"
    run.end("g.z")
    assert run.status("g") == "succeeded"


def test_any_fails_when_none_can_succeed() -> None:
    run = Simulation(race(1), outcomes=dict.fromkeys(["g.x", "g.y", "g.z"], "failed")).run()
    assert run.state.status == "failed"
    assert "1 steps were to succeed, and only 0 can" in run.state.finished.error.message


def test_a_majority_of_three_is_two() -> None:
    run = Simulation(race(-1)).start().end("g.x")
    assert run.cancelled == []
    run.end("g.z")
    assert run.cancelled == ["g.y"]


def test_a_number_that_can_no_longer_be_reached_stops_the_group() -> None:
    run = Simulation(race(2)).start().end("g.x", "failed").end("g.y", "failed")
    assert run.cancelled == ["g.z"]
    run.end("g.z", "cancelled")
    assert run.state.status == "failed"


# -- each -----------------------------------------------------------------------------------------


def items(*values: object) -> dict[tuple[str, str], list[object]]:
    return {("each", "e"): list(values)}


def test_each_runs_one_instance_per_item_within_its_width() -> None:
    run = Simulation(plan(step("e", each=each(2)), step("z")), answers=items(1, 2, 3)).start()
    assert run.running == ["e[0]", "e[1]"]
    run.end("e[1]")
    assert run.running == ["e[0]", "e[2]"]
    run.end("e[0]").end("e[2]")
    assert run.status("e") == "succeeded"
    assert run.running == ["z"]


def test_items_are_no_instances_until_they_start() -> None:
    run = Simulation(plan(step("e", each=each(1))), answers=items(*range(1000))).start()
    assert len(run.state.instances) == 3


def test_each_over_an_empty_list_succeeds_at_once() -> None:
    run = Simulation(plan(step("e", each=each()), step("z")), answers=items()).run()
    assert run.statuses == {"e": "succeeded", "z": "succeeded"}


def test_an_item_that_fails_stops_the_others() -> None:
    run = Simulation(
        plan(step("e", each=each(1)), step("z")),
        answers=items(1, 2, 3),
        outcomes={"e[1]": "failed"},
    ).run()
    assert run.performed == ["e[0]", "e[1]"]
    assert run.state.finished.error.step == "e[1]"


def test_with_continue_every_item_runs_and_the_step_tells_of_the_failure() -> None:
    run = Simulation(
        plan(step("e", each=each(1), on_error=OnError.CONTINUE), step("z")),
        answers=items(1, 2, 3),
        outcomes={"e[1]": "failed"},
    ).run()
    assert run.performed == ["e[0]", "e[1]", "e[2]", "z"]
    assert run.status("e") == "failed"
    assert run.state.status == "succeeded"


def test_a_list_longer_than_max_items_fails_the_step() -> None:
    run = Simulation(plan(step("e", each=each(max_items=2))), answers=items(1, 2, 3)).run()
    assert run.performed == []
    assert run.state.finished.error.kind == "limit"
    assert "more than the 2" in run.state.finished.error.message


def test_a_condition_that_names_the_item_is_asked_for_each() -> None:
    run = Simulation(
        plan(step("e", each=each(), condition="item", per_item=True)),
        answers={**items(1, 2), ("if", "e[0]"): False, ("if", "e[1]"): True},
    ).run()
    assert run.statuses == {"e": "succeeded", "e[0]": "skipped", "e[1]": "succeeded"}


def test_pacing_spreads_the_starts_of_items() -> None:
    run = Simulation(
        plan(step("e", each=each(9, rate=(2, 60.0)))), answers=items(1, 2, 3), now=1000.0
    ).start()
    assert run.running == ["e[0]"]
    assert run.decision.wake_at == pytest.approx(1030.0)
    run.now = 1030.0
    run.turn()
    assert run.running == ["e[0]", "e[1]"]
    assert run.decision.wake_at == pytest.approx(1060.0)


def test_a_group_runs_whole_for_each_item() -> None:
    body = [step("x", parent="e"), step("y", parent="e", after=("x",))]
    run = Simulation(plan(*group("e", *body, each=each(1))), answers=items("a", "b")).run()
    assert run.performed == ["e[0].x", "e[0].y", "e[1].x", "e[1].y"]
    assert run.state.status == "succeeded"


# -- until ----------------------------------------------------------------------------------------


def rounds(most: int = 3, **answers: object) -> object:
    built = plan(*group("u", step("d", parent="u"), until="x", max_rounds=most), step("z"))
    return Simulation(built, answers={("until", "u"): lambda s: answers["when"](s)})


def test_until_is_asked_after_each_round() -> None:
    run = rounds(when=lambda s: s.state.instances["u"].count == 2).run()
    assert run.performed == ["u#1.d", "u#2.d", "z"]
    assert run.status("u") == "succeeded"


def test_reaching_max_rounds_is_a_failure() -> None:
    run = rounds(when=lambda s: False).run()
    assert run.performed == ["u#1.d", "u#2.d", "u#3.d"]
    assert run.state.finished.error.kind == "rounds"
    assert run.state.finished.error.message == "`until` was not reached in 3 rounds"


def test_a_failure_in_a_round_ends_the_until() -> None:
    built = plan(*group("u", step("d", parent="u"), until="x", max_rounds=3))
    run = Simulation(built, outcomes={"u#1.d": "failed"}).run()
    assert run.statuses == {"u": "failed", "u#1": "failed", "u#1.d": "failed"}


# -- time, cancel ---------------------------------------------------------------------------------


def test_a_run_that_takes_too_long_is_stopped_and_everything_in_it() -> None:
    built = plan(step("w", effect=Effect.WRITE), step("f", final=True), timeout_s=60)
    run = Simulation(built).start()
    assert run.decision.wake_at == 1060.0
    run.now = 1060.0
    run.turn()
    assert run.cancelled == ["w"]
    run.end("w", "cancelled")
    assert run.running == ["f"]
    run.end("f")
    assert run.state.finished.error.kind == "timeout"


def test_the_timeout_of_a_group_bounds_the_group() -> None:
    built = plan(
        *group("g", step("x", parent="g"), timeout_s=5, on_error=OnError.CONTINUE), step("z")
    )
    run = Simulation(built).start()
    run.now = 1005.0
    run.turn()
    assert run.cancelled == ["g.x"]
    run.end("g.x", "cancelled")
    assert run.status("g") == "failed"
    assert run.running == ["z"]


def cancelled(run: object) -> object:
    run.turn(ev.CancelRequested(run.now, "ada", "enough"))
    return run


def test_cancel_ends_everything_but_the_finals() -> None:
    built = plan(step("a", effect=Effect.WRITE), step("b"), step("f", final=True))
    run = cancelled(Simulation(built).start())
    assert run.cancelled == ["a"]
    run.end("a", "cancelled")
    assert run.running == ["f"]
    run.end("f")
    assert run.state.status == "cancelled"
    assert run.state.finished.error.message == "cancelled by ada: enough"
    assert "b" not in run.statuses


def test_cancel_of_nested_groups_stops_them_all() -> None:
    built = plan(
        *group("g", *group("h", step("x", parent="h"), parent="g"), parallel=True), step("z")
    )
    run = cancelled(Simulation(built).start()).end("g.h.x", "cancelled")
    assert run.statuses == {"g": "cancelled", "g.h": "cancelled", "g.h.x": "cancelled"}
    assert run.state.status == "cancelled"


def test_a_cancel_after_the_end_changes_nothing() -> None:
    run = cancelled(Simulation(plan(step("a"))).run())
    assert run.state.status == "succeeded"


def test_what_waits_for_a_slot_is_dropped_when_the_group_stops() -> None:
    steps = [step(name, parent="g") for name in "xyz"]
    built = plan(*group("g", *steps, parallel=True))
    run = Simulation(built, bounds=Bounds(8, 1, 100)).start().end("g.x", "failed")
    assert run.state.status == "failed"
    assert run.performed == ["g.x"]


# -- doubt ----------------------------------------------------------------------------------------


def doubtful() -> object:
    built = plan(step("w", effect=Effect.WRITE), step("z"))
    return Simulation(built).start().end("w", "in_doubt", error=Failure("timeout", "?"))


def test_an_attempt_in_doubt_waits_for_a_person() -> None:
    run = doubtful()
    assert run.decision.doubts == ("w",)
    assert run.running == []
    assert run.state.finished is None


@pytest.mark.parametrize(
    ("outcome", "status", "running"),
    [("done", "succeeded", ["z"]), ("redo", "running", ["w"]), ("failed", "failed", [])],
)
def test_a_person_settles_a_doubt(outcome: str, status: str, running: list[str]) -> None:
    run = doubtful()
    run.turn(arrived=(ev.Resolved(run.now, "w", outcome, "ada"),))
    assert run.status("w") == status
    assert run.running == running


def test_redo_uses_the_same_visit_key_and_arguments() -> None:
    run = doubtful()
    first = run.state.instances["w"].key
    run.asked.clear()
    run.turn(arrived=(ev.Resolved(run.now, "w", "redo", "ada"),))
    again = run.state.instances["w"]
    assert (again.visit, again.attempt, again.key) == (1, 2, first)
    assert run.asked == []


def test_a_doubt_does_not_hold_up_a_cancel() -> None:
    run = cancelled(doubtful())
    assert run.state.status == "cancelled"
    assert run.status("w") == "in_doubt"


# -- state ----------------------------------------------------------------------------------------


def assign(id_: str, *names: str, **more: object) -> object:
    return step(id_, kind=Kind.ASSIGN, action=Assign(dict.fromkeys(names, "x")), **more)


CHANNELS = {
    "log": ("append", None, None, None),
    "sum": ("sum", None, None, None),
    "own": ("tool", None, None, "merge.best"),
}


def test_set_reduces_its_operands_into_the_state() -> None:
    run = Simulation(
        plan(assign("a", "sum"), assign("b", "sum", after=("a",))),
        answers={("set", "a"): {"sum": 2}, ("set", "b"): {"sum": 3}},
        channels=CHANNELS,
    ).run()
    assert run.state.root.scope.values["sum"] == 5
    assert run.performed == []


def test_an_operand_that_does_not_fit_fails_the_step() -> None:
    run = Simulation(
        plan(assign("a", "sum")), answers={("set", "a"): {"sum": "two"}}, channels=CHANNELS
    ).run()
    assert run.state.status == "failed"
    assert run.state.finished.error.kind == "state"
    assert "`sum` takes numbers, not text" in run.state.finished.error.message


def forked() -> object:
    body = [step("x", parent="e"), assign("s", "log", parent="e", after=("x",))]
    answers: dict[tuple[str, str], object] = {("each", "e"): ["a", "b", "c"]}
    answers |= {("set", f"e[{n}].s"): {"log": n} for n in range(3)}
    return Simulation(plan(*group("e", *body, each=each(3))), answers=answers, channels=CHANNELS)


def test_parallel_writes_merge_in_item_order_whatever_order_they_end_in() -> None:
    run = forked().start()
    run.end("e[2].x").end("e[0].x").end("e[1].x")
    assert run.state.root.scope.values["log"] == [0, 1, 2]


def test_a_branch_sees_its_own_writes_and_not_those_of_others() -> None:
    run = forked().start().end("e[2].x")
    assert run.state.instances["e[2]"].scope.values["log"] == [2]
    assert run.state.instances["e[0]"].scope.values["log"] == []
    assert run.state.root.scope.values["log"] == []


def test_a_loop_in_order_shares_the_state() -> None:
    body = [assign("s", "log", parent="e")]
    answers = {
        ("each", "e"): ["a", "b"],
        ("set", "e[0].s"): {"log": 0},
        ("set", "e[1].s"): {"log": 1},
    }
    run = Simulation(
        plan(*group("e", *body, each=each(1))), answers=answers, channels=CHANNELS
    ).run()
    assert run.state.root.scope.values["log"] == [0, 1]


def test_a_reducer_in_tools_runs_as_a_recorded_step() -> None:
    run = Simulation(
        plan(assign("a", "own"), step("z", after=("a",))),
        answers={("given", "a"): {"operands": {"own": 4}, "given": {"own": 44}}},
        channels=CHANNELS,
    ).start()
    assert run.running == ["a"]
    run.end("a", output=Inline({"own": 44}))
    assert run.state.root.scope.values["own"] == 44
    assert run.running == ["z"]


def test_a_join_runs_its_reducer_in_tools_once() -> None:
    built = plan(
        *group("g", assign("p", "own", parent="g"), assign("q", "own", parent="g"), parallel=True)
    )
    given = lambda path, n: {("given", path): {"operands": {"own": n}, "given": {"own": n}}}  # noqa: E731
    run = Simulation(
        built,
        answers={**given("g.p", 1), **given("g.q", 2), ("merged", "g/join"): {"own": 99}},
        channels=CHANNELS,
    ).run()
    assert run.performed == ["g.p", "g.q", "g/join"]
    assert run.state.root.scope.values["own"] == 99
    assert run.state.status == "succeeded"


def test_a_fork_that_fails_while_the_run_goes_on_keeps_what_its_branches_gave() -> None:
    of_group = group(
        "g",
        assign("p", "own", parent="g"),
        step("bad", parent="g"),
        parallel=True,
        on_error=OnError.CONTINUE,
    )
    of_items = assign("e", "sum", after=("g",), each=each(), on_error=OnError.CONTINUE)
    run = Simulation(
        plan(*of_group, of_items),
        answers={
            ("given", "g.p"): {"operands": {"own": 1}, "given": {"own": 1}},
            ("merged", "g/join"): {"own": 99},
            ("each", "e"): [1, 2, 3],
            ("set", "e[0]"): {"sum": 1},
            ("set", "e[1]"): Failure("expression", "no"),
            ("set", "e[2]"): {"sum": 2},
        },
        channels=CHANNELS,
        outcomes={"g.bad": "failed"},
    ).run()
    assert run.statuses["g"] == run.statuses["e"] == "failed"
    assert run.state.root.scope.values["own"] == 99
    assert run.state.root.scope.values["sum"] == 3
    assert run.state.status == "succeeded"


def test_a_reducer_that_fails_fails_the_join() -> None:
    built = plan(*group("g", assign("p", "own", parent="g"), parallel=True))
    run = Simulation(
        built,
        answers={("given", "g.p"): {"operands": {"own": 1}, "given": {"own": 1}}},
        channels=CHANNELS,
        outcomes={"g/join": "failed"},
    ).run()
    assert run.state.status == "failed"


# -- results --------------------------------------------------------------------------------------


def test_a_result_that_cannot_be_computed_fails_the_group() -> None:
    built = plan(*group("g", step("x", parent="g"), has_result=True))
    run = Simulation(built, answers={("result", "g"): Failure("expression", "no")}).run()
    assert run.state.status == "failed"
    assert run.state.finished.error == Failure("expression", "no", step="g")


def test_outputs_that_cannot_be_computed_fail_the_run() -> None:
    run = Simulation(plan(step("a")), answers={("outputs", ""): Failure("expression", "no")}).run()
    assert run.state.status == "failed"


# -- taking a run up ------------------------------------------------------------------------------


def test_a_read_whose_driver_died_is_done_again_with_the_same_key() -> None:
    run = Simulation(plan(step("a"), step("b"))).start()
    key = run.state.instances["a"].key
    after = run.crash()
    assert after.running == ["a"]
    assert after.state.instances["a"].attempt == 2
    assert after.state.instances["a"].key == key
    assert after.asked == []


def test_a_write_whose_driver_died_is_in_doubt() -> None:
    after = Simulation(plan(step("a", effect=Effect.WRITE), step("b"))).start().crash()
    assert after.running == []
    assert after.decision.doubts == ("a",)
    assert after.status("a") == "in_doubt"


def test_what_was_finished_is_not_done_again() -> None:
    after = Simulation(plan(step("a"), step("b"))).start().end("a").crash()
    assert after.running == ["b"]


def test_a_failed_run_is_resumed_from_what_failed_as_a_new_visit() -> None:
    run = Simulation(plan(step("a"), step("b"), step("c")), outcomes={"b": "failed"}).run()
    key = run.state.instances["b"].key
    after = run.crash()
    after.outcomes = {}
    after.run()
    assert after.performed == ["b", "c"]
    assert after.state.status == "succeeded"
    assert after.state.instances["b"].visit == 2
    assert after.state.instances["b"].key != key


def test_a_resumed_run_does_its_finals_anew() -> None:
    built = plan(step("a"), step("f", final=True))
    after = Simulation(built, outcomes={"a": "failed"}).run().crash()
    after.outcomes = {}
    after.run()
    assert after.performed == ["a", "f"]
    assert after.state.status == "succeeded"


def test_only_the_items_that_failed_are_done_again() -> None:
    run = Simulation(
        plan(step("e", each=each(3))), answers=items(1, 2, 3), outcomes={"e[1]": "failed"}
    )
    run.start().end("e[0]").end("e[2]").end("e[1]", "failed")
    assert run.state.status == "failed"
    after = run.crash()
    after.outcomes = {}
    after.run()
    assert after.performed == ["e[1]"]
    assert after.state.status == "succeeded"


def test_a_step_that_was_let_fail_stays_failed_in_a_resume() -> None:
    built = plan(step("a", on_error=OnError.CONTINUE), step("b"))
    after = Simulation(built, outcomes={"a": "failed", "b": "failed"}).run().crash()
    after.outcomes = {}
    after.run()
    assert after.statuses == {"a": "failed", "b": "succeeded"}


def test_a_cancel_that_came_while_nobody_drove_is_carried_out() -> None:
    run = Simulation(plan(step("a"), step("f", final=True))).start()
    run.journal.append(simulate.encode(ev.CancelRequested(run.now, "ada")))
    after = run.crash()
    assert after.running == ["f"]
    after.end("f")
    assert after.state.status == "cancelled"


def test_a_resolution_that_came_while_nobody_drove_is_used() -> None:
    run = doubtful()
    run.journal.append(simulate.encode(ev.Resolved(run.now, "w", "done", "ada", Inline(1))))
    after = run.crash()
    assert after.running == ["z"]


def test_facts_that_went_in_alone_are_followed_up() -> None:
    run = Simulation(plan(step("a"), step("b"))).start()
    run.journal.append(
        simulate.encode(ev.Ended(run.now, "a", 1, 1, "failed", error=Failure("exit", "x")))
    )
    after = run.crash()
    assert after.state.status == "failed"


def test_a_released_attempt_begins_again_without_new_questions() -> None:
    run = Simulation(plan(step("a"))).start()
    run.running.clear()
    run.asked.clear()
    run.turn(ev.Released(run.now, "a"))
    assert run.running == ["a"]
    assert run.asked == []


def test_attempts_of_this_process_go_on_when_the_desk_is_made_anew() -> None:
    run = Simulation(plan(step("a", effect=Effect.WRITE), step("b"))).start()
    run.decider.adopt({"a"})
    run.turn()
    assert run.performed == ["a"]
    run.end("a")
    assert run.running == ["b"]
