"""Where text comes from: a file's text, ranges in it, and text cut out of it in pieces."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field

from aiworkflow.records import record


@record
class Span:
    """A range of characters in a Source: `start` inclusive, `end` exclusive, both 0-based."""

    start: int
    end: int


class Source:
    """A file as it was read: its display path and its text with line ends as LF, without BOM."""

    __slots__ = ("_starts", "path", "text")

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self._starts: list[int] | None = None

    @property
    def starts(self) -> list[int]:
        """Offset of the first character of each line."""
        if self._starts is None:
            starts = [0]
            find = self.text.find
            at = find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = find("\n", at + 1)
            self._starts = starts
        return self._starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1; columns count characters."""
        starts = self.starts
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Text of a line (from 1) without its line end; empty past the end."""
        starts = self.starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end]

    def offset(self, line: int, column: int = 1) -> int:
        """Offset of a line and column, both from 1."""
        return self.starts[line - 1] + column - 1

    def place(self, start: int, end: int | None = None) -> Place:
        """The place of a range; a single point where `end` is left out."""
        return Place(self, Span(start, start if end is None else end))


@record
class Place:
    """A range in a file, ready to be shown."""

    source: Source = field(repr=False)
    span: Span

    @property
    def path(self) -> str:
        """Display path of the file."""
        return self.source.path

    @property
    def line(self) -> int:
        """First line, from 1."""
        return self.source.position(self.span.start)[0]

    @property
    def column(self) -> int:
        """First column, from 1, in characters."""
        return self.source.position(self.span.start)[1]

    @property
    def end(self) -> tuple[int, int]:
        """Line and column just after the range, from 1."""
        return self.source.position(max(self.span.start, self.span.end))

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@record
class Fragment:
    """Text taken from a file, with the way back to where each character stood.

    Attributes:
        text: the text, as the parser after this one sees it.
        source: the file.
        pieces: `(offset in text, offset in source)` of each run copied verbatim, ascending. Empty
            where the text was transformed (YAML escapes, folding): then every place is `whole`.
        whole: range of the source the text came from.
    """

    text: str
    source: Source = field(repr=False)
    pieces: tuple[tuple[int, int], ...]
    whole: Span

    @classmethod
    def of(cls, text: str, path: str = "<text>") -> Fragment:
        """A fragment that is a whole source of its own, for text from the command line or code."""
        return cls(text, Source(path, text), ((0, 0),), Span(0, len(text)))

    def place(self, start: int = 0, end: int | None = None) -> Place:
        """The place of a range of `text`, by default of all of it."""
        if end is None:
            if start == 0:
                return Place(self.source, self.whole)
            end = start
        if not self.pieces:
            return Place(self.source, self.whole)
        first = self._to_source(start)
        last = self._to_source(end - 1) + 1 if end > start else first
        return Place(self.source, Span(first, max(first, last)))

    def _to_source(self, offset: int) -> int:
        index = bisect_right(self.pieces, offset, key=lambda piece: piece[0]) - 1
        text_at, source_at = self.pieces[max(index, 0)]
        return source_at + offset - text_at

    def cut(self, start: int, end: int) -> Fragment:
        """The fragment of a part of `text`."""
        place = self.place(start, end)
        if not self.pieces:  # transformed, as a folded scalar is: nothing leads back into it
            return Fragment(self.text[start:end], self.source, (), place.span)
        pieces = tuple(
            (max(at, start) - start, origin + max(at, start) - at)
            for (at, origin), upto in zip(
                self.pieces, [*(at for at, _ in self.pieces[1:]), len(self.text)], strict=True
            )
            if upto > start and at < max(end, start + 1)
        )
        return Fragment(self.text[start:end], self.source, pieces, place.span)
