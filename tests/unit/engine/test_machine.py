"""Anything may happen to a run in any order: it keeps its promises, never hangs, and comes to an end.

Attempts end or are lost, people answer, refuse and cancel, time passes, the driver dies before or after
its append, an intent is released. The model is simple: what the journal says has happened.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aiworkflow.bundle.policies import Budget, Goto
from aiworkflow.bundle.workflow import Effect, Kind, OnError
from aiworkflow.engine import Answer, Asked, Bounds, Failure, Inline, RunState, Spent, decode
from aiworkflow.engine import events as ev


def _load(name: str, file: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(file))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


crash = _load("crash7", "test_crash.py")
state_model = _load("state_model7", "state_model.py")
MOST_USD = 1.0
REAL_USD = 0.5


class Priced(crash.Calm):  # type: ignore[name-defined,misc]
    """Every attempt may cost a dollar, and costs half of one."""

    def answer(self, question: Any) -> Any:
        if question.about is Asked.ARGUMENTS:
            self.asked.append((str(question.about), question.path))
            return Answer(ref=Inline({}), usd=MOST_USD, tokens=10)
        return super().answer(question)

    def end(self, path: str, status: str = "succeeded", **details: Any) -> Any:
        costs = not path.endswith(("/check", "/undo"))  # a tool's calls cost nothing
        spent = Spent(1, 0, 1, REAL_USD) if costs else None
        return super().end(path, status, spent=spent, **details)

    def crash(self, keep: int | None = None) -> Any:
        after = Priced(self.plan, {}, self.answers, self.channels, self.bounds, self.now)
        after.journal = self.journal[:keep]
        for payload in after.journal:
            after.state.apply(decode(payload))
        reset, anew = after.decider.to_reset()
        after.turn(ev.RunResumed(self.now, 2, "me", reset, anew))
        return after


def with_goto(nodes: list[Any]) -> list[Any]:
    """The last step of the run goes back to the first one, if it fails; twice at most."""
    top = [node for node in nodes if node.parent == "" and not node.final]
    if len(top) < 2 or top[-1].on_error is not OnError.FAIL:
        return nodes
    back = dataclasses.replace(top[-1], on_error=OnError.GOTO, goto=Goto(top[0].id, 2))
    return [back if node is top[-1] else node for node in nodes]


class Runs(RuleBasedStateMachine):
    sim: Any = None

    @initialize(
        made=crash.plans(),
        writes=st.integers(0, 2**20),
        goes_back=st.booleans(),
        width=st.integers(1, 3),
        usd=st.sampled_from([None, None, 6.0, 40.0]),
    )
    def begin(self, made: Any, writes: int, goes_back: bool, width: int, usd: float | None) -> None:
        nodes = []
        for at, node in enumerate(made.nodes):
            kept = node
            if node.kind is Kind.SCRIPT and writes >> at & 1:
                look = crash.sim.step(node.id) if writes >> at & 2 else None
                kept = dataclasses.replace(node, effect=Effect.WRITE, check=look)
            nodes.append(kept)
        if goes_back:
            nodes = with_goto(nodes)
        plan = dataclasses.replace(made, nodes=nodes).plan
        bounds = Bounds(width, width, 100, Budget(usd) if usd is not None else None)
        self.usd = usd
        self.is_calm = usd is None  # nothing has failed, and nobody was against it
        self.sim = Priced(plan, {}, made.answers, crash.CHANNELS, bounds)
        self.sim.start()

    # -- what may happen --------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        return self.sim is None or self.sim.state.finished is not None

    @precondition(lambda self: not self.is_over and self.sim.running)
    @rule(at=st.integers(0, 9), status=st.sampled_from(["succeeded"] * 4 + ["failed", "in_doubt"]))
    def an_attempt_ends(self, at: int, status: str) -> None:
        path = self.sim.running[at % len(self.sim.running)]
        self.end(path, status)

    def end(self, path: str, status: str) -> None:
        run = self.sim
        if path in run.to_cancel:
            run.to_cancel.remove(path)
            status = "cancelled"
        is_write = run.state.instances[path].effect == "write"
        if status == "in_doubt" and not is_write:
            status = "failed"
        if status == "cancelled" and is_write:
            status = "in_doubt"
        details: dict[str, Any] = {}
        if path.endswith("/check") and status == "succeeded" and len(run.journal) % 2:
            details["output"] = Inline(None)  # it has not happened
        if status == "in_doubt":
            details["error"] = Failure("timeout", "not known", step=path)
        self.is_calm &= status == "succeeded"
        run.end(path, status, **details)

    @precondition(lambda self: not self.is_over and self.sim.decision.waits)
    @rule(at=st.integers(0, 9), verdict=st.sampled_from(["approve", "approve", "reject"]))
    def somebody_answers(self, at: int, verdict: str) -> None:
        waits = self.sim.decision.waits
        path = waits[at % len(waits)]
        if self.sim.state.instances[path].waits != "timer":
            self.is_calm &= verdict == "approve"
            self.sim.reply(path, verdict)

    @precondition(lambda self: not self.is_over and self.sim.decision.doubts)
    @rule(at=st.integers(0, 9), outcome=st.sampled_from(["done", "redo", "failed"]))
    def somebody_settles_a_doubt(self, at: int, outcome: str) -> None:
        doubts = self.sim.decision.doubts
        self.settle(doubts[at % len(doubts)], outcome)

    @precondition(lambda self: not self.is_over and self.doubtful)
    @rule(at=st.integers(0, 9), outcome=st.sampled_from(["done", "failed"]))
    def somebody_settles_a_doubt_that_holds_nothing_up(self, at: int, outcome: str) -> None:
        """One that a cancel has left behind, say."""
        self.settle(self.doubtful[at % len(self.doubtful)], outcome)

    @property
    def doubtful(self) -> list[str]:
        return [
            path
            for path, one in self.sim.state.instances.items()
            if one.status == "in_doubt"
            and (one.check is None or one.check.status not in {"running", "waiting"})
        ]

    def settle(self, path: str, outcome: str) -> None:
        self.is_calm &= outcome != "failed"
        output = Inline("seen") if outcome == "done" else None
        self.sim.turn(arrived=(ev.Resolved(self.sim.now, path, outcome, "anna", output),))

    @precondition(lambda self: not self.is_over and self.sim.decision.wake_at is not None)
    @rule()
    def time_passes(self) -> None:
        self.sim.now = max(self.sim.now, self.sim.decision.wake_at)
        self.sim.turn()

    @precondition(lambda self: not self.is_over)
    @rule()
    def nothing_happens(self) -> None:
        before = len(self.sim.journal)
        self.sim.turn()
        assert len(self.sim.journal) == before, "a turn without news decides nothing"

    @precondition(lambda self: not self.is_over)
    @rule(is_mine=st.booleans(), sure=st.integers(0, 3))
    def somebody_cancels(self, is_mine: bool, sure: int) -> None:
        if sure:
            return
        self.is_calm = False
        asked = ev.CancelRequested(self.sim.now, "anna")
        self.sim.turn(*([asked] if is_mine else []), arrived=() if is_mine else (asked,))

    @precondition(lambda self: not self.is_over and self.sim.running)
    @rule(at=st.integers(0, 9))
    def an_intent_is_released(self, at: int) -> None:
        path = self.sim.running[at % len(self.sim.running)]
        if path not in self.sim.to_cancel:
            self.sim.running.remove(path)
            self.sim.turn(ev.Released(self.sim.now, path))

    @precondition(lambda self: not self.is_over)
    @rule(loses_turn=st.booleans())
    def the_driver_dies(self, loses_turn: bool) -> None:
        """After its last append, or before it: then what it had just heard is not known."""
        run = self.sim
        ends = getattr(run, "ends", [])
        keep = ends[-2] if loses_turn and len(ends) > 1 else None
        self.sim = run.crash(keep)

    @precondition(lambda self: self.is_over)
    @rule(sure=st.integers(0, 2))
    def somebody_resumes_what_is_over(self, sure: int) -> None:
        if self.sim is not None and self.sim.state.status in {"failed", "cancelled"} and not sure:
            self.is_calm = False
            self.sim = self.sim.crash()

    # -- what always holds ------------------------------------------------------------------------

    @invariant()
    def nothing_that_succeeded_is_done_again(self) -> None:
        if self.sim is not None:
            twice = crash.done_twice(self.sim)  # each attempt may be looked for, though
            assert [path for path, _ in twice if not path.endswith("/check")] == []

    @invariant()
    def no_more_runs_at_once_than_may(self) -> None:
        if self.sim is not None:
            apart = ("/check", "/undo")  # they wait for no slot
            steps = [path for path in self.sim.running if not path.endswith(apart)]
            assert len(steps) <= self.sim.bounds.max_running

    @invariant()
    def the_state_is_what_the_journal_says(self) -> None:
        if self.sim is None:
            return
        folded = RunState()
        for payload in self.sim.journal:
            folded.apply(decode(payload))

        def seen(state: RunState) -> dict[str, tuple[object, ...]]:
            return {
                path: (i.status, i.visit, i.attempt, i.seq, i.stopping)
                for path, i in state.instances.items()
            }

        assert seen(folded) == seen(self.sim.state)
        for path in self.sim.running:
            if path not in self.sim.to_cancel:  # what it was for may have begun again
                assert folded.instances[path].status == "running"

    @invariant()
    def what_was_set_counts_once(self) -> None:
        root = self.sim.state.root if self.sim is not None else None
        if root is None or root.scope is None:
            return
        counted = state_model.counted(decode(payload) for payload in self.sim.journal)
        assert sorted(root.scope.values["log"]) == sorted(counted)
        assert root.scope.values["sum"] == len(counted)

    @invariant()
    def it_is_not_stuck(self) -> None:
        if not self.is_over:
            now = self.sim.decision
            assert self.sim.running or now.waits or now.doubts or now.wake_at is not None
        elif self.sim is not None:
            # a look that nobody waits for any more ends with the drive
            assert [path for path in self.sim.running if not path.endswith("/check")] == []

    @invariant()
    def no_more_is_spent_than_may(self) -> None:
        if self.sim is None or self.usd is None:
            return
        events = [decode(payload) for payload in self.sim.journal]
        spent = sum(one.spent.cost_usd for one in events if isinstance(one, ev.Ended) and one.spent)
        assert spent <= self.usd

    # -- the end ----------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Everything goes well from here: the run ends, and was taken back in the right order."""
        if self.sim is None:
            return
        for _ in range(2000):
            if self.is_over:
                break
            now = self.sim.decision
            if self.sim.running:
                self.end(self.sim.running[0], "succeeded")
            elif now.doubts:
                self.settle(now.doubts[0], "done")
            elif open_ := [p for p in now.waits if self.sim.state.instances[p].waits != "timer"]:
                self.sim.reply(open_[0])
            else:
                assert now.wake_at is not None
                self.sim.now = max(self.sim.now, now.wake_at)
                self.sim.turn()
        assert self.is_over, "it does not come to an end"
        if self.is_calm:
            assert self.sim.state.status == "succeeded"
        self.nothing_that_succeeded_is_done_again()
        self.taken_back_in_reverse_order()

    def taken_back_in_reverse_order(self) -> None:
        """Within one roll-back, what was completed later is taken back before what was earlier."""
        completed: dict[str, int] = {}
        scopes: list[tuple[str, dict[str, int]]] = []
        for seq, payload in enumerate(self.sim.journal):
            event = decode(payload)
            match event:
                case ev.Undoing():
                    # what was taken back below it is over
                    scopes = [one for one in scopes if not one[0].startswith(event.path)]
                    scopes.append((event.path, {}))
                case ev.Started() if event.path.endswith("/undo"):
                    path = event.path.removesuffix("/undo")
                    inner = [one for one in scopes if path.startswith(one[0])]
                    begun = max(inner, key=lambda one: len(one[0]))[1]
                    begun.setdefault(path, completed[path])
                    assert list(begun.values()) == sorted(begun.values(), reverse=True)
                case ev.Ended(status="succeeded") | ev.Closed(status="succeeded"):
                    completed[event.path] = seq
                case ev.Resolved(outcome="done"):
                    completed[event.path] = seq


TestRuns = Runs.TestCase
TestRuns.settings = settings(
    derandomize=True,  # raise the number to look for more
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
