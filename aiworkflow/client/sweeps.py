"""The sweeps of a project: ordered, gone on with, retried, taken back, looked at."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiworkflow.client.batch import result_of_run
from aiworkflow.client.batch_lines import Line
from aiworkflow.client.sweep import Sweep
from aiworkflow.client.sweep_record import (
    FAILED,
    LEFT,
    SETTLED,
    SUCCEEDED,
    UNDONE,
    SweepOrder,
    SweepReport,
    SweepStore,
    Swept,
    Target,
)
from aiworkflow.client.sweep_runs import SweepRuns
from aiworkflow.engine import RunState, decode, undoable
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Stored
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.journal import Conflict, new_run_id
from aiworkflow.plan import plan_from_json
from aiworkflow.runtime.folding import fold
from aiworkflow.runtime.gitwords import Git, GitFailed
from aiworkflow.runtime.given import Called, InForce, NewRun
from aiworkflow.runtime.placing import refuse_elsewhere
from aiworkflow.runtime.submit import known_run, once
from aiworkflow.runtime.values import Values
from aiworkflow.runtime.workspace import Revision, load_files
from aiworkflow.runtime.worktrees import remove_branch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked
    from aiworkflow.client.repos import Repository
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal, RunRow

DEFAULT_PARALLEL = 8
_NOBODY = ("aiworkflow", "aiworkflow@localhost")
_SHARE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(%?)", re.ASCII)
_AUTHOR = re.compile(r"\s*([^<>\n]+?)\s*<([^<>\s]+@[^<>\s]+)>\s*")


def _silent(target: Target, swept: Swept) -> None:
    """Nobody listens."""


class Sweeps:
    """What can be done with the sweeps of an open client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._store = SweepStore(client.journal)

    # -- looking ----------------------------------------------------------------------------------

    def all(self) -> list[SweepReport]:
        """Every sweep, the newest first."""
        return [self._report(order) for order in self._store.all()]

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
        """What has become of a sweep. Raises UsageError."""
        return self._report(self._store.find(sweep))

    def _report(self, order: SweepOrder) -> SweepReport:
        swept = self._store.swept(order)
        for place, one in enumerate(swept):
            if one.status == LEFT:
                swept[place] = self._by_run(order, place, one)
        return SweepReport(order, swept, is_driven=self._is_driven(order))

    def _by_run(self, order: SweepOrder, place: int, swept: Swept) -> Swept:
        """What its newest run says of a repository whose row says nothing yet."""
        runs = SweepRuns(self._client.journal, order)
        attempt, row = runs.newest(place, swept)
        if row is None:
            return swept
        status = row.status if row.status != SUCCEEDED else "running"  # its branch is yet to come
        found = result_of_run(self._client.journal, row, Line(place + 1, "", "", None), order.sweep)
        said = found.error
        error: dict[str, Json] = {}
        if said is not None:
            error = {"kind": said.kind, "message": said.message, "step": said.step}
        return dataclasses.replace(
            swept,
            status=status,
            run=row.run,
            attempt=attempt,
            cost_usd=runs.spent(place, swept),
            error=error,
        )

    def _is_driven(self, order: SweepOrder) -> bool:
        return order.ended is None and self._client.runtime.holding.is_alive(order.driver)

    # -- beginning --------------------------------------------------------------------------------

    def order(
        self,
        checked: Checked,
        repositories: Sequence[Repository],
        *,
        inputs: Mapping[str, Json] | None = None,
        texts: Mapping[str, str] | None = None,
        max_parallel: int = DEFAULT_PARALLEL,
        canary: float = 0.0,
        stop_after: int = 0,
        max_usd: float | None = None,
        branch: str = "",
        message: str = "",
        author: tuple[str, str] | None = None,
        overrides: Mapping[str, Json] | None = None,
    ) -> tuple[SweepOrder, NewRun]:
        """A sweep over repositories, and the run of each; nothing is written or started.

        Args:
            canary: the share of all that must succeed before the rest begin, 0 to 1.
            stop_after: failures after which nothing more begins; 0 for never.
            max_usd: US dollars that all runs together may cost.
            branch: the branch that each repository gets; else `aiworkflow/<name>/<sweep>`.
            message, author: of the commit on it.
            overrides: settings of the command line, with which the bundle was checked.

        Raises:
            BundleInvalid, NotBuiltYet, InputsInvalid, UsageError: it cannot be carried out.
        """
        project = self._client.project
        if not repositories:
            raise UsageError(
                "no repository is chosen", hint="see which there are: aiworkflow repos list"
            )
        if max_parallel < 1 or not 0 <= canary <= 1:
            raise UsageError("a sweep needs at least one run at once, and at most all as canaries")
        new = project.prepare(checked, inputs or {}, texts or {})
        if new.plan.concurrency is not None:
            raise UsageError(
                f"bundle `{new.bundle}` has a `concurrency` key, by which runs of a sweep would "
                "exclude each other",
                hint="bound the sweep with --max-parallel instead",
            )
        refuse_elsewhere(new.plan, project.fleet.labels)
        _check_folders(repositories)
        sweep = new_run_id(project.ids, self._client.journal)
        branch = branch or f"aiworkflow/{new.plan.name}/{sweep}"
        git = Git(project.root, project.environ)
        _check_branch(git, branch)
        order = SweepOrder(
            sweep=sweep,
            bundle=new.bundle,
            name=new.plan.name,
            digest=new.plan.digest,
            inputs=dict(new.inputs),
            targets=[
                Target(one.name, str(one.folder), one.url, one.branch) for one in repositories
            ],
            branch=branch,
            message=message or f"{new.plan.name}\n\nSweep {sweep}",
            author=author or _author(git),
            max_parallel=max_parallel,
            canary=math.ceil(round(canary * len(repositories), 6)),  # a share is not exact
            stop_after=stop_after,
            max_usd=max_usd,
            actor=project.actor,
            started=project.clock.now().timestamp(),
            overrides=dict(overrides or {}),
        )
        return order, new

    def begin(
        self,
        order: SweepOrder,
        new: NewRun,
        tell: Callable[[Target, Swept], None] = _silent,
        *,
        key: str = "",
    ) -> Sweep:
        """A sweep, ready to be driven; from here on it can be gone on with.

        Args:
            key: names the event it comes of; see `known`.

        Raises:
            Conflict: the same event has begun one meanwhile.
        """
        order = dataclasses.replace(order, driver=self._client.runtime.lease.id)
        self._store.begin(order, *([once(key, order.sweep, order.started)] if key else ()))
        return Sweep(self._client, self._store, order, new, tell=tell)

    def known(self, key: str) -> str | None:
        """The sweep that an event has begun already."""
        return known_run(self._client.runtime, key)

    def resume(
        self,
        sweep: str,
        tell: Callable[[Target, Swept], None] = _silent,
        max_usd: float | None = None,
    ) -> Sweep:
        """Go on with a sweep where it stopped, with the bundle as it was then.

        Args:
            max_usd: another bound on what all runs may cost; None for the one that it has.

        Raises:
            UsageError: there is nothing to go on with, or another process is at it.
        """
        order = self._store.find(sweep)
        swept = self._report(order).swept
        if all(one.status in {SUCCEEDED, FAILED, UNDONE, "rolled_back"} for one in swept):
            failed = sum(one.status == FAILED for one in swept)
            raise UsageError(
                f"nothing is left to do in sweep {order.sweep}",
                hint=f"{failed} failed; try these again: aiworkflow sweep retry-failed {order.sweep}"
                if failed
                else None,
            )
        order = self._taken(order, **_bound(max_usd))
        new = self._as_begun(order) or self._anew(order)
        return Sweep(self._client, self._store, order, new, tell=tell)

    def retry(
        self,
        sweep: str,
        tell: Callable[[Target, Swept], None] = _silent,
        max_usd: float | None = None,
    ) -> Sweep:
        """Try the failed repositories of a sweep again, and go on with it.

        The bundle counts as it is now. Where neither it nor the repository has changed, the failed run
        goes on from where it failed; else a new one is made.

        Raises:
            UsageError: none has failed, or another process is at it.
        """
        order = self._store.find(sweep)
        failed = [
            place for place, one in enumerate(self._report(order).swept) if one.status == FAILED
        ]
        if not failed:
            raise UsageError(
                f"no repository of sweep {order.sweep} has failed",
                hint=f"look at it: aiworkflow sweep show {order.sweep}",
            )
        new = self._anew(order)
        order = self._taken(order, digest=new.plan.digest, **_bound(max_usd))
        for place, one in enumerate(self._store.swept(order)):
            if place in failed:  # from here on its runs say what becomes of it
                self._store.write(order, place, dataclasses.replace(one, status=LEFT, error={}))
        return Sweep(self._client, self._store, order, new, again=failed, tell=tell)

    def _taken(self, order: SweepOrder, **changes: object) -> SweepOrder:
        """The order, driven by this process from here on."""
        if self._is_driven(order) and order.driver != self._client.runtime.lease.id:
            raise driven(order.sweep)
        mine = self._client.runtime.lease.id
        try:
            return self._store.change(order, driver=mine, ended=None, stopped="", **changes)
        except Conflict as conflict:
            raise driven(order.sweep) from conflict

    def _anew(self, order: SweepOrder) -> NewRun:
        """The run of every repository, by the bundle as it is now."""
        project = self._client.project
        checked = project.check(project.root / order.bundle, order.overrides)
        return project.prepare(checked, order.inputs)

    def _as_begun(self, order: SweepOrder) -> NewRun | None:
        """The same by a run that was begun with that bundle; None for there is none."""
        journal = self._client.journal
        runs = SweepRuns(journal, order)
        for place, one in enumerate(self._store.swept(order)):
            for row in runs.all(place, one):
                if row.digest == order.digest:
                    started = decode(journal.record(row.run, 1).payload)
                    assert isinstance(started, ev.RunStarted)
                    return _new_run_of(journal, started)
        return None

    # -- taking back ------------------------------------------------------------------------------

    def undo(
        self, sweep: str, tell: Callable[[Target, Swept], None] = _silent
    ) -> Coroutine[object, object, SweepReport]:
        """Take back what the runs of a sweep did, the last first, and their branches.

        It is this process's from here on; what is returned does it.

        Raises:
            UsageError: it is going on.
        """
        return self._undo(self._taken(self._store.find(sweep)), tell)

    async def _undo(self, order: SweepOrder, tell: Callable[[Target, Swept], None]) -> SweepReport:
        try:
            swept = list(self._report(order).swept)
            for place in reversed(range(len(swept))):
                if not swept[place].run or swept[place].status == UNDONE:
                    continue
                swept[place] = await self._undone(order, place, swept[place])
                if swept[place].status in SETTLED:  # else its run says what becomes of it
                    self._store.write(order, place, swept[place])
                tell(order.targets[place], swept[place])
        finally:
            order = self._store.change(order, ended=self._client.project.clock.now().timestamp())
        return SweepReport(order, swept)

    async def _undone(self, order: SweepOrder, place: int, swept: Swept) -> Swept:
        try:
            for row in SweepRuns(self._client.journal, order).all(place, swept):
                await self._take_back(row)
            if swept.result and swept.branch == order.branch:
                folder = Path(order.targets[place].folder)
                git = Git(folder, self._client.project.environ)
                await asyncio.to_thread(remove_branch, git, swept.branch, swept.result)
        except AIWorkflowError as error:
            said: dict[str, Json] = {"kind": "undo", "message": error.message, "step": None}
            return dataclasses.replace(swept, error=said)
        return dataclasses.replace(swept, status=UNDONE, branch="", result="", error={})

    async def _take_back(self, row: RunRow) -> None:
        """Take back what one run did, or go on with that where it was broken off."""
        if row.status == "rolled_back":
            return
        state = RunState()
        fold(self._client.journal, row.run, state)
        if row.finished is None:
            if state.root is None or not (state.root.undoing or state.root.stopping == "undo"):
                raise UsageError(
                    f"run {row.run} is not over: end it with `aiworkflow runs cancel {row.run}`, "
                    "then undo the sweep again"
                )
            undoing = await self._client.resume(row.run)
        elif next(undoable(state), None) is None:
            return
        else:
            undoing = await self._client.undo(row.run)
        await undoing.rest()
        status = self._client.journal.run(row.run).status
        if status == "waiting":
            raise UsageError(
                f"run {row.run} waits for somebody: look at it with `aiworkflow runs show {row.run}`, "
                "then undo the sweep again"
            )
        if status != "rolled_back":
            raise UsageError(f"run {row.run} could not be taken back whole")


