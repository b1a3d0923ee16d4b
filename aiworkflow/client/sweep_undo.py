"""Taking a sweep back: what its runs did, those of earlier attempts too, and its branches."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.client.sweep_record import (
    SETTLED,
    UNDO,
    UNDONE,
    SweepReport,
    error_json,
    repository_json,
)
from aiworkflow.client.sweep_runs import SweepRuns
from aiworkflow.client.sweeps import silent
from aiworkflow.engine import RunState, undoable
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.runtime.folding import fold
from aiworkflow.runtime.gitwords import Git
from aiworkflow.runtime.workspaces import remove_worktree
from aiworkflow.runtime.worktrees import remove_branch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.client.sweep_record import SweepOrder, SweepStore, Swept
    from aiworkflow.client.sweeps import Shown, Tell
    from aiworkflow.journal import RunRow


class SweepUndo:
    """One drive of it by this process.

    Args:
        swept: what had become of each repository.
    """

    def __init__(
        self, client: Client, store: SweepStore, order: SweepOrder, swept: Sequence[Swept]
    ) -> None:
        self._client = client
        self._store = store
        self._order = order
        self._swept = list(swept)
        self._runs = SweepRuns(client.journal, order)
        self._stopped = False
        self._broken_off = False

    @property
    def id(self) -> str:
        """The sweep's id."""
        return self._order.sweep

    def stop(self) -> None:
        """Begin with no other repository; it goes on when it is asked for again."""
        self._stopped = True

    async def run(self, tell: Tell = silent) -> Shown:
        """Take back all that is left, the last first; what became of it.

        Raises:
            JournalUnavailable: the journal does not answer; it can be gone on with.
        """
        rests = False
        try:
            await self._all(tell)
            rests = True
        finally:
            ended = self._client.project.clock.now().timestamp()
            undoing = self._broken_off or not rests
            self._order = self._store.rest(self._order, rests=rests, ended=ended, undoing=undoing)
        return SweepReport(self._order, self._swept).to_json()

    async def _all(self, tell: Tell) -> None:
        for place in reversed(range(len(self._swept))):
            one = self._swept[place]
            if not one.run or one.status == UNDONE:
                continue
            if self._stopped:
                self._broken_off = True
                return
            one = await self._undone(place, one)
            self._swept[place] = one
            if one.status in SETTLED:  # else its run says what becomes of it
                self._store.write(self._order, place, one)
            tell(repository_json(self._order.targets[place], one))

    async def _undone(self, place: int, swept: Swept) -> Swept:
        try:
            for row in self._runs.all(place, swept):
                await self._take_back(row)
                # there still where it failed, or where no branch could be made of it
                state = self._client.project.folders.state
                await asyncio.to_thread(remove_worktree, state, row.run)
            if swept.result and swept.branch == self._order.branch:
                folder = Path(self._order.targets[place].folder)
                git = Git(folder, self._client.project.environ)
                await asyncio.to_thread(remove_branch, git, swept.branch, swept.result)
        except AIWorkflowError as error:
            said = error_json(UNDO, error.message, hint=error.hint)
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
            raise UsageError(
                f"run {row.run} could not be taken back whole",
                hint=f"look why: aiworkflow runs show {row.run}",
            )
