"""What a table of settings is made of, and what reading settings by it gives.

A `Key` is a row of the table in `keys.py`: a name, what it takes, where it means something, one
sentence about it and an example. A `Reader` turns a node into a typed value or reports what is
allowed there, and describes the same as JSON Schema, so that check and schema cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from aiworkflow.bundle.yaml_nodes import Mapping, Node, Scalar, Sequence
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Json, Kind
    from aiworkflow.diagnostics import Place, Report

T = TypeVar("T")
JsonSchema = dict[str, "Json"]


class Scope(StrEnum):
    """Where a setting can stand."""

    FRONTMATTER = "frontmatter"
    STEP = "step"
    TOOL = "tool"
    OPERATION = "operation"
    CONFIG = "config"


class Wrong:
    """The type of `WRONG`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "WRONG"


WRONG: Final = Wrong()
"""What a reader gives when the value is not what it must be; the finding is reported already."""


@dataclass(slots=True)
class Reading:
    """What readers need beyond the node.

    Attributes:
        report: gets the findings.
        read_file: text of a file of the bundle by its path within, None where there is none; for
            `schema: file.json`. Absent where no bundle is at hand.
        scope: where the settings stand; decides the code of the findings about them.
        kind: kind of the step that is read.
    """

    report: Report
    read_file: Callable[[str], str | None] | None = None
    scope: Scope = Scope.STEP
    kind: Kind | None = None

    @property
    def is_full(self) -> bool:
        """Whether the report takes no further finding."""
        return len(self.report.diagnostics) >= self.report.limit


class Reader(Protocol):
    """Reads one form of value."""

    @property
    def expects(self) -> str:
        """What is allowed, as the end of a sentence: `a duration such as 5m`."""
        ...

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The value of a node; `WRONG` after reporting why there is none."""
        ...

    def schema(self) -> JsonSchema:
        """The same as JSON Schema."""
        ...


@record
class Key:
    """A row of the table of settings.

    Attributes:
        name: as it is written.
        scope: where it can stand.
        reader: what it takes.
        doc: one sentence.
        example: YAML of a value.
        kinds: kinds of step on which it means something; None where that is all of them.
        reserved: whether its execution comes later: `run` refuses a workflow that has it. A
            function of the value where only some of its forms do.
        required: whether it must be given.
    """

    name: str
    scope: Scope
    reader: Reader
    doc: str
    example: str
    kinds: frozenset[Kind] | None = None
    reserved: bool | Callable[[object], bool] = False
    required: bool = False

    def is_reserved(self, value: object) -> bool:
        """Whether this value asks for something that is not built yet."""
        return self.reserved if isinstance(self.reserved, bool) else self.reserved(value)


class Places(MappingOf[str, "Place"]):
    """Dotted name of a setting (`with.body`, `needs.0`) → place of its value; `name@` of its key.

    Looked up in the nodes when asked: most places are never shown.
    """

    __slots__ = ("_root",)

    def __init__(self, root: Mapping | None) -> None:
        self._root = root

    def __getitem__(self, name: str) -> Place:
        wants_key = name.endswith("@")
        path = (name[:-1] if wants_key else name).split(".")
        node: Node | None = self._root
        key: Scalar | None = None
        while path:
            node, key, used = _below(node, path)
            if node is None:
                raise KeyError(name)
            path = path[used:]
        found = key if wants_key else node
        if found is None:
            raise KeyError(name)
        return found.place

    def __iter__(self) -> Iterator[str]:
        # a name that is empty, or ends like one of ours, cannot be told from others
        return (name for name in list(_names(self._root, "")) if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in _names(self._root, ""))


def _below(node: Node | None, path: list[str]) -> tuple[Node | None, Scalar | None, int]:
    """The node one step down and how many words its name took; names may hold dots."""
    if isinstance(node, Sequence):
        index = path[0]
        if index.isdecimal() and int(index) < len(node.items):
            return node.items[int(index)], None, 1
    elif isinstance(node, Mapping):
        for used in range(1, len(path) + 1):
            entry = node.entry(".".join(path[:used]))
            if entry is not None:
                return entry.value, entry.key, used
    return None, None, 0


def _names(node: Node | None, prefix: str) -> Iterator[str]:
    if isinstance(node, Mapping):
        for entry in node.entries:
            name = prefix + entry.key.text
            yield name
            yield name + "@"
            yield from _names(entry.value, name + ".")
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield f"{prefix}{index}"
            yield from _names(item, f"{prefix}{index}.")


@record
class Settings:
    """Settings as read by the table.

    Attributes:
        values: typed value of each setting that is right; see the table for their types.
        plain: all settings as written, as plain data, for digests and for showing.
        where: place of each value by dotted name, and of each key by `name@`.
        reserved: those whose execution is not built yet, as plain data.
        node: what was read; None where there was nothing.
    """

    values: MappingOf[str, object] = field(default_factory=dict)
    plain: MappingOf[str, Json] = field(default_factory=dict)
    where: MappingOf[str, Place] = field(default_factory=dict)
    reserved: MappingOf[str, Json] = field(default_factory=dict)
    node: Mapping | None = None

    def get(self, name: str, kind: type[T]) -> T | None:
        """The value of a setting; None where it is absent or wrong.

        Raises:
            TypeError: the table gives the setting another type than `kind`: an error of ours.
        """
        value = self.values.get(name)
        if value is None or isinstance(value, kind):
            return value
        raise TypeError(f"{name} is a {type(value).__name__}, not a {kind.__name__}")

    def __contains__(self, name: str) -> bool:
        """Whether a setting is given and right."""
        return name in self.values
