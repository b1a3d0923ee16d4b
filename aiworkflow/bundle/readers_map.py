"""Readers of maps: with known settings, with names of the author's; and choices of form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiworkflow.bundle.names import FORM, PUBLISHED_FORM, WORDS
from aiworkflow.bundle.readers import describe, literal_key, wrong
from aiworkflow.bundle.reading import WRONG, JsonSchema, Key, Reader, Reading, Scope
from aiworkflow.bundle.yaml_nodes import Entry, Mapping, Node, Scalar, Sequence
from aiworkflow.diagnostics.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Mapping as MappingOf

    from aiworkflow.bundle.workflow import Json

_UNKNOWN = {
    Scope.FRONTMATTER: "AW501",
    Scope.STEP: "AW501",
    Scope.TOOL: "AW601",
    Scope.OPERATION: "AW601",
    Scope.CONFIG: "AW651",
}


def read_rows(
    node: Mapping, rows: MappingOf[str, Key], owner: str, reading: Reading, prefix: str = ""
) -> tuple[dict[str, object], bool]:
    """Read the settings of a map by their rows.

    Args:
        node: the map.
        rows: what is allowed, by name.
        owner: whose settings these are, for messages: `steps`, `config.yaml`, `retry`.
        reading: report and context.
        prefix: dotted name of the map itself, with its final dot.

    Returns:
        The values that are right, and whether all of them are.
    """
    values: dict[str, object] = {}
    complete = True
    for entry in node.entries:
        name = entry.key.text
        row = rows.get(name)
        if row is None:
            unknown(entry, rows, owner, reading)
            complete = False
            continue
        value = row.reader.read(entry.value, prefix + name, reading)
        if value is WRONG:
            complete = False
        else:
            values[name] = value
    for name, row in rows.items():
        if row.required and node.entry(name) is None:
            missing(node, name, row, owner, reading)
            complete = False
    return values, complete


def unknown(entry: Entry, known: Iterable[str], owner: str, reading: Reading) -> None:
    """Report a setting that does not exist."""
    if reading.is_full:  # looking for near names takes time
        return
    names = sorted(known)
    name = entry.key.text
    hint = did_you_mean(name, names)
    if hint is None:
        hint = "write one of " + ", ".join(f"`{known_name}`" for known_name in names)
    reading.report.error(
        _UNKNOWN[reading.scope], entry.key.place, f"`{_cut(name)}` is no setting of {owner}", hint
    )


def missing(node: Mapping, name: str, row: Key, owner: str, reading: Reading) -> None:
    """Report a setting that must be given."""
    place = node.entries[0].key.place if node.entries else node.place
    example = row.example if "\n" not in row.example else "…"
    reading.report.error("AW506", place, f"{owner} needs `{name}`", f"add `{name}: {example}`")


def _cut(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"


@dataclass(slots=True, eq=False, repr=False)
class Record:
    """A map with known settings; gives `make(values)`, or the dict of values.

    Attributes:
        what: name of the record for messages.
        keys: its rows.
        exactly_one: of these settings exactly one must be given; empty for no such rule.
        make: turns the values into a record of ours.
    """

    what: str
    keys: tuple[Key, ...]
    exactly_one: tuple[str, ...] = ()
    make: Callable[[dict[str, object]], object] | None = None
    rows: dict[str, Key] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.rows = {key.name: key for key in self.keys}

    @property
    def expects(self) -> str:
        """What is allowed."""
        return "a map of " + ", ".join(f"`{key.name}`" for key in self.keys)

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The record."""
        if not isinstance(node, Mapping):
            return wrong(node, name, reading, self.expects)
        values, complete = read_rows(node, self.rows, f"`{self.what}`", reading, name + ".")
        if self.exactly_one:
            given = [one for one in self.exactly_one if node.entry(one) is not None]
            if len(given) != 1:
                words = ", ".join(f"`{one}`" for one in self.exactly_one)
                have = " and ".join(f"`{one}`" for one in given) or "none of them"
                reading.report.error(
                    "AW531",
                    node.place,
                    f"`{name}` takes exactly one of {words}, not {have}",
                    "keep one" if given else f"add one of {words}",
                )
                return WRONG
        if not complete:
            return WRONG
        return self.make(values) if self.make else values

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        schema = record_schema(self.keys)
        if self.exactly_one:
            schema["oneOf"] = [{"required": [one]} for one in self.exactly_one]
        return schema


