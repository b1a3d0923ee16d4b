"""What there is to be read of a journal somewhere else, as far as looking at runs needs it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal import JournalUnavailable, Record, RunPage, RunRow, StreamState, UnknownRun
from aiworkflow.jsontext import compact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiworkflow.engine.carried import Json
    from aiworkflow.http.remote.connection import Connection

_KEPT: Final = 16
_LARGEST_KEPT: Final = 1_000_000


def path_of(run: str, *words: str) -> str:
    """The path of a run, and of something of it."""
    return "/".join(["/runs", quote(run, safe=""), *words])


class RemoteBlobs:
    """Content that events refer to. It is asked for by a run that refers to it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kept: dict[str, bytes] = {}
        self.runs: dict[str, None] = {}  # those that were read, the last one last

    def get(self, digest: str) -> bytes:
        """The content.

        Raises:
            JournalUnavailable: none of the runs that were read refers to it, or it is damaged.
        """
        found = self._kept.get(digest)
        return found if found is not None else self._fetch(digest)

    def _fetch(self, digest: str) -> bytes:
        for run in reversed(self.runs):
            try:
                found = self._connection.get_bytes(path_of(run, "blobs", quote(digest, safe="")))
            except AIWorkflowError as error:
                if error.code != "not-found":
                    raise
                continue
            if f"sha256:{hashlib.sha256(found).hexdigest()}" != digest:
                raise JournalUnavailable(f"{digest} is damaged on its way")
            self._keep(digest, found)
            return found
        raise JournalUnavailable(f"{digest} is not to be had from the server")

    def _keep(self, digest: str, content: bytes) -> None:
        if len(content) > _LARGEST_KEPT:
            return
        while len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[digest] = content

    def seen(self, run: str) -> None:
        """A run was read; what its events refer to is asked for by it."""
        self.runs.pop(run, None)
        self.runs[run] = None
        while len(self.runs) > _KEPT:
            del self.runs[next(iter(self.runs))]


class RemoteJournal:
    """Reads as a `Journal` does; of its methods there are those that looking at runs needs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.blobs = RemoteBlobs(connection)

    def standing(self, run: str) -> dict[str, Json]:
        """Where a run stands. Raises UnknownRun."""
        return self._connection.get(path_of(run, "status"))

    def run(self, run: str) -> RunRow:
        """The run's row. Raises UnknownRun."""
        self.blobs.seen(run)
        return _row(self.standing(run))

    def read(self, run: str, after: int = 0, limit: int = 1000) -> list[Record]:
        """Events with seq > `after`, in order, at most `limit`."""
        self.blobs.seen(run)
        page = self._connection.get(
            path_of(run, "events"), {"after": after, "limit": limit, "raw": "true"}
        )
        events = cast("list[dict[str, Json]]", page["events"])
        return [Record(cast("int", one["seq"]), payload_of(one["event"])) for one in events]

    def record(self, run: str, seq: int) -> Record:
        """One event. Raises UnknownRun when there is none."""
        for one in self.read(run, seq - 1, 1):
            if one.seq == seq:
                return one
        raise UnknownRun(run)

    def stream(self, run: str) -> StreamState:
        """Where the stream stands. Raises UnknownRun."""
        return StreamState(run, 0, cast("int", self.standing(run)["events"]), None)

    def runs(
        self,
        *,
        status: Iterable[str] = (),
        bundle: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> RunPage:
        """Runs, newest first; `before` is the `next` of the page before."""
        from datetime import datetime

        page = self._connection.get(
            "/runs", {"status": [*status], "bundle": bundle, "limit": limit, "before": before}
        )
        rows = []
        for one in cast("list[dict[str, Json]]", page["runs"]):
            started = datetime.fromisoformat(str(one["started"])).timestamp()
            end = one["finished"]
            finished = None if end is None else datetime.fromisoformat(str(end)).timestamp()
            rows.append(_row({**one, "started": started, "finished": finished, "waiting": []}))
        return RunPage(tuple(rows), cast("str | None", page["next"]))


def payload_of(event: Json) -> bytes:
    """An event as it stands in the journal."""
    return compact(event).encode("utf-8", "surrogatepass")


def _row(data: Mapping[str, Json]) -> RunRow:
    waiting = data["waiting"]
    return RunRow(
        run=str(data["run"]),
        bundle=str(data["bundle"]),
        status=str(data["status"]),
        started=cast("float", data["started"]),
        finished=cast("float | None", data["finished"]),
        cost_usd=cast("float", data["cost_usd"]),
        commit=cast("str | None", data["commit"]),
        dirty=data["dirty"] is True,
        digest=str(data["digest"]),
        trigger=str(data["trigger"]),
        actor=str(data["actor"]),
        waiting=json.dumps(waiting) if waiting else "",
    )


class RemoteLogs:
    """The logs of one run's attempts."""

    def __init__(self, connection: Connection, run: str) -> None:
        self._connection = connection
        self._run = run

    def tail(self, path: str, visit: int, attempt: int, size: int = 4096) -> str:
        """The last `size` characters of what the last attempt of a step has logged; "" for nothing."""
        del visit, attempt
        try:
            found = self._connection.get(path_of(self._run, "log"), {"step": path})
        except AIWorkflowError:
            return ""
        return str(found.get("log", ""))[-size:]
