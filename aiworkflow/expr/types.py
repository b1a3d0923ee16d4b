"""Types of values: the schemas of inputs, outputs and answers, and checking values against them.

A schema is one of a few frozen records. `JsonSchema` holds what only JSON Schema can say; for it the
`jsonschema` package decides, loaded when the first one is met.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Final, TypeAlias, cast

from aiworkflow.expr.validator import TooManyReferences, in_our_words, validator_for
from aiworkflow.jsontext import MOST_DEPTH, NotJson, strict_json
from aiworkflow.records import record

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_MOST_PROBLEMS = 20


@record
class Anything:
    """Any JSON value."""


@record
class Text:
    """A string."""


@record
class Integer:
    """A whole number; a float such as 1.0 is none, a boolean is none."""


@record
class Number:
    """A number; a boolean is none."""


@record
class Boolean:
    """true or false."""


@record
class ListOf:
    """A list whose elements all fit one schema."""

    item: Schema


@record
class Property:
    """A field of an object; `optional` means that it may be absent."""

    schema: Schema
    optional: bool = False


@record
class ObjectOf:
    """An object with these fields and no others."""

    fields: Mapping[str, Property]

    def __hash__(self) -> int:
        return hash(tuple(self.fields))


@record
class Enum:
    """One of a few texts."""

    values: tuple[str, ...]


@record
class Nullable:
    """What the inner schema takes, or null."""

    inner: Schema


@record
class JsonSchema:
    """What a JSON Schema (2020-12) document takes. Remote references are never followed."""

    document: Mapping[str, Json] = field(hash=False)


Schema: TypeAlias = (
    "Anything | Text | Integer | Number | Boolean | ListOf | ObjectOf | Enum | Nullable"
    " | JsonSchema"
)


@record
class Problem:
    """Why a value does not fit: where in the value, and what is wrong there."""

    path: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in self.path).lstrip(".")
        return f"`{where}`: {self.message}" if where else self.message


def check(schema: Schema, value: Json) -> list[Problem]:
    """All that keeps a value from fitting a schema, at most 20; empty when it fits."""
    found: list[Problem] = []
    _check(schema, value, (), found)
    return found[:_MOST_PROBLEMS]


def _check(schema: Schema, value: Json, path: tuple[str | int, ...], found: list[Problem]) -> None:
    if len(found) >= _MOST_PROBLEMS or len(path) > MOST_DEPTH:
        return
    match schema:
        case Anything():
            return
        case Nullable(inner):
            if value is not None:
                _check(inner, value, path, found)
        case ListOf(item):
            if not isinstance(value, list):
                found.append(_expected("a list", value, path))
                return
            for index, element in enumerate(value):
                _check(item, element, (*path, index), found)
        case ObjectOf(fields):
            _check_object(fields, value, path, found)
        case Enum(values):
            if not isinstance(value, str) or value not in values:
                found.append(_expected("one of " + ", ".join(values), value, path))
        case JsonSchema():
            _check_json_schema(schema, value, path, found)
        case _:
            _check_simple(schema, value, path, found)


def _check_simple(
    schema: Schema, value: Json, path: tuple[str | int, ...], found: list[Problem]
) -> None:
    wanted, fits = _SIMPLE[type(schema)]
    if not fits(value):
        found.append(_expected(wanted, value, path))


_SIMPLE: Mapping[type, tuple[str, Callable[[object], bool]]] = {
    Text: ("text", lambda value: isinstance(value, str)),
    Integer: (
        "a whole number",
        lambda value: isinstance(value, int) and not isinstance(value, bool),
    ),
    Number: (
        "a number",
        lambda value: (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and (isinstance(value, int) or math.isfinite(value))
        ),
    ),
    Boolean: ("true or false", lambda value: isinstance(value, bool)),
}


def _check_object(
    fields: Mapping[str, Property], value: Json, path: tuple[str | int, ...], found: list[Problem]
) -> None:
    if not isinstance(value, Mapping):
        found.append(_expected("an object", value, path))
        return
    for name, wanted in fields.items():
        if name in value:
            _check(wanted.schema, value[name], (*path, name), found)
        elif not wanted.optional:
            found.append(Problem((*path, name), "is missing"))
    for name in value:
        if name not in fields:
            allowed = ", ".join(fields) or "none"
            found.append(Problem((*path, name), f"is not a known field; allowed: {allowed}"))


def _expected(what: str, value: Json, path: tuple[str | int, ...]) -> Problem:
    return Problem(path, f"must be {what}, not {shown(value)}")


def shown(value: object) -> str:
    """A value in a message: its JSON, cut short."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "an object"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def _check_json_schema(
    schema: JsonSchema, value: Json, path: tuple[str | int, ...], found: list[Problem]
) -> None:
    from jsonschema.exceptions import SchemaError, UnknownType
    from referencing.exceptions import Unresolvable

    try:
        for error in validator_for(schema.document, value).iter_errors(value):
            where = tuple(error.absolute_path)
            found.append(Problem((*path, *where), in_our_words(error, shown)))
            if len(found) >= _MOST_PROBLEMS:
                return
    except Unresolvable as error:
        found.append(Problem(path, f"cannot be checked: `$ref: {error.ref}` is not in the schema"))
    except RecursionError:
        found.append(Problem(path, "cannot be checked: it or the schema is nested too deep"))
    except TooManyReferences:
        found.append(Problem(path, "cannot be checked: the schema follows too many references"))
    except (SchemaError, UnknownType, re.error):
        found.append(Problem(path, "cannot be checked: the schema is no JSON Schema"))


