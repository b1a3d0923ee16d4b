"""A run's own worktree, as its attempts have it: made before the first, set back before what is redone.

Before an attempt the worktree holds what the journal says; after it, what has changed goes with the
attempt's end, as a patch (and new commits as a git bundle), so that another machine can go on. Steps
that run together share the worktree: it is set back only when nothing else is at work in it, and what
one of them has half done goes with the end of the other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from aiworkflow.engine import decode
from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal import JournalUnavailable
from aiworkflow.runtime.gitwords import GitFailed
from aiworkflow.runtime.trail import Trail, standing_of, standing_to_json
from aiworkflow.runtime.worktrees import Standing, Step, Unknown
from aiworkflow.steps.contract import StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiworkflow.engine import events as ev
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.runtime.mask import Masking
    from aiworkflow.runtime.trail import Recorded
    from aiworkflow.runtime.values import Values
    from aiworkflow.runtime.worktrees import Worktree

_PAGE: Final = 1000
LARGEST: Final = 100_000_000
"""Bytes of changes that are kept of an attempt."""


class Log(Protocol):
    """Where an attempt says something about itself."""

    def write(self, text: str) -> None:
        """Add text."""
        ...


class OwnTree:
    """The worktree of a run, and what its journal says of it.

    Args:
        caller: of a child run: the run that called it, whose worktree it is.
        child: the same of a child run, by its id; None where there is no such run yet.
    """

    def __init__(
        self,
        worktree: Worktree,
        journal: Journal,
        started: ev.RunStarted,
        values: Values,
        masking: Masking,
        caller: OwnTree | None = None,
        child: Callable[[str], OwnTree | None] = lambda _: None,
    ) -> None:
        self.worktree = worktree
        self._journal = journal
        self._run, self._at = started.run, started.at
        self._values = values
        self._masking = masking
        self._caller = caller
        self._child = child
        self._trail = Trail()
        began = started.workspace.get("began")
        self._began = standing_of(began) if began is not None else None
        self._known: Standing | None = None  # what was last told of it

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        return self.worktree.folder

    def shared(self, parent: ev.RunStarted) -> dict[str, Json]:
        """What the start of a child run says of it."""
        assert self._known is not None
        return {**parent.workspace, "began": standing_to_json(self._known)}

    # -- around an attempt ------------------------------------------------------------------------

    async def enter(self, child: str = "") -> None:
        """Have it hold what the journal says, before an attempt begins.

        Args:
            child: the attempt is this child run, whose own attempts do the work.

        Raises:
            StepError: it cannot be made here, or not be set back.
        """
        try:
            async with self.worktree.door:
                _, due = await self.due()
                self._known = due
                below = self._child(child) if child else None
                if below is not None:  # what it has done may not be known of here yet
                    _, due = await below.due()
                if not self.worktree.at_work:
                    await self._hold(due)
                if not child:
                    self.worktree.at_work += 1
        except GitFailed as error:
            raise StepError("worktree", error.message, hint=error.hint) from error

    async def leave(self, child: str = "", *, is_failed: bool = False) -> Step | None:
        """What has changed since the last attempt; None for nothing.

        Args:
            is_failed: the attempt has failed, and why is known.

        Raises:
            StepError: nobody knows, and so it would be lost. Not while others are at work: what they
                do may be the reason, and whoever is the last to leave sees all of it.
        """
        worktree = self.worktree
        async with worktree.door:
            try:
                before = self._known or (await self.due())[1]
                after = await asyncio.to_thread(worktree.look)
                if after == before:
                    return None
                self._known = after
                return await asyncio.to_thread(self._step, before, after)
            except (AIWorkflowError, OSError) as error:  # the next attempt will set it back
                worktree.standing = None
                others = worktree.at_work - (not child)
                if is_failed or others or isinstance(error, JournalUnavailable):
                    return None
                said = error.message if isinstance(error, AIWorkflowError) else error.strerror
                raise StepError(
                    "worktree",
                    f"what the step has left in its worktree cannot be kept: {said}",
                    hint="have the step remove what git cannot take, or name it in .gitignore",
                ) from error
            finally:
                if not child:
                    worktree.at_work -= 1

    def _step(self, before: Standing, after: Standing) -> Step:
        """What has changed, as far as it may be kept."""
        found = self.worktree.step(before, after, LARGEST)
        if found is None or found.patch is None:
            return Step(before, after, None, why=f"they have more than {LARGEST:,} bytes")
        if self._holds_secret(found.patch) or self._holds_secret(found.commits):
            return Step(before, after, None, why="a file holds the value of a secret")
        return found

    def keep(self, step: Step, log: Log) -> dict[str, Json]:
        """Store what has changed, as the attempt's end says it.

        Raises:
            JournalUnavailable: it cannot be kept now; the same again may do.
        """
        found = standing_to_json(step.after)
        found["before"] = standing_to_json(step.before)
        if step.patch is None:
            log.write(f"[the changes in the worktree are not kept in the journal: {step.why}]\n")
            return {**found, "kept": False}
        if step.patch:
            found["changes"] = self._values.keep(step.patch)
        if step.commits:
            found["commits"] = self._values.keep(step.commits)
        return found

    def _holds_secret(self, content: bytes) -> bool:
        text = content.decode("utf-8", "surrogateescape")
        return self._masking.mask(text) != text

    # -- what it has to hold ----------------------------------------------------------------------

    async def last(self) -> Standing:
        """What it holds by the journal."""
        return (await self.due())[1]

    async def restore(self) -> Standing:
        """Have it hold what the journal says; nothing may be at work in it.

        Raises:
            GitFailed: that cannot be done here.
        """
        async with self.worktree.door:
            _, standing = await self.due()
            await self._hold(standing)
            return standing

    def _catch_up(self) -> None:
        while records := self._journal.read(self._run, self._trail.seq, _PAGE):
            for one in records:
                self._trail.apply(decode(one.payload))

    async def due(self) -> tuple[float, Standing]:
        """What it has to hold, and since when: what this run or its caller has left last."""
        self._catch_up()
        own = self._trail.standing
        if own is None:
            if self._began is None:
                self._began = await asyncio.to_thread(self.worktree.beginning)
            found = self._at, self._began
        else:
            found = self._trail.at, own
        if self._caller is not None:
            above = await self._caller.due()
            found = above if above[0] > found[0] else found
        return found

    async def _hold(self, due: Standing) -> None:
        worktree = self.worktree
        if worktree.standing == due and worktree.exists:
            return
        try:
            await asyncio.to_thread(worktree.set_back, due)
        except Unknown:
            way = [self._loaded(one) for one in self._way(due)]
            await asyncio.to_thread(worktree.replay, way, due)

    def _way(self, to: Standing) -> list[Recorded]:
        """From the start of the run that made the worktree."""
        own = self._trail.way(to)
        if self._caller is None:
            return own
        first = own[0].before if own else to
        return [*self._caller._way(first), *own]  # noqa: SLF001

    def _loaded(self, one: Recorded) -> Step:
        if not one.is_kept:
            raise GitFailed(
                f"the worktree of run {self._run} cannot be made anew: changes of it were not kept",
                hint="they are named in the log of the step; start another run",
            )
        get = self._journal.blobs.get
        commits = get(one.commits) if one.commits else b""
        return Step(one.before, one.after, get(one.changes) if one.changes else b"", commits)
