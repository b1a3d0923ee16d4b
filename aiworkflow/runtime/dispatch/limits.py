"""What all workers of a journal together keep to: seats for runs that are driven, and a pace of starts.

A seat is a register that names the run and the driver that has it: `all 3`, `of bundles/etl 0`. One
whose driver is dead is free, so a worker that is killed leaves nothing that must be tidied up. Starts
are kept in a register too: the moments of those that still count. All are written by compare-and-set;
who is refused looks again.

The limits are about runs that people and events start; child runs sit on the seat of their parent.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Final

from aiworkflow.journal import Append, Conflict, RegisterWrite

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.journal import Journal, Register
    from aiworkflow.settings.fleet import FleetLimits

SEAT: Final = "seat"
"""The space of registers of seats."""

PACE: Final = "pace"
"""The space of the register of starts."""

_MOST_MOMENTS: Final = 200
_TRIES: Final = 10


class Gate:
    """Lets a run be driven here, or says that it is not its turn.

    Args:
        driver: the id of this process as a driver.
        is_alive: whether a driver lives.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        ids: Ids,
        limits: FleetLimits,
        *,
        driver: Callable[[], str],
        is_alive: Callable[[str], bool],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._driver = driver
        self._is_alive = is_alive
        self._seats: dict[str, list[str]] = {}
        self._starts: dict[str, float] = {}

    def is_shut(self, bundle: str, *, begins: bool) -> bool:
        """Whether a run of a bundle would be refused now; a look, no promise.

        Args:
            begins: whether it has not been driven yet.
        """
        if begins and self._limits.rate is not None and self._pace()[1] is None:
            return True
        return any(len(self._taken(group)) >= most for group, most in self._groups(bundle))

    def enter(self, run: str, bundle: str, *, begins: bool) -> bool:
        """Take a seat in each group; False, and nothing taken, where one is full."""
        if self._limits.is_open:
            return True
        for group, most in self._groups(bundle):
            seat = self._sit(group, most, run)
            if seat is None:
                self.leave(run)
                return False
            self._seats.setdefault(run, []).append(seat)
        if begins and not self._start(run):
            self.leave(run)
            return False
        return True

    def leave(self, run: str, *, has_begun: bool = True) -> None:
        """Give the seats back, and the start of a run that others have begun meanwhile."""
        seats = self._seats.pop(run, ())
        if seats:
            self._write(run, [RegisterWrite(SEAT, key, None) for key in seats])
        moment = self._starts.pop(run, None)
        if moment is not None and not has_begun:
            self._take_back(run, moment)

    def _groups(self, bundle: str) -> list[tuple[str, int]]:
        found = []
        if self._limits.max_runs is not None:
            found.append(("all", self._limits.max_runs))
        most = self._limits.most_of(bundle)
        if most is not None:
            found.append((f"of {bundle}", most))
        return found

    def _taken(self, group: str) -> dict[str, Register]:
        """The seats of a group that somebody has."""
        rows = self._journal.registers(SEAT, f"{group} ")
        return {row.key: row for row in rows if self._is_taken(row)}

    def _is_taken(self, row: Register) -> bool:
        driver = json.loads(row.value)["driver"]
        if driver != self._driver():
            return self._is_alive(driver)
        return any(row.key in seats for seats in self._seats.values())

    def _sit(self, group: str, most: int, run: str) -> str | None:
        value = json.dumps({"run": run, "driver": self._driver()})
        for _ in range(_TRIES):
            rows = {row.key: row for row in self._journal.registers(SEAT, f"{group} ")}
            free = [
                key
                for key in (f"{group} {number}" for number in range(most))
                if key not in rows or not self._is_taken(rows[key])
            ]
            if not free:
                return None
            # not all for the first one: whoever looks at the same moment takes another
            key = free[hash(run) % len(free)]
            version = rows[key].version if key in rows else 0
            try:
                self._write(run, [RegisterWrite(SEAT, key, value, expect=version)])
            except Conflict:
                continue
            return key
        return None

    def _pace(self) -> tuple[int, list[float] | None]:
        """The register's version, and the moments of starts that count; None where none may begin."""
        assert self._limits.rate is not None
        most, seconds = self._limits.rate
        parts = -(-most // _MOST_MOMENTS)  # of many starts, fewer in a part of the time
        most, seconds = most // parts, seconds / parts
        found = self._journal.register(PACE, "starts")
        now = self._clock.now().timestamp()
        version = 0 if found is None else found.version
        known = [] if found is None else json.loads(found.value)
        # what a clock wrote that was ahead must not hold all up until the others have come there
        kept = [at for at in known if abs(now - at) < seconds]
        return version, (kept if len(kept) < most else None)

    def _start(self, run: str) -> bool:
        if self._limits.rate is None:
            return True
        for _ in range(_TRIES):
            version, moments = self._pace()
            if moments is None:
                return False
            moment = self._clock.now().timestamp()
            value = json.dumps([*moments, moment])
            try:
                self._write(run, [RegisterWrite(PACE, "starts", value, expect=version)])
            except Conflict:
                continue
            self._starts[run] = moment
            return True
        return False

    def _take_back(self, run: str, moment: float) -> None:
        for _ in range(_TRIES):
            found = self._journal.register(PACE, "starts")
            moments = [] if found is None else json.loads(found.value)
            if found is None or moment not in moments:
                return
            moments.remove(moment)
            write = RegisterWrite(PACE, "starts", json.dumps(moments), expect=found.version)
            with contextlib.suppress(Conflict):
                self._write(run, [write])
                return

    def _write(self, run: str, writes: list[RegisterWrite]) -> None:
        self._journal.append_now(Append(self._ids.token(), run, registers=writes))
