"""Whether arguments and results fit the schemas of a tool, which its server wrote: any at all.

A schema from outside must not hurt: references end (`expr.validator`), lead nowhere outside, and a
pattern whose match could take for ever is left out of the check.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.patterns import is_costly
from aiworkflow.expr.validator import TooManyReferences, validator_for
from aiworkflow.steady import one_line
from aiworkflow.tools.contract import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiworkflow.bundle.workflow import Json

_MOST: Final = 5


def check_arguments(name: str, schema: Mapping[str, Json], arguments: Mapping[str, Json]) -> None:
    """Refuse arguments that do not fit.

    Raises:
        ToolError: `input`, with the first problems. `output`: the schema is none.
    """
    problems = _problems(f"`{name}`: the schema of its arguments", schema, dict(arguments))
    if not problems:
        return
    properties, required = schema.get("properties"), schema.get("required")
    needed = required if isinstance(required, list) else []
    known = properties if isinstance(properties, dict) else {}
    takes = one_line(", ".join(one if one in needed else f"{one}?" for one in known))
    raise ToolError(
        "input",
        f"`{name}` was not called: {problems}",
        hint=f"it takes {takes}" if takes else "it takes no arguments: leave `with` out",
    )


def check_result(name: str, schema: Mapping[str, Json], value: Json) -> None:
    """Refuse a result that does not fit what the tool itself declares. Raises ToolError: `output`."""
    if value is None:
        raise ToolError("output", f"`{name}` declares a structured result, and gave none")
    problems = _problems(f"`{name}`: the schema of its result", schema, value)
    if problems:
        raise ToolError("output", f"`{name}` gave what does not fit its own schema: {problems}")


def _problems(what: str, schema: Mapping[str, Json], value: Json) -> str:
    from jsonschema import SchemaError
    from referencing.exceptions import Unresolvable

    wrong = (SchemaError, Unresolvable, ValueError, TypeError, AttributeError, LookupError)
    try:
        harmless = json.loads(_harmless(json.dumps(schema)))
        errors = validator_for(harmless, value).iter_errors(value)
        found = sorted(errors, key=lambda one: str(one.path))
    except (TooManyReferences, RecursionError) as error:
        raise ToolError("output", f"{what} is too deep to check by") from error
    except wrong as error:
        text = f"{what} is wrong: {one_line(str(error))}"
        raise ToolError("output", text, hint="tell whoever makes the server") from error
    return "; ".join(f"{_where(one.absolute_path)}{one_line(one.message)}" for one in found[:_MOST])


@lru_cache(maxsize=256)
def _harmless(schema: str) -> str:
    """A schema without the patterns that could take for ever."""
    return json.dumps(_without_costly(json.loads(schema)))


def _without_costly(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_without_costly(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Json] = {}
    for key, below in schema.items():
        if key == "pattern" and isinstance(below, str) and is_costly(below):
            continue
        if key == "patternProperties" and isinstance(below, dict) and any(map(is_costly, below)):
            continue
        kept[key] = _without_costly(below)
    return kept


def _where(path: Iterable[str | int]) -> str:
    words = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in path)
    return f"`{one_line(words.removeprefix('.'))}`: " if words else ""
