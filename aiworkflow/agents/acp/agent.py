"""An agent that speaks the Agent Client Protocol: begun for one task, asked, and ended.

A program acts by itself, so its failures may leave doubt: where it may change files, every end that is
not its own says `in_doubt`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING, Final

from aiworkflow.agents.acp.launch import Launch, launch, missing
from aiworkflow.agents.acp.program import Program
from aiworkflow.agents.acp.session import Session
from aiworkflow.agents.acp.updates import consumed_of
from aiworkflow.agents.changes import changed, snapshot
from aiworkflow.agents.contract import (
    Ability,
    AgentError,
    Answer,
    AskedAgain,
    Changed,
    Consumed,
    Emit,
    Message,
    PermissionRequest,
    Standing,
    Task,
    Used,
)
from aiworkflow.agents.fitting import fitting
from aiworkflow.agents.handed import handing
from aiworkflow.agents.usage import UntrueError, seen, untrue

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.agents.contract import Surroundings

_FAREWELL_S: Final = 1.0  # for a program to put its conversation away once its task is done
_LOOK_S: Final = 30.0
_GO_ON: Final = (
    "You were interrupted while a person was asked for a permission. It has been decided meanwhile:"
    " ask for it again, and go on with your task as it was."
)
_OURS: Final = frozenset({"refused", "permission", "bad_request", "expired"})
_STOPPED: Final = {
    "refusal": ("refused", "refused to go on"),
    "cancelled": ("cut_off", "says that it was cancelled"),
    "max_tokens": ("limit", "reached the most tokens it may write"),
    "max_turn_requests": ("limit", "reached the most requests it may make for a turn"),
}


class AcpAgent:
    """One program, as it is configured."""

    def __init__(self, config: AgentConfig, key: str, around: Surroundings) -> None:
        self.config = config
        self._key = key
        self._around = around

    @property
    def name(self) -> str:
        """`name/model`, as it stands in records."""
        return self.config.label

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do."""
        return frozenset(Ability)

    async def check(self) -> Standing:
        """Begin the program, and look whether it speaks the protocol."""
        began = time.monotonic()
        task = Task("")
        problem, version = "", ""
        try:
            self._look()
            found = launch(self.config, self._key, self._around)
            async with self._program(found, found.scratch) as program:
                session = Session(program, task, lambda _: None, found.scratch, found)
                try:
                    await session.greet(_LOOK_S)
                    version = session.version
                finally:
                    await session.close()
        except AgentError as error:
            problem = f"{error.message}; {error.hint}" if error.hint else error.message
        return Standing(problem, version, seconds=time.monotonic() - began)

    async def perform(self, task: Task, emit: Emit) -> Answer:
        """Do one task.

        Raises:
            AgentError: see the contract.
        """
        self._look()
        bound = self.config.timeout_s
        bound = bound if task.timeout_s is None else min(bound, task.timeout_s)
        environ = self._around.environ
        before = None
        if task.may_edit and task.cwd is not None:
            before = await asyncio.to_thread(snapshot, task.cwd, environ)
        turn = _Turn(self.name, task, emit)
        try:
            async with handing(task, emit, self._around) as server:
                answer = await self._answer(turn, task, server, bound)
        except asyncio.CancelledError:
            if before is not None and turn.has_asked:
                emit(Changed(await _since(before, task, environ)))
            raise
        except AgentError as error:
            error.consumed = turn.consumed + error.consumed
            own = turn.has_asked and error.kind not in _OURS
            error.in_doubt = error.in_doubt or (own and task.may_edit)
            if before is not None:
                error.changed = await _since(before, task, environ)
            raise
        if before is None:
            return answer
        files = (*answer.changed, *await _since(before, task, environ))
        return dataclasses.replace(answer, changed=tuple(dict.fromkeys(files)))

    async def _answer(self, turn: _Turn, task: Task, server: str, bound_s: float) -> Answer:
        found = launch(self.config, self._key, self._around, server)
        async with self._program(found, task.cwd or found.scratch) as program:
            try:
                async with task.bounds.within(bound_s):
                    return await turn.take(program, found, self.config.model)
            except TimeoutError:
                await turn.cancel()
                raise program.silence(bound_s, "finish its answer") from None
            except asyncio.CancelledError:
                await turn.cancel()
                raise
            finally:
                await turn.close()

    def _look(self) -> None:
        problem = missing(self.config.name, self.config.program, self._around.environ)
        if problem is not None:
            raise problem

    def _program(self, found: Launch, cwd: Path) -> Program:
        return Program(self.config.name, found.argv, cwd, found.env, self._around)


