"""Readers of named, typed values: `inputs` of a workflow or operation, `fields` of an `ask`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.json_schema_check import (
    KEYWORDS,
    TYPES,
    check_json_schema,
    is_plain,
    plain_problem,
)
from aiworkflow.bundle.names import PUBLISHED_FORM, problem_with_name
from aiworkflow.bundle.readers import describe, literal, text_of, wrong
from aiworkflow.bundle.readers_map import unknown
from aiworkflow.bundle.reading import WRONG, JsonSchema, Reading
from aiworkflow.bundle.schema_form import WORDS, looks_like_json_schema, read_schema
from aiworkflow.bundle.workflow import Field
from aiworkflow.bundle.yaml_nodes import Entry, Mapping, Node, Scalar, plain, walk
from aiworkflow.diagnostics import Label
from aiworkflow.expr import JsonSchema as JsonSchemaType
from aiworkflow.expr import Nullable, check

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.expr import Schema

_OWN: Final = frozenset({"type", "default", "description"})


class FieldsReader:
    """A map of names to types, short (`base: string`) or long (`{type: string, default: main}`)."""

    __slots__ = ()
    expects = "a map of names to types"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The fields, a tuple of `Field`."""
        if not isinstance(node, Mapping):
            return wrong(node, name, reading, self.expects)
        fields: list[Field] = []
        complete = True
        seen: dict[str, Entry] = {}
        for entry in node.entries:
            field = _field(entry, name, reading)
            if field is None:
                complete = False
                continue
            first = seen.setdefault(field.name.upper(), entry)
            if first is not entry:
                reading.report.error(
                    "AW530",
                    entry.key.place,
                    f"`{field.name}` and `{first.key.text}` are one name in the environment",
                    "rename one of the two",
                    Label(first.key.place, "the first one"),
                )
                complete = False
            fields.append(field)
        return tuple(fields) if complete else WRONG

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^{PUBLISHED_FORM}\\??$"},
            "additionalProperties": {"type": ["string", "array", "object"]},
        }


def _field(entry: Entry, owner: str, reading: Reading) -> Field | None:
    """One row; None after reporting why there is none."""
    written = entry.key.text
    name = written.removesuffix("?")
    problem = problem_with_name(name)
    if problem is not None:
        shown = name if len(name) <= 40 else name[:39] + "…"
        reading.report.error("AW513", entry.key.place, f"`{shown}` {problem}", "rename it")
        return None
    node = entry.value
    optional = written.endswith("?")
    path = f"{owner}.{name}"
    if isinstance(node, Mapping) and _is_long(node):
        return _long(entry, name, path, optional, reading)
    schema = read_schema(node, path, reading)
    if schema is None:
        return None
    required = not optional and not isinstance(schema, Nullable)
    return Field(name, schema, required, place=entry.key.place)


def _is_long(node: Mapping) -> bool:
    """Whether a map describes one value; else it is an object with these fields."""
    if node.get("type") is None:
        return False
    others = [entry for entry in node.entries if entry.key.text != "type"]
    return (
        not others
        or any(entry.key.text in KEYWORDS or entry.key.text in _OWN for entry in others)
        or not all(_is_type(entry.value) for entry in others)
    )


def _is_type(node: Node) -> bool:
    if isinstance(node, Scalar):
        return node.text.removesuffix("?") in WORDS
    return True


def _long(entry: Entry, name: str, path: str, optional: bool, reading: Reading) -> Field | None:
    node = entry.value
    assert isinstance(node, Mapping)
    constraints = [one for one in node.entries if one.key.text not in _OWN]
    strangers = [one for one in constraints if one.key.text not in KEYWORDS]
    for stranger in strangers:
        unknown(stranger, {*_OWN, "enum", "minimum", "maximum", "minLength", "maxLength", "pattern",
                           "items", "format"}, f"the input `{name}`", reading)  # fmt: skip
    if strangers:
        return None
    description_node = node.get("description")
    description: str | None = ""
    if description_node is not None:
        description = text_of(description_node, f"{path}.description", reading, "text")
    schema = _type(node, path, constraints, reading)
    if schema is None or description is None:
        return None
    default_node = node.get("default")
    default: Json = plain(default_node)
    if default_node is not None and not _default_fits(default_node, default, schema, path, reading):
        return None
    required = default_node is None and not optional and not isinstance(schema, Nullable)
    return Field(name, schema, required, default, description, entry.key.place)


def _type(node: Mapping, path: str, constraints: list[Entry], reading: Reading) -> Schema | None:
    """The schema of a long row: the short type alone, or JSON Schema with its constraints."""
    kind = node.get("type")
    assert kind is not None
    if not constraints:
        if isinstance(kind, Scalar) and kind.text in TYPES and kind.text not in WORDS:
            return JsonSchemaType({"type": kind.text})
        return read_schema(kind, f"{path}.type", reading)
    schema = Mapping(
        tuple(one for one in node.entries if one.key.text not in {"default", "description"}),
        node.source, node.start, node.end,
    )  # fmt: skip
    optional = isinstance(kind, Scalar) and kind.text.endswith("?")
    if not looks_like_json_schema(schema):
        reading.report.error(
            "AW519",
            kind.place,
            f"`{path}` has constraints, so its `type` is one of JSON Schema, not {describe(kind)}",
            "write `{type: [string, 'null'], …}` where it may be null" if optional
            else "write one of " + ", ".join(f"`{word}`" for word in TYPES),
        )  # fmt: skip
        return None
    if not check_json_schema(schema, path, reading):
        return None
    data = plain(schema)
    assert isinstance(data, dict)
    return JsonSchemaType(dict(data))


def _default_fits(node: Node, default: Json, schema: Schema, path: str, reading: Reading) -> bool:
    texts = [one for one in walk(node) if isinstance(one, Scalar)]
    if any(one.spoilt or not literal(one, f"{path}.default", reading) for one in texts):
        return False
    problem = _problem(default, schema)
    if problem is None:
        return True
    reading.report.error(
        "AW521", node.place, f"the default of `{path}` does not fit its type: {problem}",
        "change the default or the type",
    )  # fmt: skip
    return False


def _problem(value: Json, schema: Schema) -> str | None:
    """Why a default does not fit, or None.

    Plain constraints are checked here: for the rest a package is loaded that takes longer than
    reading the bundle.
    """
    if isinstance(schema, JsonSchemaType) and is_plain(schema.document):
        return plain_problem(schema.document, value)
    problems = check(schema, value)
    return str(problems[0]) if problems else None
