"""Events to JSON bytes and back; old versions are brought up by pure functions.

The form of an event is one JSON object: `t` its type, `v` its version where that is not 1, and its
fields; fields that hold their default are left out. A `Ref` is `{"=": value}` or `{"#": digest,
"n": size}`.
"""

from __future__ import annotations

import dataclasses
import json
import operator
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Failure, Inline, Json, Ref, Spent, Stored, Written
from aiworkflow.engine.said import Said
from aiworkflow.errors import AIWorkflowError
from aiworkflow.jsontext import compact

if TYPE_CHECKING:
    from aiworkflow.engine.events import Event


class UnknownEvent(AIWorkflowError):
    """The journal holds an event of a newer version; it can be shown, not driven."""

    code = "unknown-event"
    exit_code = 2

    def __init__(self, type_: str, version: int) -> None:
        self.type, self.version = type_, version
        super().__init__(
            f"the journal holds an event `{type_}` of version {version}, which this version of "
            "aiworkflow does not know",
            hint="update aiworkflow to go on with this run",
        )


_NAMES: Mapping[type, str] = {
    ev.RunStarted: "run.started",
    ev.RunResumed: "run.resumed",
    ev.Replanned: "replanned",
    ev.Changed: "changed",
    ev.CancelRequested: "cancel.requested",
    ev.RunFinished: "run.finished",
    ev.Entered: "entered",
    ev.Skipped: "skipped",
    ev.Started: "started",
    Said: "said",
    ev.Reused: "reused",
    ev.Released: "released",
    ev.Ended: "ended",
    ev.Opened: "opened",
    ev.Answered: "answered",
    ev.Approved: "approved",
    ev.Warned: "warned",
    ev.Undoable: "undoable",
    ev.Undoing: "undoing",
    ev.Delayed: "delayed",
    ev.Repeated: "repeated",
    ev.Broken: "broken",
    ev.Resolved: "resolved",
    ev.Assigned: "assigned",
    ev.Stopping: "stopping",
    ev.Closed: "closed",
}
_TYPES: Mapping[str, type] = {name: type_ for type_, name in _NAMES.items()}
_VERSIONS: Mapping[str, int] = dict.fromkeys(_TYPES, 1)

# (type, version) → a function from the old JSON object to that of the next version.
UPCASTS: Mapping[tuple[str, int], Callable[[dict[str, Json]], dict[str, Json]]] = {}


def _default(field: dataclasses.Field[object]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return dataclasses.MISSING


# per type: (field name, default, how to write, how to read)
_Write = Callable[[object], object]
_Read = Callable[[object], object]


def ref_to_json(ref: Ref) -> Json:
    """`{"=": value}` for a value in place, `{"#": digest, "n": size}` for a blob."""
    if isinstance(ref, Inline):
        return {"=": ref.value}
    return {"#": ref.digest, "n": ref.size}


def ref_from_json(data: object) -> Ref:
    """The inverse of `ref_to_json`."""
    found = cast("dict[str, Json]", data)
    if "#" in found:
        return Stored(cast("str", found["#"]), cast("int", found["n"]))
    return Inline(found["="])


def _failure_to_json(failure: Failure) -> Json:
    return {
        name: value
        for name in ("kind", "message", "exit_code", "step", "hint")
        if (value := getattr(failure, name)) is not None
    }


def _spent_to_json(spent: Spent) -> Json:
    return [spent.input_tokens, spent.cached_tokens, spent.output_tokens, spent.cost_usd]


_WRITERS: Mapping[str, _Write] = {
    "Ref": cast("_Write", ref_to_json),
    "Failure": cast("_Write", _failure_to_json),
    "Spent": cast("_Write", _spent_to_json),
}
_READERS: Mapping[str, _Read] = {
    "Ref": ref_from_json,
    "Failure": lambda data: Failure(**cast("dict[str, str]", data)),  # type: ignore[arg-type]
    "Spent": lambda data: Spent(*cast("list[int]", data)),
    "tuple[str, ...]": lambda data: tuple(cast("list[str]", data)),
    "Mapping[str, tuple[str, str | None, Json, str | None]]": lambda data: {
        name: tuple(row) for name, row in cast("dict[str, list[Json]]", data).items()
    },
}


def _plain(value: object) -> object:
    if isinstance(value, types.MappingProxyType):
        return dict(value)
    return value


def _shape(type_: type) -> tuple[tuple[str, object, _Write | None, _Read | None], ...]:
    rows = []
    for field in dataclasses.fields(type_):
        kind = str(field.type).removesuffix(" | None")
        rows.append(
            (
                field.name,
                _default(field),
                _WRITERS.get(kind, _plain if "Mapping" in kind else None),
                _READERS.get(kind),
            )
        )
    return tuple(rows)


_SHAPES = {type_: _shape(type_) for type_ in _NAMES}
_VALUES = {
    type_: operator.attrgetter(*(name for name, *_ in shape)) for type_, shape in _SHAPES.items()
}
_ROWS = {
    type_: tuple((name, default, write) for name, default, write, _ in shape)
    for type_, shape in _SHAPES.items()
}

_FIELDS = {type_: {name: read for name, _, _, read in shape} for type_, shape in _SHAPES.items()}

# `json.loads` looks for spaces around it first, and there are none
_READ = json.JSONDecoder().raw_decode


def encode(event: Event) -> bytes:
    """The event as compact JSON in UTF-8."""
    type_ = type(event)
    data: dict[str, object] = {"t": _NAMES[type_]}
    for value, (name, default, write) in zip(_VALUES[type_](event), _ROWS[type_], strict=True):
        if value is default or (default is not None and value == default):
            continue
        data[name] = write(value) if write is not None and value is not None else value
    trigger = data.get("trigger")
    if isinstance(trigger, dict) and isinstance(trigger.get("body"), Written):
        return _with_body(data, trigger).encode("utf-8", "surrogatepass")
    return compact(data).encode("utf-8", "surrogatepass")


def _with_body(data: Mapping[str, object], trigger: Mapping[str, object]) -> str:
    """As `compact`, but the body of the trigger stands as it came: it may be most of the event."""
    body = cast("Written", trigger["body"]).text
    rest = {name: value for name, value in trigger.items() if name != "body"}
    others = {name: value for name, value in data.items() if name != "trigger"}
    # neither is empty: an event has a type, and so has a trigger
    return f'{compact(others)[:-1]},"trigger":{compact(rest)[:-1]},"body":{body}}}}}'


def decode(payload: bytes) -> Event:
    """The event of a payload.

    Raises:
        UnknownEvent: its type or version is newer than this code.
    """
    text = payload.decode("utf-8", "surrogatepass")
    found, end = _READ(text)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    data = cast("dict[str, Json]", found)
    name = cast("str", data.pop("t"))
    version = cast("int", data.pop("v", 1))
    type_ = _TYPES.get(name)
    if type_ is None or version > _VERSIONS[name]:
        raise UnknownEvent(name, version)
    while version < _VERSIONS[name]:
        data = UPCASTS[name, version](data)
        version += 1
    readers = _FIELDS[type_]
    values: dict[str, object] = {}
    for field, value in data.items():
        if field in readers:
            read = readers[field]
            values[field] = value if read is None or value is None else read(value)
    try:
        return cast("Event", type_(**values))
    except TypeError:  # a field without a default is missing
        raise UnknownEvent(name, version) from None


def type_name(event: Event) -> str:
    """The name of the event's type, as it stands in the journal and in `--json`."""
    return _NAMES[type(event)]
