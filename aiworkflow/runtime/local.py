"""Starts and resumes runs in this process: the embedded runtime, the reference for all others."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, cast

from aiworkflow.engine import RunState, undoable
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Stored
from aiworkflow.errors import UsageError
from aiworkflow.journal import RESTORED, Append, Journal, RunRow, new_run_id
from aiworkflow.runtime import imported
from aiworkflow.runtime.account import Account
from aiworkflow.runtime.asks import Board
from aiworkflow.runtime.breakers import Breakers, Guarded
from aiworkflow.runtime.cache import Cache
from aiworkflow.runtime.children import ChildRuns
from aiworkflow.runtime.choosing import Choosing
from aiworkflow.runtime.doors import Doors, Place
from aiworkflow.runtime.drive import Drive
from aiworkflow.runtime.driven import Driven
from aiworkflow.runtime.estimate import Estimate
from aiworkflow.runtime.evaluate import Evaluator
from aiworkflow.runtime.folding import fold
from aiworkflow.runtime.given import Folders, HalfWay, InForce, NewRun
from aiworkflow.runtime.holding import LEASE_S, Holding, WhileHeld
from aiworkflow.runtime.lanes import Lane, lane_of
from aiworkflow.runtime.ledger import Ledger
from aiworkflow.runtime.logs import LogFolder
from aiworkflow.runtime.measured import Measured
from aiworkflow.runtime.names import View, about_run
from aiworkflow.runtime.perform import Attempts
from aiworkflow.runtime.replan import refuse_taken_back, refuse_unfinished
from aiworkflow.runtime.shelf import Shelf, bundles_kept
from aiworkflow.runtime.spending import Spending
from aiworkflow.runtime.spread import first_of_child, ready_key_of_child
from aiworkflow.runtime.values import Values, json_bytes
from aiworkflow.runtime.workspaces import Workspaces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.agents import Roster
    from aiworkflow.bundle.workflow import Field, Kind
    from aiworkflow.clock import Clock, Ids
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.lease import DriverLease
    from aiworkflow.runtime.mask import Masking
    from aiworkflow.runtime.own_tree import OwnTree
    from aiworkflow.steps.contract import Performer


class LocalRuntime:
    """Drives runs of one project in this process.

    Args:
        performers: makes the performer of each kind, given the settings a run has in force.
        check_inputs: the inputs of a child run, checked against what its workflow declares.
        on_append: called after each append of a driven run, with the run's id.
        roster: what this process knows of its agents.
        lease_s: for how long a sign of life counts, where several machines share the journal.
        left: called with a run's worktree when the run has come to rest: nothing is at work there.

    Attributes:
        spreads: whether child runs of `each` are left to any worker.
        stay_s: how long an attempt waits for a person with its session open, where its run does not
            stay for it.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        folders: Folders,
        clock: Clock,
        ids: Ids,
        masking: Masking,
        environ: Mapping[str, str],
        performers: Callable[[InForce], Mapping[Kind, Performer]],
        on_append: Callable[[str], None],
        check_inputs: Callable[[str, Sequence[Field], Mapping[str, Json]], dict[str, Json]],
        roster: Callable[[], Roster],
        lease_s: Callable[[], float] = lambda: LEASE_S,
        daily_usd: Callable[[], float | None] = lambda: None,
        left: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self.stay_s = 0.0
        self.journal = journal
        self.folders = folders
        self.clock = clock
        self.ids = ids
        self._masking = masking
        self._environ = environ
        self._performers = performers
        self._on_append = on_append
        self.keep_record: Callable[[str, str], None] = lambda _run, _folder: None
        self._check_inputs = check_inputs
        self._roster = roster
        self._daily_usd = daily_usd
        self.workspaces = Workspaces(journal, folders, environ, masking, left)
        self.holding = Holding(folders.state / "drivers", journal, clock, ids, lease_s)
        self.spreads = False
        self._shelf = Shelf(journal, clock, folders.state / "bundles")
        self.measured = Measured(journal)
        self.breakers = Breakers(
            journal,
            clock,
            ids,
            mask=masking.mask,
            driver=lambda: self.lease.id,
            is_alive=self.holding.is_alive,
        )

    @property
    def lease(self) -> DriverLease:
        """This process's lease, taken when the first run is driven."""
        return self.holding.lease

    def logs(self, run: str, limit_bytes: int = 0) -> LogFolder:
        """The live logs of a run."""
        return LogFolder(self.folders.state / "logs" / run, limit_bytes=limit_bytes)

    def close(self) -> None:
        """Let go of the lease."""
        self.holding.close()

    # -- starting ---------------------------------------------------------------------------------

    def start(
        self, new: NewRun, *, attached: bool = False, run: str | None = None
    ) -> tuple[str, Drive, Sequence[ev.Event]]:
        """A new run, ready to be driven; it exists with the first append of the drive.

        Args:
            run: its id, where that follows from something else; if there is one, the drive is `Fenced`.
        """
        run = run or new_run_id(self.ids, self.journal)
        values = Values(self.journal, run, inline_bytes=new.settings.limits["inline_output"])
        started = self.started(run, new, values)
        row = row_of(started)
        bundle = self._shelf.bundle(started.files, new.files)
        drive = self.drive(
            run, 1, new.plan, RunState(), values, new.settings, bundle, row, started, attached
        )
        return run, drive, [started]

    def started(
        self, run: str, new: NewRun, values: Values, *, lane: str | None = None, ready: str = ""
    ) -> ev.RunStarted:
        """The first event of a run; what it names is stored.

        Args:
            lane: instead of what its `concurrency` says.
            ready: of a run that is submitted: where workers find it.

        Raises:
            UsageError: it is to act in a worktree, and there is no commit for one.
        """
        workspace = self.workspaces.chosen(run, new)
        stored = self._shelf.of(new, run)
        values.fresh_blobs.extend(stored.blobs)
        return ev.RunStarted(
            at=self.clock.now().timestamp(),
            run=run,
            bundle=new.bundle,
            plan=stored.plan,
            digest=new.plan.digest,
            files=stored.files,
            settings=stored.settings,
            inputs=values.ref(dict(new.inputs)),
            channels={
                channel.name: (str(channel.reduce), channel.by, channel.start, channel.tool)
                for channel in new.plan.state
            },
            trigger=dict(new.trigger),
            actor=new.actor,
            commit=new.revision.commit,
            dirty=new.revision.dirty and not workspace,
            name=new.name,
            children=stored.children,
            breaks=dict(new.breaks),
            lane=lane_of(new.plan, new.inputs) if lane is None else lane,
            ready=ready,
            workspace=workspace,
        )

    def start_child(
        self,
        run: str,
        parent: ev.RunStarted,
        path: str,
        digest: str,
        given: Mapping[str, Json],
        *,
        attached: bool,
        restored: bool = False,
        turn: int = 0,
        tree: OwnTree | None = None,
    ) -> tuple[Drive, Sequence[ev.Event]]:
        """A child run with a given id, of a workflow that its parent's start names.

        Args:
            restored: whether the journal may only not know what the child did.
            turn: of the calling step.
            tree: the worktree that its parent acts in.

        Raises:
            UsageError: its inputs do not fit.
        """
        started, plan, values = self._child(run, parent, path, digest, given, turn, tree)
        settings = InForce.from_json(cast("dict[str, Json]", values.load(started.settings)))
        bundle = self._shelf.bundle(started.files)
        row = row_of(started)
        drive = self.drive(
            run, 1, plan, RunState(), values, settings, bundle, row, started, attached, restored
        )
        if restored:
            resumed = ev.RunResumed(started.at, 1, started.actor, restored=True)
            return drive, [started, resumed]
        return drive, [started]

    def submit_child(
        self,
        run: str,
        parent: ev.RunStarted,
        path: str,
        digest: str,
        given: Mapping[str, Json],
        turn: int,
    ) -> None:
        """The same, durable and ready for any worker; see `spread.py`. Raises UsageError."""
        started, plan, values = self._child(run, parent, path, digest, given, turn, None)
        started = dataclasses.replace(started, ready=ready_key_of_child(parent, run))
        append = Append(self.ids.token(), run, driver=self.lease.id, blobs=list(values.fresh_blobs))
        self.journal.append_now(first_of_child(started, plan, append, row_of(started)))

    def _child(
        self,
        run: str,
        parent: ev.RunStarted,
        path: str,
        digest: str,
        given: Mapping[str, Json],
        turn: int,
        tree: OwnTree | None,
    ) -> tuple[ev.RunStarted, Plan, Values]:
        """The start of a child run; what it names is stored."""
        called = cast("dict[str, str]", parent.children[digest])
        blobs = self.journal.blobs
        plan = self._shelf.plan(called["plan"])
        data = json.loads(blobs.get(called["settings"]))
        settings = InForce.from_json(data)
        inputs = self._check_inputs(plan.name, plan.inputs, given)
        values = Values(self.journal, run, inline_bytes=settings.limits["inline_output"])
        started = ev.RunStarted(
            at=self.clock.now().timestamp(),
            run=run,
            bundle=called["bundle"],
            plan=called["plan"],
            digest=digest,
            files=called["files"],
            settings=Stored(called["settings"], len(json_bytes(data))),
            inputs=values.ref(dict(inputs)),
            channels={
                channel.name: (str(channel.reduce), channel.by, channel.start, channel.tool)
                for channel in plan.state
            },
            trigger={"type": "workflow", "run": parent.run, "step": path, "turn": turn},
            actor=parent.actor,
            commit=parent.commit,
            dirty=parent.dirty,
            children=self._shelf.called_by(plan, parent.children),
            workspace=tree.shared(parent) if tree is not None else {},
        )
        values.fresh_blobs.extend([called["settings"], *bundles_kept(started, blobs)])
        return started, plan, values

    # -- resuming ---------------------------------------------------------------------------------

    def resume(
        self,
        run: str,
        actor: str,
        *,
        take_over: bool = False,
        attached: bool = False,
        undo: bool = False,
        turn: int = 0,
        budget: Mapping[str, float] | None = None,
        adopt: bool = False,
    ) -> tuple[Drive, Sequence[ev.Event]]:
        """Take a run up where it stopped; a failed or cancelled one is done again from there.

        Args:
            undo: take back what the run did, which must be over, instead of going on with it.
            turn: of a child run: the turn of the calling step.
            budget: bounds that are raised from here on: unit → amount.
            adopt: it was imported, and is this project's own from here on.

        Raises:
            Held: another process drives it. UnknownRun.
            UsageError: the run has succeeded; there is nothing to resume. Or it was imported.
            HalfWay: it is on its way to another plan, or has taken steps back that are done again.
            Overlap: the run was over, and another one with its key is going.
            UnknownEvent: its journal is of a newer version.
        """
        if not adopt:
            imported.refuse_imported(self.journal, run)
        state = RunState()
        fold(self.journal, run, state)
        if state.taking is not None or (state.half_way and not undo):
            raise HalfWay(run, state.on)
        if not undo and state.status in {"failed", "cancelled"}:
            refuse_taken_back(self, run, state)
        if undo and state.finished is None:
            refuse_unfinished(run, state)
        if state.status in {"succeeded", "rolled_back"} and not undo:
            done = "has succeeded" if state.status == "succeeded" else "has been taken back"
            raise UsageError(
                f"run {run} {done}; there is nothing to resume",
                hint="start a new run with `aiworkflow bundle run`",
            )
        if undo and next(undoable(state), None) is None:
            if state.status == "rolled_back":
                raise UsageError(
                    f"what can be taken back of run {run} has been already",
                    hint=f"look at it with `aiworkflow runs show {run}`",
                )
            raise UsageError(
                f"run {run} has done nothing that can be taken back",
                hint="a step that can be has an `undo`",
            )
        assert state.started is not None
        Lane(self.journal, run, state.started.lane).enter()  # refused before anything is taken
        if adopt:
            imported.adopt(self.journal, run, self.ids.token())
        claim = self.holding.claim(run, take_over=take_over)
        fold(self.journal, run, state)  # what came in before the claim
        assert state.started is not None
        drive = self.drive_of(run, claim.epoch, state, state.started, attached=attached)
        reset, anew = ((), ()) if undo else drive.to_reset()
        now = self.clock.now().timestamp()
        turn = turn or state.turn
        resumed = ev.RunResumed(now, claim.epoch, actor, reset, anew, undo, turn, budget or {})
        return drive, [resumed]

    def drive_of(
        self,
        run: str,
        epoch: int,
        state: RunState,
        started: ev.RunStarted,
        *,
        attached: bool,
        values: Values | None = None,
        row: RunRow | None = None,
    ) -> Drive:
        """What drives a run by what its start says: plan, files and settings.

        Args:
            values, row: those of the run, where they are at hand.
        """
        plan = self._shelf.plan(started.plan)
        reader = Values(self.journal, run, inline_bytes=0)
        settings = InForce.from_json(cast("dict[str, Json]", reader.load(started.settings)))
        if values is None:
            values = Values(self.journal, run, inline_bytes=settings.limits["inline_output"])
        bundle = self._shelf.bundle(started.files)
        row = row or self.journal.run(run)
        return self.drive(
            run,
            epoch,
            plan,
            state,
            values,
            settings,
            bundle,
            row,
            started,
            attached,
            restored=state.restored or self.journal.register(RESTORED, run) is not None,
        )

    async def _came_to_rest(self, row: RunRow, tree: OwnTree | None, records: str) -> None:
        await self.workspaces.clear(row, tree)
        if records and row.finished is not None and row.trigger != "workflow":
            self.keep_record(row.run, records)  # that of a called run is part of its caller's

    # -- putting a drive together -----------------------------------------------------------------

    def drive(
        self,
        run: str,
        epoch: int,
        plan: Plan,
        state: RunState,
        values: Values,
        settings: InForce,
        bundle: Path,
        row: RunRow,
        started: ev.RunStarted,
        attached: bool,
        restored: bool = False,
    ) -> Drive:
        """What drives a run, put together: folded up to the journal's tail, held by this process."""
        tree = self.workspaces.of(started, values)
        root = self.folders.project if tree is None else tree.folder
        place = Place(root, bundle, self.folders.state / "scratch" / run, tree)
        self._masking.hide(plan.allow.secrets)
        doors = Doors(
            clock=self.clock,
            performers=self._performers(settings),
            masking=self._masking,
            process=self.lease.process,
            lock_fd=self.lease.lock_fd,
            environ=self._environ,
            interpreters=settings.interpreters,
            limit=lambda name: settings.limits[name],
            board=Board(None if attached else self.stay_s),
        )
        logs = self.logs(run, settings.limits["log"])
        inputs = cast("dict[str, Json]", values.load(started.inputs))
        about = about_run(started, plan.name)
        spending = Spending(self.journal, run)
        children = ChildRuns(
            self, started, spending, attached=attached, restored=restored, tree=tree
        )
        agents: Json = [dict(settings.agents), list(settings.agent)]
        cache = Cache(self.journal, self.clock, run, agents)
        guard = Guarded(self.breakers, settings.breaker, settings.agent)
        held = WhileHeld(self.lease, run, guard)
        estimate = Estimate(settings.agents, settings.agent, self._environ, guard.is_left_alone)
        made = Drive(
            Driven(
                journal=self.journal,
                run=run,
                epoch=epoch,
                lease=self.lease,
                plan=plan,
                state=state,
                values=values,
                evaluator=lambda folded: Evaluator(
                    View(plan, folded, values),
                    settings.env,
                    cache,
                    Choosing(
                        run, settings, self._environ, estimate, self.measured.of, self._roster
                    ),
                    frozenset(settings.final_env),
                ),
                account=Account(self.journal, run, settings.daily_usd, self._daily_usd()),
                measured=self.measured,
                lane=Lane(self.journal, run, started.lane),
                ledger=Ledger(self.journal, started, plan, state, settings.agent),
                cache=cache,
                attempts=lambda folded, note: Attempts(
                    plan, folded, values, place, doors, logs, inputs, about, children, held, note
                ),
                clock=self.clock,
                ids=self.ids,
                bounds=settings.bounds(),
                row=row,
                on_append=lambda: self._on_append(run),
                spending=spending,
                board=doors.board,
                clear=lambda row: self._came_to_rest(row, tree, settings.records),
                attached=attached,
            )
        )
        children.serve(made)
        return made


def row_of(started: ev.RunStarted, status: str = "running", waiting: str = "") -> RunRow:
    """The row of a run that begins."""
    return RunRow(
        run=started.run,
        bundle=started.bundle,
        status=status,
        waiting=waiting,
        started=started.at,
        commit=started.commit,
        dirty=started.dirty,
        digest=started.digest,
        trigger=str(started.trigger["type"]),
        actor=started.actor,
    )
