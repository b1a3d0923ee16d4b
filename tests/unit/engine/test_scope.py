"""What is written into the state counts once: through branches, tries, loops and deaths of the driver."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.bundle.policies import Goto
from aiworkflow.bundle.workflow import Kind, OnError
from aiworkflow.engine import RunState, before, carried_over, decode, has_begun
from aiworkflow.engine.instance import Instance
from aiworkflow.engine.scope import Scope


def _load(name: str, file: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(file))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


crash = _load("crash8", "test_crash.py")
state_model = _load("state_model8", "state_model.py")


class Tired(crash.Calm):  # type: ignore[name-defined,misc]
    """Steps that fail so often in all, over all tries of what holds them."""

    def _outcome(self, path: str) -> str:
        instance = self.state.instances[path]
        times = self.outcomes.get(instance.node)
        if isinstance(times, int):
            return "failed" if instance.ends < times else "succeeded"
        return str(super()._outcome(path))


def failing(made: Any, fails: dict[int, int], goes_back: bool) -> Any:
    """The same plan, where steps of groups with `retry` fail once, and the last but one goes back."""
    nodes = {node.id: node for node in made.nodes}
    outcomes = dict(made.outcomes)
    scripts = [one for one in made.nodes if one.kind is Kind.SCRIPT and not one.final]
    again = [one for one in scripts if one.parent and nodes[one.parent].retry is not None]
    for at, times in fails.items():
        if again:
            one = again[at % len(again)]
            nodes[one.id] = dataclasses.replace(one, retry=None, on_error=OnError.FAIL)
            outcomes[one.id] = times
    top = [one for one in nodes.values() if one.parent == "" and not one.final]
    if goes_back and len(top) > 1:
        goto = {"on_error": OnError.GOTO, "goto": Goto(top[0].id, 3)}
        check = crash.sim.step("check", **goto)
        at = list(nodes).index(top[-1].id)
        nodes = dict([*list(nodes.items())[:at], ("check", check), *list(nodes.items())[at:]])
        outcomes["check"] = 1
    return dataclasses.replace(made, nodes=[*nodes.values()], outcomes=outcomes)


def agree(state: RunState, journal: list[bytes]) -> None:
    root = state.root
    if root is None or root.scope is None:
        return
    counted = state_model.counted(decode(payload) for payload in journal)
    assert sorted(root.scope.values["log"]) == sorted(counted)
    assert root.scope.values["sum"] == len(counted)


@settings(max_examples=200, deadline=None, phases=crash.PHASES)
@given(
    crash.plans(sets=1, again=1),
    st.dictionaries(st.integers(0, 9), st.just(1), min_size=1, max_size=3),
    st.booleans(),
    st.integers(1, 100),
)
def test_what_was_set_counts_once(
    made: Any, fails: dict[int, int], goes_back: bool, death: int
) -> None:
    made = failing(made, fails, goes_back)
    run = Tired(made.plan, made.outcomes, made.answers, crash.CHANNELS, replies=True)
    run.run()
    state = RunState()
    for at, payload in enumerate(run.journal, 1):
        state.apply(decode(payload))
        agree(state, run.journal[:at])
    for end in run.ends[:-1][death % 10 :: 10]:
        after = run.crash(end)
        after.run()
        agree(after.state, after.journal)


@settings(max_examples=200, deadline=None, phases=crash.PHASES)
@given(
    crash.plans(sets=1, again=1),
    st.dictionaries(st.integers(0, 9), st.just(1), min_size=1, max_size=3),
    st.booleans(),
)
def test_a_fork_has_the_state_of_what_it_takes_over(
    made: Any, fails: dict[int, int], goes_back: bool
) -> None:
    made = failing(made, fails, goes_back)
    run = Tired(made.plan, made.outcomes, made.answers, crash.CHANNELS, replies=True)
    run.run()
    events = [decode(payload) for payload in run.journal]
    for step in (one for one in made.plan.root.children if has_begun(events, one)):
        prefix = before(events, step)
        carried = carried_over(prefix, made.plan, events[1 + len(prefix) :])
        then, fork = RunState(), RunState()
        for event in (events[0], *prefix):
            then.apply(event)
        for event in (events[0], *carried):
            fork.apply(event)
        counted = state_model.counted([events[0], *carried])
        assert then.root is not None
        assert fork.root is not None
        assert then.root.scope is not None
        assert fork.root.scope is not None
        assert sorted(fork.root.scope.values["log"]) == sorted(counted)
        if statuses(then) == statuses(fork):
            assert sorted(fork.root.scope.values["log"]) == sorted(then.root.scope.values["log"])


def statuses(state: RunState) -> dict[str, str]:
    return {path: one.status for path, one in state.instances.items() if one.at_rest and path}


def test_groups_beside_each_other_take_out_their_own_writes_each() -> None:
    """One begins while the writes of the other stand, which are void later."""
    scope = Scope({"sum": 0}, branch=True)
    one, other = (Instance(name, name, None, "group") for name in ("g", "h"))
    by_one, by_other = Instance("g.a", "a", one, "leaf"), Instance("h.b", "b", other, "leaf")

    def reduced(name: str, operands: Any) -> Any:
        return scope.values[name] + sum(operands)  # type: ignore[operator]

    first = scope.mark(one)
    scope.write(by_one, "sum", 10, [10])
    second = scope.mark(other)
    scope.write(by_other, "sum", 15, [5])
    assert first is not None
    assert second is not None
    scope.go_back(first, reduced)
    assert (scope.values, scope.writes) == ({"sum": 5}, [("sum", 5)])
    scope.go_back(second, reduced)
    assert (scope.values, scope.writes) == ({"sum": 0}, [])
