"""An agent that thinks nothing: it answers with what it was asked, to try things out.

With a schema its answer is the smallest value that fits. It costs what its settings say a token costs,
counting four characters as one.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final, TypeAlias, cast

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
from aiworkflow.expr import check, json_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.agents.config import AgentConfig
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema

_CHARACTERS_A_TOKEN: Final = 4
_DEEPEST: Final = 20
Document: TypeAlias = "Mapping[str, Json]"


class EchoAgent:
    """Answers with the prompt, or as its settings say: `seconds`, `text`, `fail`."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        said = config.program
        self._seconds = float(cast("float", said.get("seconds", 0)))
        self._text = cast("str | None", said.get("text"))
        self._fail = str(said.get("fail") or "")

    @property
    def name(self) -> str:
        """As it stands in records."""
        return self.config.label

    @property
    def abilities(self) -> frozenset[Ability]:
        """All there are, so that it can stand in for any agent."""
        return frozenset(Ability)

    async def check(self) -> Standing:
        """It is always there, unless it is to fail."""
        return Standing(f"it is set to fail: {self._fail}" if self._fail else "")

    async def perform(self, task: Task, emit: Emit) -> Answer:
        """Do one task.

        Raises:
            AgentError: it is set to fail, takes too long, or finds no value that fits.
        """
        try:
            async with asyncio.timeout(task.timeout_s):
                await asyncio.sleep(self._seconds)  # a slow answer is what was asked for
        except TimeoutError:
            raise AgentError(
                "timeout", f"`{self.name}` did not answer within {task.timeout_s:g} s"
            ) from None
        asked = Consumed(_tokens(task.prompt))
        if self._fail:
            raise AgentError(
                self._fail, f"`{self.name}` is set to fail: {self._fail}", consumed=asked
            )
        text = task.prompt if self._text is None else self._text
        value: Json = None
        if task.schema is not None:
            value = self._fitting(task.schema, asked)
            text = json.dumps(value, ensure_ascii=False)
        emit(TextDelta(text))
        consumed = Consumed(asked.input_tokens, 0, _tokens(text))
        said = (Message("user", task.prompt), Message("assistant", text))
        return Answer(text, self.config.model or "echo", consumed, value, "end", messages=said)

    def _fitting(self, schema: Schema, asked: Consumed) -> Json:
        value: Json
        if self._text is None:
            value = smallest(json_schema(schema))
        else:
            try:
                value = cast("Json", json.loads(self._text))
            except ValueError:
                value = self._text
        problems = check(schema, value)
        if problems:
            raise AgentError(
                "bad_output",
                f"the answer of `{self.name}` does not fit: {problems[0]}",
                hint="give the agent a `text` that does",
                consumed=asked,
            )
        return value


def smallest(document: Document, depth: int = 0) -> Json:
    """The smallest value that fits a JSON Schema, as far as that is easily found."""
    for name in ("const", "default"):
        if name in document:
            return document[name]
    several = document.get("enum") or document.get("examples")
    if isinstance(several, list) and several:
        return several[0]
    for name in ("anyOf", "oneOf", "allOf"):
        options = document.get(name)
        if isinstance(options, list) and options:
            return smallest(cast("Document", options[0]), depth + 1)
    kind = document.get("type", "object" if "properties" in document else "null")
    if isinstance(kind, list):
        kind = "null" if "null" in kind else kind[0]
    match kind:
        case "object" if depth < _DEEPEST:
            return _smallest_object(document, depth)
        case "array" if depth < _DEEPEST:
            item = cast("Document", document.get("items") or {})
            least = int(cast("int", document.get("minItems", 0)))
            return [smallest(item, depth + 1) for _ in range(min(least, 1000))]
        case "object" | "array":
            return None
        case "string":
            return "x" * min(int(cast("int", document.get("minLength", 0))), 10_000)
        case "integer" | "number":
            return _smallest_number(document)
        case "boolean":
            return False
        case _:
            return None


def _smallest_object(document: Document, depth: int) -> Json:
    fields = cast("Mapping[str, Document]", document.get("properties") or {})
    required = cast("list[str]", document.get("required") or [])
    return {name: smallest(fields.get(name, {}), depth + 1) for name in required}


def _smallest_number(document: Document) -> Json:
    least = cast("float", document.get("minimum", 0))
    most = cast("float", document.get("maximum", least))
    return min(least, most) if "minimum" in document or most < 0 else 0


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_A_TOKEN)
