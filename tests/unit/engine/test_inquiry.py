"""Questions of attempts: who asked was not told before the decision to is durable."""

from __future__ import annotations

from typing import Any

import pytest

from aiworkflow.bundle.workflow import Effect
from aiworkflow.engine import Failure, Inline, encode
from aiworkflow.engine import events as ev
from tests.unit.engine.simulate import Simulation, group, plan, step
from tests.unit.engine.test_calls import agents


def ask(run: Simulation, path: str = "a", question: str = "q1", **more: Any) -> Simulation:
    one = run.state.instances[path]
    assert one.parent is not None
    opened = ev.Opened(
        run.now, path, one.node, one.parent.path, "ask", one.visit, Inline({}),
        question=question, **more,
    )  # fmt: skip
    run.turn(opened)
    return run


def asking(**settings: Any) -> Simulation:
    settings.setdefault("effect", Effect.DESTRUCTIVE)
    return ask(Simulation(plan(step("a", **settings), step("b"))).start())


def replies(run: Simulation, path: str = "a") -> list[tuple[str, bool]]:
    return [(one.question, one.told) for one in run.state.instances[path].replies]


def test_an_answer_is_handed_to_the_attempt_that_goes_on() -> None:
    run = asking()
    assert run.decision.waits == ("a",)
    assert (run.status("a"), run.decision.idle) == ("running", False)
    run.reply("a", "answer", data={"n": 1})
    assert (run.decision.waits, run.performed) == ((), ["a"])
    assert replies(run) == [("q1", True)]
    run.end("a")
    assert run.running == ["b"]


def test_an_attempt_that_ends_to_wait_holds_no_process() -> None:
    run = asking()
    run.end("a", "waiting")
    assert (run.status("a"), run.decision.idle, run.decision.waits) == ("waiting", True, ("a",))
    run.reply("a", "answer")
    assert run.running == ["a"]
    assert run.state.instances["a"].attempt == 2
    assert replies(run) == [("q1", False)]


@pytest.mark.parametrize("effect", list(Effect))
def test_killed_while_it_asked_is_no_doubt(effect: Effect) -> None:
    after = asking(effect=effect).crash()
    assert (after.status("a"), after.decision.waits) == ("waiting", ("a",))
    assert after.decision.idle
    after.reply("a", "answer")
    assert after.running == ["a"]


def test_what_was_lost_while_it_asked_counts_as_what_it_had_reserved() -> None:
    after = ask(Simulation(plan(step("a"))).start())
    after.state.instances["a"].reserved(0.4, 100)
    after.turn(ev.Ended(after.now, "a", 1, 1, "waiting", error=Failure("lost", "gone", step="a")))
    assert after.state.root.purse.usd == 0.4
    assert after.state.instances["a"].error is None


def test_answered_after_the_kill_was_never_told() -> None:
    run = asking()
    answered = ev.Answered(run.now, "a", 1, "answer", "anna")
    run.journal.append(encode(answered))
    after = run.crash()
    assert after.running == ["a"]
    assert replies(after) == [("q1", False)]


def test_killed_after_it_was_told_is_in_doubt_like_any_write() -> None:
    after = asking().reply("a", "answer").crash()
    assert after.status("a") == "in_doubt"
    after.turn(arrived=(ev.Resolved(after.now, "a", "redo", "anna"),))
    assert after.running == ["a"]
    assert replies(after) == [("q1", True)]


def test_an_answer_that_is_faster_than_the_end_is_kept_for_the_next() -> None:
    run = asking()
    run.reply("a", "answer")
    run.end("a", "waiting")
    assert run.running == ["a"]
    assert replies(run) == [("q1", False)]


def test_nobody_says_anything_in_time() -> None:
    run = ask(Simulation(plan(step("a"))).start(), due=1010.0)
    run.now = 1011.0
    run.turn()
    assert replies(run) == [("q1", True)]  # the attempt is told so
    run = ask(Simulation(plan(step("a"))).start(), due=1010.0)
    run.end("a", "waiting")
    run.now = 1011.0
    run.turn()
    assert run.state.finished.error.kind == "expired"


def test_a_deadline_around_it_stands_still() -> None:
    run = Simulation(plan(step("a"), timeout_s=20.0)).start()
    ask(run)
    run.now = 1100.0
    run.turn()
    assert run.cancelled == []
    run.reply("a", "answer")
    run.now = 1119.0
    run.turn()
    assert run.cancelled == []
    run.now = 1121.0
    run.turn()
    assert run.cancelled == ["a"]


def test_what_is_stopping_asks_no_longer() -> None:
    nodes = group(
        "g", step("a", parent="g", effect=Effect.WRITE), step("b", parent="g"), parallel=True
    )
    run = Simulation(plan(*nodes)).start()
    ask(run, "g.a")
    run.end("g.b", "failed")
    assert run.cancelled == ["g.a"]
    run.end("g.a", "cancelled")
    assert run.decision.waits == ()
    assert run.state.status == "failed"
    run = Simulation(plan(*nodes)).start()
    ask(run, "g.a").end("g.a", "waiting")
    run.end("g.b", "failed")
    assert (run.status("g.a"), run.decision.waits) == ("cancelled", ())


def test_a_cancel_ends_what_was_killed_while_it_asked() -> None:
    after = asking().crash()
    after.turn(arrived=(ev.CancelRequested(after.now, "anna"),))
    assert after.state.status == "cancelled"


# -- calls ----------------------------------------------------------------------------------------


def test_a_step_waits_for_what_its_call_asks() -> None:
    sim = ask(agents().call(1, "board.write", None), "ask/call[1]")
    sim.turn(ev.Ended(sim.now, "ask/call[1]", 1, 1, "waiting"))
    sim.end("ask", "waiting")
    assert (sim.status("ask"), sim.decision.idle) == ("waiting", True)
    assert sim.decision.waits == ("ask/call[1]",)
    for run in (sim.crash(), sim):
        run.reply("ask/call[1]", "answer")
        assert run.running == ["ask"]
        assert replies(run, "ask/call[1]") == [("q1", False)]


def test_a_step_goes_on_when_all_its_calls_are_answered() -> None:
    sim = agents().call(1, "board.write", None).call(2, "board.write", None)
    ask(ask(sim, "ask/call[1]"), "ask/call[2]")
    after = sim.crash()
    assert after.decision.waits == ("ask/call[1]", "ask/call[2]")
    after.reply("ask/call[1]", "answer")
    assert after.running == []
    after.reply("ask/call[2]", "answer")
    assert after.running == ["ask"]


def test_another_write_that_was_under_way_is_in_doubt_and_the_question_stays() -> None:
    sim = agents().call(1, "board.write", None).call(2, "board.write", None)
    after = ask(sim, "ask/call[1]").crash()
    assert after.decision.doubts == ("ask/call[2]",)
    assert after.decision.waits == ("ask/call[1]",)
    after.reply("ask/call[1]", "answer")
    assert after.running == []
    after.turn(arrived=(ev.Resolved(after.now, "ask/call[2]", "done", "anna"),))
    assert after.running == ["ask"]


def test_any_kill_ends_as_without_it() -> None:
    whole = asking(effect=Effect.READ)
    whole.reply("a", "answer")
    whole.end("a").end("b")
    assert whole.state.status == "succeeded"
    for keep in range(1, len(whole.journal)):
        after = whole.crash(keep)
        for _ in range(10):
            if after.decision.waits:
                after.reply("a", "answer")
            elif after.running:
                after.end(after.running[0])
        assert after.state.status == "succeeded", keep
