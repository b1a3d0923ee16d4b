"""The step blocks of a section: its settings, its code, the code that takes it back."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.rules.hidden import check_hidden
from aiworkflow.diagnostics import Fragment, Label, Span
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.bundle.sections import Fence, Section
    from aiworkflow.diagnostics import Place, Report, Source

_TEMPLATE: Final = re.compile(r"\{\{\s*(inputs|steps|item|state)\b[^{}\n]*\}\}")
_STEP_LINES: Final = re.compile(r"(uses|each|until|needs|set|parallel|workflow|if|retry|approve):")
_LANGUAGES: Final = frozenset({"bash", "sh", "python", "python3", "node", "js", "javascript"})


@record
class Blocks:
    """The step blocks of a section, at most one of each sort."""

    settings: Fence | None = None
    code: Fence | None = None
    undo: Fence | None = None


class BlockReader:
    """Sorts the fences of sections, and says what is wrong with them."""

    def __init__(self, source: Source, report: Report) -> None:
        self.source = source
        self.report = report

    def read(self, section: Section) -> Blocks:
        """The step blocks of a section."""
        settings: Fence | None = None
        code: Fence | None = None
        undo: Fence | None = None
        for fence in section.steps:
            if fence.is_undo:
                undo = self._only("code `undo` block", undo, fence)
            elif fence.words[0] == "yaml":
                settings = self._only("`yaml step`", settings, fence)
                self._no_more_words(fence)
            else:
                code = self._only("code step block", code, fence)
        if undo is not None:
            self._check_undo(undo, alone=settings is None and code is None)
        for block in (code, undo):
            if block is not None:
                self._check_code(block)
        self._check_forgotten(section, settings, code)
        return Blocks(settings, code, undo)

    def place(self, fence: Fence) -> Place:
        """Where the info string of a fence stands."""
        return self.source.place(fence.at, fence.at + len(fence.info))

    def _only(self, what: str, before: Fence | None, fence: Fence) -> Fence:
        if before is None:
            return fence
        self.report.error(
            "AW207",
            self.place(fence),
            f"a section has at most one {what}",
            "give the second one a section of its own",
            Label(self.place(before), "the first one"),
        )
        return before

    def _no_more_words(self, fence: Fence) -> None:
        if len(fence.words) > 2:
            self.report.error(
                "AW208",
                self._more_words(fence, 2),
                "settings of a `yaml step` stand in the block, not beside it",
                f"write `{fence.words[2].replace('=', ': ', 1)}` as a line of the block",
            )

    def _more_words(self, fence: Fence, skipped: int) -> Place:
        """The place of what follows the first words of an info string."""
        at = re.compile(r"\S+\s+" * skipped).match(fence.info)
        start = fence.at + (at.end() if at else 0)
        return self.source.place(start, fence.at + len(fence.info))

    def _check_undo(self, fence: Fence, *, alone: bool) -> None:
        if fence.words[0] == "yaml":
            self.report.error(
                "AW204",
                self.place(fence),
                "an `undo` block holds code",
                "write settings as `undo: {uses: …}` in the `yaml step` block",
            )
        if len(fence.words) > 2:
            self.report.error(
                "AW208", self._more_words(fence, 2), "nothing can stand beside `undo`", "remove it"
            )
        if alone:
            self.report.error(
                "AW205",
                self.place(fence),
                "an `undo` block cannot stand in a section without a step block",
                "add the step that it takes back",
            )

    def _check_code(self, fence: Fence) -> None:
        text = self.source.text[fence.start : fence.end]
        fragment = Fragment(text, self.source, ((0, fence.start),), Span(fence.start, fence.end))
        check_hidden(fragment, self.report, code=True)
        for found in islice(_TEMPLATE.finditer(text), self.report.limit):
            self.report.warning(
                "AW803",
                fragment.place(found.start(), found.end()),
                "code is never templated: this stands in the script as it is",
                "read it as an environment variable: `$INPUT_NAME`, or `env:` and `with:`",
            )

    def _check_forgotten(
        self, section: Section, settings: Fence | None, code: Fence | None
    ) -> None:
        """A hint where the word `step` seems forgotten beside another step block."""
        for fence in section.fences:
            if len(fence.words) != 1 or fence.info == "":
                continue
            language = fence.words[0]
            is_settings = (
                settings is None and language == "yaml" and _STEP_LINES.match(fence.content)
            )
            is_code = code is None and language in _LANGUAGES and self._is_all(section, fence)
            if is_settings or is_code:
                self.report.hint(
                    "AW206",
                    self.place(fence),
                    "this looks like a part of the step, but the word `step` is missing",
                    f"write `{language} step`",
                )

    def _is_all(self, section: Section, fence: Fence) -> bool:
        """Whether a section says nothing besides a block of code and its step blocks."""
        lines = range(section.line + 1, section.until)
        blocked = [*section.steps, fence]
        return len(lines) < 1000 and not any(
            self.source.line(line).strip()
            for line in lines
            if not any(one.first <= line <= one.last for one in blocked)
        )


def check_prose_fences(section: Section, source: Source, report: Report) -> None:
    """Words beside the language of a fence in a prompt: an agent would get them, unseen."""
    for part in section.walk():
        for fence in part.fences:
            if len(fence.words) > 1 and not fence.is_step and not fence.is_undo:
                start = fence.at + len(fence.words[0])
                report.error(
                    "AW208",
                    source.place(start + 1, fence.at + len(fence.info)),
                    "words beside the language of a block are not shown to readers",
                    "write them above the block, or remove them",
                )
