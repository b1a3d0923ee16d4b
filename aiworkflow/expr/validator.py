"""Validators of JSON Schema whose references end: `$ref` twice in each of thirty definitions is 2³⁰."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

    from aiworkflow.expr.types import Json

_LEAST: Final = 20_000  # references that may be followed for the smallest value
_EACH: Final = 10  # and for each value within it


class TooManyReferences(Exception):
    """A check follows more references than a schema needs that people write."""


def validator_for(document: Mapping[str, Json], value: Json) -> Validator:
    """A validator for one check of one value.

    Its use raises `TooManyReferences` where a check would take exponential time.
    """
    text = json.dumps(document, sort_keys=True)
    return _counting(json.loads(text), value) if '"$ref"' in text else _plain(text)


@lru_cache(maxsize=64)
def _plain(document: str) -> Validator:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return Draft202012Validator(json.loads(document), registry=Registry())


def _counting(document: Json, value: Json) -> Validator:
    from jsonschema import Draft202012Validator, validators
    from referencing import Registry

    follow = Draft202012Validator.VALIDATORS["$ref"]
    left = _LEAST + _EACH * _size(value)

    def counted(
        validator: Validator, reference: str, instance: Json, schema: Json
    ) -> Iterator[ValidationError]:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooManyReferences
        yield from follow(validator, reference, instance, schema) or ()

    made = validators.extend(Draft202012Validator, {"$ref": counted})  # type: ignore[no-untyped-call]
    result: Validator = made(document, registry=Registry())
    return result


def _size(value: Json) -> int:
    total, pending = 0, [value]
    while pending:
        one = pending.pop()
        total += 1
        if isinstance(one, Mapping):
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)
    return total


def in_our_words(error: ValidationError, shown: Callable[[object], str]) -> str:
    """What a value must be, for what is wrong most often; else the words of the library.

    Args:
        shown: a value in a message.
    """
    wanted = error.validator_value
    if error.validator == "enum" and isinstance(wanted, list):
        listed = ", ".join(one if isinstance(one, str) else shown(one) for one in wanted)
        return f"must be one of {listed}, not {shown(error.instance)}"[:300]
    if error.validator == "type" and isinstance(wanted, str) and wanted in _TYPES:
        return f"must be {_TYPES[wanted]}, not {shown(error.instance)}"
    return error.message[:300]


_TYPES: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
