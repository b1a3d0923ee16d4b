"""Starts and resumes runs in this process: the embedded runtime, the reference for all others."""

from __future__ import annotations

import json
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from aiworkflow.engine import Bounds, Decider, RunState
from aiworkflow.engine import events as ev
from aiworkflow.errors import UsageError
from aiworkflow.journal import Claim, Held, Journal, RunRow
from aiworkflow.plan import plan_from_json, plan_to_json
from aiworkflow.records import record
from aiworkflow.runtime.drive import Drive, Driven, fold
from aiworkflow.runtime.evaluate import Evaluator
from aiworkflow.runtime.lease import DriverLease, OtherDriver
from aiworkflow.runtime.logs import LogFolder
from aiworkflow.runtime.names import View
from aiworkflow.runtime.perform import Attempts, Doors, Place
from aiworkflow.runtime.values import Values, json_bytes
from aiworkflow.runtime.workspace import Revision, keep_files, load_files, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.bundle.workflow import BundleFile, Kind
    from aiworkflow.clock import Clock, Ids
    from aiworkflow.engine.events import Json
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.mask import Masking
    from aiworkflow.steps.contract import Performer

_NO_TRIGGER: Mapping[str, Json] = MappingProxyType({"type": "manual"})


@record
class InForce:
    """The settings a run keeps from its start to its end, also when it is resumed.

    Attributes:
        env: the outermost layer of `env`.
        interpreters: language → command line.
        limits: numbers under `limits`.
        agents: configured agents, as plain data.
        agent: the default agents, in order of preference.
        final_env: names of `env` that the command line or a variable said: stronger than what the
            workflow and its steps say.
    """

    env: Mapping[str, str]
    interpreters: Mapping[str, str]
    limits: Mapping[str, int]
    agents: Mapping[str, Json]
    agent: Sequence[str]
    final_env: Sequence[str] = ()

    def to_json(self) -> dict[str, Json]:
        """As plain data, for the journal."""
        return {
            "env": dict(self.env),
            "interpreters": dict(self.interpreters),
            "limits": dict(self.limits),
            "agents": dict(self.agents),
            "agent": list(self.agent),
            "final_env": list(self.final_env),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> InForce:
        """The inverse of `to_json`."""
        return cls(
            env=cast("Mapping[str, str]", data["env"]),
            interpreters=cast("Mapping[str, str]", data["interpreters"]),
            limits=cast("Mapping[str, int]", data["limits"]),
            agents=cast("Mapping[str, Json]", data["agents"]),
            agent=cast("Sequence[str]", data["agent"]),
            final_env=cast("Sequence[str]", data.get("final_env", ())),
        )


@record
class NewRun:
    """A run to be started: everything checked, nothing written yet.

    Attributes:
        bundle: how people refer to the bundle, as a rule its path in the project.
        name: a name the caller gave the run, or "".
    """

    plan: Plan
    files: Sequence[BundleFile]
    inputs: Mapping[str, Json]
    settings: InForce
    bundle: str
    actor: str
    revision: Revision
    trigger: Mapping[str, Json] = field(default_factory=lambda: _NO_TRIGGER)
    name: str = ""


@record
class Folders:
    """Where things are.

    Attributes:
        project: root of the working tree that runs act on.
        state: the project's state folder; shared by all its worktrees.
    """

    project: Path
    state: Path


class LocalRuntime:
    """Drives runs of one project in this process.

    Args:
        performers: makes the performer of each kind, given the settings a run has in force.
        on_append: called after each append of a driven run, with the run's id.
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
    ) -> None:
        self.journal = journal
        self.folders = folders
        self._clock = clock
        self._ids = ids
        self._masking = masking
        self._environ = environ
        self._performers = performers
        self._on_append = on_append
        self._lease: DriverLease | None = None

    @property
    def lease(self) -> DriverLease:
        """This process's lease, taken when the first run is driven."""
        if self._lease is None:
            self._lease = DriverLease(self._drivers, self._ids.token())
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

    def start(self, new: NewRun) -> tuple[str, Drive, Sequence[ev.Event]]:
        """A new run, ready to be driven; it exists with the first append of the drive."""
        run = self._ids.run_id()
        now = self._clock.now().timestamp()
        blobs = self.journal.blobs
        plan_blob = blobs.put(json_bytes(cast("Json", plan_to_json(new.plan))))
        manifest, digests = keep_files(blobs, new.files)
        values = Values(self.journal, run, inline_bytes=new.settings.limits["inline_output"])
        values.fresh_blobs.extend([plan_blob, *digests])
        started = ev.RunStarted(
            at=now,
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
        )
        row = RunRow(
            run=run,
            bundle=new.bundle,
            status="running",
            started=now,
            commit=new.revision.commit,
            dirty=new.revision.dirty,
            digest=new.plan.digest,
            trigger=str(new.trigger["type"]),
            actor=new.actor,
        )
        bundle = snapshot(self.folders.state / "bundles", new.files)
        drive = self._drive(
            run, 1, new.plan, RunState(), values, new.settings, bundle, row, started
        )
        return run, drive, [started]

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
                pid = other.pid
                raise Held(run, f"process {pid}" if pid is not None else state.driver)
            other.kill()
        other.end_orphans(self._clock)
        return self.journal.claim(run, self.lease.id, instead_of=state.driver)

    def is_driven(self, run: str) -> bool:
        """Whether a living process drives the run."""
        driver = self.journal.stream(run).driver
        if driver is None:
            return False
        if self._lease is not None and driver == self._lease.id:
            return True
        return OtherDriver(self._drivers, driver).is_alive()

    def resume(
        self, run: str, actor: str, *, take_over: bool = False
    ) -> tuple[Drive, Sequence[ev.Event]]:
        """Take a run up where it stopped; a failed or cancelled one is done again from there.

        Raises:
            Held: another process drives it. UnknownRun.
            UsageError: the run has succeeded; there is nothing to resume.
            UnknownEvent: its journal is of a newer version.
        """
        state = RunState()
        fold(self.journal, run, state)
        if state.status == "succeeded":
            raise UsageError(
                f"run {run} has succeeded; there is nothing to resume",
                hint="start a new run with `aiworkflow bundle run`",
            )
        claim = self.claim(run, take_over=take_over)
        fold(self.journal, run, state)  # what came in before the claim
        started = state.started
        assert started is not None
        plan = plan_from_json(json.loads(self.journal.blobs.get(started.plan)))
        reader = Values(self.journal, run, inline_bytes=0)
        settings = InForce.from_json(cast("dict[str, Json]", reader.load(started.settings)))
        values = Values(self.journal, run, inline_bytes=settings.limits["inline_output"])
        bundle = snapshot(
            self.folders.state / "bundles", load_files(self.journal.blobs, started.files)
        )
        reset, anew = Decider(plan, state, _bounds(settings)).to_reset()
        resumed = ev.RunResumed(self._clock.now().timestamp(), claim.epoch, actor, reset, anew)
        row = self.journal.run(run)
        drive = self._drive(run, claim.epoch, plan, state, values, settings, bundle, row, started)
        return drive, [resumed]

    # -- putting a drive together -----------------------------------------------------------------

    def _drive(
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
    ) -> Drive:
        place = Place(self.folders.project, bundle, self.folders.state / "scratch" / run)
        doors = Doors(
            clock=self._clock,
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
        return Drive(
            Driven(
                journal=self.journal,
                run=run,
                epoch=epoch,
                driver=self.lease.id,
                plan=plan,
                state=state,
                values=values,
                evaluator=lambda folded: Evaluator(
                    View(plan, folded, values), settings.env, frozenset(settings.final_env)
                ),
                attempts=lambda folded: Attempts(
                    plan, folded, values, place, doors, logs, inputs, about
                ),
                clock=self._clock,
                ids=self._ids,
                bounds=_bounds(settings),
                row=row,
                on_append=lambda: self._on_append(run),
            )
        )


def _bounds(settings: InForce) -> Bounds:
    width = settings.limits["max_parallel"]
    return Bounds(width, width, settings.limits["max_items"])
