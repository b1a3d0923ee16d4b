"""Answers that must fit a schema, of agents that can only be asked for it in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.expr import JsonSchema, ObjectOf, Property, check, json_schema
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema

WRAPPED: Final = "value"


@record
class Fitting:
    """A schema as it is asked for: what is no object travels as a field of one."""

    schema: Schema
    asked: Schema

    def words(self) -> str:
        """What a prompt says of it."""
        document = json.dumps(json_schema(self.asked), ensure_ascii=False)
        return (
            "Answer with one JSON object that fits this JSON schema, and nothing else:\n" + document
        )

    def again(self, problems: list[str]) -> str:
        """What is said when an answer did not fit."""
        return (
            "Your answer does not fit the JSON schema:\n"
            + "\n".join(f"- {problem}" for problem in problems)
            + "\nAnswer again with the corrected JSON object only."
        )

    def read(self, text: str) -> tuple[Json, list[str]]:
        """The value of an answer, and what is wrong with it."""
        try:
            value = _object(text)
        except (ValueError, RecursionError) as error:
            return None, [f"it is no JSON: {error}"]
        return self.check(value)

    def check(self, value: Json) -> tuple[Json, list[str]]:
        """The same of an answer that is no text any more."""
        problems = [str(problem) for problem in check(self.asked, value)]
        if self.asked is not self.schema and not problems:
            value = cast("dict[str, Json]", value)[WRAPPED]
        return value, problems


def fitting(schema: Schema) -> Fitting:
    """How a schema is asked for."""
    if isinstance(schema, ObjectOf) or json_schema(schema).get("type") == "object":
        return Fitting(schema, schema)
    return Fitting(schema, ObjectOf({WRAPPED: Property(schema)}))


def misfit(parameters: Mapping[str, Json], arguments: Mapping[str, Json]) -> str:
    """What is wrong with the arguments of a call, in words for the model; "" for nothing."""
    problems = [
        str(one)
        for one in check(JsonSchema(parameters), dict(arguments))
        # what is wrong with the schema no model can mend: the tool itself will see
        if "cannot be checked" not in one.message
    ]
    return (
        "the arguments do not fit the tool's schema: " + "; ".join(problems[:5]) if problems else ""
    )


def _object(text: str) -> Json:
    """The JSON of an answer: alone, in a fence, or last in it; the first error counts."""
    text = text.strip()
    try:
        return _parsed(text)
    except ValueError as error:
        first = error
    _, fence, fenced = text.rpartition("```json")
    for part in (fenced.split("```", 1)[0] if fence else "", text[text.find("{") :]):
        end = part.rfind("}") + 1
        if end:
            try:
                return _parsed(part[:end].strip())
            except ValueError:
                continue
    raise first


def _parsed(text: str) -> Json:
    return cast("Json", json.loads(text, parse_constant=_no_constant))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
