"""What the commands of `aiworkflow queue` do and print."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aiworkflow.cli.given import seconds
from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.triggers.queues.contract import Dead, Status
    from aiworkflow.triggers.queues.desk import Desk, Known

T = TypeVar("T")


@record
class PublishRequest:
    """What the command line says of a message."""

    name: str
    data: str
    priority: str
    delay: str
    id: str | None
    headers: tuple[str, ...]
    url: str | None


@record
class DeadRequest:
    """Which messages of those that were set aside."""

    name: str
    ids: tuple[str, ...]
    all: bool
    url: str | None


def publish_message(request: PublishRequest, where: Where, out: Out) -> None:
    """Publish, and say under which id.

    Raises:
        UsageError: something on the command line cannot be used.
    """
    from aiworkflow.bundle.readers_on_queue import LONGEST_NAME, QUEUE_NAME

    body = _body(request.data)
    headers = dict(_header(text) for text in request.headers)
    if not (request.priority.isdecimal() and len(request.priority) == 1):
        raise UsageError(f"`--priority {request.priority}` is not one of 0 to 9")
    delay = seconds("--delay", request.delay)
    if re.fullmatch(QUEUE_NAME, request.name) is None or len(request.name) > LONGEST_NAME:
        raise UsageError(
            f"`{request.name}` is no name of a queue",
            hint=f"1 to {LONGEST_NAME} characters without spaces and braces",
        )

    async def go(desk: Desk) -> tuple[Known, str]:
        known = desk.find(request.name, request.url)
        if not known.bundles and request.url is None:
            hint = desk.nearest(request.name)
            out.note(
                f"warning: no bundle takes messages from `{request.name}`"
                + (f"; {hint}" if hint else "")
            )
        priority = int(request.priority)
        found = await desk.publish(
            known, body, id_=request.id, priority=priority, delay_s=delay, headers=headers
        )
        return known, found

    known, id_ = _with_desk(where, go)
    about = {"queue": known.name, "at": known.address.shown, "id": id_}
    out.object({**about, "priority": int(request.priority), "delay_seconds": delay})
    out.say(f"published {id_} to {known.name} in {known.address.shown}")


def show_status(name: str | None, url: str | None, where: Where, out: Out) -> None:
    """Print how queues stand.

    Raises:
        UsageError: there is no such queue.
    """
    from aiworkflow.cli.show import table
    from aiworkflow.triggers.queues.desk import standing_json

    async def go(desk: Desk) -> list[tuple[Known, Status]]:
        if name is None and url is not None:
            raise UsageError("`--url` needs the name of a queue")
        wanted = desk.known() if name is None else [desk.find(name, url)]
        return [(one, await desk.status(one)) for one in wanted]

    found = _with_desk(where, go)
    out.object({"queues": [standing_json(known, status) for known, status in found]})
    if out.json:
        return
    if not found:
        out.say("no bundle has `on.queue`, and nothing was published")
        return
    head = ("QUEUE", "AT", "READY", "DELAYED", "TAKEN", "DEAD", "OLDEST", "CONSUMERS", "BUNDLES")
    rows = [
        (
            known.name,
            known.address.shown,
            *(_count(one) for one in (status.ready, status.delayed, status.taken, status.dead)),
            "" if status.oldest_s is None else f"{status.oldest_s:.0f}s",
            _count(status.consumers),
            ", ".join(known.bundles),
        )
        for known, status in found
    ]
    out.result(table(rows, head))


def purge_queue(name: str, url: str | None, where: Where, out: Out, *, is_sure: bool) -> None:
    """Remove what nobody has taken.

    Raises:
        UsageError: nobody has said that it is meant.
    """

    async def go(desk: Desk) -> int:
        known = desk.find(name, url)
        if not is_sure:
            status = await desk.status(known)
            count = _messages(status.ready + (status.delayed or 0))
            raise UsageError(
                f"this removes {count} of `{name}` in {known.address.shown} for ever",
                hint="say --yes if that is meant",
            )
        async with desk.open(known) as queue:
            return await queue.purge()

    count = _with_desk(where, go)
    out.object({"queue": name, "removed": count})
    out.say(f"removed {_messages(count)} of {name}")


def list_dead(name: str, url: str | None, limit: str, where: Where, out: Out) -> None:
    """Print what was set aside.

    Raises:
        UsageError: the limit is no number.
    """
    from aiworkflow.cli.out import printable
    from aiworkflow.cli.show import table
    from aiworkflow.client.views import when
    from aiworkflow.triggers.queues.desk import dead_json

    if not (limit.isdecimal() and 1 <= int(limit) <= 100_000):
        raise UsageError(f"`--limit {limit}` is no number from 1 to 100000")

    async def go(desk: Desk) -> Sequence[Dead]:
        async with desk.open(desk.find(name, url)) as queue:
            return await queue.dead(int(limit))

    found = _with_desk(where, go)
    out.object({"queue": name, "dead": [dead_json(one) for one in found]})
    if out.json:
        return
    if not found:
        out.say(f"nothing of {name} was set aside")
        return
    rows = [
        (one.message.id, when(one.at), str(one.attempts), " ".join(printable(one.reason).split()))
        for one in found
    ]
    out.result(table(rows, ("ID", "SINCE (UTC)", "ATTEMPTS", "REASON")))


def retry_dead(request: DeadRequest, where: Where, out: Out) -> None:
    """Put them back.

    Raises:
        UsageError: neither ids nor `--all` were given.
    """
    ids = _ids(request)

    async def go(desk: Desk) -> int:
        async with desk.open(desk.find(request.name, request.url)) as queue:
            return await queue.retry(ids)

    count = _with_desk(where, go)
    out.object({"queue": request.name, "retried": count})
    out.say(f"put back {_messages(count)} of {request.name}")


def drop_dead(request: DeadRequest, where: Where, out: Out) -> None:
    """Remove them.

    Raises:
        UsageError: neither ids nor `--all` were given.
    """
    ids = _ids(request)

    async def go(desk: Desk) -> int:
        async with desk.open(desk.find(request.name, request.url)) as queue:
            return await queue.drop(ids)

    count = _with_desk(where, go)
    out.object({"queue": request.name, "dropped": count})
    out.say(f"removed {_messages(count)} of {request.name} for ever")


# -- pieces ---------------------------------------------------------------------------------------


def _with_desk(where: Where, do: Callable[[Desk], Awaitable[T]]) -> T:
    """Something done with the queues of a project."""
    import asyncio

    from aiworkflow.triggers.queues.desk import Desk

    client = where.connect()

    async def go() -> T:
        return await do(Desk(client))

    try:
        return asyncio.run(go())
    finally:
        client.close()


def _body(data: str) -> str:
    """The JSON text that `--data` stands for."""
    if data == "-":
        text = sys.stdin.read()
    elif data.startswith("@"):
        try:
            text = Path(data[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read `{data[1:]}`: {error}") from error
    else:
        text = data
    from aiworkflow.triggers.queues.body import read_body

    try:
        read_body(text.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise UsageError(
            f"`--data` is no JSON: {error}", hint="quote it for the shell: --data '{\"n\": 1}'"
        ) from error
    return text


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isprintable() or not name or len(name) > 100:
        raise UsageError(f"`--header {text}` has not the form NAME=VALUE")
    return name, value


def _ids(request: DeadRequest) -> Sequence[str] | None:
    if bool(request.ids) == request.all:
        raise UsageError(
            "say which messages: their ids, or --all",
            hint=f"list them: aiworkflow queue dead list {request.name}",
        )
    return None if request.all else request.ids


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _count(value: int | None) -> str:
    return "?" if value is None else str(value)
