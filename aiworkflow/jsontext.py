"""JSON text: written compactly, as events, values and plans are, and read strictly.

The encoder is made once: `json.JSONEncoder.encode` makes its C encoder anew for every call, which for
small values takes longer than the encoding itself.

What comes from outside is read by one rule: bodies of requests, of webhooks and of messages, lines of a
batch, and what programs print as the output of a step. Readers differ about NaN, infinities, halves of
characters and a key that is there twice: one takes the first value, another the last. What a program
prints is no exception: where it names a key twice, one of the values would be lost without a word.
"""

from __future__ import annotations

import json
import math
import re
from json import encoder as _encoder
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.engine.carried import Json

MOST_DEPTH: Final = 100
"""Levels of lists and objects within each other: what the rest of the system is made for."""

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_HALF: Final = re.compile("[\ud800-\udfff]")


class NotJson(ValueError):
    """Text is not JSON as we take it; the message says why and where.

    Attributes:
        why: what is wrong, without the place.
        column: where in its line that is, from 1; 1 where that is not known.
    """

    def __init__(self, why: str, where: str = "", column: int = 1) -> None:
        super().__init__(why + where)
        self.why, self.column = why, column


def _compact() -> Callable[[object], str]:
    plain = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    make = getattr(_encoder, "c_make_encoder", None)  # not in every interpreter
    if make is None:
        return plain.encode
    chunks = make(
        None, plain.default, _encoder.encode_basestring, None, ":", ",", False, False, False
    )
    join = "".join

    def encode(value: object) -> str:
        return join(chunks(value, 0))

    return encode


compact = _compact()
"""A value as JSON without spaces, beyond ASCII as it is. Raises ValueError for NaN and infinities."""


def strict_json(text: str) -> Json:
    """JSON without what JSON does not have: NaN, infinities, doubled keys, halves of characters.

    Raises:
        NotJson: it is none, or is nested more than `MOST_DEPTH` levels deep.
    """
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f" at line {error.lineno}, column {error.colno}{_near(error.doc, error.pos)}"
        raise NotJson(error.msg.lower(), where, error.colno) from None
    except RecursionError:
        raise NotJson(f"it is nested deeper than {MOST_DEPTH} levels") from None
    except NotJson:
        raise
    except ValueError:  # Python's limit on digits, against quadratic time
        raise NotJson("it holds a whole number of thousands of digits") from None
    # what has few containers cannot hold many within each other
    if text.count("{") + text.count("[") > MOST_DEPTH and is_deep(value):
        raise NotJson(f"it is nested deeper than {MOST_DEPTH} levels")
    if "\\" in text and _SURROGATE.search(text):  # most texts escape nothing
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise NotJson(r"it holds half a surrogate pair (`\ud…`), which is no text") from None
    return cast("Json", value)


def strict_json_bytes(content: bytes) -> Json:
    """The same of bytes.

    Raises:
        NotJson: as `strict_json`, and where they are not UTF-8.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise NotJson("it is not UTF-8") from None
    return strict_json(text)


def _near(text: str, position: int) -> str:
    shown = text[position : position + 20].split("\n", maxsplit=1)[0]
    return f", near `{shown}`" if shown.strip() else ""


def _no_constant(name: str) -> float:
    raise NotJson(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotJson(f"the number {text[:30]} is too large")
    return number


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotJson(f"the key `{key[:60]}` is there twice in one object")
            seen.add(key)
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_without_doubles
)


def is_deep(value: object) -> bool:
    """Whether containers are nested deeper than `MOST_DEPTH`."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def flaw_of(value: object, depth: int = 0) -> str:
    """Why no journal can hold a value, as what follows "it", or nothing.

    Numbers that are none or have no end, halves of surrogate pairs, what nests too deeply, and what a
    program may have and JSON has not.
    """
    if depth >= MOST_DEPTH and isinstance(value, dict | list | tuple):
        return f"is nested more than {MOST_DEPTH} levels deep"
    if isinstance(value, str):
        if not value.isascii() and _HALF.search(value):
            return "holds half a surrogate pair, which is no text"
    elif isinstance(value, float):
        if not math.isfinite(value):
            return f"holds {value}, which is no number of JSON"
    elif isinstance(value, dict):
        for key, below in value.items():
            flaw = flaw_of(key) or flaw_of(below, depth + 1)
            if flaw:
                return flaw
    elif isinstance(value, list | tuple):
        for below in value:
            flaw = flaw_of(below, depth + 1)
            if flaw:
                return flaw
    elif value is not None and not isinstance(value, int):
        return f"holds {type(value).__name__}, which JSON does not have"
    return ""
