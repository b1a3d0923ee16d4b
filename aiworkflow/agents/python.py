"""An agent that is a function of the program that uses us: given to `connect(agents=…)`."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

from aiworkflow.agents.contract import (
    Ability,
    AgentError,
    Answer,
    Consumed,
    Emit,
    Message,
    Standing,
    Task,
    TextDelta,
)
from aiworkflow.expr import check

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema

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

        def seen(event: object) -> None:
            nonlocal emitted
            emitted = emitted or isinstance(event, TextDelta)
            emit(event)  # type: ignore[arg-type]

        consumed = Consumed()
        asked, problem = task, ""
        for turn in range(1, task.asks + 2):
            answer = await self._called(asked, seen, give_up - time.monotonic(), bound)
            consumed += answer.consumed
            problem, value = _fits(answer, task.schema)
            if not problem:
                if not emitted:
                    emit(TextDelta(answer.text))
                return replace(
                    answer, value=value, consumed=consumed, turns=max(turn, answer.turns)
                )
            if turn <= task.asks:
                said = (Message("user", asked.prompt), Message("assistant", answer.text))
                asked = replace(
                    task,
                    prompt=f"Your answer does not fit: {problem}. Answer again.",
                    history=(*asked.history, *said),
                )
        raise AgentError(
            "bad_output",
            f"the answer of `{self.name}` does not fit after {task.asks + 1} tries: {problem}",
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


def _fits(answer: Answer, schema: Schema | None) -> tuple[str, Json]:
    """What is wrong with an answer, "" for nothing; and its value."""
    if schema is None:
        return ("" if answer.text.strip() else "it is empty"), None
    value = answer.value
    if value is None:
        try:
            value = cast("Json", json.loads(answer.text))
        except ValueError as error:
            return f"it is no JSON: {error}", None
    return "; ".join(str(one) for one in check(schema, value)[:5]), value
