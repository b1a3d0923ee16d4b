"""The Python API: everything a face needs, and all it needs.

A client belongs to one project. It reads bundles, starts and resumes runs (which are driven in this
process, in the background, while the client is open), and looks at runs of any process.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import TYPE_CHECKING, Self

from aiworkflow.client.asking import Asking
from aiworkflow.client.drives import Drives
from aiworkflow.client.keeping import keeper
from aiworkflow.client.kept import Kept
from aiworkflow.client.project import Checked, Project
from aiworkflow.client.records import Records
from aiworkflow.client.run import AT_REST, OnEvent, Run
from aiworkflow.engine import events as ev
from aiworkflow.journal import new_run_id
from aiworkflow.runtime.given import HalfWay
from aiworkflow.runtime.placing import refuse_elsewhere
from aiworkflow.runtime.spread import driven_by_itself
from aiworkflow.runtime.submit import known_run
from aiworkflow.runtime.waits import WAKE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from types import TracebackType

    from aiworkflow.client.batch import Batch
    from aiworkflow.client.batch_lines import Given
    from aiworkflow.client.batch_result import Earlier
    from aiworkflow.client.builder import BuiltWorkflow
    from aiworkflow.client.carrier import Carrier
    from aiworkflow.client.discovery import Discovery
    from aiworkflow.client.onward import Proposal
    from aiworkflow.client.sweeps_here import SweepsHere
    from aiworkflow.client.triggers import Triggers
    from aiworkflow.client.views import Views
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal
    from aiworkflow.runtime.drive import Drive
    from aiworkflow.runtime.given import NewRun
    from aiworkflow.runtime.local import LocalRuntime
    from aiworkflow.runtime.replan import Onward
    from aiworkflow.runtime.submit import Order, Submission


class Client(Asking, Records):
    """A project's bundles and runs.

    Attributes:
        is_remote: whether runs are driven by a server, and not by this process.
        discovers: whether agents and servers are looked for when the client is entered.
        discovered: what was found then; None where nobody has looked.

    Args:
        project: where it is and what its settings say.
        journal: opens the journal; called when it is first needed.
        runtime: makes the runtime on that journal, given what to call after each append.
        kept: what stays alive between the steps of its runs; entered and left with the client.
        triggers: what starts its runs by itself, as seen through a client.
        keeps_records: whether `records` of the settings counts; not where runs are only tried.
    """

    def __init__(
        self,
        project: Project,
        journal: Callable[[], Journal],
        runtime: Callable[[Journal, Callable[[str], None]], LocalRuntime],
        kept: AbstractAsyncContextManager[object],
        triggers: Callable[[Client], Triggers],
        *,
        keeps_records: bool = True,
    ) -> None:
        super().__init__(project, journal)
        self.is_remote = False
        self._kept = kept
        self._triggers = triggers
        self._keeps_records = keeps_records
        self._make_runtime = runtime
        self._runtime: LocalRuntime | None = None
        self._drives = Drives()
        self.discovers = False
        self.discovered: Discovery | None = None

    # -- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._kept.__aenter__()
        await self._drives.open()
        if self.discovers:
            from aiworkflow.client.discovery import discover

            try:
                self.discovered = await discover(self)
            except BaseException:
                await self.__aexit__(None, None, None)
                raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Runs still driven here are stopped at once; they can be resumed."""
        try:
            await self._drives.close()
        finally:
            try:
                await self._kept.__aexit__(None, None, None)
            finally:
                self.close()

    def close(self) -> None:
        """Close what was opened. Needed only where the client is used without `async with`."""
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None
        super().close()

    def acting_as(self, actor: str) -> Client:
        """The same client, through which somebody else acts.

        It shares all that is open with this one, which is the one to be closed.
        """
        assert self.journal is not None
        assert self.runtime is not None
        twin = copy.copy(self)
        twin.project = self.project.acting_as(actor)
        return twin

    @property
    def runtime(self) -> LocalRuntime:
        """What drives runs in this process."""
        if self._runtime is None:
            self._runtime = self._make_runtime(self.journal, self._drives.tell)
            if self._keeps_records:
                self._runtime.keep_record = keeper(self._handle, self.project.root)
        return self._runtime

    # -- starting and resuming --------------------------------------------------------------------

    async def start(
        self,
        bundle: str | Path | BuiltWorkflow | Checked,
        inputs: Mapping[str, Json] | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        overrides: Mapping[str, Json] | None = None,
        name: str = "",
        attached: bool = False,
        breaks: Sequence[str] = (),
        root: str | Path | None = None,
        tell: Callable[[str], None] | None = None,
        on_event: OnEvent | None = None,
    ) -> Run:
        """Start a run and drive it in the background.

        Args:
            bundle: a bundle's folder, a workflow's file, what a `WorkflowBuilder` built, or what
                `project.check` found.
            inputs: values of the declared inputs.
            texts: inputs as text from a command line, turned into their declared types.
            overrides: settings of the command line, by their names in config.yaml.
            name: a name for this run, shown in its record.
            attached: stay with the run while it waits for people, moments and events.
            tell: called with what is waited for, when an older run with the same key is going.
            breaks: where it stops and waits to be let go on: `STEP`, or `STEP if CONDITION`.
            root: another git repository that the run acts in, in a worktree of its HEAD.
            on_event: called with each event's seq and the event, as they become durable.

        Raises:
            BundleInvalid, NotBuiltYet, InputsInvalid, Overlap, UsageError: nothing was started.
        """
        checked = bundle if isinstance(bundle, Checked) else self.project.check(bundle, overrides)
        new = self.project.prepare(checked, inputs or {}, texts or {}, name)
        if root is not None:
            from aiworkflow.client.repositories import acting_in

            new = acting_in(new, root, self.project.environ)
        if new.plan.runs_on:
            refuse_elsewhere(new.plan, self.project.fleet.labels)
        if breaks:
            from aiworkflow.runtime.breaks import read_breaks

            new = dataclasses.replace(new, breaks=read_breaks(breaks, new.plan))
        if new.plan.concurrency is not None:
            from aiworkflow.client.queueing import start_in_lane

            started = await start_in_lane(self, new, None, attached=attached, tell=tell)
        else:
            started = self.begin(new, attached=attached)
            await self.exists(started.id)
        if on_event is not None:
            started.followed_by(self._drives.follow(started.tell(on_event)))
        return started

    def begin(self, new: NewRun, run: str | None = None, *, attached: bool = False) -> Run:
        """Begin to drive a run that was prepared; it exists with its first append.

        Args:
            run: its id, where that follows from something else.
        """
        id_, drive, first = self.runtime.start(new, attached=attached, run=run)
        if isinstance(first[0], ev.RunStarted):
            self.plans.keep(first[0].plan, new.plan)
        return self.drive(id_, drive, first)

    async def submit(
        self,
        bundle: str | Path | BuiltWorkflow | Checked | NewRun,
        inputs: Mapping[str, Json] | None = None,
        *,
        order: Order | None = None,
        trigger: Mapping[str, Json] | None = None,
        texts: Mapping[str, str] | None = None,
        overrides: Mapping[str, Json] | None = None,
        name: str = "",
        actor: str = "",
    ) -> Submission:
        """Make a run durable, for whoever works to drive it: `aiworkflow serve`, or a worker.

        Args:
            bundle: as for `start`, or what `project.prepare` gave without inputs, for many runs.
            order: how it is submitted; with a `key`, the same event makes the run once.
            trigger: what started it, as `trigger` is in the run; with its `type`.
            actor: who started it; the project's own actor if empty.

        Raises:
            BundleInvalid, NotBuiltYet, InputsInvalid, Overlap, UsageError: nothing was started.
        """
        from aiworkflow.client.submitting import submit

        return await submit(
            self,
            bundle,
            inputs or {},
            order=order,
            trigger=trigger,
            texts=texts or {},
            overrides=overrides,
            name=name,
            actor=actor,
        )

    def batch(
        self,
        bundle: str | Path | BuiltWorkflow | Checked,
        inputs: Iterable[Mapping[str, Json] | Given],
        *,
        max_parallel: int = 8,
        skip_invalid: bool = False,
        earlier: Earlier | str | None = None,
        base: Mapping[str, Json] | None = None,
        texts: Mapping[str, str] | None = None,
        overrides: Mapping[str, Json] | None = None,
        name: str = "",
        attached: bool = False,
        where: str = "the inputs",
        into: str = "",
    ) -> Batch:
        """A run for each of many inputs; iterate over it for the results, in order.

        The bundle is read and compiled once, and all inputs are checked before anything starts, which
        it does when the iteration begins.

        Args:
            inputs: the inputs of each run, or lines that were read already.
            max_parallel: how many runs are driven at once.
            skip_invalid: leave out what cannot be used; its result has the status `invalid`.
            earlier: take this batch up again (or the one with this id): only what failed or did not
                run in it is run.
            base, texts: inputs for all that do not say them; as values, and as text.
            overrides, name, attached: see `start`.
            where: what the inputs are called in errors.
            into: where results are written, so that the batch can be found by it.

        Raises:
            BundleInvalid, NotBuiltYet, BatchInvalid, Held, UsageError: nothing was started.
        """
        from aiworkflow.client.batch import Batch, plan_batch
        from aiworkflow.client.batch_lines import check_lines, given_lines
        from aiworkflow.client.batch_result import Earlier

        checked = bundle if isinstance(bundle, Checked) else self.project.check(bundle, overrides)
        new = self.project.prepare(checked, None, name=name)
        lines = check_lines(
            given_lines(inputs), new.plan.name, new.plan.inputs, base=base, texts=texts
        )
        again = Earlier(earlier) if isinstance(earlier, str) else earlier
        id_ = again.batch if again is not None else new_run_id(self.project.ids, self.journal)
        todo = plan_batch(
            self, new, lines, id_, skip_invalid=skip_invalid, where=where, earlier=again
        )
        return Batch(
            self, id_, new, lines, todo, max_parallel=max_parallel, attached=attached, into=into
        )

    async def resume(
        self,
        run: str,
        *,
        take_over: bool = False,
        attached: bool = False,
        budget: Mapping[str, float] | None = None,
        adopt: bool = False,
        on: Proposal | str | None = None,
    ) -> Run:
        """Take a run up where it stopped; one that failed or was cancelled, from there.

        A child run goes on by way of the run that called it.

        Args:
            take_over: end the process that drives it now, if one does.
            attached: stay with the run while it waits for people, moments and events.
            budget: bounds that are raised from here on: `usd`, `tokens` or `seconds` → amount.
            adopt: the run was imported, and its own project is done with it.
            on: go on with the bundle as it is in this git revision, or as was proposed.

        Raises:
            UnknownRun, Held, UsageError: see `LocalRuntime.resume` and `propose`.
        """
        found = driven_by_itself(self.journal, self.find(run))
        await self.let_go(found)
        if on is None:
            try:
                drive, first = self.runtime.resume(
                    found,
                    self.project.actor,
                    take_over=take_over,
                    attached=attached,
                    budget=budget,
                    adopt=adopt,
                )
                return self.drive(found, drive, first)
            except HalfWay as half_way:
                on = half_way.on
        from aiworkflow.client.onward import begin_onward

        onward, first = begin_onward(
            self, found, on, take_over=take_over, attached=attached, budget=budget, adopt=adopt
        )
        return self.drive(found, onward, first)

    def propose(
        self, run: str, revision: str, *, take_over: bool = False, adopt: bool = False
    ) -> Proposal:
        """What becomes of a run that goes on with its bundle at a git revision; nothing is changed.

        Raises:
            UnknownRun, Held, UsageError: see `aiworkflow.client.onward.propose`.
        """
        from aiworkflow.client.onward import propose

        return propose(self, run, revision, take_over=take_over, adopt=adopt)

    async def fork(
        self,
        run: str,
        step: str | None,
        *,
        texts: Mapping[str, str] | None = None,
        state: Mapping[str, Json] | None = None,
        revision: str | None = None,
        key: str = "",
    ) -> Run:
        """Start a run that begins as a copy of what another had done before a step.

        Args:
            step: path of the step from which on everything is done again; None for what has changed
                at the revision.
            texts: inputs that differ, as text.
            state: values of the state that are set before it goes on.
            revision: take the bundle as it is in this git revision; None for as it was.
            key: names the request: whoever sends it again gets the same run.

        Raises:
            UnknownRun. UsageError: the run has not come to the step, or something given is wrong.
            BundleInvalid, NotBuiltYet, InputsInvalid: nothing was started.
        """
        from aiworkflow.client.onward import begin_fork

        found = self.find(run)
        known = known_run(self.runtime, key)
        if known is not None:
            return self._handle(known)
        fork, drive, started = begin_fork(self, found, step, texts or {}, state, revision, key)
        return self.drive(fork, drive, started)

    async def undo(self, run: str, *, adopt: bool = False) -> Run:
        """Take back what a finished run did, the last first; `adopt` as for `resume`.

        Raises:
            UnknownRun, Held: see `LocalRuntime.resume`.
            UsageError: the run is not over, or did nothing that can be taken back.
        """
        found = self.find(run)
        await self.let_go(found)
        drive, first = self.runtime.resume(found, self.project.actor, undo=True, adopt=adopt)
        return self.drive(found, drive, first)

    async def let_go(self, run: str) -> None:
        """Wait for a drive of a run in this process that is at its end. Raises Held: it goes on."""
        await self._drives.let_go(run, lambda: self.journal.run(run).status in AT_REST)

    def drive(self, run: str, drive: Drive | Onward, first: Sequence[ev.Event]) -> Run:
        """Drive a run in the background, as the runtime has put it together."""
        self._drives.begin(run, drive, first)
        return self._handle(run)

    async def exists(self, run: str) -> None:
        """Wait for the first append of a run that was begun: it can be found by everybody."""
        await self._drives.exists(run)

    def _handle(self, run: str) -> Run:
        driven = self._drives.of(run)
        return Run(
            run,
            journal=self.journal,
            clock=self.project.clock,
            plans=self.plans,
            logs=self.runtime.logs(run),
            appended=driven.appended if driven else None,
            driving=driven.task if driven else None,
            interrupt=driven.drive.interrupt if driven else None,
            hold=driven.drive.hold if driven else None,
            cancel=lambda reason: self.signals.cancel(run, reason),
        )

    # -- looking ----------------------------------------------------------------------------------

    def run(self, run: str) -> Run:
        """A run of this project, whoever drives it. Takes what `find` takes."""
        return self._handle(self.find(run))

    def is_driven(self, run: str) -> bool:
        """Whether some living process drives the run."""
        return self.runtime.holding.is_driven(run)

    def due(self) -> list[str]:
        """Runs that wait, are driven by nobody, and have something to go on with."""
        now = self._now()
        found = []
        for row in self.journal.registers(WAKE):
            at = json.loads(row.value).get("at")
            if (at is None or at <= now) and not self.is_driven(row.key):
                found.append(row.key)
        return found

    # -- what runs leave behind -------------------------------------------------------------------

    @property
    def views(self) -> Views:
        """What there is to be shown, as plain data."""
        from aiworkflow.client.views import Views

        return Views(self)

    @property
    def triggers(self) -> Triggers:
        """What starts runs of this project by itself: schedules, webhooks, files, queues."""
        return self._triggers(self)

    @property
    def sweeps(self) -> SweepsHere:
        """Running bundles in many repositories; see `aiworkflow.client.sweeps`."""
        from aiworkflow.client.sweeps_here import SweepsHere

        return SweepsHere(self)

    def drain(self, worker: str) -> dict[str, Json]:
        """Ask a worker to take nothing more, let running steps finish, and end; see `fleet.drain`."""
        from aiworkflow.client.fleet import drain

        return {**drain(self, worker).to_json(), "state": "draining"}

    @property
    def kept(self) -> Kept:
        """What is known beside the runs: outputs to use again, circuit breakers, imports."""
        return Kept(self)

    @property
    def carrier(self) -> Carrier:
        """Carrying runs to other projects, and here."""
        from aiworkflow.client.carrier import Carrier

        return Carrier(self)

    def _now(self) -> float:
        return self.project.clock.now().timestamp()
