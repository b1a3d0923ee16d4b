"""Agent steps: the prompt goes to an agent, its checked answer is the output."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import nullcontext
from typing import TYPE_CHECKING

from aiworkflow.agents import (
    AgentError,
    AgentEvent,
    AskedAgain,
    Called,
    Changed,
    Consumed,
    Served,
    Surroundings,
    Task,
    TextDelta,
    ToolResult,
    Turned,
    Used,
    cost_of,
    key_variables,
    may_edit,
    resolve_agent,
)
from aiworkflow.agents.talk import talk_from_json
from aiworkflow.bundle.workflow import AgentCall, Effect, OutputForm, agent_spec
from aiworkflow.expr import Anything
from aiworkflow.steps.contract import Outcome, Ports, StepError, Usage, Work
from aiworkflow.steps.files import attachments
from aiworkflow.steps.permits import permitted
from aiworkflow.tools.paths import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from aiworkflow.agents import Agent, AgentConfig, Answer
    from aiworkflow.agents.contract import CallTool, Emit, ToolCall
    from aiworkflow.bundle.workflow import AgentSpec, Json
    from aiworkflow.expr import Schema
    from aiworkflow.steps.contract import Calls, Hand
    from aiworkflow.steps.inquiry import Inquire

    Resolve: TypeAlias = Callable[[AgentSpec, Mapping[str, Json], Mapping[str, str]], AgentConfig]
    Opened: TypeAlias = Callable[[AgentConfig, str, Surroundings], Agent]


class AgentPerformer:
    """Does attempts of agent steps.

    Args:
        agents: `agents` of the settings a run has in force, as plain data.
        default: agents in order of preference, for steps that name none.
        environ: where keys are.
        opened: how an agent is opened.
        at_work: holds while an agent does a task, for who counts these.
        resolve: which agent a name stands for.
        hand: asked for tools that the plan does not know: of MCP servers; None where there are none.
    """

    def __init__(
        self,
        agents: Mapping[str, Json],
        default: Sequence[str],
        environ: Mapping[str, str],
        opened: Opened,
        *,
        at_work: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext(),
        hand: Hand | None = None,
        resolve: Resolve = resolve_agent,
    ) -> None:
        self._hand = hand
        self._resolve = resolve
        self._open = opened
        self._at_work = at_work
        self._agents = agents
        self._default = default
        self._environ = environ
        self._resolved: dict[AgentSpec, AgentConfig] = {}

    async def __call__(self, work: Work, ports: Ports) -> Outcome:
        """Do one attempt. Raises StepError."""
        action = work.node.action
        assert isinstance(action, AgentCall)
        config = self._config(work.agent or self._spec(action))
        key = ports.secrets.get(config.key_variable) if config.key_variable else ""
        for name in key_variables(config, ports.environ):
            ports.secrets.get(name)  # from now on masked, wherever it is written
        prompt = str(work.arguments["prompt"])
        limit = ports.limit("prompt")
        if len(prompt.encode()) > limit:
            raise StepError(
                "limit",
                f"the prompt is longer than {limit:,} bytes",
                hint="give the agent less, or raise `limits.prompt`",
            )
        schema = _schema(work)
        paths = (work.node.allow or work.allow).paths
        edits = may_edit(config, wants=bool(paths) and work.effect is not Effect.READ)
        permit = permitted(work, config, ports, may_edit=edits)
        task = Task(
            prompt,
            schema,
            work.timeout_s,
            key=work.key,
            files=attachments(work, ports),
            cwd=work.cwd,
            may_edit=edits,
            permit=permit,
        )
        if action.turns is not None:
            task = dataclasses.replace(task, max_turns=action.turns)
        if action.session is not None:
            task = _in_session(task, work, config)
        if ports.ask is not None:
            task = _taken_up(task, ports.ask, config)
        calls = ports.calls
        if calls is not None:
            if self._hand is not None:
                calls.hand(await self._hand(action.tools, work, ports))
            so_far = () if config.acts_alone else await calls.so_far()
            call = _checking(calls) if config.acts_alone else calls
            task = dataclasses.replace(task, tools=calls.specs, call=call, so_far=so_far)
        around = Surroundings(ports.environ, work.scratch, ports.process, ports.lock_fd, ports.log)
        agent = self._open(config, key, around)
        left_behind: list[str] = []
        try:
            with self._at_work(config.label):
                answer = await agent.perform(task, _told(ports, config, left_behind.extend))
        except asyncio.CancelledError:
            ended = AgentError("cut_off", "ended")
            _check_changes(left_behind, work, paths, ports, ended, config)
            raise
        except AgentError as error:
            _check_changes(error.changed, work, paths, ports, error, config)
            raise StepError(
                error.kind,
                error.message,
                hint=error.hint,
                retry_after_s=error.retry_after_s,
                in_doubt=error.in_doubt,
                usage=_usage(error.consumed, config),
                agent=agent.name,
            ) from error
        _check_changes(answer.changed, work, paths, ports, answer, config)
        output: Json = answer.value if schema is not None else answer.text.strip()
        if work.node.output.form is OutputForm.LINES:
            output = [line for line in answer.text.strip().splitlines() if line.strip()]
        said = answer.messages if action.session is not None else ()
        usage = _usage(answer.consumed, config, answer.model)
        return Outcome(output, usage, agent.name, None, said, answer.session)

    def _config(self, spec: AgentSpec) -> AgentConfig:
        found = self._resolved.get(spec)
        if found is None:
            found = self._resolve(spec, self._agents, self._environ)
            if found.kind == "api":  # of programs, whether they are here is looked at each time
                self._resolved[spec] = found
        return found

    def _spec(self, action: AgentCall) -> AgentSpec:
        if action.agents:
            return action.agents[0]
        return agent_spec(self._default[0])


def _check_changes(
    changed: Sequence[str],
    work: Work,
    paths: Sequence[str],
    ports: Ports,
    end: Answer | AgentError,
    config: AgentConfig,
) -> None:
    """Say which files an agent has changed; those that it may not are a failure, however it ended."""
    if not changed:
        return
    listed = ", ".join(changed[:20])
    more = len(changed) - 20
    ports.log(f"\n[changed: {listed}{f' and {more} more' if more > 0 else ''}]\n")
    try:
        start = work.cwd.resolve().relative_to(work.project.resolve()).as_posix()
    except ValueError:
        start = "."
    within = [one if start == "." else f"{start}/{one}" for one in changed]
    outside = [one for one in within if not any(matches(path, one) for path in paths)]
    if outside:
        raise StepError(
            "permission",
            f"`{config.label}` changed files that `allow.paths` does not name: "
            + ", ".join(outside[:5]),
            hint="look at them with `git diff`; take them back, or widen `allow.paths`",
            in_doubt=isinstance(end, AgentError) and end.in_doubt,
            usage=_usage(end.consumed, config, "" if isinstance(end, AgentError) else end.model),
            agent=config.label,
        )


def _in_session(task: Task, work: Work, config: AgentConfig) -> Task:
    """The task with what was said before; an agent that remembers it itself is told where."""
    history = talk_from_json(work.arguments.get("history", []))
    held = work.arguments.get("held")
    session = ""
    if isinstance(held, dict) and held.get("agent") == config.label:
        session = str(held["id"])
    return dataclasses.replace(task, history=history, session=session)


def _checking(calls: Calls) -> CallTool:
    """Calls of an agent that does not say when it asks for them: budgets are looked at for each."""

    async def call(one: ToolCall) -> ToolResult:
        calls.check()
        return await calls(one)

    return call


def _taken_up(task: Task, ask: Inquire, config: AgentConfig) -> Task:
    """The task with its bounds; an attempt that ended with a question is gone on with, where it can."""
    task = dataclasses.replace(task, bounds=ask.bounds)
    held = ask.held
    if held is None or held.get("agent") != config.label:
        return task
    return dataclasses.replace(task, session=str(held["id"]), resumed=ask.go_on)


def _schema(work: Work) -> Schema | None:
    output = work.node.output
    if output.form is OutputForm.SCHEMA:
        return output.schema
    return Anything() if output.form is OutputForm.JSON else None


def _told(ports: Ports, config: AgentConfig, changed: Callable[[Sequence[str]], None]) -> Emit:
    # what an agent that acts alone calls of its own is none of the step's calls
    calls = None if config.acts_alone else ports.calls

    def emit(event: AgentEvent) -> None:
        match event:
            case TextDelta(text):
                ports.log(text)
            case AskedAgain(reason):
                ports.log(f"\n[asked again: {reason}]\n")
            case Turned(message) if calls is not None:
                calls.said(message)
            case Called(call, None):
                ports.log(f"\n[{call.name} {_shown(call.arguments)}]\n")
            case Called(call, ToolResult() as result):
                if result.is_error:
                    ports.log(f"\n[{call.name} failed: {result.text[:200]}]\n")
                if calls is not None:
                    calls.heard(call, result)
            case Served(by, reason):
                ports.log(f"[asked {by}{f', after {reason}' if reason else ''}]\n")
            case Changed(files):
                changed(files)
            case Used(consumed) if (usage := _usage(consumed, config)) is not None:
                ports.used(usage)
            case _:
                pass

    return emit


def _shown(arguments: Mapping[str, Json]) -> str:
    text = json.dumps(dict(arguments), ensure_ascii=False)
    return text if len(text) <= 200 else text[:199] + "…"


def _usage(consumed: Consumed, config: AgentConfig, model: str = "") -> Usage | None:
    if consumed == Consumed():
        return None
    return Usage(
        consumed.input_tokens,
        consumed.cached_tokens,
        consumed.output_tokens,
        cost_of(config, consumed, model),
    )
