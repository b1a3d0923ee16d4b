"""Events of a run: pages, and server-sent events whose id is the seq, so that a reader can go on."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Final

from aiworkflow.client.resting import is_at_rest
from aiworkflow.errors import AIWorkflowError
from aiworkflow.http.problem import RequestRefused
from aiworkflow.observe.eventline import event_to_json, read_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiworkflow.engine.carried import Json
    from aiworkflow.http.route import Asked
    from aiworkflow.journal import Record

_log = logging.getLogger("aiworkflow.http")

_PAGE: Final = 100
_SOON_S: Final = 0.02
_LATER_S: Final = 0.25
_AGAIN_MS: Final = 1000

END: Final = "end"
"""The event that says that the run is at rest; no more come."""


def events_page(asked: Asked) -> dict[str, Json]:
    """Some events of a run, and the seq after which to go on; null when there are no more now."""
    run, limit = asked.run, asked.number("limit")
    records = asked.client.journal.read(run, asked.number("after"), limit)
    shown = [_shown(one, raw=asked.flag("raw")) for one in records]
    more = records[-1].seq if len(records) == limit else None
    return {
        "run": run,
        "events": shown,
        "next": more,
        "at_rest": more is None and is_at_rest(asked.client, run),
    }


async def event_stream(asked: Asked) -> AsyncGenerator[bytes]:
    """The events of a run from one on, as they become durable, until it is at rest.

    Raises:
        RequestRefused: too many streams are open, or Last-Event-ID is none.
    """
    context = asked.context
    run, seq = asked.run, after_of(asked)
    if context.streams >= context.limits.streams:
        raise RequestRefused(
            "too-many", "too many event streams are open", hint="try again", retry_s=5
        )
    return _stream(asked, run, seq)


def after_of(asked: Asked) -> int:
    """The seq after which events are asked for.

    Raises:
        RequestRefused: Last-Event-ID is no seq.
    """
    text = asked.last_event
    if not text:
        return asked.number("after")
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise RequestRefused("invalid-request", "Last-Event-ID is no number of an event")
    return int(text)


async def _stream(asked: Asked, run: str, seq: int) -> AsyncGenerator[bytes]:
    context, client, raw = asked.context, asked.client, asked.flag("raw")
    clock = client.project.clock
    context.streams += 1
    try:
        yield b"retry: %d\n\n" % _AGAIN_MS
        pause, said = _SOON_S, clock.monotonic()
        looked = said
        while not context.draining.is_set():
            if clock.monotonic() - looked >= context.limits.heartbeat_s:
                looked = clock.monotonic()
                token = asked.caller.token
                if token and not context.tokens.is_good(token):
                    return  # it was revoked, or its time is over
            rests = is_at_rest(client, run)  # asked first: what came before it is read below
            records = client.journal.read(run, seq, _PAGE)
            if records:
                seq = records[-1].seq
                yield b"".join(_piece(one, raw=raw) for one in records)
                pause, said = _SOON_S, clock.monotonic()
                continue
            if rests:
                data = {"run": run, "status": client.journal.run(run).status}
                yield b"event: %s\ndata: %s\n\n" % (END.encode(), json.dumps(data).encode())
                return
            if clock.monotonic() - said >= context.limits.heartbeat_s:
                said = clock.monotonic()
                yield b": alive\n\n"
            try:
                async with asyncio.timeout(pause):
                    await context.draining.wait()
            except TimeoutError:
                pause = min(_LATER_S, pause * 1.5)
    except AIWorkflowError as error:  # the journal does not answer, or the run was removed
        _log.warning("event stream cut off", extra={"run": run, "error": error.message})
    finally:
        context.streams -= 1


def _piece(record: Record, *, raw: bool) -> bytes:
    if raw:  # one line by itself: the journal's form has no line ends
        return b"id: %d\ndata: %s\n\n" % (record.seq, record.payload)
    shown = event_to_json(record.seq, read_event(record.payload))
    data = json.dumps(shown, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (record.seq, str(shown["type"]).encode(), data)


def _shown(record: Record, *, raw: bool) -> Json:
    if raw:
        found: Json = json.loads(record.payload.decode("utf-8", "surrogatepass"))
        return {"seq": record.seq, "event": found}
    return event_to_json(record.seq, read_event(record.payload))
