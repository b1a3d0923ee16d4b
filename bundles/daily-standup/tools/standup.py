#!/usr/bin/env python3
"""The stand-up as a report for people, and as a digest that may be posted. Changes nothing."""

from __future__ import annotations

import re
from typing import Any

from _tool import cell, code, count, main, table

OLD_DAYS = 3
_KEY = re.compile(r"[A-Z][A-Z0-9_]{1,30}-[0-9]{1,8}")
_REPO = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")


def digest(repos: list[Any], issues: list[dict[str, Any]], state: str) -> dict[str, Any]:
    """What may be posted: numbers, keys of issues, names of repositories and one word."""
    named = [one for one in issues if _KEY.fullmatch(one["key"])]
    return {
        "state": state,
        "repos": [
            {
                "repo": one["repo"],
                "commits": len(one["commits"]),
                "merged": [pull["number"] for pull in one["merged"]],
                "opened": [pull["number"] for pull in one["opened"]],
                "waiting": [p["number"] for p in one["waiting"] if p["days"] > OLD_DAYS],
                "failing": len(one["failing"]),
            }
            for one in repos
            if _REPO.fullmatch(one["repo"])
        ],
        "issues": {
            "done": [one["key"] for one in named if one["category"] == "done"],
            "doing": [o["key"] for o in named if o["category"] == "doing" and not o["blocked"]],
            "blocked": [o["key"] for o in named if o["blocked"] and o["category"] != "done"],
        },
    }


def report(
    hours: int,
    repos: list[Any],
    issues: list[dict[str, Any]],
    summary: dict[str, Any] | None = None,
) -> str:
    """The stand-up as Markdown; text of others is shown as text."""
    parts = [f"# Stand-up: the last {hours} hours", ""]
    if summary is None:
        parts += ["Nothing happened in the repositories and projects that were asked for.", ""]
    else:
        parts += [
            f"**{cell(summary['state'].replace('_', ' '))}.** {cell(summary['headline'])}",
            "",
        ]
        for one in summary["people"]:
            parts += [f"## {cell(one['name'])}", ""]
            for word in ("done", "doing", "blocked"):
                parts += [f"- **{word}:** {cell(text)}" for text in one[word]]
            parts.append("")
        if summary["ask"]:
            parts += ["## To talk about", "", *(f"- {cell(text)}" for text in summary["ask"]), ""]
    parts += _repos(repos) + _issues(issues)
    return "\n".join(parts).rstrip()


def _repos(repos: list[Any]) -> list[str]:
    parts = []
    for one in repos:
        parts += [f"## {cell(one['repo'])}", ""]
        failing = ", ".join(cell(run["workflow"]) for run in one["failing"])
        said = [count(len(one["commits"]), "commit"), f"{len(one['merged'])} merged"]
        parts += [", ".join(said) + (f"; **failing:** {failing}" if failing else "") + ".", ""]
        rows = [
            (f"{p['number']}", cell(p["title"]), cell(p["author"]), "merged") for p in one["merged"]
        ]
        rows += [
            (
                f"{p['number']}",
                cell(p["title"]),
                cell(p["author"]),
                f"open for {count(p['days'], 'day')}",
            )
            for p in one["waiting"][:20]
        ]
        if rows:
            parts += [table(("pull request", "title", "by", "state"), rows), ""]
    return parts


def _issues(issues: list[dict[str, Any]]) -> list[str]:
    if not issues:
        return []
    rows = [
        (
            code(one["key"]),
            cell(one["summary"]),
            cell(one["status"]) + (" ⛔" if one["blocked"] else ""),
            cell(one["assignee"]),
        )
        for one in issues[:60]
    ]
    return ["## Issues", "", table(("issue", "summary", "status", "by"), rows), ""]


if __name__ == "__main__":
    main({"digest": digest, "report": report})
