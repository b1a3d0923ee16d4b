"""Checks JSON Schema as written in a bundle, keyword by keyword, with the place of each mistake.

This is a check of form, without the `jsonschema` package: loading that would cost more than reading
the whole bundle. References may point only within the schema itself: reading touches no network.
"""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

import operator
import re
import warnings
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.patterns import is_costly
from aiworkflow.bundle.readers import describe
from aiworkflow.bundle.yaml_nodes import Mapping, Node, Scalar, Sequence
from aiworkflow.diagnostics.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as MappingOf

    from aiworkflow.bundle.reading import Reading
    from aiworkflow.bundle.workflow import Json

TYPES: Final = ("string", "integer", "number", "boolean", "array", "object", "null")
_LONGEST_PATTERN: Final = 1000


def _is_number(node: Node) -> bool:
    return (
        isinstance(node, Scalar)
        and isinstance(node.value, (int, float))
        and not isinstance(node.value, bool)
    )


def _is_count(node: Node) -> bool:
    return isinstance(node, Scalar) and type(node.value) is int and node.value >= 0


def _is_positive(node: Node) -> bool:
    return isinstance(node, Scalar) and _is_number(node) and float(node.value or 0) > 0


def _is_text(node: Node) -> bool:
    return isinstance(node, Scalar) and isinstance(node.value, str)


def _is_flag(node: Node) -> bool:
    return isinstance(node, Scalar) and isinstance(node.value, bool)


def _is_list(node: Node) -> bool:
    return isinstance(node, Sequence)


def _is_enum(node: Node) -> bool:
    return isinstance(node, Sequence) and bool(node.items)


def _is_texts(node: Node) -> bool:
    return isinstance(node, Sequence) and all(_is_text(item) for item in node.items)


def _is_anything(_: Node) -> bool:
    return True


def _is_types(node: Node) -> bool:
    nodes = node.items if isinstance(node, Sequence) else (node,)
    return bool(nodes) and all(_is_text(one) and _text(one) in TYPES for one in nodes)


def _is_pattern(node: Node) -> bool:
    if not _is_text(node) or len(_text(node)) > _LONGEST_PATTERN:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what future versions may take differently
            re.compile(_text(node))
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_reference(node: Node) -> bool:
    return _is_text(node) and _text(node).startswith("#")


