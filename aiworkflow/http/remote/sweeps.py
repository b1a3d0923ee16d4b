"""Sweeps at a server, which drives them: as `aiworkflow.client.sweeps` says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

from aiworkflow.client.sweeps import silent
from aiworkflow.errors import AIWorkflowError
from aiworkflow.http.remote.connection import Unreachable
from aiworkflow.http.remote.said import only_agent
from aiworkflow.http.remote.stream import PASSING, PATIENCE_S
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from aiworkflow.client.sweeps import Shown, Tell, Wanted
    from aiworkflow.clock import Ids
    from aiworkflow.engine.carried import Json
    from aiworkflow.http.remote.connection import Connection

_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 2.0
_AT_ONCE: Final = 4
_LONGEST_CLONE_S: Final = 3600.0
_GOING: Final = frozenset({"not_started", "queued", "running"})


@record
class RemoteSweep:
    """A sweep of a server."""

    connection: Connection
    id: str

    def stop(self) -> None:
        """Begin nothing more, and ask the runs that are under way to stop."""
        self.connection.post(path_of(self.id, "stop"))

    async def run(self, tell: Tell = silent) -> Shown:
        """Wait until the server has driven it to rest; what became of it.

        Args:
            tell: called with each repository when its run has come to rest.

        Raises:
            AIWorkflowError: as it was raised there. Unreachable: nobody answers, for long.
        """
        told: dict[str, Json] = {}
        pause = _PAUSE_S
        while True:
            found = await self._look()
            repositories = found["repositories"]
            assert isinstance(repositories, list)
            for one in repositories:
                assert isinstance(one, dict)
                name, stands = str(one["repository"]), [one["status"], one["attempts"]]
                if one["status"] not in _GOING and told.get(name) != stands:
                    told[name] = [*stands]
                    tell(one)
            if found["status"] != "running" and not found["goes_on"]:
                return found
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 1.2)

    async def _look(self) -> Shown:
        """How it stands; whoever follows it waits for a server that is begun again."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        while True:
            try:
                return await self.connection.ask("GET", path_of(self.id))
            except AIWorkflowError as error:
                passes = error.code in PASSING or isinstance(error, Unreachable)
                if not passes or loop.time() - asked > PATIENCE_S:
                    raise
            await asyncio.sleep(_LONGEST_PAUSE_S)


class RemoteSweeps:
    """The sweeps of a server's project."""

    def __init__(self, connection: Connection, ids: Ids) -> None:
        self._connection = connection
        self._ids = ids

    async def plan(self, bundle: str, **wanted: Unpack[Wanted]) -> Shown:
        """What a sweep would do; starts nothing. Raises as `start`."""
        return await self._connection.ask("POST", "/sweeps/plan", _body(bundle, wanted))

    async def start(
        self, bundle: str, *, agreed: bool = False, **wanted: Unpack[Wanted]
    ) -> RemoteSweep:
        """Begin one.

        Raises:
            AIWorkflowError: as it was raised there. Unreachable: nobody answers.
        """
        key = self._ids.token()  # a lost answer starts nothing twice
        body = _body(bundle, wanted)
        if agreed:
            body["agreed"] = True
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

    async def sync(
        self, tags: Sequence[str] = (), tell: Callable[[str], None] = lambda _: None
    ) -> Shown:
        """Bring the mirrors of its repositories up to date, one request each. Raises as `start`."""
        every = await self._connection.ask("GET", "/repos", query={"tag": [*tags]})
        few = asyncio.Semaphore(_AT_ONCE)
        failed: dict[str, Json] = {}

        async def one_of(name: str) -> None:
            async with few:
                body: dict[str, Json] = {"repos": [name]}
                found = await self._connection.ask(
                    "POST", "/repos/sync", body, patience_s=_LONGEST_CLONE_S
                )
            why = cast("dict[str, str]", found["failed"]).get(name)
            if why is not None:
                failed[name] = why
            tell(f"  {name}: {why or 'up to date'}")

        rows = cast("list[Shown]", every["repositories"])
        names = [str(one["name"]) for one in rows if one["url"]]
        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(one_of(name))
        except* AIWorkflowError as several:
            raise several.exceptions[0] from None
        return {"synced": [name for name in names if name not in failed], "failed": failed}

    async def _go_on(self, sweep: str, what: str, max_usd: float | None) -> RemoteSweep:
        body: dict[str, Json] = {} if max_usd is None else {"max_usd": max_usd}
        found = await self._connection.ask("POST", path_of(sweep, what), body)
        return RemoteSweep(self._connection, str(found["sweep"]))


def _body(bundle: str, wanted: Wanted) -> dict[str, Json]:
    """The body of a request; what says nothing is left out."""
    said = {word: value for word, value in wanted.items() if word != "overrides"}
    said["agent"] = only_agent(wanted.get("overrides", {}), "a sweep")
    most = wanted.get("max_usd")
    body = {word: value for word, value in said.items() if value}
    if most is not None:
        body["max_usd"] = most  # 0 is a bound, too
    return {"bundle": bundle, **cast("dict[str, Json]", body)}


def path_of(sweep: str, *words: str) -> str:
    """The path of a sweep, and of something of it."""
    return "/".join(["/sweeps", quote(sweep, safe=""), *words])
