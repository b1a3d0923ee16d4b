"""What becomes of a genuine request at one route: filtered, checked, a run of it, an answer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import AIWorkflowError, UnavailableError
from aiworkflow.expr import EvaluationError
from aiworkflow.journal import Conflict, RegisterWrite
from aiworkflow.records import record
from aiworkflow.triggers.contract import Occurrence
from aiworkflow.triggers.webhook.answer import Answer, for_run, said, text
from aiworkflow.triggers.webhook.events import Event, event_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.triggers.contract import Starter
    from aiworkflow.triggers.delivery import Delivery
    from aiworkflow.triggers.webhook.answer import Outcomes
    from aiworkflow.triggers.webhook.route import Route

SEEN: Final = "seen"
"""The space of registers of requests without an id; keys are `entry digest`."""

WINDOW_S: Final = 300.0
"""For so long the same body at the same route, without an id, is the same event."""

_PAGE: Final = 1000


@record
class Given:
    """A genuine request.

    Attributes:
        data: what `trigger` holds of it, but for what its sender calls it.
        raw: its body, as it came.
        now: when it came, seconds since the epoch.
        is_gone: whether its sender hangs up meanwhile; only asked where the answer waits for the run.
    """

    headers: Mapping[str, str]
    data: Mapping[str, Json]
    raw: bytes
    now: float
    is_gone: Callable[[], bool] = lambda: False


@record
class Taken:
    """What became of it, for those who look after the server."""

    outcome: str
    reason: str = ""
    run: str = ""
    event: str = ""
    delivery: str = ""


class Acceptance:
    """Makes runs of genuine requests.

    Args:
        monotonic: seconds since any point.
    """

    def __init__(
        self,
        starter: Starter,
        delivery: Delivery,
        outcomes: Outcomes,
        journal: Journal,
        monotonic: Callable[[], float],
    ) -> None:
        self._starter = starter
        self._delivery = delivery
        self._outcomes = outcomes
        self._journal = journal
        self._monotonic = monotonic

    async def accept(self, route: Route, given: Given) -> tuple[Answer, Taken]:
        """What the sender is answered, and what became of the request.

        Raises:
            AIWorkflowError: no run can be made of it, or not now.
        """
        event = event_of(route.verify, given.headers, given.data["body"])
        if event.answer is not None and not route.wants(event):
            return text(event.answer), Taken("answered", event=event.name or "")
        if route.rate is not None:
            wait_s = route.rate.take("", self._monotonic())
            if wait_s:
                return said(429, {"error": "too many events"}, again_s=wait_s), Taken("limited")
        if route.max_parallel is not None and route.busy >= route.max_parallel:
            return said(503, {"error": "busy"}, again_s=1), Taken("busy")
        route.busy += 1
        try:
            return await self._accept(route, given, event)
        finally:
            route.busy -= 1

    async def _accept(self, route: Route, given: Given, event: Event) -> tuple[Answer, Taken]:
        event, trigger = named(route, given, event)
        name, delivery = event.name or "", event.delivery or ""
        about = Taken("ignored", event=name, delivery=delivery)
        why = route.why_not(event, trigger)
        if why:
            reason = why.partition(":")[0]
            return said(202, {"run": None, "ignored": reason}), replace(about, reason=why)
        problems = route.problems(given.data["body"])
        if problems:
            listed: list[Json] = [*problems]
            answer = said(422, {"error": "schema", "problems": listed})
            return answer, replace(about, outcome="invalid", reason="; ".join(problems))
        key = f"id {event.delivery}" if event.delivery else self._key_of_body(route, given)
        data = {name: value for name, value in trigger.items() if name not in {"type", "at"}}
        happened = Occurrence(key, given.now, data)
        return await self._start(route, given, happened, event, trigger, about)

    async def _start(
        self,
        route: Route,
        given: Given,
        happened: Occurrence,
        event: Event,
        trigger: Mapping[str, Json],
        about: Taken,
    ) -> tuple[Answer, Taken]:
        started = None
        refused: AIWorkflowError | None = None
        if route.starts:
            try:
                started = await self._starter.start(route.armed, happened)
            except UnavailableError:
                raise
            except AIWorkflowError as error:
                refused = error  # those who wait are to have it all the same
        # the run that an event has started has had it, also when it is delivered again
        own = started.run if started is not None else ""
        reached = await self._delivery.deliver(route.armed, event.names, happened, but=own)
        if refused is not None:
            raise refused
        more: dict[str, Json] = {"reached": [*reached]} if reached else {}
        if started is None:
            outcome = "reached" if reached else "unawaited"
            return said(202, {"run": None, **more}), replace(about, outcome=outcome)
        outcome_ = None
        wait_s = route.respond.wait_s
        if wait_s is not None:
            outcome_ = await self._outcomes.of(started.run, wait_s, given.is_gone)
        is_new = started.is_new
        outcome = "started" if is_new else "known"
        about = Taken(outcome, "", started.run, about.event, about.delivery)
        try:
            answer = for_run(
                route.respond, trigger, started.run, outcome_, is_new=is_new, more=more
            )
        except EvaluationError as error:  # the run is there: the sender must not try again
            about = replace(about, reason=f"`respond` has no value: {error.message}")
            answer = said(202, {"run": started.run})
        return answer, about

    def _key_of_body(self, route: Route, given: Given) -> str:
        """The key of a request without an id: the same within the window.

        Raises:
            JournalUnavailable: deliver it again.
        """
        query = json.dumps(given.data["query"], sort_keys=True).encode()
        digest = hashlib.sha256(hashlib.sha256(given.raw).digest() + query).hexdigest()
        name = f"{route.armed.key} {digest[:40]}"
        row = self._journal.register(SEEN, name)
        if row is None or (row.expires or 0) <= given.now:
            version = row.version if row is not None else 0
            value = json.dumps({"at": given.now})
            write = RegisterWrite(SEEN, name, value, version, given.now + WINDOW_S)
            try:
                self._journal.put([write])
            except Conflict:  # it came twice at this moment
                row = self._journal.register(SEEN, name)
            else:
                row = None
        at = json.loads(row.value)["at"] if row is not None else given.now
        return f"body {digest} {at}"

    def sweep(self, now: float) -> None:
        """Forget requests whose window is over."""
        after = ""
        while rows := self._journal.registers(SEEN, after=after, limit=_PAGE):
            old = [RegisterWrite(SEEN, row.key, None) for row in rows if (row.expires or 0) <= now]
            if old:
                self._journal.put(old)
            after = rows[-1].key


def named(route: Route, given: Given, event: Event) -> tuple[Event, dict[str, Json]]:
    """An event under the name that its entry gives it, and what `trigger` is.

    Raises:
        EvaluationError: `event` of the entry has no value.
    """
    at = datetime.fromtimestamp(given.now, UTC).isoformat().replace("+00:00", "Z")
    trigger: dict[str, Json] = {
        "type": "webhook",
        "at": at,
        **given.data,
        "event": event.name,
        "action": event.action,
        "delivery": event.delivery,
    }
    name = route.name_of(trigger, event.name)
    if name == event.name:
        return event, trigger
    trigger["event"] = name
    return replace(event, name=name), trigger
