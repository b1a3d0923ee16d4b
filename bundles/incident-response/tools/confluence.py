#!/usr/bin/env python3
"""Begin the page of a post-mortem in Confluence: what is known by number and word, and what to fill in."""

from __future__ import annotations

from typing import Any

from _confluence import Confluence, bullets, heading, paragraph, rows
from _incident import sentences
from _tool import main

QUESTIONS = {
    "Impact": [
        "Who was hindered, in what, and for how long?",
        "How did we learn of it, and how late?",
    ],
    "Cause": ["What was different from the day before?", "Why was it not found earlier?"],
    "What went well": ["What kept it from being worse?"],
    "What we change": ["One line for each change: what, who, until when."],
}


def title(number: int, incident: str) -> str:
    """The title of the page; a space has one page of a title at most."""
    return f"Post-mortem of incident {number} ({incident})"


def find_page(space: str, number: int, incident: str) -> dict[str, Any] | None:
    """The page, if it has been begun; or null."""
    confluence = Confluence()
    found = confluence.find(confluence.space(space), title(number, incident))
    return confluence.shown(found, "found") if found else None


def begin_page(
    space: str,
    number: int,
    incident: str,
    status: str,
    urgency: str,
    created: str,
    assessment: dict[str, Any],
) -> dict[str, Any]:
    """Make the page; one that is there already belongs to people, and is left as it is."""
    confluence = Confluence()
    home, name = confluence.space(space), title(number, incident)
    there = confluence.find(home, name)
    if there is not None:
        return confluence.shown(there, "found")
    facts: list[list[object]] = [
        ["Incident", f"{number} ({incident})"],
        ["Began", created],
        ["Status when this page was begun", status],
        ["Urgency", urgency],
    ]
    parts = [rows(["What", "Value"], facts), heading("First assessment")]
    parts.append(paragraph("By a workflow, from its records; check it before you build on it."))
    parts.append(bullets(sentences(assessment)))
    for name_of_part, questions in QUESTIONS.items():
        parts += [heading(name_of_part), bullets(questions)]
    return confluence.create(home, name, "".join(parts))


if __name__ == "__main__":
    main({"find_page": find_page, "begin_page": begin_page})