# -- text from a command line ---------------------------------------------------------------------


def coerce(schema: Schema, text: str) -> Json:
    """A value of a schema from text as it is typed on a command line.

    Raises:
        ValueError: the text is none; the message says what is expected.
    """
    match schema:
        case Text():
            return text
        case Enum(values):
            if text not in values:
                raise ValueError(f"must be one of {', '.join(values)}, not `{text[:60]}`")
            return text
        case Nullable(inner):
            return None if text in {"null", ""} else coerce(inner, text)
        case Integer() | Number():
            return _number(text, whole=isinstance(schema, Integer))
        case Boolean():
            if text in _BOOLEANS:
                return _BOOLEANS[text]
            raise ValueError(f"must be true or false, not `{text}`")
        case JsonSchema({"type": "string"}):
            return text
        case JsonSchema({"type": "integer" | "number" as type_}):
            return _number(text, whole=type_ == "integer")
        case JsonSchema({"type": "boolean"}):
            return coerce(Boolean(), text)
        case Anything():
            try:
                return cast("Json", json.loads(text, parse_constant=_no_constant))
            except (ValueError, RecursionError):
                return text
        case _:
            return _from_json_text(schema, text)


_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


_MOST_DIGITS: Final = 1000
# nothing in it can be read in two ways, or a long text would take quadratic time
_DECIMAL: Final = re.compile(r"[-+]?([0-9]++(\.[0-9]*+)?|\.[0-9]++)([eE][-+]?[0-9]++)?")


def _number(text: str, *, whole: bool) -> int | float:
    bare = text.strip()
    if re.fullmatch(rf"[-+]?[0-9]{{1,{_MOST_DIGITS}}}", bare):
        return int(bare)
    if not whole and len(bare) <= _MOST_DIGITS and _DECIMAL.fullmatch(bare):
        value = float(bare)
        if math.isfinite(value):
            return value
    raise ValueError(f"must be {'a whole number' if whole else 'a number'}, not `{text[:60]}`")


def _from_json_text(schema: Schema, text: str) -> Json:
    where = f"must be JSON for {describe(schema)}"
    try:
        return strict_json(text)
    except NotJson as error:
        how = '; a list is written ["a", "b"]' if isinstance(schema, ListOf) else ""
        raise ValueError(f"{where}: {error}{how}") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


# -- other forms ----------------------------------------------------------------------------------


def json_schema(schema: Schema) -> dict[str, Json]:
    """The same as a JSON Schema document, for models and for publishing."""
    match schema:
        case Anything():
            return {}
        case Text():
            return {"type": "string"}
        case Integer():
            return {"type": "integer"}
        case Number():
            return {"type": "number"}
        case Boolean():
            return {"type": "boolean"}
        case Enum(values):
            return {"type": "string", "enum": list(values)}
        case ListOf(item):
            return {"type": "array", "items": json_schema(item)}
        case Nullable(inner):
            return {"anyOf": [json_schema(inner), {"type": "null"}]}
        case JsonSchema(document):
            return dict(document)
        case ObjectOf(fields):
            return {
                "type": "object",
                "properties": {name: json_schema(one.schema) for name, one in fields.items()},
                "required": [name for name, one in fields.items() if not one.optional],
                "additionalProperties": False,
            }


_WORDS: Mapping[str, Schema] = {
    "any": Anything(),
    "string": Text(),
    "integer": Integer(),
    "number": Number(),
    "boolean": Boolean(),
}
_NAMES = {type(schema): word for word, schema in _WORDS.items()}


_MOST_LISTED: Final = 20


