"""Prose that looks as if it did something: templates in text that is never expanded."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.rules.hidden import blank_code

if TYPE_CHECKING:
    from aiworkflow.bundle.outline import Outline, Section
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
