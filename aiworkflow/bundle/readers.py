"""Readers of plain values: text, numbers, quantities, words, lists and maps.

A template may stand in none of these: what is read here is known before the run.

Readers are never changed after they are built. They are not `frozen`: building such a class takes
four times as long, and all of them are built whenever the program starts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.reading import WRONG, JsonSchema, Reader, Reading
from aiworkflow.bundle.yaml_nodes import Entry, Mapping, Node, Scalar, Sequence, plain
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.settings import units

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum


def describe(node: Node) -> str:
    """What a node is, in words: `the number 3`."""
    if isinstance(node, Mapping):
        return "a map"
    if isinstance(node, Sequence):
        return "a list"
    value = node.value
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"`{node.text}`"
    if isinstance(value, (int, float)):
        return f"the number {node.text}"
    return f"`{value}`" if len(value) <= 40 and "\n" not in value else "this text"


def wrong(node: Node, name: str, reading: Reading, expects: str, hint: str | None = None) -> object:
    """Report that a value is not what is allowed, unless it has been reported already."""
    if not (isinstance(node, Scalar) and node.spoilt):
        reading.report.error(
            "AW503", node.place, f"`{name}` takes {expects}, not {describe(node)}", hint
        )
    return WRONG


def literal(node: Scalar, name: str, reading: Reading) -> bool:
    """Whether a text holds no template; reports one."""
    if "{{" not in node.text:
        return True
    at = node.text.index("{{")
    end = node.text.find("}}", at)
    place = node.fragment.place(at, end + 2 if end >= 0 else len(node.text))
    reading.report.error(
        "AW505",
        place,
        f"templates are not expanded in `{name}`",
        "write the value out; templates may stand in values of `with`, `env`, `set`, `result`, "
        "`outputs`, `wait`, and in prompts and messages",
    )
    return False


def literal_key(entry: Entry, name: str, reading: Reading) -> bool:
    """Whether a key holds no template; reports one."""
    if "{{" not in entry.key.text:
        return True
    reading.report.error(
        "AW505",
        entry.key.place,
        f"templates are not expanded in the keys of `{name}`",
        "write the key out; only values may hold templates",
    )
    return False


def refuse_as_text(node: Node, name: str, reading: Reading, expects: str) -> object:
    """Report that a node is not text; a number or truth value is shown in quotes."""
    if not isinstance(node, Scalar) or node.value is None or node.spoilt:
        return wrong(node, name, reading, expects)
    reading.report.error(
        "AW504",
        node.place,
        f"`{name}` takes text, and {describe(node)} is none",
        f'write `{name.rsplit(".", 1)[-1]}: "{node.text}"`',
    )
    return WRONG


def text_of(node: Node, name: str, reading: Reading, expects: str) -> str | None:
    """The literal text of a node; None after reporting what else it is."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or node.spoilt:
        refuse_as_text(node, name, reading, expects)
        return None
    return node.text if literal(node, name, reading) else None


@dataclass(slots=True, eq=False, repr=False)
class Text:
    """Text, of a form if `pattern` is given.

    Attributes:
        expects: what is allowed.
        pattern: what the whole text must match; an ECMA-262 form too, since it is published.
        longest: most characters.
        code: of the finding when the form is wrong.
        hint: of the same.
    """

    expects: str = "text"
    pattern: str | None = None
    longest: int | None = None
    code: str = "AW503"
    hint: str | None = None

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The text."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        if self.pattern is not None and re.fullmatch(self.pattern, text) is None:
            reading.report.error(
                self.code,
                node.place,
                f"`{name}` takes {self.expects}, not {describe(node)}",
                self.hint,
            )
            return WRONG
        if self.longest is not None and len(text) > self.longest:
            reading.report.error(
                self.code,
                node.place,
                f"`{name}` takes at most {self.longest} characters, not {len(text)}",
                "shorten it",
            )
            return WRONG
        return text

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        schema: JsonSchema = {"type": "string"}
        if self.pattern is not None:
            schema["pattern"] = f"^(?:{self.pattern})$"
        if self.longest is not None:
            schema["maxLength"] = self.longest
        return schema


@dataclass(slots=True, eq=False, repr=False)
class Flag:
    """`true` or `false`; `only` allows but one of them."""

    only: bool | None = None

    @property
    def expects(self) -> str:
        """What is allowed."""
        return "`true` or `false`" if self.only is None else f"`{str(self.only).lower()}`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The truth value."""
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            if self.only is None or node.value is self.only:
                return node.value
        elif isinstance(node, Scalar) and not node.spoilt:
            other = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(node.text)
            if other is not None:
                return wrong(node, name, reading, self.expects, f"write `{name}: {other}`")
        return wrong(node, name, reading, self.expects)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "boolean"} if self.only is None else {"const": self.only}


@dataclass(slots=True, eq=False, repr=False)
class Whole:
    """A whole number within bounds."""

    least: int = 0
    most: int | None = None

    @property
    def expects(self) -> str:
        """What is allowed."""
        if self.most is None:
            return f"a whole number of at least {self.least}"
        return f"a whole number from {self.least} to {self.most}"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The number."""
        if isinstance(node, Scalar) and type(node.value) is int:
            if node.value >= self.least and (self.most is None or node.value <= self.most):
                return node.value
        elif isinstance(node, Scalar) and not literal(node, name, reading):
            return WRONG
        return wrong(node, name, reading, self.expects)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        schema: JsonSchema = {"type": "integer", "minimum": self.least}
        if self.most is not None:
            schema["maximum"] = self.most
        return schema


@dataclass(slots=True, eq=False, repr=False)
class Decimal:
    """A number within bounds."""

    least: float = 0
    most: float | None = None

    @property
    def expects(self) -> str:
        """What is allowed."""
        upper = "" if self.most is None else f" to {self.most:g}"
        return f"a number from {self.least:g}{upper}" if upper else "a number"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The number."""
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if value >= self.least and (self.most is None or value <= self.most):
                return value
        elif isinstance(node, Scalar) and not literal(node, name, reading):
            return WRONG
        return wrong(node, name, reading, self.expects)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        schema: JsonSchema = {"type": "number", "minimum": self.least}
        if self.most is not None:
            schema["maximum"] = self.most
        return schema


