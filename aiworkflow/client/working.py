"""A worker: drives what can go on in a project, as many runs at once as it has slots."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from aiworkflow.client.rest_log import log_rest
from aiworkflow.engine import UnknownEvent
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.journal import Fenced, Held, JournalUnavailable, UnknownRun
from aiworkflow.plan import UnknownPlan
from aiworkflow.runtime.dispatch import Outcome
from aiworkflow.runtime.lanes import Overlap
from aiworkflow.runtime.spread import driven_by_itself
from aiworkflow.runtime.waits import WAKE

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiworkflow.client.client import Client
    from aiworkflow.client.run import Run
    from aiworkflow.runtime.dispatch import Dispatcher, DriveOne, Gate

STAY_S: Final = 600.0
"""How long a worker keeps the session of a step open that waits for a person."""

_log = logging.getLogger(__name__)


class Worker:
    """Drives runs of one project, in this process.

    Args:
        client: an open client.
        dispatcher: says which runs can go on.
        slots: how many are driven at once.
        labels: what this worker has, for runs that ask for it.
        gate: what all workers together keep to; None for no limits.

    Attributes:
        is_draining: whether it takes nothing more.
    """

    def __init__(
        self,
        client: Client,
        dispatcher: Dispatcher,
        *,
        slots: int,
        labels: Collection[str] = (),
        gate: Gate | None = None,
    ) -> None:
        self._client = client
        self._dispatcher = dispatcher
        self.slots = slots
        self._labels = labels
        self._gate = gate
        self._runs: dict[str, Run] = {}
        self.is_draining = False

    @property
    def driving(self) -> Collection[str]:
        """The runs that are driven here now."""
        return self._runs.keys()

    async def run(self) -> None:
        """Work until cancelled; what is driven then is stopped at once, and can be resumed."""
        self._client.runtime.stay_s = STAY_S
        await self._dispatcher.work(self.drive, slots=self.slots, labels=self._labels)

    async def give(self, drive: DriveOne) -> None:
        """The same, one run at a time, and driven by somebody who looks at what becomes of it."""
        await self._dispatcher.work(drive, slots=1, labels=self._labels)

    async def drive(self, run: str) -> Outcome:
        """Drive a run to rest; errors are logged, not raised."""
        try:
            root = driven_by_itself(self._client.journal, run)
            if root in self._runs:
                return Outcome.BUSY
            return await self._drive(root)
        except (Held, Fenced):
            return Outcome.BUSY
        except Overlap:
            return Outcome.LATER
        except JournalUnavailable as error:
            _log.warning("run stopped", extra={"run": run, "error": error.message})
            return Outcome.LATER
        except (UnknownEvent, UnknownPlan) as error:
            _log.info("left for a newer version", extra={"run": run, "error": error.message})
        except UsageError as error:  # it is over, or on its way to another plan: nothing to drive
            level = logging.DEBUG if self._client.journal.run(run).finished else logging.WARNING
            _log.log(level, "run cannot go on", extra={"run": run, "error": error.message})
        except AIWorkflowError as error:
            _log.error("run stopped", extra={"run": run, "error": error.message})
        except Exception:  # noqa: BLE001  one run must not end the work on all
            _log.exception("run stopped by an error of ours", extra={"run": run})
        self._leave_to_others(run)
        return Outcome.BROKEN

    async def _drive(self, root: str) -> Outcome:
        if not self._client.runtime.holding.lease.is_sound:
            return Outcome.LATER  # nobody would believe that this process lives
        if self._is_over(root):
            return Outcome.BUSY  # somebody was faster, and has ended it
        if self._gate is not None and not self._enter(self._gate, root):
            return Outcome.LATER
        has_begun = False
        try:
            found = await self._client.resume(root)
            has_begun = True
            self._runs[root] = found
            try:
                await found.rest()
            finally:
                del self._runs[root]
            log_rest(found)
        finally:
            if self._gate is not None:
                self._gate.leave(root, has_begun=has_begun)
        return Outcome.RESTED

    def _is_over(self, root: str) -> bool:
        journal = self._client.journal
        return journal.run(root).finished is not None and journal.register(WAKE, root) is None

    def _enter(self, gate: Gate, root: str) -> bool:
        journal = self._client.journal
        begins = journal.stream(root).epoch == 1
        return gate.enter(root, journal.run(root).bundle, begins=begins)

    def _leave_to_others(self, run: str) -> None:
        with contextlib.suppress(JournalUnavailable, UnknownRun):
            self._client.runtime.holding.release(driven_by_itself(self._client.journal, run))

    async def drain(self, grace_s: float) -> None:
        """Take nothing more; running steps may finish within the grace, then everything is stopped."""
        self.is_draining = True
        self._dispatcher.hold()
        for run in [*self._runs.values()]:
            run.hold()
        try:
            async with asyncio.timeout(grace_s):
                while self._runs:  # noqa: ASYNC110  a drive ends in many ways, and this is the last to care
                    await asyncio.sleep(0.02)
        except TimeoutError:
            _log.warning("steps did not finish in time", extra={"runs": [*self._runs]})
            await self.stop()

    async def stop(self) -> None:
        """Stop at once. What was running is settled when its run is resumed."""
        self._dispatcher.hold()
        for run in [*self._runs.values()]:
            await run.kill()
