"""A workflow's document as an outline: headings, what stands below them, and the step blocks.

markdown-it finds the blocks; nothing inside paragraphs is parsed. Everything knows its offsets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from aiworkflow.diagnostics import Fragment, Span
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.token import Token

    from aiworkflow.diagnostics import Place, Report, Source

_MOST_NESTING: Final = 40
_MOST_TOKENS: Final = 50_000
_CONTAINERS: Final = frozenset({"blockquote_open", "list_item_open"})
_INFO: Final = re.compile(r"\S+")
_ATX: Final = re.compile(r" {0,3}#{1,6}[ \t]*")
_NOTE: Final = re.compile(r" {0,3}>[ \t]*\[!NOTE\][ \t]*", re.IGNORECASE)
_FENCE_LINE: Final = re.compile(r"^(\s*)(`{3,}|~{3,})[ \t]*(\S+)[ \t]+step\b", re.MULTILINE)
NOT_LANGUAGES: Final = {"step": "yaml", "yml": "yaml", "text": "bash"}


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


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    found = MarkdownIt("commonmark", {"maxNesting": _MOST_NESTING})
    found.core.ruler.enableOnly(["normalize", "block"])
    found.block.ruler.before("code", "bound", _bound)
    return found


class _TooMuch(Exception):
    """The document has more blocks than are read."""


def _bound(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A rule of the parser that finds nothing, and ends it where memory would run out."""
    del first, last, silent
    if len(state.tokens) > _MOST_TOKENS:
        raise _TooMuch
    return False


def read_outline(source: Source, start: int, report: Report) -> Outline:
    """The outline of a document from an offset on (after its frontmatter)."""
    text = source.text[start:]
    first_line, _ = source.position(start)
    builder = _Builder(source, start, first_line, report)
    try:
        tokens = _parser().parse(text)
    except _TooMuch:
        report.error(
            "AW209", source.place(start, start + 1),
            f"the document has more than {_MOST_TOKENS:,} blocks", "move parts into files of their own",
        )  # fmt: skip
        tokens = []
    for token in tokens:
        builder.add(token)
    outline = builder.finish()
    builder.check_hidden_fences(outline)
    return outline


