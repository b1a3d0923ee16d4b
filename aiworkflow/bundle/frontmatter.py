"""The block of settings at the head of a document: where it begins and ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiworkflow.diagnostics import Report, Source

_END: Final = re.compile(r"^---[ \t]*$", re.MULTILINE)
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
        report.error(
            "AW211",
            source.place(0, 3),
            "the frontmatter is never closed",
            "add a line `---` after the settings",
        )
        return None
    if end.group() != "---":
        report.error(
            "AW211",
            source.place(end.start(), end.end()),
            "the line that ends the frontmatter must be exactly `---`",
            "remove the white space",
        )
    after = text.find("\n", end.start())
    return first + 1, end.start(), len(text) if after < 0 else after + 1
