"""Whatever the plan and wherever the process dies: the run ends as if nothing had happened.

Plans are made at random from groups, parallel groups, `each`, `until`, conditions, finals and state; the
driver dies after each append in turn, and another one goes on from the journal.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aiworkflow.bundle.policies import Approval, Retry
from aiworkflow.bundle.workflow import Assign, Each, Gate, Kind, OnError, Wait
from aiworkflow.engine import RunState, decode
from aiworkflow.engine import events as ev

_spec = importlib.util.spec_from_file_location("simulate2", Path(__file__).with_name("simulate.py"))
assert _spec is not None
assert _spec.loader is not None
sim = importlib.util.module_from_spec(_spec)
sys.modules["simulate2"] = sim
_spec.loader.exec_module(sim)

# a failing plan shows itself; making it smaller would take minutes
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
CHANNELS = {"log": ("append", None, None, None), "sum": ("sum", None, None, None)}


@dataclasses.dataclass
class Made:
    """A plan with how its attempts end and its questions are answered."""

    nodes: list[Any]
    outcomes: dict[str, str | int]
    answers: dict[tuple[str, str], Any]
    rollback: bool

    @property
    def plan(self) -> Any:
        found = sim.plan(*self.nodes)
        on_error = OnError.ROLLBACK if self.rollback else OnError.FAIL
        root = dataclasses.replace(found.nodes[""], on_error=on_error)
        return dataclasses.replace(found, nodes={**found.nodes, "": root})


@st.composite
def plans(draw: st.DrawFn, *, sets: int = 4, again: int = 3, goes_on: bool = True) -> Made:
    """Plans of all forms.

    Args:
        sets: one of so many steps and one writes into the state.
        again: one of so many groups and one is tried again.
        goes_on: whether runs go on after groups that have failed.
    """
    names = iter(f"s{n}" for n in range(1000))
    answers: dict[tuple[str, str], Any] = {}
    failing: set[str] = set()
    conditions: dict[str, bool] = {}
    flaky: dict[str, int] = {}

    def leaf(parent: str) -> Any:
        name = next(names)
        more: dict[str, Any] = {}
        if draw(st.booleans()) and draw(st.booleans()):
            more["condition"] = "inputs.x"
            conditions[name] = draw(st.booleans())
        if draw(st.integers(0, 4)) == 0:
            flaky[name] = draw(st.integers(1, 3))
            more["retry"] = Retry(draw(st.integers(flaky[name], 3)))
        if draw(st.integers(0, 9)) == 0:
            more["on_error"] = OnError.CONTINUE
            failing.add(name)
        elif draw(st.integers(0, 19)) == 0:
            failing.add(name)
        if draw(st.integers(0, sets)) == 0:
            return sim.step(
                name,
                parent=parent,
                kind=Kind.ASSIGN,
                action=Assign({"log": name, "sum": 1}),
                **more,
            )
        if draw(st.integers(0, 5)) == 0:
            wait = draw(st.sampled_from([Gate(None), Wait(seconds=5.0), Wait(event="x")]))
            kind = Kind.GATE if isinstance(wait, Gate) else Kind.WAIT
            return sim.step(name, parent=parent, kind=kind, action=wait, **more)
        if draw(st.integers(0, 4)) == 0:
            more["approve"] = Approval()
        if draw(st.integers(0, 2)) == 0:
            more["undo"] = sim.step(name)
            more["savepoint"] = draw(st.integers(0, 4)) == 0
        if draw(st.integers(0, 3)) == 0:
            more["each"] = Each(sim.expression("x"), max_parallel=draw(st.integers(1, 3)))
        return sim.step(name, parent=parent, **more)

    def block(parent: str, depth: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(draw(st.integers(1, 3))):
            if depth < 2 and draw(st.integers(0, 2)) == 0:
                name = next(names)
                inner = block(name, depth + 1)
                more: dict[str, Any] = {}
                form = draw(st.sampled_from(["group", "parallel", "each", "until"]))
                if form == "parallel":
                    more["parallel"] = True
                elif form == "each":
                    more["each"] = Each(sim.expression("x"), max_parallel=draw(st.integers(1, 3)))
                elif form == "until":
                    more |= {"until": "x", "max_rounds": 3}
                if draw(st.integers(0, again)) == 0:
                    more["retry"] = Retry(1)
                if draw(st.integers(0, 4)) == 0:
                    more["approve"] = Approval()
                if draw(st.integers(0, 4)) == 0:
                    more["on_error"] = OnError.ROLLBACK
                elif goes_on and draw(st.integers(0, 3)) == 0:
                    more["on_error"] = OnError.CONTINUE
                found += sim.group(name, *inner, parent=parent, **more)
            else:
                found.append(leaf(parent))
        return found

    nodes = block("", 0)
    rollback = draw(st.booleans())
    if draw(st.booleans()):
        nodes.append(sim.step(next(names), final=True))
    return Made(
        nodes,
        {**flaky, **dict.fromkeys(failing, "failed")},
        {**answers, **{("c", k): v for k, v in conditions.items()}},
        rollback,
    )


class Calm(sim.Simulation):  # type: ignore[name-defined,misc]
    """Answers by node, whatever the path; remembers where each append ended."""

    def answer(self, question: Any) -> Any:
        from aiworkflow.engine import Answer, Asked, Inline

        self.asked.append((str(question.about), question.path))
        match question.about:
            case Asked.CONDITION:
                return Answer(self.answers.get(("c", question.node), True))
            case Asked.ITEMS:
                return Answer(ref=Inline([1, 2, 3]), count=3, digest="d")
            case Asked.UNTIL:
                return Answer(self.state.instances[question.parent].count >= 2)
            case Asked.WAIT:
                return Answer({"after": 5.0 if question.wait == "timer" else None}, Inline({}))
            case Asked.OPERANDS:
                return Answer({"log": question.path, "sum": 1})
            case _:
                return Answer(ref=Inline({}))

    def turn(self, *facts: Any, arrived: tuple[Any, ...] = ()) -> None:
        super().turn(*facts, arrived=arrived)
        self.__dict__.setdefault("ends", []).append(len(self.journal))

    def _outcome(self, path: str) -> str:
        instance = self.state.instances[path]
        found = self.outcomes.get(instance.node, "succeeded")
        if isinstance(found, int):  # fails so often
            return "failed" if instance.failures < found else "succeeded"
        return str(found)

    def crash(self, keep: int | None = None) -> Any:
        after = type(self)(
            self.plan,
            self.outcomes,
            self.answers,
            self.channels,
            self.bounds,
            self.now,
            self.replies,
        )
        after.journal = self.journal[:keep]
        for payload in after.journal:
            after.state.apply(decode(payload))
        reset, anew = after.decider.to_reset()
        assert not reset, "a run that had ended is not to be crashed"
        after.turn(ev.RunResumed(self.now, 2, "me", reset, anew))
        return after


def result(run: Any) -> tuple[Any, ...]:
    """What a run came to; attempts and seqs may differ.

    Of siblings at the same time, which fails first may differ, too, and so what is cancelled for it,
    and whether that had written already.
    """
    state = run.state
    statuses = {path: i.status for path, i in state.instances.items() if not is_below_failed(i)}
    error = state.finished.error
    is_cut = any(i.status == "cancelled" for i in state.instances.values())
    values = None if is_cut else state.root.scope.values
    return state.status, statuses, error.kind if error else None, values


def is_below_failed(instance: Any) -> bool:
    """Whether what holds it has failed, or was cancelled."""
    above = instance.parent
    while above is not None and above.status not in {"failed", "cancelled"}:
        above = above.parent
    return above is not None


def done_twice(run: Any) -> list[tuple[str, int]]:
    """Visits that were begun after they had succeeded."""
    ended: set[tuple[str, int]] = set()
    found = []
    for payload in run.journal:
        event = decode(payload)
        if isinstance(event, ev.Ended) and event.status == "succeeded":
            ended.add((event.path, event.visit))
        elif isinstance(event, ev.Started) and (event.path, event.visit) in ended:
            found.append((event.path, event.visit))
    return found


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=PHASES
)
@given(plans())
def test_a_run_ends_alike_wherever_its_driver_dies(made: Made) -> None:
    calm = Calm(made.plan, made.outcomes, made.answers, CHANNELS, replies=True)
    calm.run()
    assert calm.state.finished is not None
    expected = result(calm)
    for end in calm.ends[:-1]:
        after = calm.crash(end)
        after.run()
        assert after.state.finished is not None, f"stuck after a death at event {end}"
        found = result(after)
        if expected[0] == "succeeded":
            alike = 3 if found[3] is None or expected[3] is None else 4
            assert found[:alike] == expected[:alike], f"differs after a death at event {end}"
        else:  # which of several siblings failed first may differ, that one did may not
            assert found[0] == expected[0]
        assert not done_twice(after), "a finished step was done again"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=PHASES
)
@given(plans(), st.integers(0, 10_000))
def test_folding_a_journal_in_two_parts_gives_the_same_state(made: Made, cut: int) -> None:
    run = Calm(made.plan, made.outcomes, made.answers, CHANNELS, replies=True)
    run.run()
    whole, parts = RunState(), RunState()
    for payload in run.journal:
        whole.apply(decode(payload))
    at = cut % (len(run.journal) + 1)
    for payload in [*run.journal[:at], *run.journal[at:]]:
        parts.apply(decode(payload))

    def seen(state: RunState) -> dict[str, Any]:
        return {
            path: (i.status, i.visit, i.attempt, i.seq, i.stopping)
            for path, i in state.instances.items()
        }

    assert seen(whole) == seen(parts) == seen(run.state)
    assert whole.root is not None
    assert whole.root.scope is not None
    assert whole.root.scope.values == run.state.root.scope.values


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=PHASES
)
@given(plans())
def test_succeeded_means_that_every_step_has_a_terminal_record(made: Made) -> None:
    run = Calm(made.plan, made.outcomes, made.answers, CHANNELS, replies=True)
    run.run()
    if run.state.status == "succeeded":
        for instance in run.state.instances.values():
            if instance.parent is not None and instance.parent.undo is instance:
                continue  # it waits for a need, perhaps after an earlier try was taken back
            assert instance.status in {"succeeded", "skipped", "failed", "cancelled"}
        top = set(run.plan.root.children)
        assert top <= set(run.state.instances)
