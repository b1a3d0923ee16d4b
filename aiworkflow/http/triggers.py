"""What starts runs, over HTTP: schedules, webhooks, queues; and the workers that drive them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiworkflow.http.once import claimed
from aiworkflow.http.problem import RequestRefused
from aiworkflow.http.route import Answer
from aiworkflow.triggers.here import TriggersHere

if TYPE_CHECKING:
    from aiworkflow.client.client import Client
    from aiworkflow.client.triggers import Shown
    from aiworkflow.http.route import Asked


# -- schedules ------------------------------------------------------------------------------------


async def schedules(asked: Asked) -> Answer:
    """The schedules, and where they stand."""
    count = asked.number("count")
    return Answer(await asked.apart(lambda client: client.triggers.schedules.all(count=count)))


async def schedule(asked: Asked) -> Answer:
    """One schedule."""
    name, count = asked.text("schedule"), asked.number("count")
    return Answer(
        await asked.apart(lambda client: client.triggers.schedules.one(name, count=count))
    )


async def next_times(asked: Asked) -> Answer:
    """The next times of all schedules together, or of one."""
    name, count, after = asked.text("schedule"), asked.number("count"), _moment(asked)
    return Answer(
        await asked.apart(
            lambda client: client.triggers.schedules.coming(name, count=count, after=after)
        )
    )


def _moment(asked: Asked) -> float | None:
    text = asked.text("after")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise RequestRefused(
            "invalid-request",
            "`after` in the query takes a moment",
            hint="write it as 2027-01-31T09:00Z; in an address `+` is `%2B`",
        ) from None


async def pause(asked: Asked) -> Answer:
    """Stop a schedule from starting runs, on all servers."""
    name = asked.text("schedule")
    return Answer(await asked.apart(lambda client: client.triggers.schedules.pause(name)))


async def resume(asked: Asked) -> Answer:
    """Let a schedule start runs again."""
    name = asked.text("schedule")
    return Answer(await asked.apart(lambda client: client.triggers.schedules.resume(name)))


async def run_now(asked: Asked) -> Answer:
    """Start a schedule's run at once."""
    name, key = asked.text("schedule"), claimed(asked, "schedules/run")

    def start(client: Client) -> Shown:
        return asyncio.run(client.triggers.schedules.run(name, key=key))

    found = await asked.apart(start)
    asked.context.submitted(str(found["run"]))
    return Answer(found, headers={"location": f"/api/v1/runs/{found['run']}"})


# -- webhooks, files, queues ----------------------------------------------------------------------


async def webhooks(asked: Asked) -> Answer:
    """The webhooks, and what came to them."""
    last = asked.number("last")
    return Answer(await asked.apart(lambda client: client.triggers.webhooks(last=last)))


async def try_webhook(asked: Asked) -> Answer:
    """Send an event to this server, or say what it would do."""
    name, event, dry_run = asked.text("webhook"), asked.text("event"), asked.flag("dry_run")
    payload = asked.text("payload").encode() if "payload" in asked.body else None
    url, certificate = asked.context.address()

    def send(client: Client) -> Shown:
        return TriggersHere(client).try_webhook(
            name, event=event, payload=payload, dry_run=dry_run, url=url, certificate=certificate
        )

    return Answer(await asked.apart(send))


async def replay_webhook(asked: Asked) -> Answer:
    """Send a delivery to this server again."""
    delivery, same_id = asked.text("delivery"), asked.flag("same_id")
    url, certificate = asked.context.address()

    def send(client: Client) -> Shown:
        return TriggersHere(client).replay_webhook(
            delivery, same_id=same_id, url=url, certificate=certificate
        )

    return Answer(await asked.apart(send))


async def try_watches(asked: Asked) -> Answer:
    """Which watches a change of some files would concern."""
    paths, watch = asked.texts("paths"), asked.text("watch")
    return Answer(await asked.apart(lambda client: client.triggers.try_watches(paths, watch=watch)))


async def watches(asked: Asked) -> Answer:
    """The watched files, and what came of them."""
    return Answer(await asked.apart(lambda client: client.triggers.watches()))


async def queues(asked: Asked) -> Answer:
    """How the queues stand."""
    return Answer(await asked.client.triggers.queues.standing(asked.text("queue")))


async def publish(asked: Asked) -> Answer:
    """Publish a message."""
    priority, delay = asked.body.get("priority", 0), asked.body.get("delay_seconds", 0)
    assert isinstance(priority, int | float)  # 3.0 is whole in JSON Schema
    assert isinstance(delay, int | float)
    key = claimed(asked, "queues/publish")
    found = await asked.client.triggers.queues.publish(
        asked.text("queue"),
        asked.body["data"],
        id_=asked.text("id") if "id" in asked.body else key or None,
        priority=int(priority),
        delay_s=float(delay),
        headers={name: str(text) for name, text in asked.map("headers").items()},
    )
    return Answer(found)


async def dead(asked: Asked) -> Answer:
    """The messages of a queue that were set aside."""
    queue, limit = asked.text("queue"), asked.number("limit")
    return Answer(await asked.client.triggers.queues.dead(queue, limit=limit))


async def retry(asked: Asked) -> Answer:
    """Put messages that were set aside back: those with these ids, or all."""
    return Answer(await asked.client.triggers.queues.retry(asked.text("queue"), _ids(asked)))


async def drop(asked: Asked) -> Answer:
    """Remove messages that were set aside: those with these ids, or all."""
    return Answer(await asked.client.triggers.queues.drop(asked.text("queue"), _ids(asked)))


def _ids(asked: Asked) -> list[str] | None:
    ids, every = asked.texts("ids"), asked.flag("all")
    if bool(ids) == every:
        raise RequestRefused(
            "invalid-request",
            "say which messages: their `ids`, or `all`",
            hint='such as {"queue": "orders", "all": true}',
        )
    return None if every else ids


async def purge(asked: Asked) -> Answer:
    """Remove what nobody has taken."""
    return Answer(await asked.client.triggers.queues.purge(asked.text("queue")))


# -- workers --------------------------------------------------------------------------------------


async def workers(asked: Asked) -> Answer:
    """The processes that drive runs."""
    return Answer(asked.client.views.workers())


async def drain(asked: Asked) -> Answer:
    """Have a worker take nothing more, and end."""
    return Answer(asked.client.drain(asked.text("worker")))
