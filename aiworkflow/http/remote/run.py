"""A run somewhere else, in hand: as one of this machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiworkflow.client.plans import Plans
from aiworkflow.client.run import Run
from aiworkflow.engine import decode
from aiworkflow.http.remote.reading import RemoteJournal, RemoteLogs, path_of
from aiworkflow.http.remote.stream import Events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiworkflow.client.result import RunResult
    from aiworkflow.clock import Clock
    from aiworkflow.engine import Event
    from aiworkflow.http.remote.connection import Connection
    from aiworkflow.journal import Journal
    from aiworkflow.runtime.logs import LogFolder

_NO_MORE = 1_000_000_000


class RemoteRun(Run):
    """One run of a server."""

    def __init__(
        self,
        id_: str,
        connection: Connection,
        journal: RemoteJournal,
        clock: Clock,
        *,
        past: int = 0,
    ) -> None:
        reading = cast("Journal", journal)  # what a run only reads of it is there
        journal.blobs.seen(id_)
        super().__init__(
            id_,
            journal=reading,
            clock=clock,
            plans=Plans(reading),
            logs=cast("LogFolder", RemoteLogs(connection, id_)),
        )
        self._connection = connection
        self._past = past

    @property
    def past(self) -> int:
        """How many of its events were there before the server was asked here to take it up again."""
        return self._past

    async def events(self, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        """Events with their seq, as they become durable there, until the run is at rest.

        A connection that is lost is made again: each event comes once, and none is missing.

        Raises:
            Unreachable: nobody answers, for long.
        """
        async for seq, payload in Events(self._connection, self.id, after):
            yield seq, decode(payload)

    async def result(self) -> RunResult:
        """Wait until the run is at rest, and give what it came to. Raises as `events`."""
        await self.rest()
        return await asyncio.to_thread(self.look)

    async def rest(self) -> None:
        """Wait until the run is at rest, and `on_event` was told of all of it. Raises as `events`."""
        async for _ in Events(self._connection, self.id, _NO_MORE):
            pass  # none comes, but the end
        if self._following is not None:
            await asyncio.shield(self._following)

    def cancel(self, reason: str = "") -> None:
        """Ask the run to stop; its `finally` steps still run.

        Raises:
            UsageError: it is over already.
        """
        self._connection.post(path_of(self.id, "cancel"), {"reason": reason})

    def interrupt(self) -> None:
        """Stop the run as a person would: it ends `cancelled` and can be resumed."""
        self.cancel("interrupted")
