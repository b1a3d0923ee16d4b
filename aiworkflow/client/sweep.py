"""A sweep: a bundle's run in each of many repositories, in a worktree of its own there.

Theory. The order of a sweep and a row for each repository are registers. A repository's run has an id
that follows from the sweep, its place and the attempt, and is created only if it is not there: whatever
kills the process, the sweep is taken up by looking at the rows, and where there is none, at that run. A
run that has ended gets its branch (the same commit, however often) and then its row; so each repository
is done once.

What is prepared for a run (its commit, its worktree) is made before its turn comes, and taken away
after it: a slot is held for the steps themselves.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.client.batch import result_of_run
from aiworkflow.client.batch_lines import Line
from aiworkflow.client.purse import Purse
from aiworkflow.client.repositories import head_of
from aiworkflow.client.resting import is_at_rest
from aiworkflow.client.sweep_record import (
    FAILED,
    SETTLED,
    SUCCEEDED,
    TRIGGER,
    SweepReport,
    Swept,
    Target,
    error_json,
    error_of_run,
    repository_json,
)
from aiworkflow.client.sweep_runs import SweepRuns
from aiworkflow.client.sweeps import silent
from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal import Fenced, Held, JournalUnavailable, UnknownRun
from aiworkflow.runtime.given import Elsewhere
from aiworkflow.runtime.workspace import Revision
from aiworkflow.runtime.workspaces import remove_worktree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.client.run import Run
    from aiworkflow.client.sweep_record import SweepOrder, SweepStore
    from aiworkflow.client.sweeps import Shown, Tell
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import RunRow
    from aiworkflow.runtime.given import NewRun
    from aiworkflow.runtime.worktrees import Worktree

_LOOK_EVERY_S = 0.5


class Sweep:
    """One drive of a sweep by this process.

    Args:
        new: the run of every repository, but for where it acts.
        again: places whose failed run is followed by a new attempt, or gone on with.
    """

    def __init__(
        self,
        client: Client,
        store: SweepStore,
        order: SweepOrder,
        new: NewRun,
        *,
        again: Sequence[int] = (),
    ) -> None:
        self.order = order
        self._client = client
        self._store = store
        self._new = new
        self._tell: Tell = silent
        self._swept = store.swept(order)
        self._runs = SweepRuns(client.journal, order)
        self._again = frozenset(again)
        spent = (self._runs.spent(place, one) for place, one in enumerate(self._swept))
        self._purse = Purse(order.max_usd, sum(spent))
        self._slots = asyncio.Semaphore(order.max_parallel)
        # while all slots are taken as many again are prepared, since their runs may end all at once
        self._ahead = asyncio.Semaphore(2 * order.max_parallel)
        self._running: dict[str, Run] = {}
        self._due: frozenset[str] = frozenset()
        self._stopped = ""
        self._interrupted = False

    @property
    def id(self) -> str:
        """The sweep's id."""
        return self.order.sweep

    def stop(self) -> None:
        """Begin nothing more, and ask the runs that are under way to stop."""
        self._interrupted = True
        for run in self._running.values():
            run.interrupt()

    # -- driving ----------------------------------------------------------------------------------

    async def run(self, tell: Tell = silent) -> Shown:
        """Drive it until nothing is left that may begin; what became of it.

        Args:
            tell: called with each repository, as it becomes known what became of it.

        Raises:
            JournalUnavailable: the journal does not answer; the sweep can be gone on with.
        """
        self._tell = tell
        clock = self._client.project.clock
        began = clock.monotonic()
        before = self.order.seconds
        self._due = frozenset(self._client.due())
        rests = False
        try:
            await self._phases()
            rests = True
        finally:
            self.order = self._store.rest(
                self.order,
                rests=rests,
                ended=clock.now().timestamp(),
                stopped="" if self._interrupted else self._stopped,
                seconds=before + clock.monotonic() - began,
            )
        return SweepReport(self.order, self._swept).to_json()

    async def _phases(self) -> None:
        """The canaries, and when all of them have succeeded, the rest."""
        canary = self.order.canary
        await self._all(range(canary))
        bad = [one for one in self._swept[:canary] if one.status != SUCCEEDED]
        if bad and not self._interrupted:
            waits = any(one.status == "waiting" for one in bad)
            self._stopped = self._stopped or (
                f"{len(bad)} of {canary} canaries {'wait' if waits else 'did not succeed'}"
            )
            return
        await self._all(range(canary, len(self.order.targets)))

    async def _all(self, places: range) -> None:
        todo = [place for place in places if self._swept[place].status not in SETTLED]
        try:
            async with asyncio.TaskGroup() as group:
                before = asyncio.Event()
                before.set()
                for place in todo:
                    turn = asyncio.Event()
                    group.create_task(self._in_turn(place, before, turn))
                    before = turn
        except* AIWorkflowError as several:
            raise several.exceptions[0] from None

    async def _in_turn(self, place: int, before: asyncio.Event, turn: asyncio.Event) -> None:
        """See to one repository; its run begins after that of the one before it.

        Args:
            before, turn: set when the one before, and this one, has begun or never will.
        """
        try:
            await self._one(place, before, turn)
        finally:
            turn.set()

    async def _one(self, place: int, before: asyncio.Event, turn: asyncio.Event) -> None:
        """The same, as far as that may still begin."""
        async with self._ahead:
            if self._is_over():
                return
            try:
                swept = await self._do(place, before, turn)
            except JournalUnavailable:
                raise
            except AIWorkflowError as error:
                said = error_json(error.code, error.message, hint=error.hint)
                swept = dataclasses.replace(self._so_far(place), status=FAILED, error=said)
            if swept is None:
                return
            self._swept[place] = swept
            if swept.error.get("kind") == "budget" and self.order.max_usd is not None:
                self._stopped = self._stopped or self._spent_up
            if swept.status in SETTLED:
                self._store.write(self.order, place, swept)
            self._tell(repository_json(self.order.targets[place], swept))

    def _is_over(self) -> bool:
        """Whether nothing more may begin."""
        if self._interrupted or self._stopped:
            return True
        failed = sum(one.status == FAILED for one in self._swept)
        if self.order.stop_after and failed >= self.order.stop_after:
            count = "1 repository" if failed == 1 else f"{failed} repositories"
            self._stopped = f"{count} failed (--stop-after-failures)"
        elif self._purse.is_empty:
            self._stopped = self._spent_up
        return bool(self._stopped)

    @property
    def _spent_up(self) -> str:
        return f"what all runs may cost, ${self.order.max_usd:g}, is used up (--max-usd)"

    async def _do(self, place: int, before: asyncio.Event, turn: asyncio.Event) -> Swept | None:
        """Run it, or go on with its run; None where that did not begin."""
        attempt, row = self._runs.newest(place, self._swept[place])
        if row is not None and self._is_at_rest(place, row):
            return await self._finished(place, attempt, row)
        new: NewRun | None = None
        tree: Worktree | None = None
        if row is None or row.finished is not None:
            new = await asyncio.to_thread(self._prepared, self.order.targets[place])
            if row is not None and not self._is_mended(row, new):
                new = None
        if new is not None:
            if row is not None:  # nobody goes on with that one
                remove_worktree(self._client.project.folders.state, row.run)
            attempt, row = attempt + 1, None
            run = self.order.run_of(place, attempt)
            tree = await self._client.runtime.workspaces.prepared(run, new)
        await before.wait()
        async with self._slots:
            turn.set()
            if self._is_over():
                if tree is not None:  # no run will ever take it away
                    await asyncio.to_thread(tree.remove)
                return None
            row = await self._driven(self.order.run_of(place, attempt), new, row)
            del tree
        return await self._finished(place, attempt, row)

    def _is_at_rest(self, place: int, row: RunRow) -> bool:
        """Whether there is nothing to be done for a run."""
        if row.status == "waiting":
            return row.run not in self._due
        if row.finished is None or row.status == "cancelled":
            return False
        return row.status == SUCCEEDED or place not in self._again

    async def _driven(self, run: str, new: NewRun | None, row: RunRow | None) -> RunRow:
        """Have a run come to rest; a new one is begun where `new` is given.

        A worker may be at it, since somebody has answered what it waited for: then it is waited for.
        """
        while True:
            known = self._cost(run)
            try:
                return await self._drive(run, new, row)
            except (Held, Fenced):
                new = None
            while True:
                await asyncio.sleep(_LOOK_EVERY_S)
                row = self._client.journal.run(run)
                is_left = not self._client.is_driven(run)
                if self._interrupted or (is_left and is_at_rest(self._client, run)):
                    self._purse.note(row.cost_usd - known)
                    return row
                if is_left:
                    break

    async def _drive(self, run: str, new: NewRun | None, row: RunRow | None) -> RunRow:
        """Drive a run to rest here.

        Raises:
            Held, Fenced: somebody else does.
        """
        client = self._client
        if new is not None:
            _, drive, first = client.runtime.start(new, run=run)
        else:
            await client.let_go(run)
            drive, first = client.runtime.resume(run, client.project.actor)
        self._purse.hold(run, drive, row.cost_usd if row is not None else 0.0)
        self._running[run] = going = client.drive(run, drive, first)
        try:
            await going.rest()
        finally:
            del self._running[run]
            self._purse.close(run, self._cost(run))
        return client.journal.run(run)

    def _cost(self, run: str) -> float:
        try:
            return self._client.journal.run(run).cost_usd
        except UnknownRun:
            return 0.0

    def _prepared(self, target: Target) -> NewRun:
        """The run of a repository, at the newest commit of its branch."""
        project = self._client.project
        folder = Path(target.folder)
        if target.url and not folder.is_dir():
            from aiworkflow.client.repos import Repos, Repository

            repos = Repos(project)
            repos.fetch(Repository(target.name, folder, target.url, (), target.branch))
        commit = head_of(folder, project.environ, target.branch)
        trigger: dict[str, Json] = {
            "type": TRIGGER,
            "sweep": self.order.sweep,
            "repo": target.name,
            "branch": self.order.branch,
        }
        return dataclasses.replace(
            self._new,
            revision=Revision(commit),
            trigger=trigger,
            elsewhere=Elsewhere(folder, target.name, self.order.branch),
        )

    # -- what is there already --------------------------------------------------------------------

    def _so_far(self, place: int) -> Swept:
        """What is known of a repository, its newest run included."""
        attempt, row = self._runs.newest(place, self._swept[place])
        return self._swept[place] if row is None else self._of(place, attempt, row)

    def _is_mended(self, row: RunRow, new: NewRun) -> bool:
        """Whether the bundle or the repository is another one than the failed run had."""
        return (
            row.status == "rolled_back"
            or row.digest != new.plan.digest
            or row.commit != new.revision.commit
        )

    # -- ends -------------------------------------------------------------------------------------

    async def _finished(self, place: int, attempt: int, row: RunRow) -> Swept:
        """What became of a repository; what its run made stands on its branch then."""
        swept = self._of(place, attempt, row)
        if row.status != SUCCEEDED:
            return swept
        order = self.order
        published = await self._client.runtime.workspaces.publish(
            row, order.branch, order.message, order.author
        )
        if published is None:
            return swept
        branch, result = published
        return dataclasses.replace(swept, branch=branch, result=result)

    def _of(self, place: int, attempt: int, row: RunRow) -> Swept:
        old = self._swept[place]
        line = Line(place + 1, "", "", None)
        found = result_of_run(self._client.journal, row, line, self.order.sweep)
        return dataclasses.replace(
            old,
            status=row.status,
            attempt=attempt,
            run=row.run,
            commit=row.commit or "",
            cost_usd=self._runs.spent(place, old),
            seconds=found.seconds,
            error=error_of_run(found.error),
        )
