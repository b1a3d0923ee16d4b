"""Child runs: a step that runs another workflow attends to a run of its own.

The child's id is derived from the parent, the step's path and its visit, so that whoever takes the
parent up finds the child again; it is created if it is not there. Attending does no harm twice: a
child that runs is gone on with, one that waits is looked at again, one that has ended is reported.

A child run is one step's business: only its parent drives it, and it is answered by way of the parent.
A step that is tried again goes on with the same child from where that failed, or from its beginning
when that has taken itself back; which of its endings has
been reported already is told by `turn`, the number of the step's attempts that have ended.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from typing import TYPE_CHECKING

from aiworkflow.engine import Left, RunState, Spent, Total, undoable
from aiworkflow.engine import events as ev
from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal import UnknownRun
from aiworkflow.runtime.folding import fold
from aiworkflow.runtime.given import HalfWay
from aiworkflow.runtime.replan import go_on
from aiworkflow.runtime.spread import call_back, is_spread, may_spread
from aiworkflow.runtime.values import Values
from aiworkflow.runtime.waits import WAKE, child_id
from aiworkflow.steps.contract import ChildWaits, Outcome, StepError, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.engine import Instance
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import RunRow
    from aiworkflow.plan.graph import Node
    from aiworkflow.runtime.drive import Drive
    from aiworkflow.runtime.local import LocalRuntime
    from aiworkflow.runtime.own_tree import OwnTree
    from aiworkflow.runtime.replan import Onward
    from aiworkflow.runtime.spending import Spending


class ChildRuns:
    """The child runs of one run.

    Args:
        spending: told of the child runs that are driven.
        tree: the worktree that the run acts in; child runs act there too.
    """

    def __init__(
        self,
        runtime: LocalRuntime,
        started: ev.RunStarted,
        spending: Spending,
        *,
        attached: bool = False,
        restored: bool = False,
        tree: OwnTree | None = None,
    ) -> None:
        self._runtime = runtime
        self._started = started
        self._spending = spending
        self._caller: weakref.ref[Drive] | None = None
        self._attached = attached
        self._restored = restored
        self._tree = tree

    @property
    def caller(self) -> Drive | None:
        """The drive of the run; None until that is put together."""
        return None if self._caller is None else self._caller()

    def serve(self, caller: Drive) -> None:
        """Know the drive of the run, which has these child runs as long as it lasts."""
        self._caller = weakref.ref(caller)

    def left_around(self, path: str) -> Left:
        """What may still be spent within all budgets around a step, beyond what is reserved."""
        caller = self.caller
        return caller.left_around(path) if caller is not None else Left()

    def left_today(self) -> float | None:
        """US dollars that the project may still spend today; None for no bound."""
        caller = self.caller
        return caller.left_today() if caller is not None else None

    def beyond(self, instance: Instance, more: Total) -> None:
        """An attempt under way has used so much more than it has reserved."""
        self._spending.beyond(instance, more)

    async def attend(
        self, instance: Instance, node: Node, digest: str, given: Mapping[str, Json]
    ) -> Outcome:
        """Go on with the child run of a step, and wait for its end.

        Raises:
            StepError: the child run failed, or its inputs do not fit. ChildWaits: it waits.
        """
        run = child_id(self._started.run, instance.path, instance.visit)
        turn = instance.ends
        await self._leave_to_workers(run, instance, node, digest, given)
        drive: Drive | Onward
        try:
            row = self._runtime.journal.run(run)
        except UnknownRun:
            try:
                drive, first = self._runtime.start_child(
                    run,
                    self._started,
                    instance.path,
                    digest,
                    given,
                    attached=self._attached,
                    restored=self._restored,
                    turn=turn,
                    tree=self._tree,
                )
            except AIWorkflowError as error:
                raise StepError("input", error.message, hint=error.hint) from error
        else:
            state = self._folded(run)
            if row.finished is not None and (row.status == "succeeded" or _turn(state) >= turn):
                return self._came_to(run, row, state)
            drive, first = self._again(run, row.status, turn)
        caller = self.caller
        if caller is not None:
            drive.callers = lambda: caller.left_around(instance.path)
        self._spending.count(
            instance.path,
            instance.visit,
            # until it has taken the turn, all that it has spent was reported before
            lambda: drive.total() if drive.turn >= turn else Total(),
        )
        parent = instance.parent
        if parent is not None and parent.stopping and not node.final:
            drive.interrupt()
        row = await self._drive(drive, first, node.timeout_s)
        if row.status == "waiting":
            wake = self._runtime.journal.register(WAKE, run)
            at = json.loads(wake.value).get("at") if wake is not None else None
            raise ChildWaits(at)
        return self._came_to(run, row, self._folded(run))

    def _again(self, run: str, status: str, turn: int) -> tuple[Drive | Onward, Sequence[ev.Event]]:
        """A child run goes on; what it has taken back itself, it does again."""
        runtime, actor, caller = self._runtime, self._started.actor, self.caller
        budget = caller.raised if caller is not None else {}
        if status != "rolled_back":
            try:
                return runtime.resume(run, actor, attached=self._attached, turn=turn, budget=budget)
            except HalfWay:
                pass
        return go_on(runtime, run, None, actor, attached=self._attached, turn=turn, budget=budget)

    async def _leave_to_workers(
        self, run: str, instance: Instance, node: Node, digest: str, given: Mapping[str, Json]
    ) -> None:
        """See whether any worker is to drive the child run; if not, nobody drives it on return.

        Raises:
            ChildWaits: it is. StepError: its inputs do not fit.
        """
        runtime, journal = self._runtime, self._runtime.journal
        parent = instance.parent
        is_stopping = parent is not None and parent.stopping and not node.final
        try:
            row = journal.run(run)
        except UnknownRun:
            may = runtime.spreads and not is_stopping and self._tree is None
            may = may and not self._attached and not self._restored
            left, left_today = self.left_around(instance.path), self.left_today()
            if not (may and may_spread(instance, node, left, left_today)):
                return
            try:
                runtime.submit_child(
                    run, self._started, instance.path, digest, given, instance.ends
                )
            except AIWorkflowError as error:
                raise StepError("input", error.message, hint=error.hint) from error
            raise ChildWaits(None) from None
        if row.finished is None and is_spread(journal, run):
            if not is_stopping:
                raise ChildWaits(None)
            await call_back(runtime, run, self._started.actor)

    async def take_back(self, run: str) -> Outcome:
        """Undo what a child run did.

        Raises:
            StepError: something could not be taken back.
        """
        state = self._folded(run)
        if next(undoable(state), None) is not None:  # a roll-back of its own may end at a savepoint
            is_under_way = state.finished is None
            drive, first = self._runtime.resume(
                run, self._started.actor, undo=not is_under_way, attached=self._attached
            )
            row = await self._drive(drive, first, None)
            if row.status == "waiting":
                raise StepError("in_doubt", f"taking back run {run} waits for a person")
        state = self._folded(run)
        if next(undoable(state), None) is not None:
            raise StepError(
                "undo",
                f"run {run} could not be taken back whole",
                hint=f"look at it: aiworkflow runs show {run}",
            )
        return Outcome(None, stands=state.finished.standing if state.finished is not None else ())

    async def _drive(
        self, drive: Drive | Onward, first: Sequence[ev.Event], timeout_s: float | None
    ) -> RunRow:
        """Drive to the end; a cancel or the step's bound ends the child as a person would."""
        task = asyncio.ensure_future(drive.run(first))
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:
            drive.interrupt()
            await task
            raise
        if not done:
            drive.interrupt()
            await task
            raise StepError("timeout", f"the child run took longer than {timeout_s:g} s")
        return await task

    def _folded(self, run: str) -> RunState:
        state = RunState()
        fold(self._runtime.journal, run, state)
        return state

    def _came_to(self, run: str, row: RunRow, state: RunState) -> Outcome:
        """What the step makes of its child's end."""
        finished = state.finished
        assert finished is not None
        spent = state.spent  # since it was last reported
        usage = None
        if spent != Spent():
            counts = spent.input_tokens, spent.cached_tokens, spent.output_tokens
            usage = Usage(*counts, spent.cost_usd)
        undo: Mapping[str, Json] | None = None
        if next(undoable(state), None) is not None:
            undo = {"child": run}
        state.let_go()
        if row.status == "succeeded":
            values = Values(self._runtime.journal, run, inline_bytes=0)
            return Outcome(values.load(finished.outputs), usage, undo=undo)
        error = finished.error
        kind = error.kind if error is not None else row.status
        text = error.message if error is not None else row.status
        where = f" in `{error.step}`" if error is not None and error.step else ""
        raise StepError(
            "cancelled" if row.status == "cancelled" else kind,
            f"child run {run} {row.status}{where}: {text}",
            process_exit=error.exit_code if error is not None else None,
            usage=usage,
            undo=undo,
            hint=f"look closer: aiworkflow runs show {run}",
        )


def _turn(state: RunState) -> int:
    """The turn of the calling step in which the child run came to its end."""
    return state.turn