def share_of(text: str, count: int, name: str) -> float:
    """`5%`, or a number of repositories, as a share of all.

    Args:
        count: how many there are.
        name: what the text is called where it was given.

    Raises:
        UsageError: it is neither.
    """
    if not text:
        return 0.0
    found = _SHARE.fullmatch(text)
    if found is not None and found[2] and float(found[1]) <= 100:
        return float(found[1]) / 100
    if found is not None and not found[2] and "." not in text and count:
        return min(1.0, int(text) / count)
    raise UsageError(f"{name} takes a share such as 5%, or a number, not `{text[:60]}`")


def author_of(text: str, name: str) -> tuple[str, str] | None:
    """The name and address in `NAME <EMAIL>`; None for nothing. Raises as `share_of`."""
    if not text:
        return None
    found = _AUTHOR.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{name} takes a name and an address, not `{text[:60]}`",
            hint="for example 'Renovate Bot <bot@example.org>'",
        )
    return found[1], found[2]


def _bound(max_usd: float | None) -> dict[str, float]:
    return {} if max_usd is None else {"max_usd": max_usd}


def driven(sweep: str) -> UsageError:
    """The error of a sweep that is going on."""
    return UsageError(
        f"another process is at sweep {sweep}", hint=f"look at it: aiworkflow sweep show {sweep}"
    )


