"""The short form of schemas, as `output` and `inputs` have it.

`string integer number boolean any`; `[T]` is a list; a map is a closed object, in which `name?` may
be absent; `T?` may be null; `low | medium | high` is an enumeration. A map whose `type` is a type of
JSON Schema and whose other keys are all keywords of JSON Schema is JSON Schema; `schema: file.json`
reads one from the bundle. A map that can be read both ways is an error.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.json_schema_check import KEYWORDS, TYPES, check_json_schema
from aiworkflow.bundle.readers import describe, literal, wrong
from aiworkflow.bundle.reading import WRONG, Reading
from aiworkflow.bundle.workflow import Output, OutputForm
from aiworkflow.bundle.yaml_nodes import Mapping, Node, Scalar, Sequence, plain
from aiworkflow.bundle.yamltree import compose
from aiworkflow.diagnostics import Source
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr import (
    Anything,
    Boolean,
    Enum,
    Integer,
    JsonSchema,
    ListOf,
    Nullable,
    Number,
    ObjectOf,
    Property,
    Text,
)

if TYPE_CHECKING:
    from aiworkflow.bundle.reading import JsonSchema as PublishedSchema
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema

WORDS: Final[dict[str, Schema]] = {
    "string": Text(),
    "integer": Integer(),
    "number": Number(),
    "boolean": Boolean(),
    "any": Anything(),
}
_EXPECTS = (
    "a type: `string`, `integer`, `number`, `boolean`, `any`, `[type]`, a map of names to types, "
    "`a | b | c`, or JSON Schema"
)
_OTHERS = {
    "str": "string", "text": "string", "int": "integer", "float": "number", "double": "number",
    "bool": "boolean", "object": "any", "list": "[any]", "array": "[any]", "date": "string",
}  # fmt: skip


def read_schema(node: Node, name: str, reading: Reading) -> Schema | None:
    """The schema of a node; None after reporting why there is none."""
    if isinstance(node, Sequence):
        return _list(node, name, reading)
    if isinstance(node, Mapping):
        return _map(node, name, reading)
    if node.spoilt:
        return None
    if not isinstance(node.value, str):
        wrong(node, name, reading, _EXPECTS)
        return None
    return _word(node, name, reading) if literal(node, name, reading) else None


def _word(node: Scalar, name: str, reading: Reading) -> Schema | None:
    text = node.text.strip()
    if "|" in text:
        return _enumeration(node, name, reading)
    known = WORDS.get(text.removesuffix("?").rstrip())
    if known is not None:
        return Nullable(known) if text.endswith("?") else known
    word = text.removesuffix("?")
    other = _OTHERS.get(word.lower())
    hint = f"write `{other}`" if other else did_you_mean(word, WORDS)
    if hint is None and text:
        hint = f"for the one text `{text[:40]}` write `{{enum: [{text[:40]}], type: string}}`"
    reading.report.error(
        "AW517", node.place, f"`{text[:60]}` is no type; `{name}` takes {_EXPECTS}", hint
    )
    return None


def _enumeration(node: Scalar, name: str, reading: Reading) -> Schema | None:
    words = [word.strip() for word in node.text.split("|")]
    problem = hint = None
    if not all(words):
        problem, hint = "a word is missing beside `|`", "write `low | medium | high`"
    elif len(set(words)) < len(words):
        problem, hint = "a word stands twice in it", "remove one of the two"
    else:
        types = [word for word in words if word.removesuffix("?") in {*WORDS, *TYPES}]
        if types:
            problem = f"`{types[0]}` is a type, and `|` stands between texts"
            rest = [word for word in words if word != "null"]
            hint = (
                f"write `{rest[0]}?`" if "null" in words and len(rest) == 1
                else "write `any`, or JSON Schema: `{type: [string, integer]}`"
            )  # fmt: skip
        elif words[-1].endswith("?"):
            problem = "`?` may belong to the last word or to all of them"
            hint = "write JSON Schema: `{type: [string, 'null'], enum: [low, high, null]}`"
    if problem is None:
        return Enum(tuple(words))
    code = "AW518" if "may belong" in problem or "is a type" in problem else "AW517"
    reading.report.error(code, node.place, f"`{name}` is no enumeration: {problem}", hint)
    return None


def _list(node: Sequence, name: str, reading: Reading) -> Schema | None:
    if len(node.items) != 1:
        reading.report.error(
            "AW517",
            node.place,
            f"`{name}` is a list of {len(node.items)} types; a list has one type of item",
            "write `[string]`, or `a | b | c` for an enumeration",
        )
        return None
    item = read_schema(node.items[0], name, reading)
    return None if item is None else ListOf(item)


def _map(node: Mapping, name: str, reading: Reading) -> Schema | None:
    file = node.get("schema")
    if (
        len(node.entries) == 1
        and isinstance(file, Scalar)
        and file.text.endswith(".json")
        and isinstance(file.value, str)
    ):
        return _from_file(file, name, reading)
    if looks_like_json_schema(node):
        if _could_be_fields(node):
            _ambiguous(node, name, reading)
            return None
        if not check_json_schema(node, name, reading):
            return None
        return JsonSchema(_as_object(node))
    return _fields(node, name, reading)


def looks_like_json_schema(node: Mapping) -> bool:
    """Whether a map has a `type` of JSON Schema and only keywords of JSON Schema beside it."""
    kind = node.get("type")
    if isinstance(kind, Sequence):
        fits = bool(kind.items) and all(
            isinstance(item, Scalar) and item.text in TYPES for item in kind.items
        )
    else:
        fits = isinstance(kind, Scalar) and kind.text in TYPES
    return fits and all(entry.key.text in KEYWORDS for entry in node.entries)


def _could_be_fields(node: Mapping) -> bool:
    """Whether each value could be a type in the short form as well."""
    return all(_could_be_type(entry.value) for entry in node.entries)


def _could_be_type(node: Node) -> bool:
    if isinstance(node, Scalar):
        if not isinstance(node.value, str):
            return False
        return node.text.strip().removesuffix("?") in WORDS or " | " in node.text
    if isinstance(node, Sequence):
        return len(node.items) == 1 and _could_be_type(node.items[0])
    return all(_could_be_type(entry.value) for entry in node.entries)


def _ambiguous(node: Mapping, name: str, reading: Reading) -> None:
    kind = node.get("type")
    alone = len(node.entries) == 1 and isinstance(kind, Scalar)
    first = f"write `{kind.text}`" if alone and isinstance(kind, Scalar) else "write JSON Schema"
    if not alone:
        first += " without short types"
    reading.report.error(
        "AW518",
        node.place,
        f"`{name}` can be JSON Schema, or an object with a field `type`",
        f"{first}, or for the object `{{type: object, properties: {{type: {{type: string}}}}}}`",
    )


def _fields(node: Mapping, name: str, reading: Reading) -> Schema | None:
    properties: dict[str, Property] = {}
    seen: set[str] = set()
    complete = True
    for entry in node.entries:
        field = entry.key.text.removesuffix("?").rstrip()
        if not field or "{{" in field or field in seen:
            reading.report.error(
                "AW513",
                entry.key.place,
                f"`{entry.key.text[:40]}` is no name for a field of `{name}`"
                if field not in seen
                else f"the field `{field[:40]}` stands twice in `{name}`",
                "write a name, with a final `?` if it may be absent",
            )
            complete = False
        seen.add(field)
        schema = read_schema(entry.value, f"{name}.{field}", reading)
        if schema is None:
            complete = False
        else:
            properties[field] = Property(schema, optional=entry.key.text.endswith("?"))
    return ObjectOf(properties) if complete else None


def _from_file(node: Scalar, name: str, reading: Reading) -> Schema | None:
    path = node.text
    text = None if reading.read_file is None else reading.read_file(path)
    if text is None:
        reading.report.error(
            "AW520",
            node.place,
            f"`{name}` names the file `{path[:80]}`, which is not in the bundle",
            "write its path within the bundle",
        )
        return None
    source = Source(path, text)
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        at = getattr(error, "pos", 0)
        reading.report.error("AW520", source.place(at), "this is not JSON", "mend the file")
        return None
    root = compose(source, 0, len(text), reading.report)  # JSON is YAML, and so has places
    if root is None or not check_json_schema(root, name, reading):
        return None
    if not isinstance(root, Mapping):
        return JsonSchema({} if plain(root) else {"not": {}})
    return JsonSchema(_as_object(root))


def _as_object(node: Mapping) -> dict[str, Json]:
    data = plain(node)
    assert isinstance(data, dict)
    return dict(data)


class OutputReader:
    """`text`, `json`, `lines`, or a schema; gives an `Output`."""

    __slots__ = ()
    expects = "`text`, `json`, `lines`, or a type"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `Output`."""
        if isinstance(node, Scalar) and node.text in {"text", "json", "lines"}:
            return Output(OutputForm(node.text))
        schema = read_schema(node, name, reading)
        return WRONG if schema is None else Output(OutputForm.SCHEMA, schema)

    def schema(self) -> PublishedSchema:
        """JSON Schema."""
        return {"type": ["string", "array", "object"]}


__all__ = ["OutputReader", "describe", "looks_like_json_schema", "read_schema"]
