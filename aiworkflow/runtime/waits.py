"""Waits as people and signallers see them: what is shown, when they are over, their rows."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.policies import Approval
from aiworkflow.bundle.workflow import Ask, Gate, ToolCall, Wait
from aiworkflow.engine import events as ev
from aiworkflow.engine import is_below
from aiworkflow.expr import EvaluationError, references, render, resolve
from aiworkflow.expr.values import Limited, plain
from aiworkflow.journal import RegisterWrite, beginning_of
from aiworkflow.jsontext import compact
from aiworkflow.plan import field_to_json
from aiworkflow.plan.unparse import unparse
from aiworkflow.settings.units import LONGEST_S, duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiworkflow.engine import Event, RunState
    from aiworkflow.engine.carried import Json
    from aiworkflow.expr import Expression
    from aiworkflow.journal import Journal, Register
    from aiworkflow.plan.graph import Node, Plan
    from aiworkflow.runtime.values import Values


_MOST_READ: Final = 64 * 1024
_EARLIEST: Final = 1.0  # what was before is past as well, and 0 is no moment

WAIT = "wait"
"""The space of registers of open waits; keys are `run/path`."""


AWAITED = "awaited"
"""The space of registers of open waits that triggers reach; keys are `event run/path`.

A value holds `match` as text, and `names`: what it reads beside `trigger`, as it was when the wait was
opened. So whoever has seen an event finds who waits for it, and folds no run.
"""


WAKE = "wake"
"""The space of registers of runs that wait and can go on: at once, or `at` a moment."""


def child_id(parent: str, path: str, visit: int) -> str:
    """The id of a child run: the moment of its parent, its journal, and a name of its own."""
    digest = hashlib.sha256(f"{parent}\n{path}\n{visit}".encode()).hexdigest()
    return f"{beginning_of(parent)}{digest[:10]}"


def can_go_on(journal: Journal, run: str, now: float) -> bool:
    """Whether a child run that waits was answered, or its time has come."""
    wake = journal.register(WAKE, run)
    if wake is None:
        return journal.run(run).finished is not None
    at = json.loads(wake.value).get("at")
    return at is None or at <= now


class Waits:
    """The rows of one run's open waits, kept in step with its events.

    A signaller reads and requires these rows; it never folds the run.
    """

    def __init__(self, journal: Journal, run: str, *, is_new: bool = False) -> None:
        self._run = run
        rows = () if is_new else journal.registers(WAIT, f"{run}/")
        self._open = {row.key: _event_of(row) for row in rows}

    def writes(self, events: Sequence[Event], tail: int, values: Values) -> list[RegisterWrite]:
        """What to write with the append of these events, the first of which has seq tail + 1."""
        found: dict[tuple[str, str], RegisterWrite] = {}
        for seq, event in enumerate(events, tail + 1):
            match event:
                case ev.Opened():
                    key = f"{self._run}/{event.path}"
                    rows = wait_rows(key, seq, event, values)
                    self._open[key] = _event_of(rows[0])
                    found.update({(row.space, row.key): row for row in rows})
                case ev.Replanned():
                    for key in [key for key in self._open if self._is_left(key, event)]:
                        found.update(self._closed(key))
                case ev.Ended(status="waiting"):
                    pass  # what its attempt asked still is
                case ev.Ended() | ev.Closed() | ev.Approved() | ev.Skipped():
                    key = f"{self._run}/{event.path}"
                    if key in self._open:
                        found.update(self._closed(key))
                case _:
                    pass
        return list(found.values())

    def _closed(self, key: str) -> dict[tuple[str, str], RegisterWrite]:
        return {(row.space, row.key): row for row in closing(key, self._open.pop(key))}

    def _is_left(self, key: str, event: ev.Replanned) -> bool:
        """Whether what waits there begins again, or is gone."""
        return is_below(key.removeprefix(f"{self._run}/"), (*event.redo, *event.dropped))


def closing(key: str, event: str | None, version: int | None = None) -> list[RegisterWrite]:
    """What to write when a wait is over.

    Args:
        event: what it waited for, if that was an event.
        version: what the wait's row must be; None for any.
    """
    found = [RegisterWrite(WAIT, key, None, version)]
    if event is not None:
        found.append(RegisterWrite(AWAITED, awaited_key(event, key), None))
    return found


def awaited_key(event: str, wait: str = "") -> str:
    """Key of the register of a wait for an event; without a wait the beginning of all of them."""
    return f"{event} {wait}"


def _event_of(row: Register | RegisterWrite) -> str | None:
    event = json.loads(row.value or "{}").get("event")
    return str(event) if event is not None else None


def wait_rows(key: str, seq: int, event: ev.Opened, values: Values) -> list[RegisterWrite]:
    """The rows of a wait that was opened with the event of this seq: first that of `WAIT`."""
    spec = values.load(event.spec)
    shown = spec if isinstance(spec, dict) else {}
    row = {
        "kind": event.kind,
        "visit": event.visit,
        "seq": seq,
        "opened": event.at,
        "by": shown.get("by", []),
        "quorum": shown.get("quorum", 1),
        "event": shown.get("event"),
        "voters": [],
    }
    found = [RegisterWrite(WAIT, key, json.dumps(row), expires=event.due)]
    if "match" in shown:
        matched = compact({"match": shown["match"], "names": shown["names"]})
        name = awaited_key(str(shown["event"]), key)
        found.append(RegisterWrite(AWAITED, name, matched, expires=event.due))
    return found


def waiting_for(state: RunState, plan: Plan, paths: Iterable[str]) -> list[dict[str, Json]]:
    """Open waits as the run's row and its result list them."""
    found: list[dict[str, Json]] = []
    for path in paths:
        instance = state.instances[path]
        entry: dict[str, Json] = {"kind": instance.waits, "step": path}
        if instance.due:
            entry["until"] = instance.due
        if instance.waits == "budget":
            entry["message"] = instance.because
        if instance.waits == "child" and state.started is not None:
            entry["run"] = child_id(state.started.run, path, instance.visit)
        node = plan.nodes[instance.node]
        if instance.waits == "event" and isinstance(node.action, Wait) and node.action.event:
            entry["event"] = node.action.event
        is_consent = instance.waits in {"approve", "gate"} and node.approve is not None
        if is_consent and node.approve is not None and node.approve.quorum > 1:
            entry |= {"quorum": node.approve.quorum, "agreed": len(instance.votes)}
        found.append(entry)
    return found


