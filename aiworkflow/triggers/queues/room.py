"""How many more runs an entry with `max_parallel` may start: counted by one server at a time.

Who counts holds a lease, a register of the bundle that expires; the others stand by, other entries of
the bundle among them, since all its runs count. A server that dies is replaced when its lease is over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aiworkflow.journal import Conflict, JournalUnavailable, RegisterWrite
from aiworkflow.runtime.ready import FOR_A_WORKER

if TYPE_CHECKING:
    from aiworkflow.clock import Clock
    from aiworkflow.journal import Journal, RunRow
    from aiworkflow.triggers.contract import Armed

TURN: Final = "queue-turn"
"""The space of registers of who takes messages for a bundle with a limit."""

_LEASE_S: Final = 15.0
_PAGE: Final = 200


class Room:
    """Says how many more runs an entry may start.

    Args:
        token: names this server.
    """

    def __init__(self, journal: Journal, *, clock: Clock, token: str) -> None:
        self._journal = journal
        self._clock = clock
        self._token = token
        self._until = 0.0
        self._held = ""

    def left(self, armed: Armed, most: int) -> int:
        """How many more; 0 while another server counts."""
        return max(0, most - self._going(armed.bundle, most)) if self._has_turn(armed.bundle) else 0

    def leave(self) -> None:
        """Let another server count."""
        if not self._held:
            return
        try:
            found = self._journal.register(TURN, self._held)
            if found is not None and json.loads(found.value)["by"] == self._token:
                self._journal.put([RegisterWrite(TURN, self._held, None, expect=found.version)])
        except (Conflict, JournalUnavailable):
            pass  # it runs out
        self._held = ""

    def _has_turn(self, bundle: str) -> bool:
        now = self._clock.now().timestamp()
        if self._held == bundle and now < self._until - _LEASE_S / 2:
            return True
        found = self._journal.register(TURN, bundle)
        is_mine = found is not None and json.loads(found.value)["by"] == self._token
        if found is not None and not is_mine and (found.expires or 0.0) > now:
            return False
        value = json.dumps({"by": self._token})
        version = found.version if found is not None else 0
        try:
            self._journal.put([RegisterWrite(TURN, bundle, value, version, now + _LEASE_S)])
        except Conflict:
            return False
        self._held, self._until = bundle, now + _LEASE_S
        return True

    def _going(self, bundle: str, most: int) -> int:
        """Runs of a bundle that queues have started and that are going, or are about to; or `most`."""
        count, before = 0, None
        while True:
            page = self._journal.runs(
                status=("running", "waiting"), bundle=bundle, limit=_PAGE, before=before
            )
            count += sum(_is_going(row) for row in page.runs)
            before = page.next
            if before is None or count >= most:
                return count


def _is_going(row: RunRow) -> bool:
    """Whether a run is driven, or waits for nobody but a worker."""
    if row.trigger != "queue":
        return False
    if row.status == "running" or not row.waiting:
        return True
    return any(one.get("kind") == FOR_A_WORKER["kind"] for one in json.loads(row.waiting))