def _text(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else ""


_VALUES: Final[dict[str, tuple[Callable[[Node], bool], str]]] = {
    "type": (_is_types, "one of " + ", ".join(f"`{word}`" for word in TYPES) + ", or a list of them"),
    "enum": (_is_enum, "a list of the allowed values"),
    "const": (_is_anything, "a value"),
    "default": (_is_anything, "a value"),
    "examples": (_is_list, "a list"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (_is_number, "a number")),
    "multipleOf": (_is_positive, "a number greater than 0"),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
         "minContains", "maxContains"),
        (_is_count, "a whole number of at least 0"),
    ),
    "pattern": (_is_pattern, "a regular expression"),
    **dict.fromkeys(
        ("format", "title", "description", "$comment", "$schema", "$id", "$anchor",
         "contentEncoding", "contentMediaType"),
        (_is_text, "text"),
    ),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), (_is_flag, "`true` or `false`")),
    "required": (_is_texts, "a list of names"),
    "$ref": (_is_reference, "a reference within the schema, `#/…`"),
}  # fmt: skip
_SCHEMAS: Final = (
    "items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS: Final = ("properties", "patternProperties", "$defs", "dependentSchemas")

KEYWORDS: Final = frozenset((*_VALUES, *_SCHEMAS, *_LISTS, *_MAPS))


def check_json_schema(node: Node, name: str, reading: Reading) -> bool:
    """Whether a node is a JSON Schema; reports each thing that is not.

    Args:
        node: the schema.
        name: dotted name of the setting, for messages.
        reading: gets the findings.
    """
    if _is_flag(node):
        return True
    if not isinstance(node, Mapping):
        return _wrong(node, name, "a JSON Schema: a map, `true` or `false`", reading)
    return all(_keyword(entry.key, entry.value, name, reading) for entry in node.entries)


def _keyword(key: Scalar, value: Node, name: str, reading: Reading) -> bool:
    word = key.text
    below = f"{name}.{word}"
    if word in _VALUES:
        fits, expects = _VALUES[word]
        if word == "pattern" and fits(value):
            return _is_cheap(value, below, reading)
        return fits(value) or _wrong(value, below, expects, reading)
    if word in _SCHEMAS:
        return check_json_schema(value, below, reading)
    if word in _LISTS:
        if not isinstance(value, Sequence) or not value.items:
            return _wrong(value, below, "a list of JSON Schemas", reading)
        return all(check_json_schema(item, below, reading) for item in value.items)
    if word in _MAPS:
        if not isinstance(value, Mapping):
            return _wrong(value, below, "a map of names to JSON Schemas", reading)
        return all(
            (word != "patternProperties" or _is_name_pattern(entry.key, below, reading))
            and check_json_schema(entry.value, f"{below}.{entry.key.text}", reading)
            for entry in value.entries
        )
    if reading.is_full:
        return False
    reading.report.error(
        "AW519",
        key.place,
        f"`{word[:40]}` is no keyword of JSON Schema",
        did_you_mean(word, KEYWORDS) or "remove it",
    )
    return False


def _is_name_pattern(key: Scalar, name: str, reading: Reading) -> bool:
    if not _is_pattern(key):
        return _wrong(key, f"{name}.{key.text[:40]}", "a regular expression", reading)
    return _is_cheap(key, name, reading)


def _is_cheap(pattern: Node, name: str, reading: Reading) -> bool:
    if not is_costly(_text(pattern)):
        return True
    reading.report.error(
        "AW532",
        pattern.place,
        f"`{name}` can take for ever: one repetition can match the same text in many ways",
        "let each character be matched in one way only: `^[a-z]+( [a-z]+)*$`",
    )
    return False


def _wrong(node: Node, name: str, expects: str, reading: Reading) -> bool:
    if not (isinstance(node, Scalar) and node.spoilt):
        reading.report.error("AW519", node.place, f"`{name}` takes {expects}, not {describe(node)}")
    return False


# -- documents of one type and plain constraints ---------------------------------------------------

_BOUNDS: Final[dict[str, tuple[Callable[[float, float], bool], str]]] = {
    "minimum": (operator.ge, "at least"),
    "maximum": (operator.le, "at most"),
    "exclusiveMinimum": (operator.gt, "more than"),
    "exclusiveMaximum": (operator.lt, "less than"),
}
_PLAIN: Final = frozenset((*_BOUNDS, "type", "enum", "title", "description", "examples", "default"))


def is_plain(document: MappingOf[str, Json]) -> bool:
    """Whether `plain_problem` can judge by a document: a type of single values, bounds, `enum`."""
    kind = document.get("type")
    return kind in {"string", "integer", "number", "boolean"} and document.keys() <= _PLAIN


def plain_problem(document: MappingOf[str, Json], value: Json) -> str | None:
    """Why a value does not fit a plain document, or None where it does."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        "string": isinstance(value, str),
        "integer": number and float(cast("float", value)).is_integer(),
        "number": number,
        "boolean": isinstance(value, bool),
    }
    kind = document["type"]
    if not fits[str(kind)]:
        return f"it must be of type `{kind}`"
    allowed = document.get("enum")
    if isinstance(allowed, list) and value not in allowed:
        return "it must be one of " + ", ".join(f"`{one}`" for one in allowed)
    for keyword, (holds, words) in _BOUNDS.items():
        bound = document.get(keyword)
        if isinstance(bound, (int, float)) and number and not holds(cast("float", value), bound):
            return f"it must be {words} {bound}"
    return None
