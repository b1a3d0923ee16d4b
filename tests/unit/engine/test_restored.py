"""A run of a journal that was restored: what it does first may have been done after the backup."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.bundle.policies import Retry
from aiworkflow.bundle.workflow import Effect, OnError
from aiworkflow.engine import Inline, decode
from aiworkflow.engine import events as ev

_spec = importlib.util.spec_from_file_location("simulate9", Path(__file__).with_name("simulate.py"))
assert _spec is not None
assert _spec.loader is not None
sim = importlib.util.module_from_spec(_spec)
sys.modules["simulate9"] = sim
_spec.loader.exec_module(sim)
Simulation, group, plan = sim.Simulation, sim.group, sim.plan


def write(id_: str, *, check: bool = False, **more: Any) -> Any:
    if check:
        more["check"] = sim.step(id_)
    return sim.step(id_, effect=Effect.WRITE, **more)


def resolved(run: Any, path: str, outcome: str) -> Any:
    run.turn(arrived=(ev.Resolved(run.now, path, outcome, "me"),))
    return run


def test_a_write_that_the_journal_does_not_know_is_in_doubt() -> None:
    before = Simulation(plan(sim.step("a"), write("b"), sim.step("c"))).start()
    after = before.crash(restored=True)
    assert after.running == ["a"]  # a read is done again
    after.end("a")
    assert after.running == []
    assert after.decision.doubts == ("b",)
    assert after.decision.idle
    error = after.state.instances["b"].error
    assert error.kind == "restored"
    assert "restored from a backup" in error.message
    assert resolved(after, "b", "done").running == ["c"]


def test_what_did_not_happen_is_done_with_the_same_key() -> None:
    after = Simulation(plan(write("b"))).start().crash(1, restored=True)
    key = after.state.instances["b"].key
    resolved(after, "b", "redo")
    assert after.running == ["b"]
    assert after.state.instances["b"].key == key
    after.end("b")
    assert after.state.status == "succeeded"


def test_what_is_tried_again_afterwards_is_no_new_doubt() -> None:
    retry = Retry(2)
    after = Simulation(plan(write("b", retry=retry))).start().crash(1, restored=True)
    resolved(after, "b", "redo")
    after.end("b", "failed")
    after.now += 60
    after.turn()
    assert after.running == ["b"]


def test_an_idempotent_step_is_done_again() -> None:
    one = sim.step("a", effect=Effect.IDEMPOTENT)
    after = Simulation(plan(one)).start().crash(1, restored=True)
    assert after.running == ["a"]


def test_a_tool_that_can_look_is_asked() -> None:
    nodes = [write("a", check=True), write("b", check=True)]
    after = Simulation(plan(*nodes)).start().crash(1, restored=True)
    assert after.running == ["a/check"]
    after.end("a/check", output=Inline({"id": 7}))
    assert after.running == ["b/check"]
    after.end("b/check", output=Inline(None))
    assert after.running == ["b"]


def test_each_visit_is_in_doubt_also_after_another_crash() -> None:
    after = Simulation(plan(write("a"), write("b"))).start().crash(1, restored=True)
    again = resolved(after, "a", "done").crash()
    assert again.decision.doubts == ("b",)
    assert resolved(again, "b", "done").state.status == "succeeded"


def test_branches_are_asked_for_together() -> None:
    nodes = group("g", write("a", parent="g"), write("b", parent="g"), parallel=True)
    after = Simulation(plan(*nodes)).start().crash(1, restored=True)
    assert sorted(after.decision.doubts) == ["g.a", "g.b"]


def test_an_undo_may_have_been_done_too() -> None:
    import dataclasses

    node = write("a", undo=sim.step("a", effect=Effect.WRITE))
    made = plan(node, sim.step("b"))
    root = dataclasses.replace(made.nodes[""], on_error=OnError.ROLLBACK)
    made = dataclasses.replace(made, nodes={**made.nodes, "": root})
    before = Simulation(made, {"b": "failed"}).start().end("a")
    after = before.crash(restored=True).run()
    assert after.decision.doubts == ("a/undo",)
    assert resolved(after, "a/undo", "done").state.status == "rolled_back"


def test_a_cancel_ends_it() -> None:
    after = Simulation(plan(write("a"))).start().crash(1, restored=True)
    after.turn(arrived=(ev.CancelRequested(after.now, "me"),))
    assert after.state.status == "cancelled"


@pytest.mark.parametrize("check", [False, True])
def test_at_no_cut_a_write_is_done_unasked(check: bool) -> None:
    nodes = [write(one, check=check) for one in "abcd"]
    whole = Simulation(plan(*nodes)).run()
    assert whole.state.status == "succeeded"
    for keep in range(1, len(whole.journal)):
        after = whole.crash(keep, restored=True)
        known = [decode(payload) for payload in after.journal[:keep]]
        asked = {one.path for one in known if isinstance(one, ev.Resolved)}
        while after.state.finished is None:
            unasked = {path for path in after.performed if "/" not in path} - asked
            assert not unasked, (keep, after.performed)
            if after.running:
                after.end(after.running[0], output=Inline("found"))
            else:
                (path,) = after.decision.doubts
                resolved(after, path, "done")
