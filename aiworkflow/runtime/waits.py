"""Waits as people and signallers see them: what is shown, when they are over, their rows."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING

from aiworkflow.bundle.policies import Approval
from aiworkflow.bundle.workflow import Ask, Gate, ToolCall, Wait
from aiworkflow.engine import events as ev
from aiworkflow.engine import is_below
from aiworkflow.expr import EvaluationError, render, resolve
from aiworkflow.journal import RegisterWrite, beginning_of
from aiworkflow.plan import field_to_json
from aiworkflow.settings.units import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiworkflow.engine import Event, RunState
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.plan.graph import Node
    from aiworkflow.runtime.values import Values


WAIT = "wait"
"""The space of registers of open waits; keys are `run/path`."""


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
        self._open = {row.key for row in rows}

    def writes(self, events: Sequence[Event], tail: int, values: Values) -> list[RegisterWrite]:
        """What to write with the append of these events, the first of which has seq tail + 1."""
        found: dict[str, RegisterWrite] = {}
        for seq, event in enumerate(events, tail + 1):
            match event:
                case ev.Opened():
                    key = f"{self._run}/{event.path}"
                    self._open.add(key)
                    found[key] = wait_row(key, seq, event, values)
                case ev.Replanned():
                    for key in [key for key in self._open if self._is_left(key, event)]:
                        self._open.discard(key)
                        found[key] = RegisterWrite(WAIT, key, None)
                case ev.Ended() | ev.Closed() | ev.Approved() | ev.Skipped():
                    key = f"{self._run}/{event.path}"
                    if key in self._open:
                        self._open.discard(key)
                        found[key] = RegisterWrite(WAIT, key, None)
                case _:
                    pass
        return list(found.values())

    def _is_left(self, key: str, event: ev.Replanned) -> bool:
        """Whether what waits there begins again, or is gone."""
        return is_below(key.removeprefix(f"{self._run}/"), (*event.redo, *event.dropped))


def wait_row(key: str, seq: int, event: ev.Opened, values: Values) -> RegisterWrite:
    """The row of a wait that was opened with the event of this seq."""
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
    return RegisterWrite(WAIT, key, json.dumps(row), expires=event.due)


def waiting_for(state: RunState, paths: Iterable[str]) -> list[dict[str, Json]]:
    """Open waits as the run's row and its result list them."""
    found: list[dict[str, Json]] = []
    for path in paths:
        instance = state.instances[path]
        entry: dict[str, Json] = {"kind": instance.waits, "step": path}
        if instance.due:
            entry["until"] = instance.due
        if instance.waits == "child" and state.started is not None:
            entry["run"] = child_id(state.started.run, path, instance.visit)
        found.append(entry)
    return found


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
        case Wait(event=str(event), timeout_s=timeout_s):
            shown["event"] = event
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
        return {"at": moment.timestamp()}
    if isinstance(seconds, str):
        try:
            seconds = duration(seconds)
        except ValueError as error:
            text = f"`wait` needs {error}, not `{seconds}`"
            raise EvaluationError("value", text, None) from error
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        text = f"`wait` needs a duration such as `10m`, not {seconds!r}"
        raise EvaluationError("value", text, None)
    return {"after": float(seconds)}
