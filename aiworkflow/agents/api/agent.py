"""An agent over an API: asks, checks the answer against its schema, asks again when it does not fit."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final, cast

from aiworkflow.agents.api.protocols import PROTOCOLS, Message, Turn
from aiworkflow.agents.contract import (
    Ability,
    AgentError,
    Answer,
    AskedAgain,
    Consumed,
    Emit,
    Standing,
    Task,
    TextDelta,
)
from aiworkflow.expr import ObjectOf, Property, check, json_schema

if TYPE_CHECKING:
    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema

_WRAPPED: Final = "value"


class ApiAgent:
    """One configured model over one of the protocols."""

    def __init__(self, config: AgentConfig, key: str) -> None:
        self.config = config
        self._key = key
        self._ask = PROTOCOLS[config.api]

    @property
    def name(self) -> str:
        """`name/model`, as it stands in records."""
        return self.config.label

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do."""
        return frozenset({Ability.STRUCTURED})

    async def check(self) -> Standing:
        """Look whether the server answers."""
        from aiworkflow.agents.api.http import reach

        return await reach(self.config.url)

    async def perform(self, task: Task, emit: Emit) -> Answer:
        """Do one task.

        Raises:
            AgentError: see the contract.
        """
        wanted = _as_object(task.schema)
        document = json_schema(wanted) if wanted is not None else None
        messages = [Message("user", _prompt(task, document))]
        bound = self.config.timeout_s
        bound = bound if task.timeout_s is None else min(bound, task.timeout_s)
        give_up = time.monotonic() + bound
        consumed = Consumed()
        for turn_number in range(1, task.asks + 2):
            try:
                turn = await self._ask(
                    self.config,
                    self._key,
                    messages,
                    document,
                    max(0.001, give_up - time.monotonic()),
                    lambda text: emit(TextDelta(text)) if text else None,
                )
            except AgentError as error:
                error.consumed = consumed + error.consumed
                raise
            consumed += turn.consumed
            if wanted is None:
                if not turn.text.strip():
                    raise AgentError(
                        "bad_output", f"`{self.name}` gave an empty answer", consumed=consumed
                    )
                return Answer(turn.text, turn.model, consumed, None, turn.stop_reason, turn_number)
            value, problems = _read(turn, wanted, task.schema)
            if not problems:
                return Answer(turn.text, turn.model, consumed, value, turn.stop_reason, turn_number)
            reason = "; ".join(problems[:5])
            if turn_number > task.asks:
                raise AgentError(
                    "bad_output",
                    f"the answer of `{self.name}` does not fit after {turn_number} tries: {reason}",
                    hint="make the prompt clearer about what is wanted, or the schema wider",
                    consumed=consumed,
                )
            emit(AskedAgain(reason))
            messages += [
                Message("assistant", turn.text or "(nothing)"),
                Message(
                    "user",
                    "Your answer does not fit the JSON schema:\n"
                    + "\n".join(f"- {problem}" for problem in problems)
                    + "\nAnswer again with the corrected JSON object only.",
                ),
            ]
        raise AssertionError("the loop ends by itself")


def _as_object(schema: Schema | None) -> Schema | None:
    """APIs take objects only: anything else travels as a field of one."""
    if schema is None or isinstance(schema, ObjectOf):
        return schema
    document = json_schema(schema)
    if document.get("type") == "object":
        return schema
    return ObjectOf({_WRAPPED: Property(schema)})


def _prompt(task: Task, document: dict[str, Json] | None) -> str:
    if document is None:
        return task.prompt
    # said in words too: not every server enforces the schema it is given
    return (
        f"{task.prompt}\n\nAnswer with one JSON object that fits this JSON schema, and nothing else:\n"
        f"{json.dumps(document, ensure_ascii=False)}"
    )


def _read(turn: Turn, wanted: Schema, original: Schema | None) -> tuple[Json, list[str]]:
    text = turn.text.strip()
    if text.startswith("```"):
        text = text.split("\n", 1)[-1].rsplit("```", 1)[0]
    try:
        value = cast("Json", json.loads(text, parse_constant=_no_constant))
    except ValueError as error:
        return None, [f"it is no JSON: {error}"]
    problems = [str(problem) for problem in check(wanted, value)]
    if wanted is not original and not problems:
        value = cast("dict[str, Any]", value)[_WRAPPED]
    return value, problems


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
