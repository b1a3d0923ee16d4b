"""One attempt of one step: gather what it needs, let its kind act, and say how it ended as a fact."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, TypeVar, cast

from aiworkflow.bundle.workflow import (
    AgentCall,
    Child,
    Effect,
    Kind,
    Script,
    ToolCall,
    agent_spec,
)
from aiworkflow.dollars import usd_text
from aiworkflow.engine import REPEATABLE, Failure, Instance, Left, RunState, Total
from aiworkflow.engine import events as ev
from aiworkflow.engine.attempts import what_is_done
from aiworkflow.engine.said import Said
from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal import Fenced
from aiworkflow.records import record
from aiworkflow.runtime.asks import asks_of
from aiworkflow.runtime.attempt_end import (
    acts_in_tree,
    checked,
    failed,
    may_ask,
    spent,
    to_the_end,
    uncancel,
)
from aiworkflow.runtime.patience import NOT_NOW, patiently
from aiworkflow.runtime.stand_in import narrowed, stand_in
from aiworkflow.runtime.waits import child_id
from aiworkflow.steps.contract import (
    ChildWaits,
    Outcome,
    Ports,
    Scratch,
    StepError,
    Usage,
    Work,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiworkflow.engine.carried import Json, Ref
    from aiworkflow.plan.graph import Node, Plan
    from aiworkflow.runtime.asks import Asks
    from aiworkflow.runtime.calls import AgentCalls, Note
    from aiworkflow.runtime.doors import Children, Doors, Guard, Place
    from aiworkflow.runtime.logs import AttemptLog, LogFolder
    from aiworkflow.runtime.values import Values
    from aiworkflow.runtime.worktrees import Step

T = TypeVar("T")
_ASKED = ("prompt", "files", "history", "held")


@record
class _Kept:
    """What is kept of an attempt: values, and the log by its digest."""

    output: Ref | None
    undo: Ref | None
    said: Ref | None
    log: str | None
    standing: Mapping[str, Json]


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
        children: Children,
        guard: Guard,
        note: Note,
    ) -> None:
        self._plan = plan
        self._state = state
        self._values = values
        self._place = place
        self._doors = doors
        self._logs = logs
        self._inputs = inputs
        self._run = run
        self._children = children
        self._under_way = 0
        self._guard = guard
        self._note = note
        self._asks: dict[str, Asks] = {}
        self._calls: dict[str, AgentCalls] = {}
        self._used: dict[str, Usage] = {}
        self._steps: dict[str, Step] = {}

    async def perform(self, path: str) -> ev.Ended | ev.Opened:
        """Do the attempt that was started last at this path; how it ended, as a fact.

        A step whose child run waits has not ended: it waits itself.

        Cancelling the task that runs this ends the attempt; the fact then says so.

        Raises:
            JournalUnavailable, DiskFailed: there is no room, not even after a while; no fact is known.
            Fenced: another process has taken over a child run.
        """
        self._under_way += 1
        try:
            return await self._perform(path)
        finally:
            self._under_way -= 1

    async def _perform(self, path: str) -> ev.Ended | ev.Opened:
        clock = self._doors.clock
        instance = self._state.instances[path]
        visit, attempt, effect = instance.visit, instance.attempt, instance.effect
        began = clock.monotonic()
        log = self._logs.open(path, visit, attempt, self._doors.masking)
        outcome: Outcome | None = None
        way_back: Mapping[str, Json] | None = None
        status, error, usage, agent = "succeeded", None, None, None
        retry_after_s = None
        try:
            outcome = await patiently(lambda: self._in_place(instance, log), self._is_alone)
            usage, agent, way_back = outcome.usage, outcome.agent, outcome.undo
        except ChildWaits as waits:
            log.close(self._values)
            return self._waiting(instance, waits.due)
        except asyncio.CancelledError:
            status, error = self._cut_off(path, effect)
            uncancel()
        except StepError as refused:
            status, error = failed(refused, effect, path)
            usage, agent, retry_after_s = refused.usage, refused.agent, refused.retry_after_s
            way_back = refused.undo
            if refused.kind == "cancelled" and instance.role == "child":
                status = "cancelled"
        except (*NOT_NOW, Fenced):
            log.drop()
            raise
        except AIWorkflowError as refused:
            status = "failed"
            error = Failure(refused.code, refused.message, None, path, refused.hint)
        except Exception as bug:
            log.note_exception(bug)
            text = f"{type(bug).__name__}: {bug}"
            status = "failed" if effect in REPEATABLE else "in_doubt"
            error = Failure("bug", text, None, path, "please report this")
        calls, used = self._calls.pop(path, None), self._used.pop(path, None)
        self._asks.pop(path, None)
        usage = usage or used
        if calls is not None and calls.doubtful is not None:
            status, outcome = "in_doubt", None
            text = (
                f"whether a call of its agent had its effect is not known: {calls.doubtful.message}"
            )
            error = Failure("in_doubt", text, step=path)
        elif instance.journalled and status == "in_doubt" and error is not None:
            status = "failed"
            if error.kind == "cancelled":
                status, error = "cancelled", Failure("cancelled", "cancelled", step=path)
        if instance.role not in {"", "child"}:
            way_back = None
        try:
            kept = self._keep(outcome, way_back, path, log)
        except NOT_NOW:
            kept = await self._keep_later(outcome, way_back, path, log)
        now = clock.now().timestamp()
        if outcome is not None and kept.said is not None:
            by = outcome.agent or ""
            self._note(Said(now, path, visit, attempt, kept.said, True, by, outcome.held))
        return ev.Ended(
            now,
            path,
            visit,
            attempt,
            status,
            kept.output,
            self._masked(error),
            None if usage is None else spent(usage),
            agent,
            round(clock.monotonic() - began, 6),
            kept.log,
            retry_after_s,
            kept.undo,
            kept.standing,
            () if outcome is None else outcome.stands,
        )

    def _cut_off(self, path: str, effect: str) -> tuple[str, Failure | None]:
        """What to say of an attempt that was ended from outside; one that had asked was not told."""
        asks, calls = self._asks.get(path), self._calls.get(path)
        if (asks is not None and asks.is_parked) or (calls is not None and calls.is_parked):
            return "waiting", None
        if effect in REPEATABLE or (asks is not None and asks.is_open):
            return "cancelled", Failure("cancelled", "cancelled", step=path)
        text = "cancelled while running; whether it had its effect is not known"
        return "in_doubt", Failure("cancelled", text, step=path)

    def _keep(
        self,
        outcome: Outcome | None,
        way_back: Mapping[str, Json] | None,
        path: str,
        log: AttemptLog,
    ) -> _Kept:
        """Store the output, what was said, the way back, what has changed and the log."""
        output = undo = said = None
        standing: Mapping[str, Json] = {}
        step = self._steps.get(path)
        if step is not None and self._place.tree is not None:
            standing = self._place.tree.keep(step, log)
        if outcome is not None:
            output = self._values.ref(self._doors.masking.mask_json(outcome.output))
        if outcome is not None and outcome.said:
            from aiworkflow.agents.talk import talk_to_json

            talk = self._doors.masking.mask_json(talk_to_json(outcome.said))
            said = self._values.ref(talk)
        if way_back is not None:
            undo = self._values.ref(dict(way_back))
        return _Kept(output, undo, said, log.close(self._values), standing)

    async def _keep_later(
        self,
        outcome: Outcome | None,
        way_back: Mapping[str, Json] | None,
        path: str,
        log: AttemptLog,
    ) -> _Kept:
        """The same, once there is room on the disk again."""

        async def again() -> _Kept:
            return self._keep(outcome, way_back, path, log)

        return await to_the_end(patiently(again, self._is_alone))

    def _is_alone(self) -> bool:
        return self._under_way < 2

    def _masked(self, error: Failure | None) -> Failure | None:
        if error is None:
            return None
        mask = self._doors.masking.mask_message
        hint = mask(error.hint) if error.hint else None
        return Failure(error.kind, mask(error.message), error.exit_code, error.step, hint)

    async def _in_place(self, instance: Instance, log: AttemptLog) -> Outcome:
        """Make the attempt in the run's worktree, where it has one."""
        tree = self._place.tree
        self._steps.pop(instance.path, None)
        if tree is None or not acts_in_tree(self._plan.nodes[instance.node], instance):
            return await self._attempt(instance, log)
        child = ""
        if instance.role == "child":
            child = child_id(str(self._run["id"]), instance.path, instance.visit)
        elif self._plan.nodes[instance.node].kind is Kind.CHILD:
            child = str(self._values.arguments(instance.arguments_seq).get("child", ""))
        await tree.enter(child)
        is_failed = True
        try:
            outcome = await self._attempt(instance, log)
            is_failed = False
            return outcome
        finally:
            step = await to_the_end(tree.leave(child, is_failed=is_failed))
            if step is not None:
                self._steps[instance.path] = step

    async def _attempt(self, instance: Instance, log: AttemptLog) -> Outcome:
        arguments = self._values.arguments(instance.arguments_seq)
        if "child" in arguments:
            return await self._children.take_back(str(arguments["child"]))
        if instance.role == "child":
            node = self._plan.nodes[instance.node]
            assert isinstance(node.action, Child)
            digest = self._plan.children[node.action.path]
            given = cast("dict[str, Json]", arguments.get("with", {}))
            return await self._children.attend(instance, node, digest, given)
        node = self._node(instance, arguments)
        if instance.role == "check":
            arguments = dict(narrowed(arguments, node))
        ports = Ports(
            secrets=self._doors.masking.secrets,
            log=log.write,
            process=self._doors.process,
            lock_fd=self._doors.lock_fd,
            environ=self._doors.environ,
            limit=self._doors.limit,
            interpreters=self._doors.interpreters,
            used=lambda usage: self._has_used(instance, usage),
        )
        own = Scratch(self._place.scratch, log.stem)
        try:
            if "reduce" in arguments:
                return await self._reduce(instance, node, arguments, own, ports)
            work = self._work(instance, node, arguments, own)
            if not instance.role and may_ask(node):
                ports = dataclasses.replace(ports, ask=self._asks_of(instance))
            if isinstance(node.action, AgentCall) and node.action.tools:
                ports = dataclasses.replace(ports, calls=self._agent_calls(instance, work, ports))
            return checked(await self._guard(self._doors.performers[node.kind], work, ports))
        finally:
            own.remove()

    def _asks_of(self, instance: Instance) -> Asks:
        task = asyncio.current_task()
        assert task is not None
        doors = self._doors
        found = self._asks[instance.path] = asks_of(
            instance,
            board=doors.board,
            clock=doors.clock,
            values=self._values,
            masking=doors.masking,
            note=self._note,
            break_off=task.cancel,
        )
        return found

    def _agent_calls(self, instance: Instance, work: Work, ports: Ports) -> AgentCalls:
        from aiworkflow.runtime.calls import AgentCalls, Around

        doors = self._doors
        around = Around(
            doors.clock,
            self._values,
            doors.masking,
            self._note,
            self._call,
            lambda: self._check_budgets(instance),
            doors.board,
        )
        found = self._calls[instance.path] = AgentCalls(instance, work, ports, around)
        return found

    def _has_used(self, instance: Instance, usage: Usage) -> None:
        """What the agent has used so far; what is beyond its reserve counts at once for all around."""
        self._used[instance.path] = usage
        if instance.metered:
            self._children.beyond(instance, self._more_than_reserved(instance, usage))

    @staticmethod
    def _more_than_reserved(instance: Instance, usage: Usage) -> Total:
        (usd, tokens), so_far = instance.reserve, instance.counted(spent(usage))
        return Total(max(0.0, so_far.usd - usd), max(0, so_far.tokens - tokens))

    def _check_budgets(self, instance: Instance) -> None:
        """Another exchange with the agent must not begin when the budgets are used up."""
        used = self._used.get(instance.path)
        if used is None:
            return
        left = self._children.left_around(instance.path)
        left = left.least(Left(self._children.left_today()))
        spent = used.input_tokens + used.output_tokens
        more = self._more_than_reserved(instance, used)  # a reserve is its own to use up
        is_over = left.usd is not None and more.usd > 0 and left.usd < -1e-9
        if is_over or (left.tokens is not None and more.tokens > 0 and left.tokens < 0):
            cost = f", {usd_text(used.cost_usd)}" if used.cost_usd is not None else ""
            raise StepError(
                "budget",
                f"the agent has used up the budget ({spent:,} tokens{cost}), and asks for more calls",
                hint="raise it and go on: aiworkflow runs resume RUN --budget usd=… (or tokens=…)",
            )

    async def _call(self, work: Work, ports: Ports) -> Outcome:
        """Make a call of an agent, as an attempt of a tool step."""
        try:
            return await self._guard(self._doors.performers[Kind.TOOL], work, ports)
        finally:
            work.own.remove()

    def _waiting(self, instance: Instance, due: float | None) -> ev.Opened:
        assert instance.parent is not None
        return ev.Opened(
            self._doors.clock.now().timestamp(),
            instance.path,
            instance.node,
            instance.parent.path,
            "child",
            instance.visit,
            due=due,
            index=instance.index,
        )

    def _node(self, instance: Instance, arguments: Mapping[str, Json]) -> Node:
        """What the attempt does: the step itself, or what takes it back."""
        node = self._plan.nodes[instance.node]
        if instance.role == "check":
            doubtful = instance.parent
            assert doubtful is not None
            if doubtful.role == "undo":
                assert doubtful.parent is not None
                looked = what_is_done(node, doubtful.parent).undo
            else:
                looked = what_is_done(node, doubtful)
            assert looked is not None
            assert looked.check is not None
            return looked.check
        if instance.role != "undo":
            return node
        assert instance.parent is not None
        node = what_is_done(node, instance.parent)
        if node.undo is not None:
            return node.undo
        tool, _, operation = str(arguments["uses"]).partition(".")
        return stand_in(node, ToolCall(tool, operation), Effect.IDEMPOTENT)

    def _work(
        self,
        instance: Instance,
        node: Node,
        arguments: Mapping[str, Json],
        own: Scratch,
    ) -> Work:
        given = arguments.get("with", {})
        if "prompt" in arguments:
            given = {name: arguments[name] for name in _ASKED if name in arguments}
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
            own=own,
            bundle=self._place.bundle,
            project=self._place.project,
            secret_env=cast("dict[str, str]", arguments.get("secret_env", {})),
            tools=self._plan.tools,
            protocols=self._plan.protocols,
            allow=self._plan.allow,
            timeout_s=node.timeout_s,
            agent=agent_spec(instance.agent) if instance.agent else None,
        )

    def _cwd(self, node: Node) -> Path:
        match node.action:
            case Script(cwd=str(cwd)) | ToolCall(cwd=str(cwd)) | AgentCall(cwd=str(cwd)):
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
        own: Scratch,
        ports: Ports,
    ) -> Outcome:
        """Run the reducers in tools/ of a `set` or a join: one call a name, results by name."""
        results: dict[str, Json] = {}
        calls = cast("dict[str, dict[str, Json]]", arguments["reduce"])
        for result, call in calls.items():
            tool, _, operation = str(call["tool"]).partition(".")
            (own.path / result).mkdir(parents=True)
            reducer = stand_in(node, ToolCall(tool, operation), Effect.READ)
            given = {"current": call["current"], "values": call["values"]}
            work = self._work(instance, reducer, {"with": given}, Scratch(own.path, result))
            outcome = await self._doors.performers[Kind.TOOL](work, ports)
            results[result] = outcome.output
        return Outcome(results)