class _Turn:
    """The conversation of one task."""

    def __init__(self, name: str, task: Task, emit: Emit) -> None:
        self.name = name
        self.consumed = Consumed()
        self.has_asked = False
        self._task = task
        self._emit = emit
        self._session: Session | None = None

    async def cancel(self) -> None:
        if self._session is not None:
            await self._session.cancel()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def take(self, program: Program, found: Launch, model: str | None) -> Answer:
        task = self._task
        cwd = task.cwd or found.scratch
        session = self._session = Session(program, task, self._emit, cwd, found)
        await session.greet()
        loaded = bool(task.session) and await session.load(task.session)
        if not loaded:
            await session.begin(found.auth)
        if model is not None and not found.has_model:
            await session.choose(model)
        fit = fitting(task.schema) if task.schema is not None else None
        prompt = task.prompt if loaded else _with_history(task)
        if loaded and task.resumed is not None:
            task.resumed()
            prompt = _GO_ON
        if fit is not None:
            prompt = f"{prompt}\n\n{fit.words()}"
        said: list[Message] = [Message("user", task.prompt, files=task.files)]
        for number in range(1, task.asks + 2):
            stop_reason = await self._prompt(session, prompt, found.cached)
            text = session.updates.text.strip()
            said.append(Message("assistant", text))
            if session.refused is not None and (not text or stop_reason == "cancelled"):
                raise self._not_allowed(session.refused)
            if fit is None and not text:
                raise AgentError("bad_output", f"`{self.name}` gave an empty answer")
            value, problems = (None, []) if fit is None else fit.read(text)
            if not problems:
                await session.close()
                await program.end(_FAREWELL_S)
                return Answer(
                    text,
                    model or session.model,
                    self.consumed,
                    value,
                    stop_reason,
                    number,
                    tuple(said),
                    session.id,
                    session.changed(),
                )
            reason = "; ".join(problems[:5])
            if number > task.asks:
                raise AgentError(
                    "bad_output",
                    f"the answer of `{self.name}` does not fit after {number} tries: {reason}",
                    hint="make the prompt clearer about what is wanted, or the schema wider",
                )
            assert fit is not None
            self._emit(AskedAgain(reason))
            prompt = fit.again(problems)
            said.append(Message("user", prompt))
        raise AssertionError("the loop ends by itself")

    async def _prompt(self, session: Session, prompt: str, cached: bool | None) -> str:
        self.has_asked = True
        told = await session.prompt(prompt)
        try:
            if session.updates.untrue is not None:
                raise session.updates.untrue
            consumed = consumed_of(told, cached)
        except UntrueError as error:  # what was counted before is added by whoever hears of it
            raise untrue(self.name, error, seen(prompt, session.updates.text)) from None
        if consumed is not None:
            self.consumed += consumed
        if session.updates.cost_usd is not None:  # of the whole session so far
            counts = self.consumed
            self.consumed = Consumed(
                counts.input_tokens,
                counts.cached_tokens,
                counts.output_tokens,
                session.updates.cost_usd,
            )
        if self.consumed != Consumed():
            self._emit(Used(self.consumed))
        reason = str(told.get("stopReason") or "")
        if reason in _STOPPED and not (reason == "cancelled" and session.refused is not None):
            kind, words = _STOPPED[reason]
            raise AgentError(kind, f"`{self.name}` {words}")
        return reason

    def _not_allowed(self, request: PermissionRequest) -> AgentError:
        about = request.command or ", ".join(request.paths) or request.title
        return AgentError(
            "permission",
            f"`{self.name}` stopped when it was not allowed: {request.kind} {about[:300]}",
            hint="the step's log says why; `effect: write` and `allow: {paths: […]}` let a step edit"
            " files, `permit` of the agent says the rest",
        )


async def _since(
    before: Mapping[str, str], task: Task, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """The files that have changed since a snapshot."""
    assert task.cwd is not None
    after = await asyncio.to_thread(snapshot, task.cwd, environ)
    return await asyncio.to_thread(changed, task.cwd, before, after, environ)


def _with_history(task: Task) -> str:
    """The prompt, with what was said before where the program has not kept it."""
    if not task.history:
        return task.prompt
    lines = [f"{one.role}: {one.text}" for one in task.history if one.text]
    return "This was said before:\n\n" + "\n\n".join(lines) + "\n\nNow:\n\n" + task.prompt
