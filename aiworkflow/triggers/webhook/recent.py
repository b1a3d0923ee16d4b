"""The last deliveries, for people to look at and to send again: bounded, without secrets.

They are kept in memory and written to registers once in a while, as many as have come since. Those of
strangers are kept apart, so that they cannot push out the others.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Final

from aiworkflow.journal import Conflict, RegisterWrite
from aiworkflow.jsontext import compact
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal

HOOK: Final = "hook"
"""The space of registers of the last deliveries; keys are `known/NUMBER` and `refused/NUMBER`."""

HOOK_NEXT: Final = "hook-next"
"""The space of the one register that says which numbers were used last, by the kind of delivery."""

_KNOWN: Final = 100
_REFUSED: Final = 50
_LARGEST_BODY: Final = 64 * 1024
_LONGEST_REASON: Final = 300
_TRIES: Final = 5
_NUMBERS: Final = "numbers"


@record
class Happened:
    """A delivery as it is remembered.

    Attributes:
        at: when it came, seconds since the epoch.
        route: the entry of `on` that took it; "" for a stranger's.
        outcome: what became of it: `started`, `known`, `reached`, `ignored`, `refused`, …
        reason: why, for those who look after the server.
        run: the run that it started; the body is kept there.
        body: where no run has it.
    """

    at: float
    path: str
    address: str
    status: int
    outcome: str
    route: str = ""
    event: str = ""
    delivery: str = ""
    reason: str = ""
    run: str = ""
    kind: str = ""
    headers: Mapping[str, Json] | None = None
    body: bytes = b""


class Recent:
    """Remembers the last deliveries, of this server beside those of others on its journal.

    Args:
        mask: replaces secrets in a text.
        token: a new random text.
    """

    def __init__(
        self, journal: Journal, mask: Callable[[str], str], token: Callable[[], str]
    ) -> None:
        self._journal = journal
        self._mask = mask
        self._token = token
        self._rings = {
            "known": (_KNOWN, deque[Happened]()),
            "refused": (_REFUSED, deque[Happened]()),
        }

    def add(self, happened: Happened) -> None:
        """Remember a delivery; the oldest is forgotten."""
        most, ring = self._rings["known" if happened.route else "refused"]
        ring.append(happened)
        if len(ring) > most:
            ring.popleft()

    def flush(self) -> None:
        """Write what has come since the last time.

        Raises:
            JournalUnavailable: it is kept for the next time.
        """
        if not any(ring for _, ring in self._rings.values()):
            return
        for attempt in range(_TRIES):
            try:
                self._journal.put(self._written())
            except Conflict:  # another server on this journal has written meanwhile
                if attempt == _TRIES - 1:
                    return  # it is kept for the next time
            else:
                for _, ring in self._rings.values():
                    ring.clear()
                return

    def _written(self) -> list[RegisterWrite]:
        """What has come as registers; their numbers go on from those of all servers."""
        row = self._journal.register(HOOK_NEXT, _NUMBERS)
        last: dict[str, int] = json.loads(row.value) if row is not None else {}
        writes: list[RegisterWrite] = []
        for name, (most, ring) in self._rings.items():
            number = last.get(name, -1)
            for one in ring:
                number = (number + 1) % (10 * most)
                about = compact(self._about(one, number))
                writes.append(RegisterWrite(HOOK, f"{name}/{number % most:04d}", about))
            last[name] = number
        version = row.version if row is not None else 0
        return [*writes, RegisterWrite(HOOK_NEXT, _NUMBERS, json.dumps(last), expect=version)]

    def _about(self, one: Happened, number: int) -> dict[str, Json]:
        about: dict[str, Json] = {
            "id": self._token()[:10],
            "number": number,
            "at": one.at,
            "path": self._mask(one.path[:200]),
            "address": one.address,
            "status": one.status,
            "outcome": one.outcome,
        }
        for name in ("route", "event", "delivery", "reason", "run", "kind"):
            value = getattr(one, name)
            if value:
                about[name] = self._mask(str(value)[:_LONGEST_REASON])
        if one.headers:
            about["headers"] = {key: self._mask(str(value)) for key, value in one.headers.items()}
        if one.route and one.body and len(one.body) <= _LARGEST_BODY:
            about["body"] = self._mask(one.body.decode("utf-8", "replace"))
        return about


def recent(journal: Journal, route: str | None = None) -> Sequence[dict[str, Json]]:
    """The last deliveries that were written, the newest first.

    Args:
        route: only those of this entry of `on`; "" for strangers', None for all.
    """
    found: list[dict[str, Json]] = [json.loads(row.value) for row in journal.registers(HOOK)]
    chosen = [one for one in found if route is None or one.get("route", "") == route]
    return sorted(
        chosen, key=lambda one: (float(str(one["at"])), int(str(one["number"]))), reverse=True
    )
