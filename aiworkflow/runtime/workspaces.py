"""Where runs act: in the project as it is, or each in a worktree of its own.

By hand a run acts `here`; started from outside it gets a worktree at the project's commit, unless the
settings say otherwise. It is below the state folder, kept while the run can still be gone on with, and
taken away when the run has succeeded and nothing in it would be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from aiworkflow.engine import decode
from aiworkflow.engine import events as ev
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.journal import UnknownRun
from aiworkflow.runtime.own_tree import OwnTree
from aiworkflow.runtime.values import Values
from aiworkflow.runtime.worktrees import Worktree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal, RunRow
    from aiworkflow.runtime.given import Folders, NewRun
    from aiworkflow.runtime.mask import Masking

WORKTREES: Final = "worktrees"
"""The folder of all worktrees, in the state folder; in it one folder a run."""

# those of a watch, too: what changed in the project's files is in no commit
_HERE: Final = frozenset({"manual", "batch", "workflow", "watch"})
_LOG = logging.getLogger("aiworkflow.runtime")


class Workspaces:
    """The worktrees of one project's runs.

    Args:
        left: called with the worktree of a run that has come to rest.
    """

    def __init__(
        self,
        journal: Journal,
        folders: Folders,
        environ: Mapping[str, str],
        masking: Masking,
        left: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._left = left
        self._journal = journal
        self._folders = folders
        self._environ = environ
        self._masking = masking
        self._known: WeakValueDictionary[Path, Worktree] = WeakValueDictionary()
        self._told: set[str] = set()

    def chosen(self, run: str, new: NewRun) -> dict[str, Json]:
        """Where a new run acts, as its start says it; empty for here.

        Raises:
            UsageError: it is to act in a worktree, and there is no commit for one.
        """
        usual = "here" if new.trigger["type"] in _HERE else "worktree"
        if new.elsewhere is None and (new.workspace or usual) == "here":
            return {}
        commit = new.revision.commit
        if commit is None:
            if new.workspace == "worktree" or new.elsewhere is not None:
                raise UsageError(
                    f"bundle `{new.bundle}` works in a worktree, and "
                    f"`{self._folders.project}` is no git repository with a commit",
                    hint="commit something first, or set `workspace: here`",
                )
            if new.bundle not in self._told:  # once, not for each event
                self._told.add(new.bundle)
                _LOG.warning(
                    "the run acts in the project itself: it is no git repository with a commit",
                    extra={"run": run, "bundle": new.bundle},
                )
            return {}
        found: dict[str, Json] = {"of": run, "commit": commit}
        if new.elsewhere is not None:
            found |= {"root": str(new.elsewhere.root), "repo": new.elsewhere.repo}
            if new.elsewhere.branch:
                found["branch"] = new.elsewhere.branch
        return found

    def of(self, started: ev.RunStarted, values: Values | None = None) -> OwnTree | None:
        """The worktree of a run, made when it is needed; None for one that acts here."""
        said = started.workspace
        if not said:
            return None
        worktree = self._worktree(said)
        values = values or Values(self._journal, started.run, inline_bytes=0)
        caller = None
        if "began" in said and started.trigger["type"] == "workflow":
            above = self._started(str(started.trigger["run"]))
            caller = self.of(above) if above is not None else None
        return OwnTree(
            worktree, self._journal, started, values, self._masking, caller, self._of_child
        )

    def _of_child(self, run: str) -> OwnTree | None:
        started = self._started(run)
        return self.of(started) if started is not None else None

    def of_run(self, run: str) -> OwnTree | None:
        """The worktree of a run that was started before. Raises UnknownRun."""
        started = self._started(run)
        if started is None:
            raise UnknownRun(run)
        return self.of(started)

    def folder(self, run: str) -> Path:
        """Where the worktree of a run is, if it has one."""
        return self._folders.state / WORKTREES / run

    async def prepared(self, run: str, new: NewRun) -> Worktree | None:
        """Make the worktree of a run that is about to be started; hold it until it has.

        Raises:
            GitFailed: it cannot be made. UsageError: see `chosen`.
        """
        said = self.chosen(run, new)
        if not said:
            return None
        worktree = self._worktree(said)
        async with worktree.door:
            await asyncio.to_thread(worktree.make)
        return worktree

    async def publish(
        self, row: RunRow, branch: str, message: str, author: tuple[str, str]
    ) -> tuple[str, str] | None:
        """Have a branch name what came of a run that is over, and take its worktree away.

        The same again does nothing more.

        Returns:
            The branch and its commit; the run's own branch where it has committed to one. None where
            nothing changed.

        Raises:
            GitFailed: the branch names something else, or git says no.
        """
        tree = self.of_run(row.run)
        if tree is None:
            return None
        worktree, last = tree.worktree, await tree.last()
        at = row.finished if row.finished is not None else row.started
        if not worktree.exists and not await asyncio.to_thread(worktree.knows, last):
            last = await tree.restore()
        is_spent = await asyncio.to_thread(worktree.is_spent, last)
        if last == await asyncio.to_thread(worktree.beginning_of, last):
            result = ""
        elif last.branch and is_spent:
            branch, result = last.branch, last.head
        else:
            given = (last, branch, message, author, at)
            named = await asyncio.to_thread(worktree.publish, *given)
            result = named or ""
        await asyncio.to_thread(worktree.remove)
        return (branch, result) if result else None

    def _worktree(self, said: Mapping[str, Json]) -> Worktree:
        folder = self.folder(str(said["of"]))
        worktree = self._known.get(folder)
        if worktree is None:
            root = Path(str(said["root"])) if "root" in said else self._folders.project
            worktree = Worktree(folder, root, str(said["commit"]), self._environ)
            self._known[folder] = worktree
        return worktree

    def _started(self, run: str) -> ev.RunStarted | None:
        try:
            found = decode(self._journal.record(run, 1).payload)
        except UnknownRun:
            return None
        return found if isinstance(found, ev.RunStarted) else None

    async def clear(self, row: RunRow, tree: OwnTree | None) -> None:
        """The run is at rest: if it is over, take its worktree away, unless something would be lost."""
        with contextlib.suppress(OSError):  # not empty where a tool left something for people
            os.rmdir(f"{self._folders.state}/scratch/{row.run}")  # noqa: PTH106  as a Path it takes longer
        if tree is None or tree.folder.name != row.run or not tree.worktree.exists:
            return
        self._left(tree.folder)
        if row.status not in {"succeeded", "rolled_back"}:
            return
        try:
            last = await tree.last()
            is_spent = row.status == "rolled_back" or await asyncio.to_thread(
                tree.worktree.is_spent, last
            )
            if is_spent:
                await asyncio.to_thread(tree.worktree.remove)
        except AIWorkflowError as error:  # it stays; `journal prune` takes it away with its run
            _LOG.warning("the worktree of a run stays: %s", error.message, extra={"run": row.run})


def remove_worktree(state: Path, run: str) -> None:
    """Take away the worktree of a run that is forgotten, if there is one."""
    folder = state / WORKTREES / run
    if folder.exists():
        Worktree(folder, folder, "", {}).remove()
