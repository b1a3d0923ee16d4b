"""Runs over HTTP: starting them and looking at them."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiworkflow.client.agreeing import to_be_agreed
from aiworkflow.engine import decode
from aiworkflow.engine import events as ev
from aiworkflow.http.bundles import checked_bundle
from aiworkflow.http.events import event_stream, events_page
from aiworkflow.http.once import digest_of, other_request
from aiworkflow.http.problem import RequestRefused
from aiworkflow.http.route import Answer, Streamed
from aiworkflow.runtime.breaks import read_breaks
from aiworkflow.runtime.submit import Order, known_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.http.route import Asked
    from aiworkflow.runtime.given import NewRun

_log = logging.getLogger("aiworkflow.http")


async def start(asked: Asked) -> Answer:
    """Make a run durable; who works for the project drives it."""
    client = asked.client
    request = digest_of(asked.body)
    key = f"api\n{asked.caller.actor}\n{asked.key}" if asked.key else ""
    known = known_run(client.runtime, key)
    if known is not None:  # whatever has become of the bundle since
        return _started(asked, known, request, is_new=False)
    new, inputs, texts = await _new_run(asked)
    done = await client.submit(
        new,
        inputs,
        texts=texts,
        name=asked.text("name"),
        order=Order(key=key),
        trigger={"type": "api", "request": request},
        actor=asked.caller.actor,
    )
    if done.is_new:
        about = {"bundle": new.bundle, "by": asked.caller.actor, "run": done.run}
        _log.info("run started", extra=about)
        asked.context.submitted(done.run)
    return _started(asked, done.run, request, is_new=done.is_new)


async def _new_run(asked: Asked) -> tuple[NewRun, Mapping[str, Json], Mapping[str, str]]:
    """The run that is asked for, without its inputs, and these."""
    client, bundle, agent = asked.client, asked.text("bundle"), asked.text("agent")
    inputs = asked.map("inputs")
    texts = {name: str(text) for name, text in asked.map("texts").items()}
    held = asked.context.loaded(bundle) if not agent else None
    if held is not None and held.checked is not None:
        checked, new = held.checked, held.new
    else:
        checked = await checked_bundle(asked, bundle, {"agent": agent} if agent else {})
        new = client.project.prepare(checked, None)
    if not asked.flag("agreed"):
        refused = to_be_agreed(client, checked, inputs, texts)
        if refused is not None:
            raise refused
    if asked.texts("breaks"):
        new = replace(new, breaks=read_breaks(asked.texts("breaks"), new.plan))
    return new, inputs, texts


def _started(asked: Asked, run: str, request: str, *, is_new: bool) -> Answer:
    if not is_new and _request_of(asked.client, run) != request:
        raise other_request()
    status = asked.client.journal.run(run).status
    return Answer(
        {"run": run, "new": is_new, "status": status},
        headers={"location": f"/api/v1/runs/{run}"},
    )


def _request_of(client: Client, run: str) -> Json:
    first = decode(client.journal.record(run, 1).payload)
    assert isinstance(first, ev.RunStarted)
    return first.trigger.get("request")


async def list_(asked: Asked) -> Answer:
    """A page of runs."""
    return Answer(
        asked.client.views.runs(
            status=asked.texts("status"),
            bundle=asked.text("bundle") or None,
            limit=asked.number("limit"),
            before=asked.text("before") or None,
        )
    )


async def show(asked: Asked) -> Answer:
    """A run with its steps."""
    run = asked.run
    return Answer(await asked.apart(lambda client: client.views.run(run)))


async def outputs(asked: Asked) -> Answer:
    """What a run gave, without its steps."""
    run = asked.run

    def look(client: Client) -> dict[str, Json]:
        found = client.run(run).look()
        return {
            "run": run,
            "status": str(found.status),
            "outputs": dict(found.outputs),
            "error": found.error.to_json() if found.error is not None else None,
        }

    return Answer(await asked.apart(look))


async def status(asked: Asked) -> Answer:
    """Where a run stands, in a line: cheap to ask often."""
    return Answer(asked.client.views.standing(asked.run))


async def events(asked: Asked) -> Answer | Streamed:
    """Events of a run: a page of them, or all as they come."""
    if asked.wants_stream:
        return Streamed(await event_stream(asked))
    return Answer(events_page(asked))


async def log(asked: Asked) -> Answer:
    """What a step logged, or the run's record."""
    run, step = asked.run, asked.text("step")
    if step:
        return Answer(await asked.apart(lambda client: client.views.log(run, step)))
    return Answer(await asked.apart(lambda client: client.views.record(run)))


async def plan(asked: Asked) -> Answer:
    """The plan that is in force in a run."""
    run = asked.run
    return Answer(await asked.apart(lambda client: client.views.plan(run)))


async def inspect(asked: Asked) -> Answer:
    """The whole state of a run at any point of it."""
    run, at = asked.run, asked.text("at") or None
    step, events = asked.text("step"), asked.number("events")
    if step:
        return Answer(
            await asked.apart(
                lambda client: client.views.inspect_step(run, step, at=at, events=events)
            )
        )
    limit, after = asked.number("limit"), asked.text("after")
    return Answer(
        await asked.apart(
            lambda client: client.views.inspect(run, at=at, limit=limit, after=after, events=events)
        )
    )


async def difference(asked: Asked) -> Answer:
    """Two runs beside each other."""
    run, other = asked.run, asked.client.find(asked.path["other"])
    return Answer(await asked.apart(lambda client: client.views.difference(run, other)))


async def blob(asked: Asked) -> Answer:
    """Content that one of the run's events refers to: a large value, a log, a plan."""
    run, digest = asked.run, asked.path["digest"]

    def read(client: Client) -> bytes:
        if digest not in client.journal.uses(run):
            raise RequestRefused("not-found", f"run {run} refers to no such content")
        return client.journal.blobs.get(digest)

    return Answer(await asked.apart(read))


async def export(asked: Asked) -> Answer:
    """The run as one file that another project can import."""
    run = asked.run
    with_children = not asked.flag("without_children")

    def write(client: Client) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.zip"
            client.carrier.export([run], path, with_children=with_children)
            return path.read_bytes()

    content = await asked.apart(write)
    name = f'attachment; filename="{run}.run.zip"'
    return Answer(content, headers={"content-disposition": name})


async def costs(asked: Asked) -> Answer:
    """What agents were paid for."""
    by = [one.strip() for one in asked.text("by").split(",") if one.strip()]
    since, until = asked.text("since") or None, asked.text("until") or None
    levels = ("bundle", "step", "agent", "model", "user", "run")
    only = {level: cast("list[str]", asked.query[level]) for level in levels}
    return Answer(
        await asked.apart(
            lambda client: client.views.costs(by, since=since, until=until, only=only)
        )
    )


async def approvals(asked: Asked) -> Answer:
    """What waits for people."""
    return Answer(asked.client.views.approvals(asked.text("run")))


async def approval(asked: Asked) -> Answer:
    """All there is to know before agreeing."""
    step = asked.text("step")
    return Answer(asked.client.views.approval(f"{asked.run}/{step}" if step else asked.run))


async def waits(asked: Asked) -> Answer:
    """All that a run waits for, and who is asked."""
    return Answer(asked.client.views.waits(asked.run))
