"""What the commands of `aiworkflow queue` do and print."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.cli.given import seconds, whole
from aiworkflow.cli.triggering import in_loop
from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.client import Client
    from aiworkflow.client.triggers import Shown
    from aiworkflow.engine.carried import Json

_MOST_DEAD: Final = 100_000
_PAUSE_S: Final = 0.5


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
    wait: str | None


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
        QueueUnavailable: its server did not answer, for as long as it was to be waited for.
    """
    import asyncio

    from aiworkflow.bundle.readers_on_queue import LONGEST_NAME, QUEUE_NAME

    body = _body(request.data)
    headers = dict(_header(text) for text in request.headers)
    priority = whole("--priority", request.priority, 0, 9)
    delay = seconds("--delay", request.delay)
    if re.fullmatch(QUEUE_NAME, request.name) is None or len(request.name) > LONGEST_NAME:
        raise UsageError(
            f"`{request.name}` is no name of a queue",
            hint=f"1 to {LONGEST_NAME} characters without spaces and braces",
        )

    wait_s = 0.0 if request.wait is None else seconds("--wait", request.wait)

    async def go(client: Client) -> Shown:
        from aiworkflow.triggers.queues.contract import QueueUnavailable

        if not wait_s:
            return await publish(client, request.id)
        # what was published, and not confirmed, is the same message the next time
        id_ = client.project.ids.token() if request.id is None else request.id
        clock = client.project.clock
        until = clock.monotonic() + wait_s
        while True:
            try:
                return await publish(client, id_)
            except QueueUnavailable:
                if clock.monotonic() >= until:
                    raise
            await asyncio.sleep(_PAUSE_S)

    async def publish(client: Client, id_: str | None) -> Shown:
        return await client.triggers.queues.publish(
            request.name,
            body,
            id_=id_,
            priority=priority,
            delay_s=delay,
            headers=headers,
            url=request.url,
        )

    about = in_loop(where, go)
    if not about["bundles"] and request.url is None:
        hint = about["hint"]
        out.note(
            f"warning: no bundle takes messages from `{request.name}`"
            + (f"; {hint}" if hint else "")
        )
    out.object(about)
    out.say(f"published {about['id']} to {about['queue']} in {about['at']}")


def show_status(name: str | None, url: str | None, where: Where, out: Out) -> None:
    """Print how queues stand.

    Raises:
        UsageError: there is no such queue.
    """
    from aiworkflow.cli.show import table

    about = in_loop(
        where, lambda client: client.triggers.queues.standing(name or "", url=url), looks=True
    )
    out.object(about)
    found = cast("list[dict[str, Json]]", about["queues"])
    if out.json:
        return
    if not found:
        out.say("no bundle has `on.queue`, and nothing was published")
        return
    head = ("QUEUE", "AT", "READY", "DELAYED", "TAKEN", "DEAD", "OLDEST", "CONSUMERS", "BUNDLES")
    rows = [
        (
            str(one["queue"]),
            str(one["at"]),
            *(_count(one[word]) for word in ("ready", "delayed", "taken", "dead")),
            "" if one["oldest_seconds"] is None else f"{float(str(one['oldest_seconds'])):.0f}s",
            _count(one["consumers"]),
            ", ".join(cast("list[str]", one["bundles"])),
        )
        for one in found
    ]
    out.result(table(rows, head))


def purge_queue(name: str, url: str | None, where: Where, out: Out, *, is_sure: bool) -> None:
    """Remove what nobody has taken.

    Raises:
        UsageError: nobody has said that it is meant.
    """

    async def go(client: Client) -> Shown:
        queues = client.triggers.queues
        if not is_sure and name:  # without a name it is refused below
            (one,) = cast("list[Shown]", (await queues.standing(name, url=url))["queues"])
            count = _messages(int(str(one["ready"])) + int(str(one["delayed"] or 0)))
            raise UsageError(
                f"this removes {count} of `{name}` in {one['at']} for ever",
                hint="say --yes if that is meant",
            )
        return await queues.purge(name, url=url)

    about = in_loop(where, go)
    out.object(about)
    out.say(f"removed {_messages(about['removed'])} of {name}")


def list_dead(name: str, url: str | None, limit: str, where: Where, out: Out) -> None:
    """Print what was set aside.

    Raises:
        UsageError: the limit is no number.
    """
    from aiworkflow.cli.show import table
    from aiworkflow.steady import steady

    most = whole("--limit", limit, 1, _MOST_DEAD)
    about = in_loop(
        where, lambda client: client.triggers.queues.dead(name, limit=most, url=url), looks=True
    )
    out.object(about)
    found = cast("list[dict[str, Json]]", about["dead"])
    if out.json:
        return
    if not found:
        out.say(f"nothing of {name} was set aside")
        return
    rows = [
        (
            str(one["id"]),
            str(one["since"]),
            str(one["attempts"]),
            " ".join(steady(str(one["reason"])).split()),
        )
        for one in found
    ]
    out.result(table(rows, ("ID", "SINCE (UTC)", "ATTEMPTS", "REASON")))


def retry_dead(request: DeadRequest, where: Where, out: Out) -> None:
    """Put them back.

    Raises:
        UsageError: neither ids nor `--all` were given.
    """
    ids, name = _ids(request), request.name
    about = in_loop(where, lambda client: client.triggers.queues.retry(name, ids, url=request.url))
    out.object(about)
    out.say(f"put back {_messages(about['retried'])} of {name}")


def drop_dead(request: DeadRequest, where: Where, out: Out) -> None:
    """Remove them.

    Raises:
        UsageError: neither ids nor `--all` were given.
    """
    ids, name = _ids(request), request.name
    about = in_loop(where, lambda client: client.triggers.queues.drop(name, ids, url=request.url))
    out.object(about)
    out.say(f"removed {_messages(about['dropped'])} of {name} for ever")


# -- pieces ---------------------------------------------------------------------------------------


def _body(data: str) -> Json:
    """What `--data` stands for."""
    if data == "-":
        text = sys.stdin.read()
    elif data.startswith("@"):
        try:
            text = Path(data[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read `{data[1:]}`: {error}") from error
    else:
        text = data
    from aiworkflow.jsontext import NotJson, strict_json_bytes

    try:
        return strict_json_bytes(text.encode("utf-8", "surrogateescape"))
    except NotJson as error:
        raise UsageError(
            f"`--data` is no JSON: {error}", hint="quote it for the shell: --data '{\"n\": 1}'"
        ) from error


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


def _messages(count: Json) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _count(value: Json) -> str:
    return "?" if value is None else str(value)
