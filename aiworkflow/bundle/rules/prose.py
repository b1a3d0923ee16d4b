"""Prose that looks as if it did something: templates in text that is never expanded."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.rules.hidden import blank_code, blank_fences

if TYPE_CHECKING:
    from aiworkflow.bundle.sections import Outline, Section
    from aiworkflow.diagnostics import Fragment, Report

_TEMPLATE: Final = re.compile(r"\{\{[^{}\n]*\}\}|\{%[^{}\n]*%\}")


def check_documentation(outline: Outline, report: Report) -> None:
    """Warn of templates in the sections that are for people."""
    text = outline.source.text
    if "{{" not in text and "{%" not in text:
        return
    if outline.title is not None:
        check_unexpanded(
            outline.lines(outline.title.line + 1, outline.title.until), _SECTION, report
        )
    for section in outline.sections:
        _check(outline, section, report)


_SECTION: Final = "this section is documentation: nothing is put in here"


def _check(outline: Outline, section: Section, report: Report) -> None:
    if section.steps:
        if not section.has_steps_below:
            return  # what is below belongs to the step, which looks at it by itself
    else:
        check_unexpanded(outline.lines(section.line + 1, section.until), _SECTION, report)
    for child in section.children:
        _check(outline, child, report)


def check_unexpanded(prose: Fragment, why: str, report: Report) -> None:
    """Warn of templates in a text that is never expanded."""
    if "{{" not in prose.text and "{%" not in prose.text:
        return
    for found in islice(_TEMPLATE.finditer(blank_code(prose.text)), report.limit):
        report.warning(
            "AW805",
            prose.place(found.start(), found.end()),
            why,
            "write it in backticks, or give the section a step block",
        )


# -- tables ---------------------------------------------------------------------------------------

_DELIMITER: Final = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")


def check_tables(prose: Fragment, report: Report) -> None:
    """Cells beyond the columns of a table: viewers leave them out, an agent gets them."""
    if "|" not in prose.text:
        return
    lines = blank_fences(prose.text).split("\n")
    at, columns = 0, 0
    for number, line in enumerate(lines):
        if not line.strip():
            columns = 0
        elif columns:
            cells = _cells(line)
            if len(cells) > columns:
                report.error(
                    "AW806",
                    prose.place(at + cells[columns], at + len(line.rstrip())),
                    f"the table has {columns} column{'s' * (columns > 1)}; what is beyond is not shown",
                    "add a column to the head, or remove the cell",
                )
        elif number and "|" in line and _is_delimiter(line):
            head = len(_cells(lines[number - 1]))
            columns = head if head == len(_cells(line)) else 0
        at += len(line) + 1


def _is_delimiter(line: str) -> bool:
    return len(line) < 10_000 and set(line) <= set("|-: \t") and bool(_DELIMITER.fullmatch(line))


def _cells(line: str) -> list[int]:
    """Where each cell of a row begins."""
    stripped = line.rstrip()
    first = len(line) - len(line.lstrip())
    first += stripped.startswith("|", first)
    last = len(stripped)
    if stripped.endswith("|") and not stripped.endswith("\\|") and last > first:
        last -= 1
    starts = [first]
    starts += [
        at + 1
        for at in range(first, last)
        if stripped[at] == "|" and (at == 0 or stripped[at - 1] != "\\")
    ]
    return starts