def record_schema(keys: Iterable[Key]) -> JsonSchema:
    """JSON Schema of a map with known settings."""
    rows = list(keys)
    properties: JsonSchema = {
        row.name: {**row.reader.schema(), "description": row.doc} for row in rows
    }
    schema: JsonSchema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    required: list[Json] = [row.name for row in rows if row.required]
    if required:
        schema["required"] = required
    return schema


@dataclass(slots=True, eq=False, repr=False)
class MapOf:
    """A map from names of the author's to one kind of value.

    Attributes:
        value: reader of the values.
        what: what it maps, for messages: `names to texts`.
        name_form: pattern of the names.
        name_words: the same in words.
        check_name: further check of a name's entry; reports, and says whether it is right.
        code: of the finding about a wrong name.
    """

    value: Reader
    what: str
    name_form: str = FORM
    name_words: str = WORDS
    check_name: Callable[[Entry, str, Reading], bool] | None = None
    code: str = "AW513"

    @property
    def expects(self) -> str:
        """What is allowed."""
        return f"a map of {self.what}"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The values by name."""
        if not isinstance(node, Mapping):
            return wrong(node, name, reading, self.expects)
        values: dict[str, object] = {}
        complete = True
        for entry in node.entries:
            key = entry.key.text
            if not literal_key(entry, name, reading):
                complete = False
            elif not re.fullmatch(self.name_form, key):
                reading.report.error(
                    self.code,
                    entry.key.place,
                    f"a name in `{name}` is {self.name_words}; `{_cut(key)}` is not",
                    "rename it",
                )
                complete = False
            elif self.check_name is not None and not self.check_name(entry, name, reading):
                complete = False
            value = self.value.read(entry.value, f"{name}.{key}", reading)
            if value is WRONG:
                complete = False
            else:
                values[key] = value
        return values if complete else WRONG

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        form = self.name_form.replace(FORM, PUBLISHED_FORM)
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{form})$"},
            "additionalProperties": self.value.schema(),
        }


@dataclass(slots=True, eq=False, repr=False)
class ByShape:
    """A value that may be single, a list, or a map, each read in its own way."""

    expects: str
    scalar: Reader | None = None
    sequence: Reader | None = None
    mapping: Reader | None = None

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The value as its shape's reader gives it."""
        if isinstance(node, Scalar):
            reader = self.scalar
        elif isinstance(node, Sequence):
            reader = self.sequence
        else:
            reader = self.mapping
        if reader is None or (isinstance(node, Scalar) and node.value is None):
            return wrong(node, name, reading, self.expects)
        return reader.read(node, name, reading)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        readers = [r for r in (self.scalar, self.sequence, self.mapping) if r is not None]
        return {"anyOf": [reader.schema() for reader in readers]}


@dataclass(slots=True, eq=False, repr=False)
class OneOrMany:
    """One value, or a list of such; gives a tuple."""

    item: Reader
    expects: str
    least: int = 1

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The values."""
        nodes = node.items if isinstance(node, Sequence) else (node,)
        if len(nodes) < self.least:
            return wrong(node, name, reading, f"{self.expects}, at least one")
        values = [self.item.read(one, name, reading) for one in nodes]
        return WRONG if any(value is WRONG for value in values) else tuple(values)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        one = self.item.schema()
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": self.least}]}


__all__ = ["ByShape", "MapOf", "OneOrMany", "Record", "describe", "read_rows", "record_schema"]
