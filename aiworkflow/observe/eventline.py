"""An event as one line for people, and as plain data; one that this version does not know, too."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, TypeAlias, cast

from aiworkflow.engine import Event, Inline, Stored, UnknownEvent, decode, encode, type_name
from aiworkflow.engine import events as ev
from aiworkflow.engine.said import Said
from aiworkflow.jsontext import compact
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine import Failure, Ref
    from aiworkflow.engine.carried import Json

_MOST = 80
_SAID_APART = frozenset({"at", "path", "node", "parent", "t", "v"})


@record
class Newer:
    """An event of a newer version: it can be shown, not folded.

    Attributes:
        data: its fields, as they stand in the journal.
    """

    type: str
    data: Mapping[str, Json]


Happened: TypeAlias = "Event | Newer"


def read_event(payload: bytes) -> Happened:
    """The event of a payload, also where this version does not know its type."""
    try:
        return decode(payload)
    except UnknownEvent as unknown:
        return Newer(unknown.type, json.loads(payload.decode("utf-8", "surrogatepass")))


def time_of(event: Happened) -> float:
    """When it happened, seconds since the epoch; 0 where a newer event does not say."""
    if isinstance(event, Newer):
        found = event.data.get("at")
        return float(found) if isinstance(found, int | float) else 0.0
    return event.at


def path_of(event: Happened) -> str:
    """The path of the step it is about; "" for the run."""
    found = event.data.get("path") if isinstance(event, Newer) else getattr(event, "path", "")
    return found if isinstance(found, str) else ""


def type_of(event: Happened) -> str:
    """The name of its type."""
    return event.type if isinstance(event, Newer) else type_name(event)


def event_to_json(seq: int, event: Happened) -> dict[str, Json]:
    """An event as plain data: where it stands, a line about it, and its fields."""
    if isinstance(event, Newer):
        data = dict(event.data)
    else:
        data = cast("dict[str, Json]", json.loads(encode(event).decode("utf-8", "surrogatepass")))
    for said in ("t", "v", "at"):
        data.pop(said, None)
    return {
        "seq": seq,
        "at": time_of(event),
        "type": type_of(event),
        "step": path_of(event) or None,
        "text": event_line(event),
        "fields": data,
    }


def skipped_because(because: str) -> str:
    """Why a step was skipped, in words."""
    words = {"else": "an earlier branch ran", "person": "a person left it out"}
    return words.get(because, "its `if` was false")


def event_line(event: Happened) -> str:
    """What happened, in a few words, without its path and time."""
    match event:
        case ev.RunStarted():
            forked = f", {event.copied} events taken over" if event.copied else ""
            return f"{event.bundle} by {event.actor}{forked}"
        case ev.Replanned():
            return _replanned(event)
        case ev.RunResumed(only=(_, *_)):
            return f"taking back {_short(event.only)}, to go on at {event.on[:12] or 'it'}"
        case ev.CancelRequested():
            return f"by {event.actor}" + (f": {event.reason}" if event.reason else "")
        case ev.RunFinished() | ev.Closed():
            return event.status + _because(event.error)
        case ev.Entered(form="each"):
            return f"each of {event.count} items" + _again(event.visit)
        case ev.Entered(round=int(round_)):
            return f"round {round_}" + _again(event.visit)
        case ev.Entered():
            return event.form + _again(event.visit)
        case ev.Skipped():
            return skipped_because(event.because)
        case ev.Started() | Said():
            return _attempt(event)
        case ev.Ended():
            by = f" by {event.agent}" if event.agent else ""
            took = f" after {event.seconds:.1f} s"
            return event.status + by + took + (_because(event.error) or _gives(event.output))
        case ev.Reused():
            return f"output of {event.source} used again" + _gives(event.output)
        case ev.Broken():
            return "failed" + _because(event.error)
        case ev.Resolved():
            return f"{event.outcome}, says {event.actor}" + (
                f": {event.note}" if event.note else ""
            )
        case ev.Answered():
            words = f"{event.verdict} by {event.actor}"
            return words + (f": {event.comment}" if event.comment else "") + _gives(event.data)
        case ev.Assigned():
            return ", ".join(f"{name} ← {_short(value)}" for name, value in event.operands.items())
        case ev.Stopping():
            return event.reason + _because(event.error)
        case _:
            return _fields(event)


def _attempt(event: ev.Started | Said) -> str:
    if isinstance(event, Said):
        what = "what was said" if event.whole else "a turn that asks for calls"
        return what + _gives(event.messages)
    if event.role == "call":
        again = f", attempt {event.attempt}" if event.attempt > 1 else ""
        return f"{call_line(event.tool, event.arguments)}, {event.effect}{again}"
    role = f"{event.role}, " if event.role else ""
    by = f", by {event.agent}" if event.agent else ""
    by += f" ({event.because})" if event.because else ""
    return f"{role}attempt {event.attempt}, {event.effect}{by}" + _again(event.visit)


def call_line(tool: str, given: Ref | None) -> str:
    """A call that an agent makes: the operation, and what is known at once of its arguments."""
    value = given.value if isinstance(given, Inline) else None
    arguments = value.get("with") if isinstance(value, dict) else None
    return f"{tool} {short_json(arguments, _MOST)}" if arguments else tool


def _replanned(event: ev.Replanned) -> str:
    at = f"at {event.commit[:12]} " if event.commit else ""
    words = [f"{at}by {event.actor}"]
    for what, paths in (
        ("again", event.redo),
        ("gone", event.dropped),
        ("renamed", tuple(f"{old} → {new}" for old, new in event.renamed.items())),
        ("stands", event.stands),
    ):
        if paths:
            words.append(f"{what}: {_short(paths)}")
    return "; ".join(words)


def _fields(event: Happened) -> str:
    """Fields that are set, by name: for types that have no words of their own."""
    if isinstance(event, Newer):
        pairs = [(k, v) for k, v in event.data.items() if k not in _SAID_APART]
        return _cut(", ".join(f"{name} {_short(value)}" for name, value in pairs))
    words = []
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if field.name in _SAID_APART or not value or value == field.default:
            continue
        if isinstance(value, Inline | Stored):
            words.append(f"{field.name}{_gives(value, '')}")
        elif hasattr(value, "message"):
            words.append(f"{field.name}{_because(value)}")
        else:
            words.append(f"{field.name} {_short(value)}")
    return _cut(", ".join(words))


def _again(visit: int) -> str:
    return f", visit {visit}" if visit > 1 else ""


def _because(error: Failure | None) -> str:
    if error is None:
        return ""
    lines = error.message.splitlines() or [""]
    return f": {_cut(lines[0])}"


def _gives(ref: Ref | None, arrow: str = " →") -> str:
    match ref:
        case None:
            return ""
        case Inline(value):
            return f"{arrow} {_short(value)}"
        case Stored(_, size):
            return f"{arrow} {size:,} bytes"


def _short(value: object) -> str:
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, tuple | list) and all(isinstance(one, str) for one in value):
        return _cut(", ".join(value))
    return short_json(value, _MOST)


def short_json(value: object, most: int) -> str:
    """A value as JSON on one line, at most so many characters long."""
    if isinstance(value, list | dict) and len(value) > most:  # the rest would be cut anyway
        if isinstance(value, list):
            value = value[:most]
        else:
            value = {key: value[key] for key in list(value)[:most]}
    return _cut(compact(_plain(value)), most)


def _plain(value: object) -> object:
    if isinstance(value, str | int | float | list | dict) or value is None:
        return value
    try:
        return dict(value)  # type: ignore[call-overload]  # a mapping proxy
    except (TypeError, ValueError):
        return str(value)


def _cut(text: str, most: int = _MOST) -> str:
    line = " ".join(text[: 2 * most + 2].split()) if text else ""
    return line if len(line) <= most and len(text) <= 2 * most + 2 else f"{line[: most - 1]}…"
