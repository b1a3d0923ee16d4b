"""What starts runs, over HTTP: schedules, webhooks, queues; and the workers that drive them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiworkflow.http.route import Answer
from aiworkflow.triggers.catalogue import Catalogue
from aiworkflow.triggers.picking import pick

if TYPE_CHECKING:
    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.http.route import Asked
    from aiworkflow.triggers.contract import Armed


# -- schedules ------------------------------------------------------------------------------------


async def schedules(asked: Asked) -> Answer:
    """The schedules, and where they stand."""
    from aiworkflow.triggers.schedule.overview import show

    count = asked.number("count")

    def look(client: Client) -> list[Json]:
        now = _now(client)
        entries = _loaded(client).armed("schedule")
        return [show(client.journal, one, now, count=count).to_json() for one in entries]

    return Answer({"schedules": await asked.apart(look)})


async def next_times(asked: Asked) -> Answer:
    """The next times of all schedules together, or of one."""
    from aiworkflow.triggers.schedule.overview import coming

    name, count = asked.text("schedule"), asked.number("count")

    def look(client: Client) -> list[Json]:
        entries = _loaded(client).armed("schedule")
        chosen = [pick(name, entries, "schedule")] if name else entries
        found = coming(client.journal, chosen, _now(client), count)
        return [dict(one.to_json()) for one in found]

    return Answer({"times": await asked.apart(look)})


async def pause(asked: Asked) -> Answer:
    """Stop a schedule from starting runs, on all servers."""
    return await _pause(asked, on=True)


async def resume(asked: Asked) -> Answer:
    """Let a schedule start runs again."""
    return await _pause(asked, on=False)


async def _pause(asked: Asked, *, on: bool) -> Answer:
    from aiworkflow.triggers.schedule.overview import pause as pause_it

    name = asked.text("schedule")

    def change(client: Client) -> Armed:
        armed = pick(name, _loaded(client).armed("schedule"), "schedule")
        pause_it(client.journal, armed, _now(client), on=on)
        return armed

    armed = await asked.apart(change)
    return Answer({"schedule": armed.name, "paused": on})


async def run_now(asked: Asked) -> Answer:
    """Start a schedule's run at once."""
    from aiworkflow.triggers.assembly import options_of
    from aiworkflow.triggers.schedule.planned import planned
    from aiworkflow.triggers.schedule.source import start_now
    from aiworkflow.triggers.starting import RunStarter

    name = asked.text("schedule")

    def start(client: Client) -> str:
        catalogue = _loaded(client)
        plan = planned(pick(name, catalogue.armed("schedule"), "schedule"))
        most = options_of(client.project).max_ready
        starter = RunStarter(client, catalogue, lambda _: None, most_ready=most)
        token = client.project.ids.token()
        return asyncio.run(start_now(plan, starter, _now(client), token)).run

    run = await asked.apart(start)
    asked.context.submitted(run)
    return Answer({"run": run, "status": asked.client.journal.run(run).status, "new": True})


# -- webhooks, files, queues ----------------------------------------------------------------------


async def webhooks(asked: Asked) -> Answer:
    """The webhooks, and what came to them."""
    from aiworkflow.triggers.webhook.overview import webhooks_json

    last = asked.number("last")
    return Answer(await asked.apart(lambda client: webhooks_json(client, _loaded(client), last)))


async def watches(asked: Asked) -> Answer:
    """The watched files, and what came of them."""
    from aiworkflow.triggers.watch.overview import show
    from aiworkflow.triggers.watch.source import place_of

    def look(client: Client) -> list[Json]:
        root = client.project.root
        entries = _loaded(client).armed("watch")
        found = [show(client.journal, one, root, place_of(root)) for one in entries]
        return [dict(one.to_json()) for one in found]

    return Answer({"watches": await asked.apart(look)})


async def queues(asked: Asked) -> Answer:
    """How the queues stand."""
    from aiworkflow.triggers.queues.desk import Desk, standing_json

    desk, name = Desk(asked.client), asked.text("queue")
    wanted = [desk.find(name)] if name else desk.known()
    shown: list[Json] = [standing_json(one, await desk.status(one)) for one in wanted]
    return Answer({"queues": shown})


async def publish(asked: Asked) -> Answer:
    """Publish a message."""
    from aiworkflow.triggers.queues.desk import Desk

    desk = Desk(asked.client)
    known = desk.find(asked.text("queue"))
    priority, delay = asked.body.get("priority", 0), asked.body.get("delay_seconds", 0)
    assert isinstance(priority, int)
    assert isinstance(delay, int | float)
    id_ = await desk.publish(
        known,
        json.dumps(asked.body["data"]),
        id_=asked.key or None,
        priority=priority,
        delay_s=float(delay),
        headers={name: str(text) for name, text in asked.map("headers").items()},
    )
    return Answer({"queue": known.name, "at": known.address.shown, "id": id_})


async def dead(asked: Asked) -> Answer:
    """The messages of a queue that were set aside."""
    from aiworkflow.triggers.queues.desk import Desk, dead_json

    desk, name = Desk(asked.client), asked.text("queue")
    async with desk.open(desk.find(name)) as queue:
        found = await queue.dead(asked.number("limit"))
    return Answer({"queue": name, "dead": [dead_json(one) for one in found]})


async def retry(asked: Asked) -> Answer:
    """Put messages that were set aside back: those with these ids, or all."""
    from aiworkflow.triggers.queues.desk import Desk

    desk, name = Desk(asked.client), asked.text("queue")
    ids = asked.texts("ids") if "ids" in asked.body else None
    async with desk.open(desk.find(name)) as queue:
        count = await queue.retry(ids)
    return Answer({"queue": name, "retried": count})


# -- workers --------------------------------------------------------------------------------------


async def workers(asked: Asked) -> Answer:
    """The processes that drive runs."""
    from aiworkflow.client.fleet import workers as every

    shown: list[Json] = [row.to_json() for row in every(asked.client)]
    return Answer({"workers": shown})


async def drain(asked: Asked) -> Answer:
    """Have a worker take nothing more, and end."""
    from aiworkflow.client.fleet import drain as drain_it

    row = drain_it(asked.client, asked.text("worker"))
    return Answer({"worker": row.id, "state": "draining"})


def _loaded(client: Client) -> Catalogue:
    catalogue = Catalogue(client)
    catalogue.load()
    return catalogue


def _now(client: Client) -> float:
    return client.project.clock.now().timestamp()
