"""An agent that is a function of the program that uses us: given to `connect(agents=…)`."""

from __future__ import annotations

import asyncio
import inspect
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from aiworkflow.agents.contract import (
    Ability,
    AgentError,
    AgentEvent,
    Answer,
    AskedAgain,
    Consumed,
    Emit,
    Message,
    Standing,
    Task,
    TextDelta,
    Used,
)
from aiworkflow.agents.fitting import Fitting
from aiworkflow.agents.usage import UntrueError, plausible, seen, untrue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.bundle.workflow import Json

_EMPTY: Final = "Your answer is empty. Answer again, in words."

AgentFunction: TypeAlias = "Callable[[Task, Emit], Awaitable[Answer | str]]"


class PythonAgent:
    """Calls the function; what it answers is checked like any answer.

    A text that is to be an object is read as JSON. An exception that is no `AgentError` fails the step
    as one of kind `agent`.
    """

    def __init__(self, config: AgentConfig, function: AgentFunction) -> None:
        self.config = config
        self._function = function

    @property
    def name(self) -> str:
        """As it stands in records."""
        return self.config.label

    @property
    def abilities(self) -> frozenset[Ability]:
        """All there are: a function is given the whole task."""
        return frozenset(Ability)

    async def check(self) -> Standing:
        """A function that is here can be called."""
        return Standing()

    async def perform(self, task: Task, emit: Emit) -> Answer:
        """Do one task.

        Raises:
            AgentError: the function has failed, takes too long, or its answer does not fit.
        """
        bound = self.config.timeout_s if task.timeout_s is None else task.timeout_s
        give_up = time.monotonic() + bound
        emitted = False

        def heard(event: AgentEvent) -> None:
            nonlocal emitted
            emitted = emitted or isinstance(event, TextDelta)
            if isinstance(event, Used):
                try:
                    event = Used(consumed + plausible(event.consumed))
                except UntrueError:
                    return  # what the answer says in the end is checked again
            emit(event)

        # a function answers with what was asked for: nothing travels as a field of an object
        wanted = Fitting(task.schema, task.schema) if task.schema is not None else None
        consumed = Consumed()
        asked, reason = task, ""
        for turn in range(1, task.asks + 2):
            answer = await self._called(asked, heard, give_up - time.monotonic(), bound)
            try:
                consumed += plausible(answer.consumed)
            except UntrueError as error:
                failed = untrue(self.name, error, seen(asked.prompt, answer.text))
                failed.consumed += consumed
                raise failed from None
            value, problems = _read(answer, wanted)
            if not problems:
                if not emitted:
                    emit(TextDelta(answer.text))
                return replace(
                    answer, value=value, consumed=consumed, turns=max(turn, answer.turns)
                )
            reason = "; ".join(problems[:5])
            if turn <= task.asks:
                emit(AskedAgain(reason))
                said = (Message("user", asked.prompt), Message("assistant", answer.text))
                asked = replace(
                    task,
                    prompt=_EMPTY if wanted is None else wanted.again(problems),
                    history=(*asked.history, *said),
                )
        raise AgentError(
            "bad_output",
            f"the answer of `{self.name}` does not fit after {task.asks + 1} tries: {reason}",
            consumed=consumed,
        )

    async def _called(self, task: Task, emit: Emit, left_s: float, bound_s: float) -> Answer:
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                answering = self._function(task, emit)
                is_one = inspect.isawaitable(answering)
                answer = await answering if is_one else None
        except TimeoutError:
            raise AgentError(
                "timeout", f"`{self.name}` did not answer within {bound_s:g} s"
            ) from None
        except AgentError:
            raise
        except Exception as error:
            raise AgentError(
                "agent", f"`{self.name}` has failed: {type(error).__name__}: {error}"
            ) from error
        if not is_one:
            raise AgentError(
                "agent", f"`{self.name}` cannot be awaited", hint="write it as `async def`"
            )
        if isinstance(answer, Answer):
            return answer
        if isinstance(answer, str):
            return Answer(answer, self.config.model or self.config.name)
        raise AgentError(
            "bad_output",
            f"`{self.name}` answered with {type(answer).__name__}",
            hint="return a text or an `Answer`",
        )


def _read(answer: Answer, wanted: Fitting | None) -> tuple[Json, list[str]]:
    """The value of an answer, and what is wrong with it."""
    if wanted is None:
        return None, [] if answer.text.strip() else ["it is empty"]
    if answer.value is None:
        return wanted.read(answer.text)
    return wanted.check(answer.value)
