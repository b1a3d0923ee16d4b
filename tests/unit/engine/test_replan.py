"""A run that goes on with another plan ends as if it had always had that plan."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiworkflow.bundle.workflow import Assign, Channel, Effect, Group, Kind, OnError, Reduce
from aiworkflow.engine import RunState, decode, outlook, renaming
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Inline
from aiworkflow.plan.changes import Around, Version

_spec = importlib.util.spec_from_file_location("crash3", Path(__file__).with_name("test_crash.py"))
assert _spec is not None
assert _spec.loader is not None
crash = importlib.util.module_from_spec(_spec)
sys.modules["crash3"] = crash
_spec.loader.exec_module(crash)
sim = crash.sim

AROUND = Around({}, {}, (), {}, {})
CHANNELS = crash.CHANNELS
STATE = (Channel("log", Reduce.APPEND), Channel("sum", Reduce.SUM))


def sealed(plan: Any, changed: frozenset[str] = frozenset()) -> Any:
    """A plan whose steps have digests; those of changed ones are other ones."""
    nodes = {
        name: dataclasses.replace(node, digest=f"{name}{'!' if name in changed else ''}")
        for name, node in plan.nodes.items()
    }
    return dataclasses.replace(plan, nodes=nodes, state=STATE)


def without(plan: Any, gone: frozenset[str]) -> Any:
    """A plan without some steps; what came after them comes after what they came after."""
    kept = {}
    for name, node in plan.nodes.items():
        if name in gone:
            continue
        after = list(node.after)
        while any(one in gone for one in after):
            at = next(n for n, one in enumerate(after) if one in gone)
            after[at : at + 1] = plan.nodes[after[at]].after
        children = tuple(one for one in node.children if one not in gone)
        kept[name] = dataclasses.replace(node, after=tuple(after), children=children)
    return dataclasses.replace(plan, nodes=kept)


def version(plan: Any) -> Version:
    return Version(plan, AROUND)


def tolerated(run: Any) -> dict[str, str]:
    """Only what may fail does so."""
    nodes = run.plan.nodes
    return {
        name: "failed"
        for name, outcome in run.outcomes.items()
        if outcome == "failed" and name in nodes and nodes[name].on_error is OnError.CONTINUE
    }


def taken_up(run: Any, plan: Any, *facts: Any) -> Any:
    """Another driver goes on with a run, with these facts first."""
    after = crash.Calm(
        plan, tolerated(run), run.answers, CHANNELS, run.bounds, run.now, replies=True
    )
    after.journal = list(run.journal)
    for payload in after.journal:
        after.state.apply(decode(payload))
    after.turn(*facts)
    return after


def gone_on(run: Any, old: Any, new: Any) -> Any:
    """The run, with what had to be taken back taken back, and the new plan in force."""
    while True:
        changes, found = outlook(run.state, version(old), version(new))
        if not found.undo:
            break
        run = taken_up(run, old, ev.RunResumed(run.now, 2, "me", undo=True, only=found.undo))
        run.run()
        assert run.decision.finished
        assert run.state.finished is None
    event = ev.Replanned(
        run.now,
        "me",
        "p2",
        "d2",
        "f2",
        Inline({}),
        Inline({}),
        CHANNELS,
        redo=found.redo,
        opened=found.opened,
        dropped=found.dropped,
        renamed=changes.renamed,
        restarted=tuple(sorted(changes.restarted)),
        stands=found.stands,
    )
    return taken_up(run, new, event, ev.RunResumed(run.now, 3, "me"))


def can_go_on(state: RunState) -> bool:
    root = state.root
    assert root is not None
    if state.status in {"succeeded", "rolled_back"} or root.stopping == "undo":
        return False
    return not any(one.undoing and not one.at_rest for one in state.instances.values())


def came_to(run: Any) -> tuple[Any, ...]:
    """Steps and state of a run; attempts, visits and seqs may differ."""
    found = {}
    left = [run.state.root]
    while left:
        one = left.pop()
        if one.status != "pending":
            found[one.path] = one.status
            left.extend((one.children or {}).values())
    return run.state.status, found, run.state.root.scope.values


def begun_in_order(run: Any, plan: Any) -> bool:
    """Whether no step began while one that it comes after was to begin again."""
    state = RunState()
    is_new = False
    for payload in run.journal:
        event = decode(payload)
        is_new |= isinstance(event, ev.Replanned)
        if is_new and isinstance(event, ev.Started) and event.role == "" and event.index is None:
            holder = state.instances[event.parent]
            siblings = holder.children or {}
            left = list(plan.nodes[event.node].after)
            while left:
                before = siblings.get(left[-1])
                if before is None or not before.at_rest:
                    return False
                left[-1:] = plan.nodes[left[-1]].after
        state.apply(event)
    return True


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=crash.PHASES,
)
@given(crash.plans(goes_on=False), st.data())
def test_it_ends_as_if_it_had_always_had_the_new_plan(made: Any, data: st.DataObject) -> None:
    old = sealed(made.plan)
    names = sorted(set(old.nodes) - {""})
    changed = frozenset(data.draw(st.sets(st.sampled_from(names), max_size=3)))
    removable = [
        name
        for name in names
        if not isinstance(old.nodes[name].action, Group)
        and len(old.nodes[old.nodes[name].parent].children) > 1
    ]
    gone = frozenset(
        data.draw(st.sets(st.sampled_from(removable), max_size=1)) if removable else ()
    )
    new = without(sealed(made.plan, changed), gone)
    new = sealed(new, changed)

    run = crash.Calm(old, made.outcomes, made.answers, CHANNELS, replies=True)
    run.run()
    cut = data.draw(st.sampled_from(run.ends))
    if cut != run.ends[-1]:
        state = RunState()
        for payload in run.journal[:cut]:
            state.apply(decode(payload))
        run.journal, run.state = run.journal[:cut], state
    if not can_go_on(run.state):
        return
    if any(isinstance(decode(payload), ev.Repeated) for payload in run.journal):
        return  # a group that was tried again has written to the state more than once

    fresh = crash.Calm(new, tolerated(run), made.answers, CHANNELS, replies=True)
    fresh.run()
    after = gone_on(run, old, new)
    before_end = len(after.ends)
    after.run()
    assert after.state.finished is not None, "stuck"
    assert came_to(after) == came_to(fresh)
    assert begun_in_order(after, new)
    assert not crash.done_twice(after)

    # a driver that dies on the way leaves a run of the new plan
    end = data.draw(st.sampled_from(after.ends[before_end - 1 :]))
    if end != after.ends[-1]:
        again = after.crash(end)
        again.run()
        assert came_to(again) == came_to(fresh)
        assert begun_in_order(again, new)


# -- single cases ---------------------------------------------------------------------------------


def failed(*nodes: Any) -> Any:
    """A run whose step `z` has failed, and its plan."""
    plan = sealed(sim.plan(*nodes, sim.step("z")))
    run = crash.Calm(plan, {"z": "failed"}, {}, CHANNELS, replies=True)
    run.run()
    assert run.state.status == "failed"
    return run


def verdicts(run: Any, new: Any) -> dict[str, str]:
    _, found = outlook(run.state, version(run.plan), version(new))
    return {one.step: one.verdict for one in found.steps}


def test_verdicts() -> None:
    write = {"effect": Effect.WRITE}
    nodes = [
        sim.step("read"),
        sim.step("kept", undo=sim.step("kept"), **write),
        sim.step("back", undo=sim.step("back"), **write),
        sim.step("lasts", **write),
        sim.step("gone", undo=sim.step("gone"), **write),
        sim.step("left", **write),
        sim.step("nothing"),
        sim.step("old"),
    ]
    run = failed(*nodes)
    kept = [*nodes[:4], sim.step("new"), sim.step("renamed")]
    new = sealed(sim.plan(*kept, sim.step("z")), frozenset({"read", "back", "lasts"}))
    named = dataclasses.replace(new.nodes["renamed"], digest="old")
    new = dataclasses.replace(new, nodes={**new.nodes, "renamed": named})
    assert verdicts(run, new) == {
        "read": "redo",
        "kept": "reuse",
        "back": "undo, redo",
        "lasts": "stands",
        "new": "new",
        "renamed": "reuse",
        "z": "redo",
        "gone": "undo",
        "left": "stands",
        "nothing": "gone",
    }


def test_a_place_that_comes_back_has_another_key() -> None:
    run = failed(sim.step("a"), sim.step("b"))
    old = run.plan
    without_b = without(old, frozenset({"b"}))
    after = gone_on(run, old, without_b)
    assert "b" not in after.state.instances
    back = gone_on(after, without_b, old)
    back.run()
    assert back.state.status == "succeeded"
    keys = [
        event.key
        for event in map(decode, back.journal)
        if isinstance(event, ev.Started) and event.path == "b"
    ]
    assert len(keys) == len(set(keys)) == 2


def test_open_waits_of_changed_steps_are_closed_with_their_deadlines() -> None:
    plan = sealed(sim.plan(*crash.sim.group("g", sim.step("a", parent="g", kind=Kind.GATE))))
    plan = dataclasses.replace(
        plan,
        nodes={
            **plan.nodes,
            "a": dataclasses.replace(plan.nodes["a"], action=crash.Gate(None)),
        },
    )
    run = crash.Calm(plan, {}, {}, CHANNELS)
    run.run()
    assert run.state.instances["g.a"].status == "waiting"
    assert run.state.root.held == 1
    after = gone_on(run, plan, without(plan, frozenset({"g", "a"})))
    assert after.state.root.held == 0
    assert "g.a" not in after.state.instances


def test_paths_are_renamed_by_their_parts() -> None:
    renamed = renaming({"a": "b", "g": "h"})
    assert renamed("g[3].a#2/undo") == "h[3].b#2/undo"
    assert renamed("ga.aa") == "ga.aa"
    assert renamed("") == ""


def test_a_state_that_begins_again_forgets_what_was_written() -> None:
    put = {"kind": Kind.ASSIGN, "action": Assign({"log": 1, "sum": 1})}
    run = failed(sim.step("one", **put), sim.step("two", **put))
    new = sealed(run.plan, frozenset({"one"}))
    after = gone_on(run, run.plan, new)
    after.run()
    assert after.state.root.scope.values == {"log": ["one", "two"], "sum": 2}
