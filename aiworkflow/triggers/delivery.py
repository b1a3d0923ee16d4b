"""Handing outside events to the steps that wait for them: `wait: {event: …, match: …}`.

Open waits are registers, with their `match` and what it reads of the run; so nothing is folded here.
An event reaches waits of runs of the bundle whose `on` has seen it, and of what these runs call:
whoever may speak to one bundle cannot answer another. To all waits of a run it goes in one append,
which also says that the run has had it; so it reaches a run once, however often it is delivered.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from aiworkflow.client.finding import root_of
from aiworkflow.engine import encode
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Inline, Ref, Stored
from aiworkflow.expr import EvaluationError, Limits, evaluate
from aiworkflow.journal import Append, Closed, Conflict, RegisterWrite, Require, UnknownRun
from aiworkflow.plan.codec_values import expression_of
from aiworkflow.runtime.submit import KEPT_S
from aiworkflow.runtime.values import json_bytes
from aiworkflow.runtime.waits import AWAITED, WAIT, WAKE, awaited_key, closing
from aiworkflow.triggers.starting import trigger_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.engine.carried import Json
    from aiworkflow.expr import Expression
    from aiworkflow.journal import Journal, Register
    from aiworkflow.triggers.contract import Armed, Occurrence

DELIVERED: Final = "delivered"
"""The space of registers of runs that have had an event; keys are `entry digest run`.

They are kept as long as it is known which run the event has started.
"""

_LIMITS: Final = Limits(operations=50_000)
_AT_ONCE: Final = 100  # evaluations in one turn of the loop
_TRIES: Final = 5
_PAGE: Final = 1000
_INLINE: Final = 32 * 1024


class Delivery:
    """Hands events to open waits of a journal."""

    def __init__(self, journal: Journal, clock: Clock, ids: Ids) -> None:
        self._journal = journal
        self._clock = clock
        self._ids = ids

    async def deliver(
        self, armed: Armed, names: Iterable[str], happened: Occurrence, *, but: str = ""
    ) -> Sequence[str]:
        """Hand an event to all steps that wait for it; durable when done.

        Args:
            armed: the entry of `on` that has seen it.
            names: what it goes by: `pull_request`, `pull_request.opened`.
            but: a run that it does not reach: the one that it has started.

        Returns:
            `run/step` of the waits that it has reached now.

        Raises:
            JournalUnavailable: it may have reached some; deliver it again.
        """
        if not self._journal.registers(AWAITED, limit=1):
            return ()
        rows = [
            row
            for name in dict.fromkeys(names)
            for row in self._journal.registers(AWAITED, awaited_key(name))
        ]
        if not rows:
            return ()
        data = trigger_of(armed, happened)
        by_run: dict[str, list[tuple[str, str]]] = {}
        for count, row in enumerate(rows, 1):
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
            event, _, wait = row.key.partition(" ")
            run = wait.partition("/")[0]
            if run != but and self._is_for(row, data) and self._is_of(run, armed.bundle):
                by_run.setdefault(run, []).append((wait, event))
        reached: list[str] = []
        for run, waits in by_run.items():
            reached += await self._reach(run, waits, armed, happened, data)
        return reached

    def sweep(self) -> int:
        """Forget which runs have had events of long ago; how many were forgotten."""
        now = self._now()
        count, after = 0, ""
        while rows := self._journal.registers(DELIVERED, after=after, limit=_PAGE):
            old = [
                RegisterWrite(DELIVERED, row.key, None) for row in rows if (row.expires or 0) < now
            ]
            if old:
                self._journal.put(old)
            count, after = count + len(old), rows[-1].key
        return count

    def _is_for(self, row: Register, data: Mapping[str, Json]) -> bool:
        if row.expires is not None and row.expires <= self._now():
            return False
        kept = json.loads(row.value)
        try:
            found = evaluate(
                _expression(kept["match"]), {**kept["names"], "trigger": data}, _LIMITS
            )
        except EvaluationError:
            return False  # what is not there in an event is not what is waited for
        return bool(found)

    def _is_of(self, run: str, bundle: str) -> bool:
        try:
            if self._journal.run(run).bundle == bundle:
                return True
            return self._journal.run(root_of(self._journal, run)).bundle == bundle
        except UnknownRun:
            return False

    async def _reach(
        self,
        run: str,
        waits: Sequence[tuple[str, str]],
        armed: Armed,
        happened: Occurrence,
        data: Mapping[str, Json],
    ) -> Sequence[str]:
        digest = hashlib.sha256(happened.key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        had = f"{armed.key} {digest} {run}"
        ref, blobs = self._carried(data)
        for _ in range(_TRIES):
            if self._journal.register(DELIVERED, had) is not None:
                return ()
            now = self._now()
            events: list[bytes] = []
            writes: list[RegisterWrite] = []
            found: list[str] = []
            for wait, event in waits:
                row = self._journal.register(WAIT, wait)
                if row is None or (row.expires is not None and row.expires <= now):
                    continue
                visit = int(json.loads(row.value)["visit"])
                step = wait.partition("/")[2]
                answer = ev.Answered(now, step, visit, "signal", armed.name, ref, "")
                events.append(encode(answer))
                writes += closing(wait, event, row.version)
                found.append(wait)
            if not found:
                return ()
            append = Append(
                id=self._ids.token(),
                run=run,
                events=events,
                requires=[Require(WAIT, wait, now) for wait in found],
                registers=[
                    *writes,
                    RegisterWrite(DELIVERED, had, "{}", expect=0, expires=now + KEPT_S),
                    RegisterWrite(WAKE, run, "{}"),
                ],
                blobs=blobs,
            )
            try:
                await self._journal.append(append)
            except (Closed, Conflict):
                continue  # one of them is over, or the same event was delivered at this moment
            return found
        return ()

    def _carried(self, data: Mapping[str, Json]) -> tuple[Ref, Sequence[str]]:
        content = json_bytes(dict(data))
        if len(content) <= _INLINE:
            return Inline(dict(data)), ()
        digest = self._journal.blobs.put(content)
        return Stored(digest, len(content)), (digest,)

    def _now(self) -> float:
        return self._clock.now().timestamp()


@lru_cache(maxsize=1024)
def _expression(text: str) -> Expression:
    return expression_of(text)