def describe(schema: Schema) -> str:
    """The schema in the author's short form: `{score: integer, notes: [string]}`."""
    match schema:
        case ListOf(item):
            return f"[{describe(item)}]"
        case Nullable(inner):
            return f"{describe(inner)}?"
        case Enum(values):
            return " | ".join(values)
        case ObjectOf(fields):
            inner_text = ", ".join(
                f"{name}{'?' if one.optional else ''}: {describe(one.schema)}"
                for name, one in fields.items()
            )
            return f"{{{inner_text}}}"
        case JsonSchema(document):
            listed = document.get("enum")
            if isinstance(listed, list) and len(listed) <= _MOST_LISTED:
                return " | ".join(one if isinstance(one, str) else shown(one) for one in listed)
            rest = {k: v for k, v in document.items() if k != "type"}
            kind = document.get("type", "value")
            text = ", ".join(f"{k}: {shown(v)}" for k, v in rest.items())
            return f"{kind} ({text})" if text else str(kind)
        case _:
            return _NAMES[type(schema)]


def to_json(schema: Schema) -> Json:
    """The schema as plain data, for storing; `from_json` is the inverse."""
    match schema:
        case ListOf(item):
            return ["list", to_json(item)]
        case Nullable(inner):
            return ["null", to_json(inner)]
        case Enum(values):
            return ["enum", list(values)]
        case ObjectOf(fields):
            rows: list[Json] = [
                [name, to_json(one.schema), one.optional] for name, one in fields.items()
            ]
            return ["object", rows]
        case JsonSchema(document):
            return ["schema", dict(document)]
        case _:
            return _NAMES[type(schema)]


def from_json(data: Json) -> Schema:
    """The schema that `to_json` gave this data for."""
    if isinstance(data, str):
        return _WORDS[data]
    form, rest = cast("list[Json]", data)
    match form:
        case "list":
            return ListOf(from_json(rest))
        case "null":
            return Nullable(from_json(rest))
        case "enum":
            return Enum(tuple(cast("list[str]", rest)))
        case "object":
            return ObjectOf(
                {
                    cast("str", name): Property(from_json(schema), bool(optional))
                    for name, schema, optional in cast("list[list[Json]]", rest)
                }
            )
        case _:
            return JsonSchema(cast("dict[str, Json]", rest))


def is_bounded(schema: Schema) -> bool:
    """Whether values of a schema cannot carry a message: enumerations, numbers, patterns of those.

    Such a schema lifts distrust: text from outside cannot say anything through it.
    """
    match schema:
        case Integer() | Number() | Boolean() | Enum():
            return True
        case ListOf(inner) | Nullable(inner):
            return is_bounded(inner)
        case ObjectOf(fields):
            return all(is_bounded(one.schema) for one in fields.values())
        case JsonSchema(document):
            return _is_bounded_document(document)
        case _:
            return False


def _is_bounded_document(document: Mapping[str, Json]) -> bool:
    if "enum" in document or "const" in document:
        return True
    match document.get("type"):
        case "integer" | "number" | "boolean" | "null":
            return True
        case "string":
            pattern = document.get("pattern")
            return isinstance(pattern, str) and _is_bounded_pattern(pattern)
        case "array":
            items = document.get("items")
            return (
                "prefixItems" not in document
                and isinstance(items, Mapping)
                and _is_bounded_document(items)
            )
        case "object":
            properties = document.get("properties")
            return (
                document.get("additionalProperties") is False
                and "patternProperties" not in document
                and isinstance(properties, Mapping)
                and all(
                    isinstance(one, Mapping) and _is_bounded_document(one)
                    for one in properties.values()
                )
            )
        case _:
            return False


_ESCAPED = re.compile(r"\\[^\w\s]|\\[dwb]")  # no `\x20`, `\t`: they may be white space
_CLASS = re.compile(  # a range holds letters or digits only: `[!-~]` is nearly everything
    r"\[(?!\^)(?:[a-z]-[a-z]|[A-Z]-[A-Z]|[0-9]-[0-9]|[^\[\]\\\s-])*-?\]"
)


def _is_bounded_pattern(pattern: str) -> bool:
    r"""Whether a pattern holds from end to end, and lets no sentence through.

    What can match nearly any character (`.`, `[^…]`, `\S`, white space) is no bound; neither is
    an alternative beside the anchors, as in `^a|.*$`.
    """
    if not (pattern.startswith("^") and pattern.endswith("$")) or pattern.endswith("\\$"):
        return False
    bare = _CLASS.sub("c", _ESCAPED.sub("e", pattern[1:-1]))
    depth = 0
    for char in bare:
        depth += (char == "(") - (char == ")")
        if char in "\\.[" or char.isspace() or (char == "|" and depth == 0):
            return False
    return True