@dataclass(slots=True, eq=False, repr=False)
class Quantity:
    """A number with a unit, by one of the functions of `settings.units`."""

    unit: Callable[[object], object]
    expects: str
    form: str  # the texts, as a pattern for the JSON Schema
    bare: bool = True  # whether a bare number is one

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The quantity in its plain unit."""
        if isinstance(node, Scalar) and not node.spoilt:
            if not literal(node, name, reading):
                return WRONG
            if self.bare or isinstance(node.value, str):
                try:
                    return self.unit(node.value)
                except ValueError as error:
                    return wrong(node, name, reading, str(error))
        return wrong(node, name, reading, self.expects)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        text: JsonSchema = {"type": "string", "pattern": f"^(?:{self.form})$"}
        return {"anyOf": [{"type": "number", "minimum": 0}, text]} if self.bare else text


DURATION: Final = Quantity(units.duration, units.DURATION, r"[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)?")
_SHORTEST_PERIOD_S: Final = 0.1


def _period(value: object) -> float:
    seconds = units.duration(value)
    if seconds < _SHORTEST_PERIOD_S:
        raise ValueError("a duration of at least `100ms`")
    return seconds


PERIOD: Final = Quantity(_period, units.DURATION, DURATION.form)
SOME_TIME: Final = Quantity(units.some_time, units.DURATION, DURATION.form)
SIZE: Final = Quantity(units.size, units.SIZE, r"[0-9]+(\.[0-9]+)? ?([kKMGT]B|[KMGT]iB|B)?")
COUNT: Final = Quantity(units.count, units.COUNT, r"[0-9]+(\.[0-9]+)? ?[kM]?")
SOME_SIZE: Final = Quantity(units.some_size, units.SIZE, SIZE.form)
SOME_COUNT: Final = Quantity(units.some_count, units.COUNT, COUNT.form)
MONEY: Final = Quantity(units.money, units.MONEY, r"\$?[0-9]+(\.[0-9]+)?")
RATE: Final = Quantity(units.rate, units.RATE, r"[0-9]*[1-9][0-9]*/[smhd]", bare=False)


@dataclass(slots=True, eq=False, repr=False)
class Choice:
    """One of some words."""

    words: tuple[str, ...]
    type: type[StrEnum] | None = None

    @property
    def expects(self) -> str:
        """What is allowed."""
        return "one of " + ", ".join(f"`{word}`" for word in self.words)

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The word, as a member of `type` if there is one."""
        if isinstance(node, Scalar) and not node.spoilt and node.text in self.words:
            return self.type(node.text) if self.type else node.text
        if isinstance(node, Scalar) and isinstance(node.value, str) and not node.spoilt:
            if not literal(node, name, reading):
                return WRONG
            reading.report.error(
                "AW508",
                node.place,
                f"`{name}` takes {self.expects}, not {describe(node)}",
                did_you_mean(node.text, self.words),
            )
            return WRONG
        return wrong(node, name, reading, self.expects)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"enum": list(self.words)}


@dataclass(slots=True, eq=False, repr=False)
class ListOf:
    """A list of one kind of item, each at most once if `unique` (and hashable); gives a tuple."""

    item: Reader
    what: str
    least: int = 0
    unique: bool = True

    @property
    def expects(self) -> str:
        """What is allowed."""
        return f"a list of {self.what}"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The items."""
        if not isinstance(node, Sequence):
            hint = None
            if isinstance(node, Scalar) and isinstance(node.value, str) and not node.spoilt:
                hint = f"write `{name.rsplit('.', 1)[-1]}: [{node.text[:60]}]`"
            return wrong(node, name, reading, self.expects, hint)
        if len(node.items) < self.least:
            return wrong(node, name, reading, f"{self.expects}, at least {self.least}")
        items: list[object] = []
        seen: set[object] = set()
        complete = True
        for item in node.items:
            value = self.item.read(item, name, reading)
            if value is WRONG:
                complete = False
            elif self.unique and value in seen:
                reading.report.error(
                    "AW530",
                    item.place,
                    f"{describe(item)} stands twice in `{name}`",
                    "remove one of the two",
                )
                complete = False
            else:
                items.append(value)
                if self.unique:
                    seen.add(value)
        return tuple(items) if complete else WRONG

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        schema: JsonSchema = {"type": "array", "items": self.item.schema()}
        if self.least:
            schema["minItems"] = self.least
        if self.unique:
            schema["uniqueItems"] = True
        return schema


@dataclass(slots=True, eq=False, repr=False)
class Plain:
    """Any data without templates; for settings whose meaning comes later."""

    expects: str = "data"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The data."""
        ok = all(literal(below, name, reading) and not below.spoilt for below in _scalars(node))
        return plain(node) if ok else WRONG

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {}


def _scalars(node: Node) -> list[Scalar]:
    if isinstance(node, Scalar):
        return [node]
    children = node.items if isinstance(node, Sequence) else [entry.value for entry in node.entries]
    return [scalar for child in children for scalar in _scalars(child)]
