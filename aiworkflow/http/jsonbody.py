"""Bodies of requests: strict JSON of bounded size and depth, checked against a schema."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NoReturn, cast

from aiworkflow.http.problem import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.engine.carried import Json

MOST_DEPTH: Final = 64
_MOST_DIGITS: Final = 400
_MOST_PROBLEMS: Final = 20
_LINE: Final = 200
_PARTS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[{\]}]', re.DOTALL)


def read_json(content: bytes) -> Json:
    """A JSON text, and nothing that only some readers take for one.

    Raises:
        RequestRefused: it is not UTF-8 or not JSON, nests too deeply, names a key twice, or holds NaN
            or an infinity.
    """
    try:
        text = content.decode("utf-8")
        if _depth(text) > MOST_DEPTH:
            raise _refused(f"it nests more than {MOST_DEPTH} levels deep")
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_int=_int)
        json.dumps(found, allow_nan=False)  # 1e999 is read as an infinity
    except UnicodeError as error:
        raise _refused("it is not UTF-8") from error
    except RecursionError as error:
        raise _refused("it nests too deeply") from error
    except ValueError as error:
        raise _refused(str(error)) from error
    if _has_surrogate(found):
        raise _refused("a text in it is half a character")
    return cast("Json", found)


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


def _depth(text: str) -> int:
    """How deeply brackets nest outside of texts; of what is no JSON, some number."""
    if text.count("[") + text.count("{") <= MOST_DEPTH:
        return 0
    deepest = depth = 0
    for found in _PARTS.finditer(text):
        part = found[0]
        if part in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif part in "]}":
            depth -= 1
    return deepest


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key `{twice[:_LINE]}` stands there twice")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"`{word}` is no JSON")


def _int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number has too many digits")
    return int(digits)


def _has_surrogate(value: object) -> bool:
    text = json.dumps(value, ensure_ascii=False)
    return any("\ud800" <= c <= "\udfff" for c in text) if not text.isascii() else False


def _refused(why: str) -> RequestRefused:
    return RequestRefused(
        "invalid-json", f"the body is no JSON: {why}", hint="send one JSON object, in UTF-8"
    )
