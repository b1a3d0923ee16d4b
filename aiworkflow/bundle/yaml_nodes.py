"""The nodes of a YAML document: data that knows its place, to the character."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from aiworkflow.diagnostics import Fragment, Place, Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.bundle.workflow import Json


# Nodes are never changed after they are built. They are not `frozen`: that would triple the time to
# build one, and reading settings is mostly building these.
@dataclass(slots=True, eq=False)
class Scalar:
    """A single value.

    Attributes:
        value: what the core schema makes of it.
        text: the characters after YAML's escapes and folding.
        style: "" for plain, else the character that opens it: `'`, `"`, `|`, `>`.
        spoilt: a finding already says what is wrong here.
    """

    value: bool | int | float | str | None
    text: str
    style: str
    source: Source = field(repr=False)
    start: int
    end: int
    spoilt: bool = False

    @property
    def place(self) -> Place:
        """The range of the value, quotes included."""
        return Place(self.source, Span(self.start, self.end))

    @property
    def fragment(self) -> Fragment:
        """The text, with the place of each of its characters where YAML left them as they were."""
        whole = Span(self.start, self.end)
        return Fragment(self.text, self.source, tuple(self._pieces()), whole)

    def _pieces(self) -> list[tuple[int, int]]:
        raw = self.source.text[self.start : self.end]
        if self.style == "|":
            return _block_pieces(self.text, raw, self.start)
        if "\n" in raw or self.style == ">":
            return []
        if not self.style:
            return [(0, self.start)] if raw == self.text else []
        inside = raw[1:-1]
        if inside == self.text:
            return [(0, self.start + 1)]
        escape = _SINGLE_ESCAPE if self.style == "'" else _DOUBLE_ESCAPE
        return _escaped_pieces(inside, len(self.text), self.start + 1, escape)


@dataclass(slots=True, eq=False)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def place(self) -> Place:
        """The range of the list."""
        return Place(self.source, Span(self.start, self.end))


@dataclass(slots=True, eq=False)
class Entry:
    """A key and its value."""

    key: Scalar
    value: Node


@dataclass(slots=True, eq=False)
class Mapping:
    """A map, in the order written. Keys are unique texts."""

    entries: tuple[Entry, ...]
    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def place(self) -> Place:
        """The range of the map."""
        return Place(self.source, Span(self.start, self.end))

    def entry(self, name: str) -> Entry | None:
        """The entry of that key, or None."""
        for entry in self.entries:
            if entry.key.text == name:
                return entry
        return None

    def get(self, name: str) -> Node | None:
        """The value of that key, or None."""
        entry = self.entry(name)
        return None if entry is None else entry.value


Node: TypeAlias = Scalar | Sequence | Mapping


def plain(node: Node | None) -> Json:
    """The data of a node, without its places."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Mapping):
        return {entry.key.text: plain(entry.value) for entry in node.entries}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return None


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, in the order written; keys are not nodes."""
    yield node
    if isinstance(node, Mapping):
        for entry in node.entries:
            yield from walk(entry.value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from walk(item)


# -- which character of the text stands where -----------------------------------------------------

_SINGLE_ESCAPE = re.compile("''")
_DOUBLE_ESCAPE = re.compile(r"\\(?:x..|u.{4}|U.{8}|.)")


def _escaped_pieces(
    inside: str, length: int, start: int, escape: re.Pattern[str]
) -> list[tuple[int, int]]:
    """Runs between escapes; each escape is one character, shown at the escape's last character."""
    pieces: list[tuple[int, int]] = []
    at = text_at = 0
    for found in escape.finditer(inside):
        if found.start() > at:
            pieces.append((text_at, start + at))
        text_at += found.start() - at
        pieces.append((text_at, start + found.end() - 1))
        text_at += 1
        at = found.end()
    if at < len(inside):
        pieces.append((text_at, start + at))
    return pieces if text_at + len(inside) - at == length else []


def _block_pieces(text: str, raw: str, start: int) -> list[tuple[int, int]]:
    """The lines of a literal block, each without its indentation."""
    lines = raw.split("\n")
    first = next((line for line in lines[1:] if line.strip(" ")), None)
    if first is None:
        return []
    # The header may count from an indentation that is not known here: the text decides.
    begun = next(line for line in text.split("\n") if line.strip(" ")) if text.strip() else first
    indent = max(_leading(first) - _leading(begun), 0)
    pieces: list[tuple[int, int]] = []
    text_at, at = 0, start + len(lines[0]) + 1
    for line in lines[1:]:
        content = line[indent:]
        if not text.startswith(content, text_at):
            return []
        pieces.append((text_at, at + min(indent, len(line))))
        text_at += len(content) + 1
        at += len(line) + 1
    return pieces


def _leading(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
