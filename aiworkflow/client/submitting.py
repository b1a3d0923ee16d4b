"""Submitting runs: durable when this returns, driven by whoever works."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from aiworkflow.client.inputs import check_inputs
from aiworkflow.client.project import Checked
from aiworkflow.errors import UsageError
from aiworkflow.journal import Append, Fenced, Moved, RegisterWrite
from aiworkflow.runtime.given import NewRun
from aiworkflow.runtime.submit import Order, Submission
from aiworkflow.runtime.submit import submit as submit_new
from aiworkflow.runtime.waits import WAKE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiworkflow.client.builder import BuiltWorkflow
    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json


async def submit(
    client: Client,
    bundle: str | Path | BuiltWorkflow | Checked | NewRun,
    inputs: Mapping[str, Json],
    *,
    order: Order | None,
    trigger: Mapping[str, Json] | None,
    texts: Mapping[str, str],
    overrides: Mapping[str, Json] | None,
    name: str,
    actor: str,
) -> Submission:
    """See `Client.submit`."""
    order = order or Order()
    if isinstance(bundle, NewRun):
        values: Mapping[str, Json] = check_inputs(
            bundle.plan.name, bundle.plan.inputs, inputs, texts
        )
        new = bundle
    else:
        checked = bundle if isinstance(bundle, Checked) else client.project.check(bundle, overrides)
        new = client.project.prepare(checked, inputs, texts, name)
        values = new.inputs
    new = dataclasses.replace(
        new,
        inputs=values,
        name=name or new.name,
        trigger=new.trigger if trigger is None else trigger,
        actor=actor or new.actor,
    )
    said = new.plan.concurrency
    if (order.overlap or (said.overlap if said is not None else "")) == "cancel_old":
        order = dataclasses.replace(order, overlap="queue")
        _cancel_old(client, new, order)
    return await submit_new(client.runtime, new, order)


def _cancel_old(client: Client, new: NewRun, order: Order) -> None:
    """Ask those that have the lane, or wait for it, to end; the new one begins when they have.

    An event that was delivered before cancels nothing.
    """
    from aiworkflow.runtime.lanes import holder, lane_of
    from aiworkflow.runtime.ready import READY, read_ready
    from aiworkflow.runtime.submit import known_run

    if known_run(client.runtime, order.key) is not None:
        return
    lane = lane_of(new.plan, new.inputs) if order.lane is None else order.lane
    waiting = [
        row.run for row in map(read_ready, client.journal.registers(READY)) if row.lane == lane
    ]
    older = holder(client.journal, lane)
    # another server may have started the same event since
    own = known_run(client.runtime, order.key)
    for run in {*waiting, *([older] if older else [])} - {own}:
        try:
            client.signals.cancel(run, "a newer run with the same key is started")
        except UsageError:
            if client.journal.run(run).finished is None:
                raise


def keep_going(client: Client, run: str) -> None:
    """Have whoever works go on with a run that is driven here, if this process ends before it does.

    A run that was submitted is found by its own row; this is for one that was gone on with.
    """
    journal = client.journal
    while True:
        state, row = journal.stream(run), journal.run(run)
        if row.finished is not None or row.status == "waiting":
            return  # it has come to rest already
        try:
            journal.append_now(
                Append(
                    client.project.ids.token(),
                    run,
                    epoch=state.epoch,
                    after=state.tail,
                    registers=[RegisterWrite(WAKE, run, "{}")],
                )
            )
        except Moved:
            continue
        except Fenced:  # somebody else drives it
            return
        return
