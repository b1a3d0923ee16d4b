"""Answers of agents that only speak: a schema is asked for in words, and read out of what they say."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.expr import check, json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema

_FENCE: Final = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL)
_OPENS: Final = re.compile(r"[{\[]")
_MOST_LOOKS: Final = 50  # places in prose where JSON is looked for


def asking(prompt: str, schema: Schema | None) -> str:
    """The prompt, with what the answer must look like."""
    if schema is None:
        return prompt
    document = json.dumps(json_schema(schema), ensure_ascii=False)
    return (
        f"{prompt}\n\nWhen you are done, answer with JSON that fits this JSON schema, "
        f"and with nothing else:\n{document}"
    )


def asking_again(problems: list[str], schema: Schema) -> str:
    """What is said to an agent whose answer did not fit."""
    document = json.dumps(json_schema(schema), ensure_ascii=False)
    listed = "\n".join(f"- {problem}" for problem in problems[:20])
    return (
        f"Your answer does not fit the JSON schema:\n{listed}\n"
        f"Answer again with the corrected JSON only. The JSON schema:\n{document}"
    )


def fitted(text: str, schema: Schema) -> tuple[Json, list[str]]:
    """The value that an answer holds, and what is wrong with it; the best of what is found in it."""
    first: tuple[Json, list[str]] | None = None
    for value in _values(text):
        problems = [str(problem) for problem in check(schema, value)]
        if not problems:
            return value, []
        first = first or (value, problems)
    return first or (None, ["it is no JSON"])


def _values(text: str) -> Iterator[Json]:
    """Whatever JSON an answer holds: all of it, its fences from the last, then what stands in prose."""
    for one in [text, *reversed(_FENCE.findall(text))]:
        try:
            yield cast("Json", json.loads(one.strip(), parse_constant=_no_constant))
        except (ValueError, RecursionError):
            continue
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    end = 0
    for at, found in enumerate(_OPENS.finditer(text)):
        if at >= _MOST_LOOKS:
            return
        if found.start() < end:
            continue
        try:
            value, end = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            continue
        yield cast("Json", value)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
