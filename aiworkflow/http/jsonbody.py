"""Bodies of requests: strict JSON of bounded size and depth, checked against a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.http.problem import RequestRefused
from aiworkflow.jsontext import NotJson, strict_json_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.engine.carried import Json

_MOST_PROBLEMS: Final = 20
_LINE: Final = 200


def read_json(content: bytes) -> Json:
    """A JSON text, and nothing that only some readers take for one; see `strict_json`.

    Raises:
        RequestRefused: it is none.
    """
    try:
        return strict_json_bytes(content)
    except NotJson as error:
        raise RequestRefused(
            "invalid-json", f"the body is no JSON: {error}", hint="send one JSON object, in UTF-8"
        ) from None


def check_body(schema: Mapping[str, Json], value: Json) -> None:
    """Whether a body fits its schema.

    Raises:
        RequestRefused: with all that is wrong.
    """
    problems = misfits(schema, value)
    if problems:
        count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        listed = "; ".join(problems)
        raise RequestRefused(
            "invalid-request",
            f"the body has {count}: {listed}",
            hint="see /api/v1/openapi.json for what this request takes",
            problems=tuple(problems),
        )


def misfits(schema: Mapping[str, Json], value: Json) -> Sequence[str]:
    """What is wrong with a value, one line each."""
    from jsonschema import Draft202012Validator

    found = []
    for error in Draft202012Validator(schema).iter_errors(value):
        where = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
        )
        text = f"`{where.lstrip('.')}`: {error.message}" if where else error.message
        found.append(text if len(text) <= _LINE else text[: _LINE - 1] + "…")
        if len(found) == _MOST_PROBLEMS:
            break
    return found
