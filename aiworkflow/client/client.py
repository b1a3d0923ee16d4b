"""The Python API: everything a face needs, and all it needs.

A client belongs to one project. It reads bundles, starts and resumes runs (which are driven in this
process, in the background, while the client is open), and looks at runs of any process.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Self

from aiworkflow.client.project import Checked, Project
from aiworkflow.client.run import Run
from aiworkflow.engine import events as ev
from aiworkflow.errors import UsageError
from aiworkflow.journal import Append, Closed, Journal, Register, RegisterWrite, Require, RunPage
from aiworkflow.plan import plan_from_json
from aiworkflow.runtime.drive import DOUBT, WAKE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from aiworkflow.client.builder import BuiltWorkflow
    from aiworkflow.client.result import RunResult
    from aiworkflow.engine.events import Json
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.drive import Drive
    from aiworkflow.runtime.local import LocalRuntime

RESOLUTIONS = ("done", "redo", "failed")


class Client:
    """A project's bundles and runs.

    Args:
        project: where it is and what its settings say.
        journal: opens the journal; called when it is first needed.
        runtime: makes the runtime on that journal, given what to call after each append.
    """

    def __init__(
        self,
        project: Project,
        journal: Callable[[], Journal],
        runtime: Callable[[Journal, Callable[[str], None]], LocalRuntime],
    ) -> None:
        self.project = project
        self._open_journal = journal
        self._make_runtime = runtime
        self._journal: Journal | None = None
        self._runtime: LocalRuntime | None = None
        self._drives: dict[str, tuple[asyncio.Task[None], asyncio.Event, Drive]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._plans: dict[str, Plan] = {}

    # -- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Runs still driven here are stopped at once; they can be resumed."""
        assert self._group is not None
        for task, _, _ in self._drives.values():
            task.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            self._group = None
            self.close()

    def close(self) -> None:
        """Close what was opened. Needed only where the client is used without `async with`."""
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    @property
    def journal(self) -> Journal:
        """The project's journal, opened when it is first asked for."""
        if self._journal is None:
            self._journal = self._open_journal()
        return self._journal

    @property
    def runtime(self) -> LocalRuntime:
        """What drives runs in this process."""
        if self._runtime is None:
            self._runtime = self._make_runtime(self.journal, self._on_append)
        return self._runtime

    def _on_append(self, run: str) -> None:
        driven = self._drives.get(run)
        if driven is not None:
            driven[1].set()

    # -- starting and resuming --------------------------------------------------------------------

    async def start(
        self,
        bundle: str | Path | BuiltWorkflow | Checked,
        inputs: Mapping[str, Json] | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        overrides: Mapping[str, Json] | None = None,
        name: str = "",
    ) -> Run:
        """Start a run and drive it in the background.

        Args:
            bundle: a bundle's folder, a workflow's file, what a `WorkflowBuilder` built, or what
                `project.check` found.
            inputs: values of the declared inputs.
            texts: inputs as text from a command line, turned into their declared types.
            overrides: settings of the command line, by their names in config.yaml.
            name: a name for this run, shown in its record.

        Raises:
            BundleInvalid, NotBuiltYet, InputsInvalid: nothing was started.
        """
        checked = bundle if isinstance(bundle, Checked) else self.project.check(bundle, overrides)
        new = self.project.prepare(checked, inputs or {}, texts or {}, name)
        run, drive, first = self.runtime.start(new)
        self._plans[run] = new.plan
        started = self._drive(run, drive, first)
        await self._exists(run)
        return started

    async def resume(self, run: str, *, take_over: bool = False) -> Run:
        """Take a run up where it stopped; one that failed or was cancelled, from there.

        Args:
            take_over: end the process that drives it now, if one does.

        Raises:
            UnknownRun, Held, UsageError: see `LocalRuntime.resume`.
        """
        found = self.find(run)
        drive, first = self.runtime.resume(found, self.project.actor, take_over=take_over)
        return self._drive(found, drive, first)

    def _drive(self, run: str, drive: Drive, first: Sequence[ev.Event]) -> Run:
        if self._group is None:
            raise UsageError(
                "a run is driven only while its client is open",
                hint="use `async with aiworkflow.connect(…) as client:`",
            )
        appended = asyncio.Event()

        async def drive_it() -> None:
            try:
                await drive.run(first)
            finally:
                appended.set()

        # a drive's error belongs to whoever asks for the result, not to the group of all drives
        task = asyncio.ensure_future(drive_it())
        self._group.create_task(_outlive(task))
        self._drives[run] = (task, appended, drive)
        return self._handle(run)

    async def _exists(self, run: str) -> None:
        """Wait for the first append: a run that was started can be found by everybody."""
        task, appended, _ = self._drives[run]
        await appended.wait()
        if task.done():
            task.result()

    def _handle(self, run: str) -> Run:
        driven = self._drives.get(run)
        return Run(
            run,
            journal=self.journal,
            clock=self.project.clock,
            plan=self.plan_of,
            logs=self.runtime.logs(run),
            appended=driven[1] if driven else None,
            driving=driven[0] if driven else None,
            interrupt=driven[2].interrupt if driven else None,
        )

    # -- looking ----------------------------------------------------------------------------------

    def find(self, run: str) -> str:
        """The full id of a run given by its id, the beginning or end of it, or `last`.

        Raises:
            UsageError: several runs, or none, go by it.
        """
        if run == "last":
            page = self.journal.runs(limit=1)
            if not page.runs:
                raise UsageError(
                    "there are no runs in this project yet",
                    hint="start one with `aiworkflow bundle run BUNDLE`",
                )
            return page.runs[0].run
        found = self.journal.find(run)
        if run in found or len(found) == 1:
            return run if run in found else found[0]
        if found:
            raise UsageError(
                f"several runs begin with `{run}`: {', '.join(found)}",
                hint="give more of the id",
            )
        return self.journal.run(run).run  # says that there is none

    def run(self, run: str) -> Run:
        """A run of this project, whoever drives it. Takes what `find` takes."""
        return self._handle(self.find(run))

    def runs(
        self,
        *,
        status: Sequence[str] = (),
        bundle: str | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> RunPage:
        """Runs, newest first."""
        return self.journal.runs(status=status, bundle=bundle, limit=limit, before=before)

    def is_driven(self, run: str) -> bool:
        """Whether some living process drives the run."""
        return self.runtime.is_driven(run)

    def plan_of(self, run: str) -> Plan:
        """The plan a run was started with."""
        if run not in self._plans:
            first = self.journal.record(run, 1)
            digest = json.loads(first.payload)["plan"]
            self._plans[run] = plan_from_json(json.loads(self.journal.blobs.get(digest)))
        return self._plans[run]

    # -- signals ----------------------------------------------------------------------------------

    def cancel(self, run: str, reason: str = "") -> str:
        """Ask a run to stop; the process that drives it does. Returns the run's full id.

        Raises:
            UsageError: the run is over already.
        """
        found = self.find(run)
        row = self.journal.run(found)
        if row.finished is not None:
            raise UsageError(
                f"run {found} is over already: {row.status}",
                hint=f"look at it with `aiworkflow runs show {found}`",
            )
        self._signal(found, ev.CancelRequested(self._now(), self.project.actor, reason))
        return found

    def resolve(
        self, run: str, step: str, outcome: str, *, output: Json = None, note: str = ""
    ) -> str:
        """Settle what nobody knows: whether a step that was interrupted had its effect.

        Args:
            step: path of the step in doubt.
            outcome: `done` (it happened; `output` is its output), `redo` (it did not) or `failed`.

        Raises:
            UsageError: the step is not in doubt, or there is no such outcome.
        """
        found = self.find(run)
        if outcome not in RESOLUTIONS:
            raise UsageError(
                f"`{outcome}` settles nothing", hint=f"use one of {', '.join(RESOLUTIONS)}"
            )
        event = ev.Resolved(
            self._now(),
            step,
            outcome,
            self.project.actor,
            None if output is None else ev.Inline(output),
            note,
        )
        key = f"{found}/{step}"
        try:
            self._signal(
                found,
                event,
                requires=[Require(DOUBT, key, self._now())],
                registers=[RegisterWrite(DOUBT, key, None)],
            )
        except Closed as closed:
            doubts = [row.key.removeprefix(f"{found}/") for row in self.doubts(found)]
            listed = ", ".join(f"`{path}`" for path in doubts) or "none"
            raise UsageError(
                f"step `{step}` of run {found} is not in doubt (in doubt: {listed})",
                hint=f"look at it with `aiworkflow runs show {found}`",
            ) from closed
        return found

    def doubts(self, run: str) -> list[Register]:
        """The steps of a run that wait for a person to settle them."""
        return self.journal.registers(DOUBT, f"{run}/")

    def _signal(
        self,
        run: str,
        event: ev.Event,
        *,
        requires: Sequence[Require] = (),
        registers: Sequence[RegisterWrite] = (),
    ) -> None:
        from aiworkflow.engine import encode

        self.journal.append_now(
            Append(
                id=self.project.ids.token(),
                run=run,
                events=[encode(event)],
                requires=requires,
                registers=[*registers, RegisterWrite(WAKE, run, "{}")],
            )
        )

    def _now(self) -> float:
        return self.project.clock.now().timestamp()


async def _outlive(task: asyncio.Task[None]) -> None:
    """Wait for a drive; whoever asks for its result gets its error."""
    try:
        await asyncio.wait({task})
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def run_to_end(
    client: Client, bundle: str | Path | BuiltWorkflow, inputs: Mapping[str, Json]
) -> RunResult:
    """Start a run and wait for what it comes to."""
    async with client:
        started = await client.start(bundle, inputs)
        return await started.result()