def asked_here(state: RunState, plan: Plan, paths: Iterable[str]) -> list[dict[str, Json]]:
    """What attempts under way ask people, while their run goes on."""
    return waiting_for(state, plan, [path for path in paths if state.instances[path].question])


def describe_wait(
    node: Node, names: Mapping[str, object], kind: str
) -> tuple[dict[str, Json], dict[str, Json]]:
    """What is shown, and when it is over: `{"at": …}` or `{"after": …}`, seconds, null for never.

    Raises:
        EvaluationError: a message, a duration or a moment has no value.
    """
    shown: dict[str, Json] = {"title": node.title}
    match node.action:
        case Ask(message, fields, by, expires_s) if kind == "ask":
            shown["message"] = render(message, names) if message is not None else node.title
            shown["fields"] = [field_to_json(one) for one in fields.values()]
            shown["by"] = list(by)
            return shown, {"after": expires_s}
        case _ if kind == "budget":
            return shown, {"after": None}
        case _ if kind == "break":
            shown["message"] = "a breakpoint"
            return shown, {"after": None}
        case Wait(event=str(event), match=match, timeout_s=timeout_s):
            shown["event"] = event
            if match is not None:
                shown["match"] = unparse(match.tree)
                shown["names"] = _read_by(match, names)
            return shown, {"after": timeout_s}
        case Wait(seconds, at):
            return shown, _moment(resolve(seconds, names), resolve(at, names))
        case action:
            approve = node.approve or Approval()
            message = action.message if isinstance(action, Gate) else approve.message
            shown["message"] = render(message, names) if message is not None else node.title
            shown["by"] = list(approve.by)
            shown["quorum"] = approve.quorum
            if isinstance(action, ToolCall):
                shown["uses"] = action.name
            return shown, {"after": approve.expires_s}


def _read_by(match: Expression, names: Mapping[str, object]) -> dict[str, Json]:
    """What a `match` reads of the run: the event itself is not there yet.

    Raises:
        EvaluationError: it is too much to be kept where events are looked up.
    """
    found: dict[str, Json] = {}
    for reference in references(match):
        name, *fields = reference.path
        if name == "trigger" or not isinstance(name, str):
            continue
        value: object = names
        holder: dict[str, Json] = found
        path = [name, *itertools.takewhile(lambda one: isinstance(one, str), fields)]
        for at, field in enumerate(path):
            if not isinstance(value, Mapping) or field not in value:
                break  # `match` does not hold then, whatever comes
            value = value[field]
            if at == len(path) - 1:
                holder[str(field)] = _kept(value)
            else:
                inner = holder.setdefault(str(field), {})
                if not isinstance(inner, dict):
                    break  # all of it is kept already
                holder = inner
    if len(compact(found)) > _MOST_READ:
        raise EvaluationError(
            "value",
            f"`wait.match` reads more than {_MOST_READ // 1024} KiB of the run",
            None,
            "compare with one field, as in `trigger.body.id == inputs.id`",
        )
    return found


def _kept(value: object) -> Json:
    try:
        return plain(value, _MOST_READ)
    except Limited as limited:
        raise EvaluationError("value", f"`wait.match` reads too much: {limited}", None) from limited


def _moment(seconds: Json, at: Json) -> dict[str, Json]:
    """When a timer rings: after so long, or at a moment."""
    if at is not None:
        try:
            moment = datetime.fromisoformat(str(at))
        except ValueError as error:
            text = f"`wait.at` needs a moment such as 2027-01-31T09:00:00Z, not `{at}`"
            raise EvaluationError("value", text, None) from error
        if moment.tzinfo is None:
            text = f"`wait.at` does not say in which time zone `{at}` is"
            hint = f"write `{at}Z` for UTC, or an offset such as `{at}+02:00`"
            raise EvaluationError("value", text, None, hint)
        try:
            moment = moment.astimezone(UTC)
        except OverflowError as error:
            text = f"`wait.at` needs a moment of the years 1 to 9999 in UTC, not `{at}`"
            raise EvaluationError("value", text, None) from error
        return {"at": max(_EARLIEST, moment.timestamp())}
    if isinstance(seconds, str):
        try:
            seconds = duration(seconds)
        except ValueError as error:
            text = f"`wait` needs {error}, not `{seconds}`"
            raise EvaluationError("value", text, None) from error
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        text = f"`wait` needs a duration such as `10m`, not {seconds!r}"
        raise EvaluationError("value", text, None)
    if seconds > LONGEST_S:
        text = f"`wait` needs a duration of at most 100 years, not {seconds!r} seconds"
        raise EvaluationError("value", text, None)
    return {"after": float(seconds)}