def _check_folders(repositories: Sequence[Repository]) -> None:
    """Runs in one repository would take each other's branch."""
    known: dict[Path, str] = {}
    for one in repositories:
        other = known.setdefault(one.folder.resolve(), one.name)
        if other != one.name:
            raise UsageError(
                f"`{other}` and `{one.name}` are the same repository, and a sweep makes one branch "
                "in each",
                hint="choose one of them, with --repo or by tags",
            )


def _check_branch(git: Git, branch: str) -> None:
    if branch.startswith("-") or git.ask("check-ref-format", f"refs/heads/{branch}")[0]:
        raise UsageError(
            f"`{branch}` is no name of a branch", hint="for example --branch update-licences"
        )


def _author(git: Git) -> tuple[str, str]:
    """Who commits: as git is configured here, or ourselves."""
    try:
        found = [git.ask("config", "--get", f"user.{what}")[1] for what in ("name", "email")]
    except GitFailed:
        return _NOBODY
    name, email = (one.decode("utf-8", "replace").strip() for one in found)
    return name or _NOBODY[0], email or _NOBODY[1]


def _new_run_of(journal: Journal, started: ev.RunStarted) -> NewRun:
    """A run like one that was started, with the same bundle, settings and inputs."""
    blobs = journal.blobs
    values = Values(journal, started.run, inline_bytes=0)

    def called(one: Mapping[str, str]) -> Called:
        settings = values.load(Stored(one["settings"], 0))
        return Called(
            plan_from_json(json.loads(blobs.get(one["plan"]))),
            load_files(blobs, one["files"]),
            InForce.from_json(cast("dict[str, Json]", settings)),
            one["bundle"],
        )

    return NewRun(
        plan=plan_from_json(json.loads(blobs.get(started.plan))),
        files=load_files(blobs, started.files),
        inputs=cast("dict[str, Json]", values.load(started.inputs)),
        settings=InForce.from_json(cast("dict[str, Json]", values.load(started.settings))),
        bundle=started.bundle,
        actor=started.actor,
        revision=Revision(),
        children=[called(cast("Mapping[str, str]", one)) for one in started.children.values()],
    )
