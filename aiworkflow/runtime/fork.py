"""Forks: a new run that begins as a copy of what another had done."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, cast

from aiworkflow.engine import (
    RunState,
    before,
    blobs_of,
    carried_over,
    decode,
    encode,
    has_begun,
    in_force,
    is_below,
    outlook,
)
from aiworkflow.engine import events as ev
from aiworkflow.errors import UsageError
from aiworkflow.journal import Append, Conflict, new_run_id
from aiworkflow.journal.paging import records_after
from aiworkflow.plan import plan_from_json
from aiworkflow.runtime.consents import Consents, refuse_after
from aiworkflow.runtime.given import InForce, check_state
from aiworkflow.runtime.lanes import Lane, lane_of
from aiworkflow.runtime.local import row_of
from aiworkflow.runtime.replan import replanned, version_of
from aiworkflow.runtime.shelf import bundles_kept
from aiworkflow.runtime.submit import once
from aiworkflow.runtime.values import Values
from aiworkflow.runtime.workspace import load_files, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal, Record
    from aiworkflow.runtime.drive import Drive
    from aiworkflow.runtime.given import NewRun
    from aiworkflow.runtime.local import LocalRuntime


def fork_run(
    runtime: LocalRuntime,
    run: str,
    step: str | None,
    actor: str,
    *,
    new: NewRun | None = None,
    inputs: Mapping[str, Json] | None = None,
    state: Mapping[str, Json] | None = None,
    attached: bool = False,
    key: str = "",
) -> tuple[str, Drive, Sequence[ev.Event]]:
    """A new run that begins as a copy of what another had done before a step.

    Args:
        step: path of the step from which on everything is done again; None for what has changed.
        new: the bundle at another revision, prepared with the inputs of the fork; None for the
            bundle that the run was started with.
        inputs: inputs of the fork, all of them; None for those of the run.
        state: values of the state that are set before it goes on.
        key: names the event that it comes of; see `known_run`.

    Raises:
        Conflict: the same event has made one meanwhile.
        UnknownRun. UsageError: the run has not come to the step, or there is no such value.
        Overlap: a run with the same `concurrency` key is going. RefusedError: people were asked
            before the step about inputs and state that are to be others.
    """
    events = [decode(record.payload) for record in _all_events(runtime.journal, run)]
    first = events[0]
    assert isinstance(first, ev.RunStarted)
    if step is not None and not has_begun(events, step):
        raise UsageError(
            f"run {run} has not come to a step `{step}`",
            hint=f"see what it did: aiworkflow runs show {run}",
        )
    prefix = before(events, step)
    then, last = _in_force(first, prefix), _in_force(first, events)
    blobs = runtime.journal.blobs
    plan = before_plan = plan_from_json(json.loads(blobs.get(then.plan)))
    reader = Values(runtime.journal, run, inline_bytes=0)
    fork = new_run_id(runtime.ids, runtime.journal)
    now = runtime.clock.now().timestamp()
    settings = new.settings if new is not None else _settings(last, reader)
    values = Values(runtime.journal, fork, inline_bytes=settings.limits["inline_output"])
    trigger: dict[str, Json] = {**first.trigger, "fork": run}
    goal = last if new is None else runtime.started(fork, new, values)
    if new is None and inputs is not None:
        goal = dataclasses.replace(
            goal, inputs=values.ref(dict(inputs)), lane=lane_of(plan, inputs)
        )
    files = load_files(blobs, goal.files)
    for one in (then, goal):
        values.fresh_blobs.extend(bundles_kept(one, blobs))
    is_other = new is not None or then.plan != last.plan
    carried = carried_over(prefix, plan, events[1 + len(prefix) :])
    begins = then if is_other else goal
    started = dataclasses.replace(
        begins,
        at=now,
        run=fork,
        trigger=trigger,
        actor=actor,
        copied=len(carried),
        breaks={},
        lane=goal.lane,
        workspace={**begins.workspace, "of": fork} if begins.workspace else {},
    )
    copied: list[ev.Event] = [started, *carried]
    again: tuple[str, ...] = ()
    if is_other:
        around = version_of(then, plan, reader)
        aim = plan_from_json(json.loads(blobs.get(goal.plan)))
        becomes = version_of(goal, aim, reader)
        changes, found = outlook(folded_of(copied), around, becomes)
        copied.append(replanned(now, actor, goal, changes, found))
        again = (*found.redo, *found.dropped)
        started, plan = _in_force(started, copied), aim
    if state or _are_others(values.load(goal.inputs), reader.load(then.inputs)):
        stays = [one for one in carried if not is_below(getattr(one, "path", ""), again)]
        asked = Consents(runtime.journal, before_plan, then.children).asked(stays)
        refuse_after(asked, run, "inputs and state")
    if state:
        check_state(started.channels, state)
        copied.append(ev.Changed(now, dict(state), actor))
    folded = folded_of(copied)
    row = row_of(started)
    lane = Lane(runtime.journal, fork, started.lane)
    append = Append(
        id=runtime.ids.token(),
        run=fork,
        events=[encode(event) for event in copied],
        epoch=1,
        after=0,
        driver=runtime.lease.id,
        registers=[*lane.enter(), *([once(key, fork, now)] if key else ())],
        row=row,
        blobs=[*values.fresh_blobs, *blobs_of(copied)],
    )
    try:
        runtime.journal.append_now(append)
    except Conflict:  # another run has just taken the lane, or the key
        lane.enter()
        raise
    values.fresh_blobs = []
    bundle = snapshot(runtime.folders.state / "bundles", files)
    drive = runtime.drive(fork, 1, plan, folded, values, settings, bundle, row, started, attached)
    return fork, drive, [ev.RunResumed(now, 1, actor)]


def _are_others(inputs: Json, before: Json) -> bool:
    """Whether an input that there was has another value."""
    assert isinstance(inputs, dict) and isinstance(before, dict)  # noqa: PT018
    return any(name in inputs and inputs[name] != value for name, value in before.items())


def folded_of(events: Sequence[ev.Event]) -> RunState:
    """The state after these events."""
    state = RunState()
    for event in events:
        state.apply(event)
    return state


def _in_force(started: ev.RunStarted, events: Sequence[ev.Event]) -> ev.RunStarted:
    """What a run goes by after these events."""
    for event in events:
        if isinstance(event, ev.Replanned):
            started = in_force(started, event)
    return started


def _settings(started: ev.RunStarted, reader: Values) -> InForce:
    return InForce.from_json(cast("dict[str, Json]", reader.load(started.settings)))


def _all_events(journal: Journal, run: str) -> Iterator[Record]:
    is_there = False
    for record in records_after(journal, run):
        is_there = True
        yield record
    if not is_there:
        journal.run(run)  # says that there is none