class _Builder:
    def __init__(self, source: Source, start: int, first_line: int, report: Report) -> None:
        self.source = source
        self.start = start
        self.base = first_line  # line of the text's line 0
        self.report = report
        self.title: Section | None = None
        self.flat: list[Section] = []
        self.loose: list[Fence] = []
        self.pending: Token | None = None
        self.html: list[Token] = []

    def add(self, token: Token) -> None:
        """Take the next block."""
        if token.level >= _MOST_NESTING - 1 and token.type in _CONTAINERS:
            self._too_deep(token)
        if token.level == 0:
            match token.type:
                case "heading_open":
                    self.pending = token
                case "fence":
                    self._fence(token)
                case "blockquote_open" if token.map is not None:
                    first = self.base + token.map[0]
                    if self.flat and _NOTE.fullmatch(self.source.line(first)):
                        self.flat[-1].notes.append((first, self.base + token.map[1]))
                case "code_block" if token.map is not None:
                    self._indented(token)
                case _:
                    pass
        elif token.type == "inline" and self.pending is not None:
            self._heading(self.pending, token)
            self.pending = None
        elif token.type == "fence" and token.level > 0:
            self._nested_fence(token)

    def _too_deep(self, token: Token) -> None:
        """What stands deeper is left out by the parser, so nothing of it would be checked."""
        assert token.map is not None
        first = self.source.offset(self.base + token.map[0])
        self.report.error(
            "AW209",
            self.source.place(first, first + 1),
            f"lists and quotes are nested deeper than {_MOST_NESTING} levels",
            "take them apart",
        )

    def _heading(self, token: Token, inline: Token) -> None:
        assert token.map is not None
        line = self.base + token.map[0]
        raw = self.source.line(line)
        at = self.source.offset(line)
        if token.markup in {"-", "="}:
            underline = self.base + token.map[1] - 1
            under = self.source.offset(underline)
            self.report.error(
                "AW201",
                self.source.place(under, under + len(self.source.line(underline))),
                "text with a line below it is a heading in Markdown, and would split the step here",
                f"write `{'##' if token.markup == '-' else '#'} {inline.content[:40]}`, "
                "or leave an empty line between",
            )
            return
        opening = _ATX.match(raw)
        title = inline.content  # without the signs around it
        begin = at + (opening.end() if opening else 0)
        level = int(token.tag[1:])
        section = Section(level, title, Span(begin, begin + max(len(title), 1)), line)
        if level == 1:
            self._level_one(section)
        else:
            self._check_title_first(section)
            self.flat.append(section)

    def _level_one(self, section: Section) -> None:
        place = self.source.place(section.heading.start, section.heading.end)
        if self.title is not None or self.flat:
            self.report.error(
                "AW202",
                place,
                "a workflow has one level-1 heading, and it comes first",
                f"write `## {section.title}`",
            )
            self.flat.append(Section(2, section.title, section.heading, section.line))
            return
        self.title = section

    def _check_title_first(self, section: Section) -> None:
        if self.title is None and not self.flat:
            self.report.error(
                "AW202",
                self.source.place(section.heading.start, section.heading.end),
                "a workflow begins with a level-1 heading",
                "add a line `# Title` before it",
            )

    def _fence(self, token: Token) -> None:
        assert token.map is not None
        fence = self._read_fence(token)
        if not self._is_closed(token):
            place = self.source.place(fence.at - len(token.markup), fence.at + len(fence.info))
            self.report.error(
                "AW203",
                place,
                "this fence is never closed",
                f"end the block with a line of {token.markup} alone",
            )
        self._check_words(fence)
        if not self.flat:
            if fence.is_step or fence.is_undo:
                self._misplaced(
                    fence,
                    "under the level-1 heading" if self.title else "before the first heading",
                    "put it below a heading of level 2: `## Name of the step`",
                )
            return
        self.flat[-1].fences.append(fence)

    def _read_fence(self, token: Token) -> Fence:
        assert token.map is not None
        first = self.base + token.map[0]
        line = self.source.line(first)
        at = self.source.offset(first)
        info_at = at + line.index(token.markup) + len(token.markup)
        raw = line[info_at - at :]
        info_at += len(raw) - len(raw.lstrip())
        last = self.base + token.map[1] - 1
        start = self.source.offset(first) + len(line) + 1
        closed = self._is_closed(token)
        stop = last if closed else last + 1
        end = self.source.offset(stop) if stop <= len(self.source.starts) else len(self.source.text)
        start = min(start, len(self.source.text))
        return Fence(
            tuple(_INFO.findall(token.info)),
            token.info.strip(),
            info_at,
            start,
            max(start, end),
            first,
            last,
            token.content,
        )

    def _is_closed(self, token: Token) -> bool:
        assert token.map is not None
        first, end = token.map
        if end - first < 2:
            return False
        last = self.source.line(self.base + end - 1).strip()
        mark = token.markup[0]
        return len(last) >= len(token.markup) and set(last) == {mark}

    def _check_words(self, fence: Fence) -> None:
        words = fence.words
        if not words:
            return
        place = self.source.place(fence.at, fence.at + len(fence.info))
        first = words[0]
        if first == "step" or (fence.is_step and first in NOT_LANGUAGES):
            right = NOT_LANGUAGES[first]
            self.report.error(
                "AW204",
                place,
                f"`{fence.info}` is no step block: the language comes first",
                f"write `{right} step`, or the language of the code",
            )

    def _misplaced(self, fence: Fence, where: str, hint: str) -> None:
        place = self.source.place(fence.at, fence.at + len(fence.info))
        self.report.error("AW205", place, f"a step block cannot stand {where}", hint)

    def _nested_fence(self, token: Token) -> None:
        words = token.info.split()
        if len(words) > 1 and words[1] in {"step", "undo"}:
            assert token.map is not None
            line = self.base + token.map[0]
            at = self.source.offset(line)
            self.report.error(
                "AW205",
                self.source.place(at, at + len(self.source.line(line))),
                "a step block cannot stand in a list or a quote",
                "move it to the left margin",
            )

    def _indented(self, token: Token) -> None:
        assert token.map is not None
        line = self.base + token.map[0]
        text = self.source.text[self.source.offset(line) : self._end_of(token)]
        found = _FENCE_LINE.search(text)
        if found is not None:
            at = self.source.offset(line) + found.start(2)
            self.report.error(
                "AW205",
                self.source.place(at, at + len(found.group()) - len(found.group(1))),
                "a step block indented by four spaces is plain text in Markdown",
                "move it to the left margin",
            )

    def _end_of(self, token: Token) -> int:
        assert token.map is not None
        line = self.base + token.map[1]
        return (
            self.source.offset(line) if line <= len(self.source.starts) else len(self.source.text)
        )

    def finish(self) -> Outline:
        """Sections in their order, each within the one above it."""
        total = len(self.source.starts) + 1
        flat = self.flat
        if self.title is not None:
            self.title.until = flat[0].line if flat else total
        for index, section in enumerate(flat):
            section.until = flat[index + 1].line if index + 1 < len(flat) else total
            section.end = next(
                (later.line for later in flat[index + 1 :] if later.level <= section.level), total
            )
        top: list[Section] = []
        stack: list[Section] = []
        for section in flat:
            while stack and stack[-1].level >= section.level:
                stack.pop()
            (stack[-1].children if stack else top).append(section)
            stack.append(section)
        return Outline(self.source, self.start, self.title, top)

    def check_hidden_fences(self, outline: Outline) -> None:
        """A hint where `step` seems forgotten: yaml with our keys in a section without a step."""
        for top in outline.sections:
            for section in top.walk():
                if any(fence.is_step for fence in section.fences):
                    continue
                for fence in section.fences:
                    if fence.words[:1] == ("yaml",) and re.match(
                        r"(uses|each|until|needs|set|parallel):", fence.content
                    ):
                        self.report.hint(
                            "AW206",
                            self.source.place(fence.at, fence.at + len(fence.info)),
                            "this looks like a step, but the word `step` is missing",
                            "write `yaml step`",
                        )


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
