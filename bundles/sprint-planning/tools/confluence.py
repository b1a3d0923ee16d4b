#!/usr/bin/env python3
"""The page of a sprint in Confluence: keys and points, one page a sprint."""

from __future__ import annotations

from typing import Any

from _confluence import Confluence, heading, paragraph, rows
from _tool import count, main


def title(sprint: int) -> str:
    """The title of the page; a space has one page of a title at most."""
    return f"Plan of sprint {sprint}"


def find_page(space: str, sprint: int) -> dict[str, Any] | None:
    """The page of a sprint, or null."""
    confluence = Confluence()
    found = confluence.find(confluence.space(space), title(sprint))
    return confluence.shown(found, "found") if found else None


def write_page(
    space: str,
    sprint: int,
    capacity: float,
    total: float,
    chosen: list[dict[str, Any]],
    planned: list[dict[str, Any]],
) -> dict[str, Any]:
    """Write the page; one that is there already gets the new plan as its next version."""
    confluence = Confluence()
    home = confluence.space(space)
    lines: list[list[object]] = [
        [one["key"], f"{one['points']:g}", "estimated here" if one["estimated"] else "from Jira"]
        for one in chosen
    ]
    said = f"{count(len(chosen), 'issue')} with {total:g} points proposed; room for {capacity:g} points."
    parts = [paragraph(said), heading("Proposed"), rows(["Issue", "Points", "Points are"], lines)]
    if planned:
        there: list[list[object]] = [
            [one["key"], "–" if one["points"] is None else f"{one['points']:g}"] for one in planned
        ]
        parts += [heading("In the sprint already"), rows(["Issue", "Points"], there)]
    parts.append(paragraph("Written by a workflow. The next run replaces this page."))
    storage = "".join(parts)
    page = confluence.find(home, title(sprint))
    if page is not None:
        return confluence.replace(page, storage)
    return confluence.create(home, title(sprint), storage)


if __name__ == "__main__":
    main({"find_page": find_page, "write_page": write_page})
