"""An agent that answers what was recorded, and asks nobody: no network, no tokens, no key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from aiworkflow.agents.contract import (
    Ability,
    AgentError,
    Answer,
    Called,
    Emit,
    Message,
    Standing,
    Task,
    TextDelta,
    ToolCall,
    Used,
)
from aiworkflow.agents.usage import seen, untrue
from aiworkflow.expr import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.agents.answers import RecordedAnswer
    from aiworkflow.bundle.workflow import Json


class ReplayAgent:
    """Answers from recordings.

    Args:
        name: what it is called where a recording does not say who answered.
        find: the recording for a prompt; raises AgentError where there is none.
    """

    def __init__(self, name: str, find: Callable[[str], RecordedAnswer]) -> None:
        self._name = name
        self._find = find

    @property
    def name(self) -> str:
        """Who gave the recorded answer, as `name/model`."""
        return self._name

    @property
    def abilities(self) -> frozenset[Ability]:
        """All: whoever was recorded had them."""
        return frozenset(Ability)

    async def perform(self, task: Task, emit: Emit) -> Answer:
        """Make the recorded calls, give the recorded answer, checked against the schema as it is.

        Raises:
            AgentError: what was recorded, or `bad_output`: the answer does not fit any more.
        """
        found = self._find(task.prompt)
        self._name = found.agent or self._name
        handed = {one.name for one in task.tools}
        for number, (tool, given) in enumerate(found.calls, 1):
            call = ToolCall(f"call-{number}", tool, given)
            if tool not in handed:
                raise AgentError(
                    "not_found",
                    f"`{self._name}` called `{tool}` when it was recorded, which it may not any more",
                    hint="record it again, or mend `calls` of the recorded answer",
                )
            emit(Called(call, await task.call(call)))
        if found.error is not None:
            error = found.error
            raise AgentError(
                error.kind,
                error.message,
                hint=error.hint,
                retry_after_s=error.retry_after_s,
                consumed=found.consumed,
                in_doubt=error.in_doubt,
            )
        if found.untrue:
            raise untrue(self._name, found.untrue, seen(task.prompt, found.text))
        if task.schema is None and not found.text.strip():
            raise AgentError(
                "bad_output",
                f"the recorded answer of `{self._name}` is empty",
                hint="write it, or record it again",
                consumed=found.consumed,
            )
        emit(TextDelta(found.text))
        emit(Used(found.consumed))
        value = self._value(task, found) if task.schema is not None else None
        said = (Message("user", task.prompt, files=task.files), Message("assistant", found.text))
        return Answer(
            found.text,
            self._name.partition("/")[2],
            found.consumed,
            value,
            "end",
            messages=said,
            session=task.session,
        )

    def _value(self, task: Task, found: RecordedAnswer) -> Json:
        assert task.schema is not None
        try:
            value = cast("Json", json.loads(found.text))
        except ValueError as error:
            problem = f"it is no JSON: {error}"
        else:
            problems = [str(one) for one in check(task.schema, value)]
            if not problems:
                return value
            problem = "; ".join(problems[:5])
        raise AgentError(
            "bad_output",
            f"the recorded answer does not fit: {problem}",
            hint="record it again, or mend the recorded answer",
            consumed=found.consumed,
        )

    async def check(self) -> Standing:
        """It can always be used."""
        return Standing()
