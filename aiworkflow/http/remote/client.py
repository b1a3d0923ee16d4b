"""The Python API over HTTP: a project of a server, with the interface of one on this machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, cast

from aiworkflow.client.plans import Plans
from aiworkflow.errors import UsageError
from aiworkflow.http.remote.carrying import RemoteCarrier
from aiworkflow.http.remote.connection import Connection
from aiworkflow.http.remote.reading import RemoteJournal, path_of
from aiworkflow.http.remote.run import RemoteRun
from aiworkflow.http.remote.said import only_agent
from aiworkflow.http.remote.sweeps import RemoteSweeps
from aiworkflow.http.remote.told import RemoteSignals, RemoteWaits
from aiworkflow.http.remote.triggers import RemoteTriggers
from aiworkflow.http.remote.views import RemoteViews
from aiworkflow.observe.costs import report_from_json
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from aiworkflow.client.run import OnEvent
    from aiworkflow.client.sweeps import Sweeps
    from aiworkflow.client.triggers import Triggers
    from aiworkflow.clock import Clock, Ids
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal, RunPage
    from aiworkflow.observe.costs import CostReport


@record
class Elsewhere:
    """A project of a server.

    Attributes:
        strangers: variables here that are no settings: none of them matters there.
    """

    clock: Clock
    strangers: tuple[str, ...] = ()


class RemoteClient:
    """The runs of a server's project, which drives them.

    What waits here asks in the calling thread; what is awaited lets others go on.

    Args:
        server: `https://host`, `http://host:port` or `unix:/path`.
        token: None where the server needs none.

    Attributes:
        is_remote: whether runs are driven by a server, and not by this process.
        project: what is known of it without asking.
        journal: what can be read of it from here.
        views: what there is to be shown, as plain data.
        waits: what runs wait for, and answering it.
        signals: telling runs to stop, and what became of steps in doubt.
        sweeps: running bundles in many repositories.
        triggers: what starts runs there by itself: schedules, webhooks, files, queues.
    """

    def __init__(self, server: str, token: str | None, *, clock: Clock, ids: Ids) -> None:
        self.is_remote = True
        self._connection = Connection(server, token)
        self.project = Elsewhere(clock)
        self._clock = clock
        self._ids = ids
        self._followers: set[asyncio.Task[None]] = set()
        self.journal = RemoteJournal(self._connection)
        self.views = RemoteViews(self._connection)
        self.waits = RemoteWaits(self._connection)
        self.signals = RemoteSignals(self._connection)
        self.sweeps: Sweeps = RemoteSweeps(self._connection, ids)
        self.triggers: Triggers = RemoteTriggers(self._connection, ids)

    # -- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Runs go on at the server."""
        for task in self._followers:
            task.cancel()
        if self._followers:
            await asyncio.wait(self._followers)
        await self._connection.__aexit__(kind, error, traceback)

    def close(self) -> None:
        """Close what was opened. Needed only where the client is used without `async with`."""
        self._connection.close()

    @property
    def is_in_the_clear(self) -> bool:
        """Whether the token travels to another machine unencrypted."""
        return self._connection.is_in_the_clear

    # -- starting and resuming --------------------------------------------------------------------

    async def start(
        self,
        bundle: str,
        inputs: Mapping[str, Json] | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        overrides: Mapping[str, Json] | None = None,
        name: str = "",
        breaks: Sequence[str] = (),
        on_event: OnEvent | None = None,
        agreed: bool = False,
        key: str = "",
    ) -> RemoteRun:
        """Start a run at the server, which drives it. It is durable when this returns.

        Args:
            bundle: the name of one of the server's bundles.
            inputs, texts, name, breaks, on_event: as of `Client.start`.
            overrides: `agent` alone; other settings cannot be set from elsewhere.
            agreed: to what it may cost.
            key: names the request: whoever sends it again gets the same run. Made up if empty, so that
                an answer that is lost starts nothing twice.

        Raises:
            As `Client.start`; and Unreachable: nobody answers.
        """
        if not isinstance(bundle, str):
            raise UsageError(
                "a server starts its own bundles only, by their names",
                hint="put the workflow into the server's project",
            )
        agent = only_agent(overrides or {}, "a run")
        body: dict[str, Json] = {"bundle": bundle}
        more: dict[str, Json] = {
            "inputs": dict(inputs or {}),
            "texts": dict(texts or {}),
            "name": name,
            "agent": agent,
            "breaks": [*breaks],
            "agreed": agreed,
        }
        body.update({word: value for word, value in more.items() if value})
        found = await self._connection.ask("POST", "/runs", body, key=key or self._ids.token())
        started = self._handle(str(found["run"]))
        if on_event is not None:
            self._follow(started, on_event)
        return started

    async def resume(
        self,
        run: str,
        *,
        take_over: bool = False,
        attached: bool = False,
        budget: Mapping[str, float] | None = None,
        adopt: bool = False,
        on: str | None = None,
    ) -> RemoteRun:
        """Take a run up where it stopped; see `Client.resume`. `attached` means nothing here."""
        del attached
        body: dict[str, Json] = {}
        more: dict[str, Json] = {
            "take_over": take_over,
            "budget": dict(budget or {}),
            "adopt": adopt,
            "on": on or "",
        }
        body.update({word: value for word, value in more.items() if value})
        return await self._again(run, "resume", body)

    async def undo(self, run: str, *, adopt: bool = False) -> RemoteRun:
        """Take back what a finished run did; see `Client.undo`."""
        return await self._again(run, "undo", {"adopt": True} if adopt else {})

    async def fork(
        self,
        run: str,
        step: str | None,
        *,
        texts: Mapping[str, str] | None = None,
        state: Mapping[str, Json] | None = None,
        revision: str | None = None,
        key: str = "",
    ) -> RemoteRun:
        """Start a run that begins as a copy of what another had done; see `Client.fork`."""
        more: dict[str, Json] = {
            "from": step or "",
            "on": revision or "",
            "texts": dict(texts or {}),
            "state": dict(state or {}),
        }
        body = {word: value for word, value in more.items() if value}
        return await self._begun(run, "fork", body, key or self._ids.token())

    async def call_tool(
        self,
        tool: str,
        arguments: Mapping[str, Json] | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        bundle: str | None = None,
        agreed: bool = False,
    ) -> RemoteRun:
        """Call a tool there; see `Client.call_tool`."""
        more: dict[str, Json] = {
            "with": dict(arguments or {}),
            "texts": dict(texts or {}),
            "bundle": bundle or "",
            "agreed": agreed,
        }
        body: dict[str, Json] = {"tool": tool}
        body.update({word: value for word, value in more.items() if value})
        key = self._ids.token()  # a lost answer calls nothing twice
        found = await self._connection.ask("POST", "/tools/call", body, key=key)
        return self._handle(str(found["run"]))

    async def _begun(
        self, run: str, what: str, body: Mapping[str, Json], key: str = ""
    ) -> RemoteRun:
        found = await self._connection.ask("POST", path_of(run, what), body, key=key)
        return self._handle(str(found["run"]))

    async def _again(self, run: str, what: str, body: Mapping[str, Json]) -> RemoteRun:
        """A run that has been under way before: what it did then is told no more."""
        stands = await asyncio.to_thread(self.views.standing, run)
        found = await self._begun(str(stands["run"]), what, body)
        return self._handle(found.id, past=int(str(stands["events"])))

    def _handle(self, run: str, *, past: int = 0) -> RemoteRun:
        return RemoteRun(run, self._connection, self.journal, self._clock, past=past)

    def _follow(self, run: RemoteRun, on_event: OnEvent) -> None:
        """Tell somebody of a run in the background; an error belongs to whoever asks for the result."""
        task = asyncio.ensure_future(run.tell(on_event))
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        run.followed_by(task)

    # -- looking ----------------------------------------------------------------------------------

    def find(self, run: str) -> str:
        """The full id of a run given by its id, the beginning or end of it, or `last`.

        Raises:
            UsageError: several runs, or none, go by it.
        """
        return str(self.views.standing(run)["run"])

    def run(self, run: str) -> RemoteRun:
        """A run of the server. Takes what `find` takes."""
        return self._handle(self.find(run))

    def root_of(self, run: str) -> str:
        """The run that a run was called by, through however many."""
        return str(self.views.standing(run)["root"])

    def is_driven(self, run: str) -> bool:
        """Whether some living process of the server drives the run."""
        return self.views.standing(run)["driven"] is True

    def worktree_of(self, run: str) -> None:
        """Where a run acts is on the server's machine."""
        del run

    def runs(
        self,
        *,
        status: Sequence[str] = (),
        bundle: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> RunPage:
        """Runs, newest first."""
        return self.journal.runs(status=status, bundle=bundle, limit=limit, before=before)

    def drain(self, worker: str) -> dict[str, Json]:
        """Ask a worker to take nothing more, let running steps finish, and end. Raises as there."""
        return self._connection.post("/workers/drain", {"worker": worker})

    @property
    def carrier(self) -> RemoteCarrier:
        """Carrying runs from there."""
        return RemoteCarrier(self._connection, self.find)

    @property
    def plans(self) -> Plans:
        """The plans of the server's runs."""
        return Plans(cast("Journal", self.journal))

    def costs(
        self,
        by: Sequence[str] = ("bundle",),
        *,
        since: str | None = None,
        until: str | None = None,
        only: Mapping[str, Sequence[str]] | None = None,
    ) -> CostReport:
        """What agents were paid for; see `Client.costs`."""
        return report_from_json(self.views.costs(by, since=since, until=until, only=only))
