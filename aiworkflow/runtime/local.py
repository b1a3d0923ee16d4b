"""Starts and resumes runs in this process: the embedded runtime, the reference for all others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from aiworkflow.engine import RunState, undoable
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Stored
from aiworkflow.errors import UsageError
from aiworkflow.journal import Claim, Held, Journal, RunRow, new_run_id
from aiworkflow.plan import plan_from_json, plan_to_json
from aiworkflow.runtime import imported
from aiworkflow.runtime.account import Account
from aiworkflow.runtime.breakers import Breakers, Guarded
from aiworkflow.runtime.cache import Cache
from aiworkflow.runtime.children import ChildRuns
from aiworkflow.runtime.choosing import Choosing
from aiworkflow.runtime.doors import Doors, Place
from aiworkflow.runtime.drive import Drive, fold
from aiworkflow.runtime.driven import Driven
from aiworkflow.runtime.estimate import Estimate
from aiworkflow.runtime.evaluate import Evaluator
from aiworkflow.runtime.given import Called, Folders, HalfWay, InForce, NewRun
from aiworkflow.runtime.lanes import Lane, lane_of
from aiworkflow.runtime.lease import DriverLease, OtherDriver, place_of
from aiworkflow.runtime.ledger import Ledger
from aiworkflow.runtime.logs import LogFolder
from aiworkflow.runtime.measured import Measured
from aiworkflow.runtime.names import View
from aiworkflow.runtime.perform import Attempts
from aiworkflow.runtime.restored import RESTORED
from aiworkflow.runtime.spending import Spending
from aiworkflow.runtime.values import Values, json_bytes
from aiworkflow.runtime.workspace import keep_files, load_files, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.agents import Roster
    from aiworkflow.bundle.workflow import Field, Kind
    from aiworkflow.clock import Clock, Ids
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.mask import Masking
    from aiworkflow.steps.contract import Performer


class LocalRuntime:
    """Drives runs of one project in this process.

    Args:
        performers: makes the performer of each kind, given the settings a run has in force.
        check_inputs: the inputs of a child run, checked against what its workflow declares.
        on_append: called after each append of a driven run, with the run's id.
        roster: what this process knows of its agents.
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
    ) -> None:
        self.journal = journal
        self.folders = folders
        self.clock = clock
        self.ids = ids
        self._masking = masking
        self._environ = environ
        self._performers = performers
        self._on_append = on_append
        self._check_inputs = check_inputs
        self._roster = roster
        self._lease: DriverLease | None = None
        self._written: tuple[Plan, bytes] | None = None
        self.measured = Measured(journal)
        self.breakers = Breakers(
            journal,
            clock,
            ids,
            mask=masking.mask,
            driver=lambda: self.lease.id,
            is_alive=self._is_alive,
        )

    @property
    def lease(self) -> DriverLease:
        """This process's lease, taken when the first run is driven."""
        if self._lease is None:
            self._lease = DriverLease(
                self._drivers, f"{self.ids.token()}@{place_of(self._drivers)}"
            )
        return self._lease

    @property
    def _drivers(self) -> Path:
        return self.folders.state / "drivers"

    def logs(self, run: str, limit_bytes: int = 0) -> LogFolder:
        """The live logs of a run."""
        return LogFolder(self.folders.state / "logs" / run, limit_bytes=limit_bytes)

    def close(self) -> None:
        """Let go of the lease."""
        if self._lease is not None:
            self._lease.close()
            self._lease = None

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
        bundle = snapshot(self.folders.state / "bundles", new.files)
        drive = self.drive(
            run, 1, new.plan, RunState(), values, new.settings, bundle, row, started, attached
        )
        return run, drive, [started]

    def started(self, run: str, new: NewRun, values: Values) -> ev.RunStarted:
        """The first event of a run; what it names is stored."""
        blobs = self.journal.blobs
        plan_blob = blobs.put(self._plan_json(new.plan))
        manifest, digests = keep_files(blobs, new.files)
        values.fresh_blobs.extend([plan_blob, *digests])
        return ev.RunStarted(
            at=self.clock.now().timestamp(),
            run=run,
            bundle=new.bundle,
            plan=plan_blob,
            digest=new.plan.digest,
            files=manifest,
            settings=values.ref(new.settings.to_json()),
            inputs=values.ref(dict(new.inputs)),
            channels={
                channel.name: (str(channel.reduce), channel.by, channel.start, channel.tool)
                for channel in new.plan.state
            },
            trigger=dict(new.trigger),
            actor=new.actor,
            commit=new.revision.commit,
            dirty=new.revision.dirty,
            name=new.name,
            children={one.plan.digest: self._keep_called(one, values) for one in new.children},
            breaks=dict(new.breaks),
            lane=lane_of(new.plan, new.inputs),
        )

    def _plan_json(self, plan: Plan) -> bytes:
        """A plan as it is stored; many runs of one bundle write it once."""
        if self._written is None or self._written[0] is not plan:
            self._written = (plan, json_bytes(cast("Json", plan_to_json(plan))))
        return self._written[1]

    def _keep_called(self, called: Called, values: Values) -> Json:
        """Store what a child run would need; its entry in `RunStarted.children`."""
        blobs = self.journal.blobs
        plan_blob = blobs.put(self._plan_json(called.plan))
        manifest, digests = keep_files(blobs, called.files)
        settings = blobs.put(json_bytes(called.settings.to_json()))
        values.fresh_blobs.extend([plan_blob, settings, *digests])
        return {
            "plan": plan_blob,
            "files": manifest,
            "settings": settings,
            "bundle": called.bundle,
        }

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
    ) -> tuple[Drive, Sequence[ev.Event]]:
        """A child run with a given id, of a workflow that its parent's start names.

        Args:
            restored: whether the journal may only not know what the child did.
            turn: of the calling step.

        Raises:
            UsageError: its inputs do not fit.
        """
        called = cast("dict[str, str]", parent.children[digest])
        blobs = self.journal.blobs
        plan = plan_from_json(json.loads(blobs.get(called["plan"])))
        data = json.loads(blobs.get(called["settings"]))
        settings = InForce.from_json(data)
        inputs = self._check_inputs(plan.name, plan.inputs, given)
        values = Values(self.journal, run, inline_bytes=settings.limits["inline_output"])
        files = load_files(blobs, called["files"])
        kept = [called["plan"], called["files"], called["settings"]]
        values.fresh_blobs.extend([*kept, *(blobs.put(file.content) for file in files)])
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
            children=parent.children,
        )
        bundle = snapshot(self.folders.state / "bundles", files)
        row = row_of(started)
        drive = self.drive(
            run, 1, plan, RunState(), values, settings, bundle, row, started, attached, restored
        )
        if restored:
            resumed = ev.RunResumed(started.at, 1, started.actor, restored=True)
            return drive, [started, resumed]
        return drive, [started]

    # -- resuming ---------------------------------------------------------------------------------

    def claim(self, run: str, *, take_over: bool = False) -> Claim:
        """Take a run whose driver is gone; ends what that driver left running.

        Args:
            take_over: end a driver that lives.

        Raises:
            Held: another process drives it. UnknownRun.
        """
        state = self.journal.stream(run)
        if state.driver is None or state.driver == self.lease.id:
            return self.journal.claim(run, self.lease.id, instead_of=state.driver)
        other = OtherDriver(self._drivers, state.driver)
        if other.is_alive():
            if not take_over:
                self.refuse_driven(run)
            other.kill()
        other.end_orphans(self.clock)
        return self.journal.claim(run, self.lease.id, instead_of=state.driver)

    def refuse_driven(self, run: str) -> None:
        """Raise Held when another living process drives the run. Raises UnknownRun."""
        driver = self.journal.stream(run).driver
        if driver is None or (self._lease is not None and driver == self._lease.id):
            return
        other = OtherDriver(self._drivers, driver)
        if other.is_alive():
            raise _held(run, other)

    def is_driven(self, run: str) -> bool:
        """Whether a living process drives the run."""
        driver = self.journal.stream(run).driver
        return driver is not None and self._is_alive(driver)

    def _is_alive(self, driver: str) -> bool:
        if self._lease is not None and driver == self._lease.id:
            return True
        return OtherDriver(self._drivers, driver).is_alive()

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
            HalfWay: it is on its way to another plan.
            Overlap: the run was over, and another one with its key is going.
            UnknownEvent: its journal is of a newer version.
        """
        if not adopt:
            imported.refuse_imported(self.journal, run)
        state = RunState()
        fold(self.journal, run, state)
        if state.taking is not None or (state.half_way and not undo):
            raise HalfWay(run, state.on)
        if undo and state.finished is None:
            raise UsageError(
                f"run {run} is not over; only what has ended is taken back",
                hint=f"end it first: aiworkflow runs cancel {run}",
            )
        if state.status in {"succeeded", "rolled_back"} and not undo:
            done = "has succeeded" if state.status == "succeeded" else "has been taken back"
            raise UsageError(
                f"run {run} {done}; there is nothing to resume",
                hint="start a new run with `aiworkflow bundle run`",
            )
        if undo and next(undoable(state), None) is None:
            raise UsageError(
                f"run {run} has done nothing that can be taken back",
                hint="a step that can be has an `undo`",
            )
        assert state.started is not None
        Lane(self.journal, run, state.started.lane).enter()  # refused before anything is taken
        if adopt:
            imported.adopt(self.journal, run, self.ids.token())
        claim = self.claim(run, take_over=take_over)
        fold(self.journal, run, state)  # what came in before the claim
        assert state.started is not None
        drive = self.drive_of(run, claim.epoch, state, state.started, attached=attached)
        reset, anew = ((), ()) if undo else drive.to_reset()
        now = self.clock.now().timestamp()
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
        blobs = self.journal.blobs
        plan = plan_from_json(json.loads(blobs.get(started.plan)))
        reader = Values(self.journal, run, inline_bytes=0)
        settings = InForce.from_json(cast("dict[str, Json]", reader.load(started.settings)))
        if values is None:
            values = Values(self.journal, run, inline_bytes=settings.limits["inline_output"])
        bundle = snapshot(self.folders.state / "bundles", load_files(blobs, started.files))
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
        place = Place(self.folders.project, bundle, self.folders.state / "scratch" / run)
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
        )
        logs = self.logs(run, settings.limits["log"])
        inputs = cast("dict[str, Json]", values.load(started.inputs))
        about: dict[str, Json] = {
            "id": run,
            "bundle": started.bundle,
            "name": plan.name,
            "started": started.at,
            "commit": started.commit,
            "actor": started.actor,
        }
        spending = Spending(self.journal, run)
        children = ChildRuns(self, started, spending, attached=attached, restored=restored)
        agents: Json = [dict(settings.agents), list(settings.agent)]
        cache = Cache(self.journal, self.clock, run, agents)
        guard = Guarded(self.breakers, settings.breaker, settings.agent)
        estimate = Estimate(settings.agents, settings.agent, self._environ, guard.is_left_alone)
        made = Drive(
            Driven(
                journal=self.journal,
                run=run,
                epoch=epoch,
                driver=self.lease.id,
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
                account=Account(self.journal, run, settings.daily_usd),
                measured=self.measured,
                lane=Lane(self.journal, run, started.lane),
                ledger=Ledger(self.journal, started, plan, state, settings.agent),
                cache=cache,
                attempts=lambda folded, note: Attempts(
                    plan, folded, values, place, doors, logs, inputs, about, children, guard, note
                ),
                clock=self.clock,
                ids=self.ids,
                bounds=settings.bounds(),
                row=row,
                on_append=lambda: self._on_append(run),
                spending=spending,
                attached=attached,
            )
        )
        children.caller = made
        return made


def row_of(started: ev.RunStarted) -> RunRow:
    """The row of a run that begins."""
    return RunRow(
        run=started.run,
        bundle=started.bundle,
        status="running",
        started=started.at,
        commit=started.commit,
        dirty=started.dirty,
        digest=started.digest,
        trigger=str(started.trigger["type"]),
        actor=started.actor,
    )


def _held(run: str, other: OtherDriver) -> Held:
    if other.is_elsewhere:
        held = Held(run, "in another folder or on another machine")
        held.hint = (
            "go on with it there; if it was lost, and no process of it is left: "
            f"aiworkflow runs resume {run} --take-over"
        )
        return held
    return Held(run, f"process {other.pid}" if other.pid is not None else other.id)
