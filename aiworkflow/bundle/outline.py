"""A workflow's document as an outline: headings, what stands below them, and the step blocks.

markdown-it finds the blocks; nothing inside paragraphs is parsed. Everything knows its offsets.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.sections import Fence, Outline, Section
from aiworkflow.diagnostics import Span

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.token import Token

    from aiworkflow.diagnostics import Report, Source

_MOST_NESTING: Final = 40
_MOST_TOKENS: Final = 50_000
_CONTAINERS: Final = frozenset({"blockquote_open", "list_item_open"})
_INFO: Final = re.compile(r"\S+")
_ATX: Final = re.compile(r" {0,3}#{1,6}[ \t]*")
_NOTE: Final = re.compile(r" {0,3}>[ \t]*\[!NOTE\][ \t]*", re.IGNORECASE)
_FENCE_LINE: Final = re.compile(r"^(\s*)(`{3,}|~{3,})[ \t]*(\S+)[ \t]+step\b", re.MULTILINE)
_SECOND: Final = frozenset({"step", "undo"})
NOT_LANGUAGES: Final = {"step": "yaml", "yml": "yaml", "text": "bash"}


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
        elif (
            len(words) > 1
            and words[1] not in _SECOND
            and words[1].lower() in _SECOND
            and all("=" in word for word in words[2:])
        ):
            self.report.error(
                "AW204",
                place,
                f"`{fence.info}` is no step block, and would never run",
                f"write `{first} {words[1].lower()}`: `{words[1].lower()}` is lower case",
            )

    def _misplaced(self, fence: Fence, where: str, hint: str) -> None:
        place = self.source.place(fence.at, fence.at + len(fence.info))
        self.report.error("AW205", place, f"a step block cannot stand {where}", hint)

    def _nested_fence(self, token: Token) -> None:
        words = token.info.split()
        if len(words) > 1 and words[1] in _SECOND:
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
