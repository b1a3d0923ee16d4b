"""What `serve` runs: sources that start runs, a worker that drives them, reload, an orderly end.

One thing that fails does not end the others: a source that raises is begun again after a pause that
grows. The end is in two parts: nothing new is taken, and what was taken is made durable; then running
steps may finish. Whoever is told to hurry stops at once, and loses nothing either: what ran is settled
when its run is resumed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiworkflow.client.ending import end_in_order
from aiworkflow.errors import AIWorkflowError
from aiworkflow.runtime.submit import forget_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.client.fleet import Presence
    from aiworkflow.client.working import Worker
    from aiworkflow.triggers.catalogue import Catalogue
    from aiworkflow.triggers.contract import Source

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_CARE_EVERY_S: Final = 3600.0


class Service:
    """The sources and the worker of one project, running together.

    Args:
        worker: drives the runs; None where others do.
        reload_s: how often the project's files are looked at.
        grace_s: how long running steps may take to finish at the end.

    Attributes:
        is_ready: whether everything was read and armed, and the end has not begun.
        presence: tells others of the worker here.
        began: set when everything was read and armed for the first time.
        answers: set when whoever comes to it is answered; from the start where nobody can come.
        submitted: to be told of a run that was made ready by others than the sources.
        troubles: what is wrong with a source at the moment, by its kind.
    """

    def __init__(
        self,
        client: Client,
        catalogue: Catalogue,
        sources: Sequence[Source],
        worker: Worker | None,
        *,
        reload_s: float = 2.0,
        grace_s: float = 30.0,
    ) -> None:
        self._client = client
        self.catalogue = catalogue
        self.sources = sources
        self.worker = worker
        self._reload_s = reload_s
        self._grace_s = grace_s
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self.presence: Presence | None = None
        self.is_ready = False
        self.began = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.submitted: Callable[[str], None] = lambda _: None
        self.troubles: dict[str, str] = {}

    def stop(self) -> None:
        """Come to an orderly end; the second time, at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self.is_ready = False
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether the end has begun."""
        return self._stopping.is_set()

    async def run(self) -> None:
        """Run until stopped."""
        await asyncio.to_thread(self.catalogue.load)
        self._arm()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep_going(source)) for source in self.sources]
            tasks.append(group.create_task(self._reload()))
            tasks.append(group.create_task(self._care()))
            if self.worker is not None:
                tasks.append(group.create_task(self.worker.run()))
            if self.presence is not None:
                tasks.append(group.create_task(self.presence.run()))
            self.is_ready = True
            self.began.set()
            tasks.append(group.create_task(self._tell()))
            await self._stopping.wait()
            await self._end()
            for task in tasks:
                task.cancel()

    async def _tell(self) -> None:
        """Say that it is ready, when it can be come to."""
        await self.answers.wait()
        _log.info("ready", extra={"bundles": len(self.catalogue.bundles)})

    async def _end(self) -> None:
        works = self.worker is not None  # else there are no running steps to wait for
        _log.info("stopping", extra={"grace_seconds": self._grace_s} if works else {})
        await end_in_order(self._drain(), self._hurry, self._stop_working)

    async def _stop_working(self) -> None:
        if self.worker is not None:
            await self.worker.stop()

    async def _drain(self) -> None:
        for source in self.sources:
            try:
                await source.drain()
            except Exception:  # noqa: BLE001  running steps and other sources come to their end
                _log.exception("source did not drain", extra={"source": source.kind})
        if self.worker is not None:
            await self.worker.drain(self._grace_s)

    def _arm(self) -> None:
        for source in self.sources:
            source.arm(self.catalogue.armed(source.kind))

    async def _keep_going(self, source: Source) -> None:
        """Run a source, and begin it again after an error."""
        pause = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await source.run()
            except AIWorkflowError as error:
                self.troubles[source.kind] = error.message
                _log.error("source failed", extra={"source": source.kind, "error": error.message})
            except Exception as error:  # noqa: BLE001  one source must not end the others
                self.troubles[source.kind] = f"{type(error).__name__}"
                _log.exception("source failed", extra={"source": source.kind})
            else:
                return  # it has nothing more to do
            if self._stopping.is_set():
                return  # it failed when it was cancelled
            if loop.time() - began > _LONGEST_PAUSE_S:
                pause = _FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 2)
            self.troubles.pop(source.kind, None)

    async def _reload(self) -> None:
        """Take up what changes in the project's files."""
        while True:
            await asyncio.sleep(self._reload_s)
            try:
                if await self.catalogue.load_beside():
                    self._arm()
                    _log.info("bundles read anew", extra={"bundles": len(self.catalogue.bundles)})
            except Exception as error:  # noqa: BLE001  files that change meanwhile must not end it
                self.catalogue.forget()
                _log.warning(
                    "the project could not be read; tries again", extra={"error": f"{error}"}
                )

    async def _care(self) -> None:
        """Forget what is not needed any more, so that the journal does not grow for ever by it."""
        while True:
            await asyncio.sleep(_CARE_EVERY_S)
            after = forget_keys(self._client.runtime)
            while after:
                await asyncio.sleep(0)
                after = forget_keys(self._client.runtime, after)
