"""What a server shows, as plain data: the same objects as a project on this machine gives."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from aiworkflow.http.remote.reading import path_of
from aiworkflow.http.remote.sweeps import path_of as sweep_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.http.remote.connection import Connection

    Shown = dict[str, Json]


class RemoteViews:
    """As `aiworkflow.client.views.Views`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def runs(
        self,
        *,
        status: Sequence[str] = (),
        bundle: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> Shown:
        """A page of runs, newest first, and `next`, the cursor of the page after it."""
        query = {"status": [*status], "bundle": bundle, "limit": limit, "before": before}
        return self._connection.get("/runs", query)

    def run(self, run: str) -> Shown:
        """A run: what it came to, its steps, where it came from."""
        return self._connection.get(path_of(run))

    def standing(self, run: str) -> Shown:
        """Where a run stands."""
        return self._connection.get(path_of(run, "status"))

    def record(self, run: str) -> Shown:
        """A run's record, as Markdown."""
        return self._connection.get(path_of(run, "log"))

    def log(self, run: str, step: str) -> Shown:
        """What the last attempt of a step logged."""
        return self._connection.get(path_of(run, "log"), {"step": step})

    def plan(self, run: str) -> Shown:
        """The plan that is in force in a run."""
        return self._connection.get(path_of(run, "plan"))

    def approvals(self, run: str = "") -> Shown:
        """What waits for people, the oldest run first; of one run, or of all."""
        return self._connection.get("/approvals", {"run": run or None})

    def approval(self, reference: str) -> Shown:
        """All there is to know before agreeing."""
        run, _, step = reference.partition("/")
        return self._connection.get(path_of(run, "approval"), {"step": step or None})

    def waits(self, run: str) -> Shown:
        """All that a run waits for."""
        return self._connection.get(path_of(run, "waits"))

    def bundles(self) -> Shown:
        """The bundles of the server's project."""
        return self._connection.get("/bundles")

    def bundle(self, name: str) -> Shown:
        """What a bundle takes, does and may touch."""
        return self._connection.get(f"/bundles/{quote(_name(name), safe='')}")

    def validity(self, name: str) -> Shown:
        """Whether a bundle is valid, and all that was found."""
        return self._connection.get(f"/bundles/{quote(_name(name), safe='')}/validate")

    def document(self, name: str) -> Shown:
        """A workflow's document as it stands."""
        return self._connection.get(f"/bundles/{quote(_name(name), safe='')}/document")

    def costs(
        self,
        by: Sequence[str] = ("bundle",),
        *,
        since: str | None = None,
        until: str | None = None,
        only: Mapping[str, Sequence[str]] | None = None,
    ) -> Shown:
        """What agents were paid for."""
        more = {level: [*values] for level, values in (only or {}).items() if values}
        query = {"by": ",".join(by), "since": since, "until": until, **more}
        return self._connection.get("/costs", query)

    def agents(self) -> Shown:
        """Every agent that is known there."""
        return self._connection.get("/agents")

    def agent(self, name: str) -> Shown:
        """All that is known of one agent."""
        return self._connection.get(f"/agents/{quote(name, safe='')}")

    def choice(self, bundle: str, *, agent: str = "") -> Shown:
        """Which agents the steps of a bundle would be offered to there now, in order, and why."""
        path = f"/bundles/{quote(_name(bundle), safe='')}/choice"
        return self._connection.get(path, {"agent": agent or None})

    def arms(self, bundle: str, *, limit: int = 1000) -> Shown:
        """The agents of steps with `agent: {ab: …}`, as far as the last runs of a bundle tell."""
        path = f"/bundles/{quote(_name(bundle), safe='')}/arms"
        return self._connection.get(path, {"limit": limit})

    async def check_agents(self, names: Sequence[str] = ()) -> Shown:
        """Whether agents can be used there now. Raises as there."""
        return await self._connection.ask("GET", "/agents/check", query={"agent": [*names]})

    def workers(self) -> Shown:
        """The processes that drive the server's runs."""
        return self._connection.get("/workers")

    def tools(self, bundle: str | None = None) -> Shown:
        """The tools that are built in, and those of a bundle; MCP servers are not asked."""
        return self._connection.get("/tools", {"bundle": bundle})

    def tool(self, name: str, bundle: str | None = None) -> Shown:
        """All there is to know of a tool, or of each of its operations."""
        return self._connection.get(f"/tools/{quote(name, safe='')}", {"bundle": bundle})

    def sweeps(self, *, limit: int = 1000, before: str | None = None) -> Shown:
        """A page of sweeps, newest first, and `next`, the cursor of the page after it."""
        return self._connection.get("/sweeps", {"limit": limit, "before": before})

    def sweep(self, sweep: str) -> Shown:
        """What has become of each repository of a sweep."""
        return self._connection.get(sweep_path(sweep))

    def sweep_report(self, sweep: str) -> Shown:
        """The report of a sweep, as Markdown."""
        return self._connection.get(sweep_path(sweep, "report"))

    def repos(self, tags: Sequence[str] = ()) -> Shown:
        """The repositories that sweeps can be over."""
        return self._connection.get("/repos", {"tag": [*tags]})

    def health(self, *, ask: bool = False) -> Shown:
        """What `doctor` finds on the server; MCP servers are not asked."""
        del ask
        return self._connection.get("/doctor")

    def journal(self) -> Shown:
        """Whether the server's journal is whole."""
        return self._connection.get("/journal/check")

    def version(self) -> Shown:
        """The server's version, and who asks."""
        return self._connection.get("/version")


def _name(bundle: str) -> str:
    """A bundle's name, of its path in the project, too."""
    return bundle.rstrip("/").removeprefix("bundles/").removesuffix(".md")
