"""Sweeps at a server, which drives them: begun, gone on with, stopped, followed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiworkflow.clock import Ids
    from aiworkflow.engine.carried import Json
    from aiworkflow.http.remote.connection import Connection

    Shown = dict[str, Json]

_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 2.0
_GOING: Final = frozenset({"not_started", "queued", "running"})


@record
class RemoteSweep:
    """A sweep of a server."""

    connection: Connection
    id: str

    def stop(self) -> None:
        """Begin nothing more, and ask the runs that are under way to stop."""
        self.connection.post(path_of(self.id, "stop"))

    async def run(self, tell: Callable[[Shown], None] = lambda _: None) -> Shown:
        """Wait until the server has driven it to rest; what became of it.

        Args:
            tell: called with each repository when its run has come to rest.

        Raises:
            AIWorkflowError: as it was raised there. Unreachable: nobody answers.
        """
        told: dict[str, Json] = {}
        pause = _PAUSE_S
        while True:
            found = await self.connection.ask("GET", path_of(self.id))
            repositories = found["repositories"]
            assert isinstance(repositories, list)
            for one in repositories:
                assert isinstance(one, dict)
                name, stands = str(one["repository"]), [one["status"], one["attempts"]]
                if one["status"] not in _GOING and told.get(name) != stands:
                    told[name] = [*stands]
                    tell(one)
            if found["status"] != "running":
                return found
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 1.2)


class RemoteSweeps:
    """The sweeps of a server's project."""

    def __init__(self, connection: Connection, ids: Ids) -> None:
        self._connection = connection
        self._ids = ids

    async def start(self, bundle: str, request: Mapping[str, Json]) -> RemoteSweep:
        """Begin one.

        Args:
            request: `tags`, `repos`, …: see `POST /sweeps`.

        Raises:
            AIWorkflowError: as it was raised there. Unreachable: nobody answers.
        """
        key = self._ids.token()  # a lost answer starts nothing twice
        body = {"bundle": bundle, **request}
        found = await self._connection.ask("POST", "/sweeps", body, key=key)
        return RemoteSweep(self._connection, str(found["sweep"]))

    async def resume(self, sweep: str, max_usd: float | None = None) -> RemoteSweep:
        """Go on with one that was stopped or interrupted. Raises as `start`."""
        return await self._go_on(sweep, "resume", max_usd)

    async def retry(self, sweep: str, max_usd: float | None = None) -> RemoteSweep:
        """Try its repositories again that failed. Raises as `start`."""
        return await self._go_on(sweep, "retry", max_usd)

    async def undo(self, sweep: str) -> RemoteSweep:
        """Take back what its runs did. Raises as `start`."""
        return await self._go_on(sweep, "undo", None)

    async def _go_on(self, sweep: str, what: str, max_usd: float | None) -> RemoteSweep:
        body: dict[str, Json] = {} if max_usd is None else {"max_usd": max_usd}
        found = await self._connection.ask("POST", path_of(sweep, what), body)
        return RemoteSweep(self._connection, str(found["sweep"]))


def path_of(sweep: str, *words: str) -> str:
    """The path of a sweep, and of something of it."""
    return "/".join(["/sweeps", quote(sweep, safe=""), *words])
