"""The sweeps of a project, driven by this process: see `aiworkflow.client.sweeps`.

A sweep that a server began stands in a row of its own until it is at rest. What such a row says and no
living process is at, a server takes up: so it survives its server as a run does.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from aiworkflow.client.agreeing import to_be_agreed
from aiworkflow.client.batch import result_of_run
from aiworkflow.client.batch_lines import Line
from aiworkflow.client.project import Checked
from aiworkflow.client.repos import Repos
from aiworkflow.client.sweep import Sweep
from aiworkflow.client.sweep_order import make_order, run_anew, run_like
from aiworkflow.client.sweep_record import (
    FAILED,
    LEFT,
    SUCCEEDED,
    UNDONE,
    Served,
    SweepReport,
    SweepStore,
    UnknownSweep,
    error_of_run,
)
from aiworkflow.client.sweep_runs import SweepRuns
from aiworkflow.client.sweep_undo import SweepUndo
from aiworkflow.errors import UsageError
from aiworkflow.journal import Conflict
from aiworkflow.runtime.submit import known_run, once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Unpack

    from aiworkflow.client.client import Client
    from aiworkflow.client.repos import Repository
    from aiworkflow.client.sweep_record import SweepOrder, Swept
    from aiworkflow.client.sweeps import Shown, Wanted
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import RegisterWrite
    from aiworkflow.runtime.given import NewRun

_DONE = frozenset({SUCCEEDED, FAILED, UNDONE, "rolled_back"})


class SweepsHere:
    """What can be done with the sweeps of an open client.

    Args:
        serves: whether this is a server's, so that the next one goes on with what it leaves behind.
    """

    def __init__(self, client: Client, *, serves: bool = False) -> None:
        self._client = client
        self._serves = serves
        self._store = SweepStore(client.journal)

    # -- looking ----------------------------------------------------------------------------------

    def page(self, limit: int, before: str | None) -> tuple[list[SweepReport], str | None]:
        """Sweeps begun before one, the newest first, and where the page after it begins."""
        every = [one for one in self._store.all() if before is None or one.sweep < before]
        found = [self._report(order) for order in every[:limit]]
        return found, every[limit - 1].sweep if len(every) > limit else None

    def find(self, sweep: str) -> str:
        """The full id of a sweep, given by it, the beginning or end of it, or `last`.

        Raises:
            UnknownSweep: several go by it, or none.
        """
        return self._store.find(sweep).sweep

    def report(self, sweep: str) -> SweepReport:
        """What has become of a sweep. Raises as `find`."""
        return self._report(self._store.find(sweep))

    def _report(self, order: SweepOrder) -> SweepReport:
        swept = self._store.swept(order)
        for place, one in enumerate(swept):
            if one.status == LEFT:
                swept[place] = self._by_run(order, place, one)
        driven, served = self._is_driven(order), self._store.is_served(order)
        return SweepReport(order, swept, is_driven=driven, is_served=served)

    def _by_run(self, order: SweepOrder, place: int, swept: Swept) -> Swept:
        """What its newest run says of a repository whose row says nothing yet."""
        runs = SweepRuns(self._client.journal, order)
        attempt, row = runs.newest(place, swept)
        if row is None:
            return swept
        status = row.status if row.status != SUCCEEDED else "running"  # its branch is yet to come
        found = result_of_run(self._client.journal, row, Line(place + 1, "", "", None), order.sweep)
        return dataclasses.replace(
            swept,
            status=status,
            run=row.run,
            attempt=attempt,
            cost_usd=runs.spent(place, swept),
            error=error_of_run(found.error),
        )

    def _is_driven(self, order: SweepOrder) -> bool:
        return order.ended is None and self._client.runtime.holding.is_alive(order.driver)

    # -- beginning --------------------------------------------------------------------------------

    async def plan(self, bundle: str | Path | Checked, **wanted: Unpack[Wanted]) -> Shown:
        """What a sweep would do; starts nothing. Raises as `start`."""
        chosen = self._chosen(wanted)
        order, _ = make_order(self._client, self._checked(bundle, wanted), chosen, wanted)
        return {
            "bundle": order.bundle,
            "branch": order.branch.replace(order.sweep, "SWEEP"),
            "repositories": [one.to_json() for one in chosen],
            "canary": order.canary,
            "max_parallel": order.max_parallel,
        }

    async def start(
        self,
        bundle: str | Path | Checked,
        *,
        agreed: bool = False,
        key: str = "",
        **wanted: Unpack[Wanted],
    ) -> Sweep:
        """Begin a sweep; see `aiworkflow.client.sweeps`.

        Args:
            key: names the event it comes of; see `known`.

        Raises:
            Conflict: the same event has begun one meanwhile.
        """
        client, chosen = self._client, self._chosen(wanted)
        checked = self._checked(bundle, wanted)
        order, new = make_order(client, checked, chosen, wanted)
        if not agreed:
            refused = to_be_agreed(client, checked, None, wanted.get("texts", {}), len(chosen))
            if refused is not None:
                raise refused
        order = dataclasses.replace(order, driver=client.runtime.lease.id)
        named = [once(key, order.sweep, order.started)] if key else []
        self._store.begin(order, self._promise(order, "sweep"), *named)
        return Sweep(client, self._store, order, new)

    def known(self, key: str) -> str | None:
        """The sweep that an event has begun already."""
        return known_run(self._client.runtime, key)

    def _chosen(self, wanted: Wanted) -> Sequence[Repository]:
        tags, names = wanted.get("tags", ()), wanted.get("repos", ())
        if not (tags or names or wanted.get("all")):
            raise UsageError(
                "nothing says which repositories", hint="give `tags`, `repos` or `all`"
            )
        return Repos(self._client.project).chosen(tags, names)

    def _checked(self, bundle: str | Path | Checked, wanted: Wanted) -> Checked:
        if isinstance(bundle, Checked):
            return bundle
        return self._client.project.check(bundle, wanted.get("overrides"))

    # -- going on ---------------------------------------------------------------------------------

    async def resume(self, sweep: str, max_usd: float | None = None) -> Sweep:
        """Go on with a sweep where it stopped; see `aiworkflow.client.sweeps`."""
        order = self._forward(sweep)
        swept = self._report(order).swept
        if all(one.status in _DONE for one in swept):
            failed = sum(one.status == FAILED for one in swept)
            raise UsageError(
                f"nothing is left to do in sweep {order.sweep}",
                hint=f"{failed} failed; try these again: aiworkflow sweep retry-failed {order.sweep}"
                if failed
                else None,
            )
        new = self._as_begun(order)
        order = self._taken(order, "sweep", **_bound(max_usd))
        return Sweep(self._client, self._store, order, new)

    async def retry(self, sweep: str, max_usd: float | None = None) -> Sweep:
        """Try the failed repositories of a sweep again; see `aiworkflow.client.sweeps`."""
        order = self._forward(sweep)
        failed = self._failed(order)
        if not failed:
            raise UsageError(
                f"no repository of sweep {order.sweep} has failed",
                hint=f"look at it: aiworkflow sweep show {order.sweep}",
            )
        new = run_anew(self._client, order)
        swept = self._store.swept(order)
        again = [  # from here on its runs say what becomes of it
            self._store.row(order, place, dataclasses.replace(swept[place], status=LEFT, error={}))
            for place in failed
        ]
        order = self._taken(order, "retry", *again, digest=new.plan.digest, **_bound(max_usd))
        return Sweep(self._client, self._store, order, new, again=failed)

    async def undo(self, sweep: str) -> SweepUndo:
        """Take back what the runs of a sweep did; see `aiworkflow.client.sweeps`."""
        order = self._taken(self._store.find(sweep), "undo", undoing=True)
        return SweepUndo(self._client, self._store, order, self._report(order).swept)

    def _forward(self, sweep: str) -> SweepOrder:
        """A sweep that is not half taken back. Raises UsageError."""
        order = self._store.find(sweep)
        if order.undoing and not self._is_driven(order):
            raise UsageError(
                f"sweep {order.sweep} is half taken back: its undo is not done",
                hint=f"go on with it: aiworkflow sweep undo {order.sweep}",
            )
        return order

    def _taken(
        self, order: SweepOrder, doing: str, *also: RegisterWrite, **changes: object
    ) -> SweepOrder:
        """The order, driven by this process from here on.

        Args:
            also: is written with it, or neither is.
        """
        mine = self._client.runtime.lease.id
        if self._is_driven(order) and order.driver != mine:
            raise driven(order.sweep)
        promise = self._promise(order, doing)
        more = {"driver": mine, "ended": None, "stopped": "", **changes}
        try:
            return self._store.change(order, promise, *also, **more)
        except Conflict as conflict:
            raise driven(order.sweep) from conflict

    def _promise(self, order: SweepOrder, doing: str) -> RegisterWrite:
        """What says that servers see to it, or that none does any more."""
        actor = self._client.project.actor
        return Served(order.sweep, doing, actor).write(stands=self._serves)

    def _failed(self, order: SweepOrder) -> list[int]:
        swept = self._report(order).swept
        return [place for place, one in enumerate(swept) if one.status == FAILED]

    def _as_begun(self, order: SweepOrder) -> NewRun:
        """The run of every repository, by one that was begun with that bundle, if there is one."""
        journal = self._client.journal
        runs = SweepRuns(journal, order)
        for place, one in enumerate(self._store.swept(order)):
            for row in runs.all(place, one):
                if row.digest == order.digest:
                    return run_like(journal, row.run)
        return run_anew(self._client, order)

    # -- repositories -----------------------------------------------------------------------------

    async def sync(
        self, tags: Sequence[str] = (), tell: Callable[[str], None] = lambda _: None
    ) -> Shown:
        """Bring the mirrors of repositories up to date; see `aiworkflow.client.sweeps`."""
        return await self.sync_some(tags, (), tell)

    async def sync_some(
        self,
        tags: Sequence[str],
        names: Sequence[str],
        tell: Callable[[str], None] = lambda _: None,
    ) -> Shown:
        """The same of those with these names; of all, if there are none. Raises as `sync`."""
        repos = Repos(self._client.project)
        found = await asyncio.to_thread(repos.sync, repos.chosen(tags, names), tell)
        failed: dict[str, Json] = {name: why for name, why in found.items() if why is not None}
        return {"synced": [name for name in found if name not in failed], "failed": failed}

    # -- taking up --------------------------------------------------------------------------------

    def left(self) -> list[Served]:
        """What servers have begun, and no living process is at."""
        found = []
        for one in self._store.served():
            try:
                order = self._store.find(one.sweep)
            except UnknownSweep:
                continue
            if not self._is_driven(order):
                found.append(one)
        return found

    def let_be(self, sweep: str) -> bool:
        """Have no server take a sweep up that was left; False where none would."""
        order = self._store.find(sweep)
        if self._is_driven(order) or not self._store.is_served(order):
            return False
        now = self._client.project.clock.now().timestamp()
        try:
            self._store.rest(order, rests=True, ended=order.ended or now)
        except Conflict:  # somebody was faster
            return False
        return True

    async def take_up(self, left: Served) -> Sweep | SweepUndo:
        """Go on with what a server has left behind, as it was doing it.

        Raises:
            UsageError: another process was faster.
            BundleInvalid, NotBuiltYet, InputsInvalid: its bundle cannot be used any more.
        """
        order = self._store.find(left.sweep)
        if left.doing == "undo":
            return await self.undo(order.sweep)
        # one that failed again in the last moment, before that was written, is tried once more
        again = self._untried(order) if left.doing == "retry" else []
        new = self._as_begun(order)
        order = self._taken(order, left.doing)
        return Sweep(self._client, self._store, order, new, again=again)

    def _untried(self, order: SweepOrder) -> list[int]:
        """Those that have failed, and are to be tried again."""
        rows = self._store.swept(order)
        return [place for place in self._failed(order) if rows[place].status == LEFT]


def driven(sweep: str) -> UsageError:
    """The error of a sweep that is going on."""
    return UsageError(
        f"another process is at sweep {sweep}", hint=f"look at it: aiworkflow sweep show {sweep}"
    )


def _bound(max_usd: float | None) -> dict[str, float]:
    return {} if max_usd is None else {"max_usd": max_usd}
