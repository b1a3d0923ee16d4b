"""What gives this process the right to drive runs: its lease; and taking runs from who has none."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Final

from aiworkflow import __version__
from aiworkflow.journal import Append, Fenced, Held
from aiworkflow.runtime.drivers import Drivers
from aiworkflow.runtime.lease import DriverLease, place_of
from aiworkflow.runtime.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Claim, Journal
    from aiworkflow.runtime.doors import Guard
    from aiworkflow.steps.contract import Outcome, Performer, Ports, Work

LEASE_S: Final = 15.0
_STEPS: Final = 3
"""In how many parts of a lease a step of its connection may take one."""


class Holding:
    """This process's lease, and its claims.

    Args:
        folder: that of the drivers of this place.
        lease_s: for how long a sign of life counts, where several machines share the journal.
    """

    def __init__(
        self, folder: Path, journal: Journal, clock: Clock, ids: Ids, lease_s: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._lease_s = lease_s
        self._lease: DriverLease | None = None
        self._ended: list[DriverLease] = []
        self._says: dict[str, Json] = {}
        self.drivers = Drivers(folder, journal, clock)

    @property
    def lease(self) -> DriverLease:
        """This process's lease, taken when the first run is driven; another when that was ended.

        Raises:
            JournalUnavailable: nobody would hear of it.
        """
        if self._lease is not None and self._lease.is_ended:
            self._ended.append(self._lease)  # what it still holds comes to its end
            self._lease = None
        if self._lease is None:
            self._close_ended()
            if not self._says:
                self._says = {
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    "version": __version__,
                    "started": self._clock.now().timestamp(),
                }
            id_ = f"{self._ids.token()}@{place_of(self._folder)}"
            lease = DriverLease(self._folder, id_, self._says)
            signs = self._journal.signs
            if signs is not None:
                lease_s = self._lease_s()
                pulse = Pulse(
                    signs.apart(patience_s=lease_s / _STEPS),
                    id_,
                    about=lambda: self._says,
                    lease_s=lease_s,
                    clock=self._clock,
                    groups=lease.groups,
                )
                try:
                    lease.begin_pulse(pulse)
                except BaseException:
                    lease.close()
                    raise
            self._lease = lease
        return self._lease

    def say(self, **more: Json) -> None:
        """Let others know more of this process."""
        lease = self.lease
        self._says = {**self._says, **more}
        lease.say(self._says)

    def close(self) -> None:
        """Let go of the lease; nothing may be driven here any more."""
        if self._lease is not None:
            self._lease.close()
            self._lease = None
        self._close_ended()

    def _close_ended(self) -> None:
        for lease in self._ended:
            if not lease.runs:
                lease.close()
        self._ended = [lease for lease in self._ended if lease.runs]

    # -- runs -------------------------------------------------------------------------------------

    def claim(self, run: str, *, take_over: bool = False) -> Claim:
        """Take a run whose driver is gone; ends what that driver left running.

        Args:
            take_over: end a driver that lives.

        Raises:
            Held: another process drives it, or this one does. UnknownRun.
        """
        driver, own = self._journal.stream(run).driver, self.lease.id
        if driver == own and run in self.lease.runs:
            raise Held(run, "")
        if driver is not None and driver != own:
            self.drivers.end(run, driver, take_over=take_over)
        return self._journal.claim(run, own, instead_of=driver)

    def release(self, run: str) -> None:
        """Let go of a run that this process holds and does not drive: others may have more luck."""
        state = self._journal.stream(run)
        if self._lease is None or state.driver != self._lease.id or run in self._lease.runs:
            return
        with contextlib.suppress(Fenced):
            self._journal.append_now(
                Append(
                    self._ids.token(), run, epoch=state.epoch, driver=state.driver, releases=True
                )
            )

    def refuse_driven(self, run: str) -> None:
        """Raise Held when another living process drives the run. Raises UnknownRun."""
        driver = self._journal.stream(run).driver
        if driver is not None and not self._is_own(driver) and self.drivers.is_alive(driver):
            raise self.drivers.held(run, driver)

    def is_driven(self, run: str) -> bool:
        """Whether a living process drives the run."""
        driver = self._journal.stream(run).driver
        if driver is not None and self._lease is not None and self._is_own(driver):
            return run in self._lease.runs  # else it broke off, and may be gone on with
        return driver is not None and self.is_alive(driver)

    def is_alive(self, driver: str) -> bool:
        """Whether a driver's runs are its own."""
        return self._is_own(driver) or self.drivers.is_alive(driver)

    def _is_own(self, driver: str) -> bool:
        return self._lease is not None and driver == self._lease.id


class WhileHeld:
    """A guard of attempts: none begins that the lease does not cover.

    Args:
        guard: the next one.
    """

    def __init__(self, lease: DriverLease, run: str, guard: Guard) -> None:
        self._lease = lease
        self._run = run
        self._guard = guard

    async def __call__(self, performer: Performer, work: Work, ports: Ports) -> Outcome:
        """Make the attempt. Raises Fenced: it was not begun. StepError: see the next guard."""
        self._lease.check(self._run)
        return await self._guard(performer, work, ports)
