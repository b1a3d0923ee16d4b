"""What a project spends in a day: one register for each day, written with the appends of its runs.

A child run writes what it spends itself; the end of the step that called it says it again, and does
not count. What has no price counts as in all budgets: as what was reserved.

The register holds what was spent and what each run has reserved now. It is compared and set: two runs
that reserve at the same moment are one after the other, and the second decides anew.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from aiworkflow.journal import RegisterWrite

if TYPE_CHECKING:
    from aiworkflow.journal import Journal

ACCOUNT: Final = "account"
"""The space of registers; keys are `project/2027-01-31`, days in UTC."""


class Account:
    """The project's account as one run uses it.

    Args:
        daily_usd: the most that may be spent in a day, US dollars, of all who say it; None: no bound.
    """

    def __init__(self, journal: Journal, run: str, *daily_usd: float | None) -> None:
        self._journal = journal
        self._run = run
        self._daily = min((usd for usd in daily_usd if usd is not None), default=None)
        self._version = 0
        self._spent = 0.0
        self._reserved: dict[str, float] = {}
        self._key = ""
        self._booked_usd = self._to_book_usd = 0.0

    def begin(self, own_usd: float) -> None:
        """So much the run has spent that was counted when it was spent, US dollars."""
        self._booked_usd = own_usd

    def left(self, now: float) -> float | None:
        """US dollars that the run may spend in all its time; None for no bound.

        It is what nobody else has spent today nor reserved, and what the run had spent when it was
        counted. What the run itself has reserved is its own to spend.
        """
        if self._daily is None:
            return None
        self._key = f"project/{datetime.fromtimestamp(now, UTC).date().isoformat()}"
        found = self._journal.register(ACCOUNT, self._key)
        self._version = found.version if found is not None else 0
        data = json.loads(found.value) if found is not None else {}
        self._spent, self._reserved = data.get("spent", 0.0), data.get("reserved", {})
        others = sum(usd for run, usd in self._reserved.items() if run != self._run)
        return self._daily - self._spent - others + self._booked_usd

    def writes(self, own_usd: float, reserved: float | None = None) -> list[RegisterWrite]:
        """The register after this append, as it was read last; nothing where it stays as it is.

        Args:
            own_usd: US dollars that the run has spent after it, all in all, without child runs.
            reserved: US dollars that the run has reserved after it; None for as much as before.
        """
        self._to_book_usd = own_usd
        spent = max(0.0, round(own_usd - self._booked_usd, 9))
        before = self._reserved.get(self._run, 0.0)
        reserved = before if reserved is None else reserved
        if self._daily is None or (not spent and before == reserved):
            return []
        held = {run: usd for run, usd in self._reserved.items() if run != self._run}
        if reserved > 0:
            held[self._run] = reserved
        value = json.dumps({"spent": round(self._spent + spent, 9), "reserved": held})
        return [RegisterWrite(ACCOUNT, self._key, value, expect=self._version)]

    def settle(self) -> None:
        """What was to be written last is durable."""
        self._booked_usd = self._to_book_usd
