"""The block of settings at the head of a document: where it begins and ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiworkflow.diagnostics import Report, Source

# a line of `...` at the margin ends YAML wherever it stands, so it can be no part of the settings
_END: Final = re.compile(r"^(?:---[ \t]*|\.\.\.(?:[ \t].*)?)$", re.MULTILINE)
_NEARLY: Final = re.compile(
    r"^[ \t]*(?:-{2,}(?:[ \t]+#.*)?|[–—]+|_{3,}|\*{3,})[ \t]*$", re.MULTILINE
)
"""What is most likely meant as the end, where there is none."""
_LATE: Final = re.compile(r"\s+---[ \t]*\n\s*\w+:")


def find_frontmatter(source: Source, report: Report) -> tuple[int, int, int] | None:
    """Offsets of the block's first and last character and of the document after it; None for none.

    It starts at the first byte and ends at a line of exactly `---`.
    """
    text = source.text
    if not text.startswith("---"):
        if _LATE.match(text):
            report.error(
                "AW210",
                source.place(0, 1),
                "the frontmatter begins at the first byte of the file",
                "remove what stands before the first `---`",
            )
        else:
            report.error(
                "AW210",
                source.place(0, min(1, len(text))),
                "the frontmatter is missing",
                "begin the file with `---`, `name: …` and another `---`",
            )
        return None
    first = text.find("\n")
    if first < 0 or text[:first].strip() != "---":
        report.error(
            "AW210",
            source.place(0, max(first, 3)),
            "the first line must be exactly `---`",
            "write `---` alone on it",
        )
        return None
    end = _END.search(text, first + 1)
    if end is None:
        heading = text.find("\n#", first)  # a rule further below is no slip of the end
        nearly = _NEARLY.search(text, first + 1, len(text) if heading < 0 else heading)
        report.error(
            "AW211",
            source.place(*(nearly.span() if nearly is not None else (0, 3))),
            "the frontmatter is never closed",
            "add a line `---` after the settings"
            if nearly is None
            else "write exactly `---`, at the beginning of the line",
        )
        return None
    if end.group().startswith("."):
        report.error(
            "AW211",
            source.place(end.start(), end.start() + 3),
            "the frontmatter ends at a line of exactly `---`, not `...`",
            "write `---` there",
        )
    elif end.group() != "---":
        report.error(
            "AW211",
            source.place(end.start(), end.end()),
            "the line that ends the frontmatter must be exactly `---`",
            "remove the white space",
        )
    after = text.find("\n", end.start())
    return first + 1, end.start(), len(text) if after < 0 else after + 1
