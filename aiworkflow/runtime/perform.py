"""One attempt of one step: gather what it needs, let its kind act, and say how it ended as a fact."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, cast

from aiworkflow.bundle.workflow import Effect, Kind, Output, OutputForm, Script, ToolCall
from aiworkflow.engine import REPEATABLE, Failure, Instance, RunState, Spent
from aiworkflow.engine import events as ev
from aiworkflow.errors import AIWorkflowError
from aiworkflow.plan.graph import Node, Plan
from aiworkflow.records import record
from aiworkflow.steps.contract import Outcome, Performer, Ports, StepError, Usage, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from aiworkflow.clock import Clock
    from aiworkflow.engine.events import Json
    from aiworkflow.runtime.logs import AttemptLog, LogFolder
    from aiworkflow.runtime.mask import Masking
    from aiworkflow.runtime.values import Values


@record
class Place:
    """Where a run's attempts act.

    Attributes:
        project: the project's root.
        bundle: folder with the bundle's files as they were when the run started.
        scratch: folder for scratch folders of attempts.
    """

    project: Path
    bundle: Path
    scratch: Path


@record
class Doors:
    """What attempts act through, the same for all runs of a process."""

    clock: Clock
    performers: Mapping[Kind, Performer]
    masking: Masking
    process: Callable[[int], AbstractContextManager[None]]
    lock_fd: int | None
    environ: Mapping[str, str]
    interpreters: Mapping[str, str]
    limit: Callable[[str], int]


class Attempts:
    """Performs the attempts of one run."""

    def __init__(
        self,
        plan: Plan,
        state: RunState,
        values: Values,
        place: Place,
        doors: Doors,
        logs: LogFolder,
        inputs: Mapping[str, Json],
        run: Mapping[str, Json],
    ) -> None:
        self._plan = plan
        self._state = state
        self._values = values
        self._place = place
        self._doors = doors
        self._logs = logs
        self._inputs = inputs
        self._run = run

    async def perform(self, path: str) -> ev.Ended:
        """Do the attempt that was started last at this path; how it ended, as a fact.

        Cancelling the task that runs this ends the attempt; the fact then says so.
        """
        clock = self._doors.clock
        instance = self._state.instances[path]
        visit, attempt, effect = instance.visit, instance.attempt, instance.effect
        began = clock.monotonic()
        log = self._logs.open(path, visit, attempt, self._doors.masking)
        outcome: Outcome | None = None
        status, error, usage, agent = "succeeded", None, None, None
        try:
            outcome = await self._attempt(instance, log)
            usage, agent = outcome.usage, outcome.agent
        except asyncio.CancelledError:
            text = "cancelled"
            if effect in REPEATABLE:
                status = "cancelled"
            else:
                status = "in_doubt"
                text = "cancelled while running; whether it had its effect is not known"
            error = Failure("cancelled", text, step=path)
            _uncancel()
        except StepError as failed:
            status, error = _failed(failed, effect, path)
            usage, agent = failed.usage, failed.agent
        except AIWorkflowError as failed:
            status, error = "failed", Failure(failed.code, failed.message, None, path, failed.hint)
        except Exception as bug:
            log.note_exception(bug)
            text = f"{type(bug).__name__}: {bug}"
            status, error = "failed", Failure("bug", text, None, path, "please report this")
        ref = None
        if outcome is not None:
            ref = self._values.ref(self._doors.masking.mask_json(outcome.output))
        digest = log.close(self._values)
        return ev.Ended(
            clock.now().timestamp(),
            path,
            visit,
            attempt,
            status,
            ref,
            self._masked(error),
            _spent(usage),
            agent,
            round(clock.monotonic() - began, 6),
            digest,
        )

    def _masked(self, error: Failure | None) -> Failure | None:
        if error is None:
            return None
        mask = self._doors.masking.mask
        hint = mask(error.hint) if error.hint else None
        return Failure(error.kind, mask(error.message), error.exit_code, error.step, hint)

    async def _attempt(self, instance: Instance, log: AttemptLog) -> Outcome:
        node = self._plan.nodes[instance.node]
        arguments = self._values.arguments(instance.arguments_seq)
        scratch = self._place.scratch / log.stem
        scratch.mkdir(parents=True, exist_ok=True)
        ports = Ports(
            secrets=self._doors.masking.secrets,
            log=log.write,
            process=self._doors.process,
            lock_fd=self._doors.lock_fd,
            environ=self._doors.environ,
            limit=self._doors.limit,
            interpreters=self._doors.interpreters,
        )
        try:
            if "reduce" in arguments:
                return await self._reduce(instance, node, arguments, scratch, ports)
            work = self._work(instance, node, arguments, scratch)
            return await self._doors.performers[node.kind](work, ports)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _work(
        self, instance: Instance, node: Node, arguments: Mapping[str, Json], scratch: Path
    ) -> Work:
        given = arguments.get("with", {})
        if "prompt" in arguments:
            given = {"prompt": arguments["prompt"]}
        context: dict[str, Json] = {
            "inputs": dict(self._inputs),
            "run": dict(self._run),
            "with": arguments.get("with", {}),
            **cast("dict[str, Json]", arguments.get("context", {})),
        }
        return Work(
            run=str(self._run["id"]),
            path=instance.path,
            visit=instance.visit,
            attempt=instance.attempt,
            key=instance.key,
            node=node,
            effect=Effect(instance.effect),
            arguments=cast("dict[str, Json]", given),
            env=cast("dict[str, str]", arguments.get("env", {})),
            context=context,
            cwd=self._cwd(node),
            scratch=scratch,
            bundle=self._place.bundle,
            project=self._place.project,
            secret_env=cast("dict[str, str]", arguments.get("secret_env", {})),
            tools=self._plan.tools,
            allow=self._plan.allow,
            timeout_s=node.timeout_s,
        )

    def _cwd(self, node: Node) -> Path:
        match node.action:
            case Script(cwd=str(cwd)) | ToolCall(cwd=str(cwd)):
                found = (self._place.project / cwd).resolve()
                if not found.is_relative_to(self._place.project.resolve()):
                    raise StepError("permission", f"`cwd: {cwd}` leads out of the project")
                if not found.is_dir():
                    raise StepError("not_found", f"`cwd: {cwd}` is not a folder of the project")
                return found
            case _:
                return self._place.project

    async def _reduce(
        self,
        instance: Instance,
        node: Node,
        arguments: Mapping[str, Json],
        scratch: Path,
        ports: Ports,
    ) -> Outcome:
        """Run the reducers in tools/ of a `set` or a join: one call a name, results by name."""
        results: dict[str, Json] = {}
        calls = cast("dict[str, dict[str, Json]]", arguments["reduce"])
        for name, call in calls.items():
            tool, _, operation = str(call["tool"]).partition(".")
            folder = scratch / name
            folder.mkdir()
            stand_in = Node(
                id=node.id,
                kind=Kind.TOOL,
                parent=node.parent,
                title=node.title,
                line=node.line,
                action=ToolCall(tool, operation),
                output=Output(OutputForm.JSON),
                effect=Effect.READ,
            )
            given = {"current": call["current"], "values": call["values"]}
            work = self._work(instance, stand_in, {"with": given}, folder)
            outcome = await self._doors.performers[Kind.TOOL](work, ports)
            results[name] = outcome.output
        return Outcome(results)


def _failed(failed: StepError, effect: str, path: str) -> tuple[str, Failure]:
    status = "in_doubt" if failed.in_doubt and effect not in REPEATABLE else "failed"
    return status, Failure(failed.kind, failed.message, failed.process_exit, path, failed.hint)


def _spent(usage: Usage | None) -> Spent | None:
    if usage is None:
        return None
    return Spent(usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.cost_usd)


def _uncancel() -> None:
    """The cancellation has become a fact; the task goes on to report it."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
