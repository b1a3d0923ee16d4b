"""What a document's outline is made of: fences, sections, and the prose cut out of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiworkflow.diagnostics import Fragment, Span
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.diagnostics import Place, Source


@record
class Fence:
    """A fenced block at the top level of the document.

    Attributes:
        words: the words of the info string.
        at: offset of the info string in the source.
        start, end: offsets of the content's lines in the source.
        first, last: lines of the whole block, from 1, inclusive.
        content: the content, as it is after taking off the fence's own indentation.
    """

    words: tuple[str, ...]
    info: str
    at: int
    start: int
    end: int
    first: int
    last: int
    content: str

    @property
    def is_step(self) -> bool:
        """Whether it is a step block."""
        return len(self.words) > 1 and self.words[1] == "step"

    @property
    def is_undo(self) -> bool:
        """Whether it is a block of code that takes a step back."""
        return len(self.words) > 1 and self.words[1] == "undo"


@dataclass(slots=True)
class Section:
    """A heading with what stands below it, up to the next heading.

    Attributes:
        level: 1 to 6.
        title: text of the heading, markup included.
        heading: range of the title in the source.
        line: of the heading, from 1.
        until: first line that is no more its own (deeper sections are not counted as own).
        end: first line after it and all deeper sections.
        notes: line ranges of `> [!NOTE]` quotes.
    """

    level: int
    title: str
    heading: Span
    line: int
    until: int = 0
    end: int = 0
    fences: list[Fence] = field(default_factory=list)
    notes: list[tuple[int, int]] = field(default_factory=list)
    children: list[Section] = field(default_factory=list)

    @property
    def steps(self) -> list[Fence]:
        """Its own step blocks."""
        return [fence for fence in self.fences if fence.is_step or fence.is_undo]

    @property
    def has_steps_below(self) -> bool:
        """Whether a deeper section is a step, which makes this one a group."""
        return any(child.steps or child.has_steps_below for child in self.children)

    def walk(self) -> Iterator[Section]:
        """This section and all deeper ones, in order."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(slots=True)
class Outline:
    """The document: its level-1 section, if it has one, and the sections below."""

    source: Source
    start: int
    title: Section | None
    sections: list[Section]

    def place(self, section: Section) -> Place:
        """Where a section's heading stands."""
        return self.source.place(section.heading.start, section.heading.end)

    def lines(self, first: int, end: int) -> Fragment:
        """The lines from one (from 1) up to another, which is not among them."""
        return _cut(self.source, first, end, [])

    def own_prose(self, section: Section) -> Fragment:
        """The same without what deeper sections say."""
        blocked = [(fence.first, fence.last + 1) for fence in section.steps] + section.notes
        return _cut(self.source, section.line + 1, section.until, sorted(blocked))

    def prose(self, section: Section) -> Fragment:
        """What a step's section says besides its step blocks and notes, blank ends removed."""
        blocked: list[tuple[int, int]] = []
        for part in section.walk():
            blocked += [(fence.first, fence.last + 1) for fence in part.steps]
            blocked += part.notes
        return _cut(self.source, section.line + 1, section.end, sorted(blocked))


def _cut(source: Source, first: int, end: int, blocked: list[tuple[int, int]]) -> Fragment:
    """The lines from `first` up to `end`, without the blocked ones, as one text."""
    keep: list[tuple[int, int]] = []
    line = first
    for low, high in blocked:
        if low > line:
            keep.append((line, low))
        line = max(line, high)
    if line < end:
        keep.append((line, end))
    texts: list[str] = []
    pieces: list[tuple[int, int]] = []
    length = 0
    total = len(source.starts)
    for low, high in keep:
        start = source.offset(min(low, total)) if low <= total else len(source.text)
        stop = source.offset(high) if high <= total else len(source.text)
        if stop <= start:
            continue
        if texts:
            while texts[-1].endswith("\n\n") and source.text[start : start + 1] == "\n":
                start += 1  # where a block was taken out, one empty line is left
                if start >= stop:
                    break
        if start >= stop:
            continue
        text = source.text[start:stop]
        pieces.append((length, start))
        texts.append(text)
        length += len(text)
    joined = "".join(texts)
    lead = len(joined) - len(joined.lstrip())
    body = joined.rstrip()
    begin = source.offset(min(first, total))
    whole = Span(pieces[0][1], pieces[-1][1] + len(texts[-1])) if pieces else Span(begin, begin)
    fragment = Fragment(joined, source, tuple(pieces), whole)
    if lead or len(body) < len(joined):
        return (
            fragment.cut(min(lead, len(body)), len(body))
            if body
            else Fragment("", source, (), whole)
        )
    return fragment
