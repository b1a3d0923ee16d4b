"""What starts runs at a server by itself: as `aiworkflow.client.triggers` says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.client.triggers import Shown
    from aiworkflow.clock import Ids
    from aiworkflow.engine.carried import Json
    from aiworkflow.http.remote.connection import Connection


class RemoteTriggers:
    """The triggers of a server's project."""

    def __init__(self, connection: Connection, ids: Ids) -> None:
        self._connection = connection
        self._ids = ids

    @property
    def schedules(self) -> RemoteSchedules:
        """Its schedules."""
        return RemoteSchedules(self._connection, self._ids)

    @property
    def queues(self) -> RemoteQueues:
        """Its queues."""
        return RemoteQueues(self._connection, self._ids)

    def webhooks(self, *, last: int = 5) -> Shown:
        """Its webhooks, and the last deliveries of each."""
        return self._connection.get("/webhooks", {"last": last})

    def try_webhook(
        self,
        webhook: str,
        *,
        event: str = "",
        payload: bytes | None = None,
        dry_run: bool = False,
        url: str | None = None,
    ) -> Shown:
        """Have the server send an event to itself, or say what it would do. Raises as there."""
        _refuse_address(url)
        body: dict[str, Json] = {"webhook": webhook}
        if event:
            body["event"] = event
        if dry_run:
            body["dry_run"] = True
        if payload is not None:
            body["payload"] = _text(payload)
        return self._connection.post("/webhooks/test", body)

    def replay_webhook(
        self, delivery: str, *, same_id: bool = False, url: str | None = None
    ) -> Shown:
        """Have the server send a delivery to itself again. Raises as there."""
        _refuse_address(url)
        body: dict[str, Json] = {"delivery": delivery}
        if same_id:
            body["same_id"] = True
        return self._connection.post("/webhooks/replay", body)

    def watches(self) -> Shown:
        """What it watches, and what each has started last there."""
        return self._connection.get("/watches")

    def try_watches(self, paths: Sequence[str] = (), *, watch: str = "") -> Shown:
        """Which watches a change of some files there would concern. Raises as there."""
        body: dict[str, Json] = {"watch": watch} if watch else {}
        if paths:
            body["paths"] = [*paths]
        return self._connection.post("/watches/test", body)


class RemoteSchedules:
    """The schedules of a server's project."""

    def __init__(self, connection: Connection, ids: Ids) -> None:
        self._connection = connection
        self._ids = ids

    def all(self, *, count: int = 1) -> Shown:
        """Every schedule."""
        return self._connection.get("/schedules", {"count": count})

    def one(self, schedule: str, *, count: int = 5) -> Shown:
        """A schedule, and where it stands. Raises as there."""
        return self._connection.get("/schedules/info", {"schedule": schedule, "count": count})

    def coming(self, schedule: str = "", *, count: int = 10, after: float | None = None) -> Shown:
        """The next times of one, or of all together. Raises as there."""
        moment = None if after is None else datetime.fromtimestamp(after, UTC).isoformat()
        query = {"schedule": schedule or None, "count": count, "after": moment}
        return self._connection.get("/schedules/next", query)

    def pause(self, schedule: str) -> Shown:
        """Stop it from starting runs, on all servers. Raises as there."""
        return self._connection.post("/schedules/pause", {"schedule": schedule})

    def resume(self, schedule: str) -> Shown:
        """Let it start runs again. Raises as there."""
        return self._connection.post("/schedules/resume", {"schedule": schedule})

    async def run(self, schedule: str, *, key: str = "") -> Shown:
        """Start its run at once. Raises as there."""
        body: dict[str, Json] = {"schedule": schedule}
        key = key or self._ids.token()  # a lost answer starts nothing twice
        return await self._connection.ask("POST", "/schedules/run", body, key=key)


class RemoteQueues:
    """The queues of a server's project."""

    def __init__(self, connection: Connection, ids: Ids) -> None:
        self._connection = connection
        self._ids = ids

    async def standing(self, queue: str = "", *, url: str | None = None) -> Shown:
        """How all queues stand, or one. Raises as there."""
        _refuse(url)
        return await self._connection.ask("GET", "/queues", query={"queue": queue or None})

    async def publish(
        self,
        queue: str,
        data: Json,
        *,
        id_: str | None = None,
        priority: int = 0,
        delay_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> Shown:
        """Publish a message. Raises as there."""
        _refuse(url)
        body: dict[str, Json] = {"queue": queue, "data": data}
        more: dict[str, Json] = {
            "priority": priority,
            "delay_seconds": delay_s,
            "headers": dict(headers or {}),
        }
        body.update({word: value for word, value in more.items() if value})
        if id_ is not None:
            body["id"] = id_
        key = self._ids.token()  # after a lost answer it has the same id
        return await self._connection.ask("POST", "/queues/publish", body, key=key)

    async def dead(self, queue: str, *, limit: int = 100, url: str | None = None) -> Shown:
        """Messages that were set aside. Raises as there."""
        _refuse(url)
        return await self._connection.ask(
            "GET", "/queues/dead", query={"queue": queue, "limit": limit}
        )

    async def retry(
        self, queue: str, ids: Sequence[str] | None = None, *, url: str | None = None
    ) -> Shown:
        """Put messages back that were set aside. Raises as there."""
        return await self._dead("retry", queue, ids, url)

    async def drop(
        self, queue: str, ids: Sequence[str] | None = None, *, url: str | None = None
    ) -> Shown:
        """Remove messages that were set aside. Raises as there."""
        return await self._dead("drop", queue, ids, url)

    async def _dead(
        self, what: str, queue: str, ids: Sequence[str] | None, url: str | None
    ) -> Shown:
        _refuse(url)
        which: dict[str, Json] = {"all": True} if ids is None else {"ids": [*ids]}
        return await self._connection.ask("POST", f"/queues/{what}", {"queue": queue, **which})

    async def purge(self, queue: str, *, url: str | None = None) -> Shown:
        """Remove all messages that nobody has taken. Raises as there."""
        _refuse(url)
        return await self._connection.ask("POST", "/queues/purge", {"queue": queue})


def _refuse_address(url: str | None) -> None:
    if url is not None:
        raise UsageError("a server sends events to itself", hint="leave the URL out")


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            "a server takes a body in UTF-8 only", hint="try this one where the server runs"
        ) from error


def _refuse(url: str | None) -> None:
    if url is not None:
        raise UsageError(
            "a server looks for queues where its bundles say", hint="leave the URL out"
        )
