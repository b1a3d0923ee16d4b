"""The drives of a client: runs that this process goes on with while the client is open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import UsageError
from aiworkflow.journal import Held
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from aiworkflow.engine import Event
    from aiworkflow.runtime.drive import Drive
    from aiworkflow.runtime.replan import Onward

_ENDING_S: Final = 10.0
"""How long a drive may take to end after its run has come to rest."""


@record
class Underway:
    """A run that is driven here.

    Attributes:
        task: ends when the run is at rest.
        appended: set after each append.
    """

    task: asyncio.Task[None]
    appended: asyncio.Event
    drive: Drive | Onward


class Drives:
    """What is driven between `open` and `close`, in the background."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._driven: dict[str, Underway] = {}
        self._followers: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """From here on runs can be driven."""
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()

    async def close(self) -> None:
        """Stop at once what is still driven; it can be resumed."""
        assert self._group is not None
        for task in [*(one.task for one in self._driven.values()), *self._followers]:
            task.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            self._group = None

    def begin(self, run: str, drive: Drive | Onward, first: Sequence[Event]) -> None:
        """Drive a run in the background.

        Raises:
            UsageError: the client is not open.
        """
        if self._group is None:
            raise UsageError(
                "a run is driven only while its client is open",
                hint="use `async with aiworkflow.connect(…) as client:`",
            )
        appended = asyncio.Event()

        async def drive_it() -> None:
            try:
                await drive.run(first)
            finally:
                appended.set()

        # a drive's error belongs to whoever asks for the result, not to the group of all drives
        task = asyncio.ensure_future(drive_it())
        self._group.create_task(_outlive(task))
        self._driven[run] = Underway(task, appended, drive)
        # whoever holds the run has what is left of it
        task.add_done_callback(lambda _: self._driven.pop(run, None))

    def follow(self, telling: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Tell somebody of a run in the background; an error belongs to whoever asks for the result."""
        assert self._group is not None
        task = asyncio.ensure_future(telling)
        self._group.create_task(_outlive(task))
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def let_go(self, run: str, is_at_rest: Callable[[], bool]) -> None:
        """Wait for a drive of the run that is at its end, so that another can begin.

        Between this and the next `begin` nothing may be awaited.

        Raises:
            Held: the run is driven here, and is not at rest.
        """
        while (driven := self._driven.get(run)) is not None:
            if not driven.task.done() and is_at_rest():
                await asyncio.wait({driven.task}, timeout=_ENDING_S)
            if not driven.task.done():
                raise Held(run, "")
            await asyncio.sleep(0)  # it is forgotten in the next turn of the loop

    def of(self, run: str) -> Underway | None:
        """The drive of a run, if it is driven here."""
        return self._driven.get(run)

    def tell(self, run: str) -> None:
        """Something was appended to a run."""
        driven = self._driven.get(run)
        if driven is not None:
            driven.appended.set()

    async def exists(self, run: str) -> None:
        """Wait for the first append of a run that was begun: it can be found by everybody."""
        driven = self._driven[run]
        await driven.appended.wait()
        if driven.task.done():
            driven.task.result()


async def _outlive(task: asyncio.Task[None]) -> None:
    """Wait for a drive; whoever asks for its result gets its error."""
    try:
        await asyncio.wait({task})
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
