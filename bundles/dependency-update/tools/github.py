#!/usr/bin/env python3
"""Release notes, and the one issue that tells what can be updated.

Needs GITHUB_TOKEN (a fine-grained token with "Issues: read and write" for `track`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from _github import github_api, repository_path
from _tool import code, count, main, table
from _versions import release

if TYPE_CHECKING:
    from _http import Api

MARK = "<!-- aiworkflow dependency-update -->"
LABEL = "dependencies"
MOST_NOTES = 20_000


def releases(repo: str, current: str, latest: str) -> dict[str, Any]:
    """Notes of the releases after one version up to another, newest first, cut to what can be read."""
    low, high = release(current), release(latest)
    found, room = [], MOST_NOTES
    for page in github_api().pages(f"{repository_path(repo)}/releases", 5, per_page=100):
        for one in page:
            numbers = release(re.sub(r"^.*?(?=\d)", "", one["tag_name"], count=1))
            if numbers is None or one["draft"] or one["prerelease"]:
                continue
            if (low is None or numbers > low) and (high is None or numbers <= high) and room > 0:
                text = (one["body"] or "")[:room]
                room -= len(text)
                found.append({"tag": one["tag_name"], "notes": text})
    return {"releases": found}


def find_issue(repo: str) -> dict[str, Any] | None:
    """The open issue of this bundle, or null."""
    return _find(github_api(), repository_path(repo))


def _find(github: Api, path: str) -> dict[str, Any] | None:
    for page in github.pages(f"{path}/issues", 10, state="open", labels=LABEL, per_page=100):
        for one in page:
            if MARK in (one["body"] or "") and "pull_request" not in one:
                return {"number": one["number"], "url": one["html_url"]}
    return None


def track(repo: str, updates: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the issue: a new one, or the one that is open already with a new text."""
    github, path = github_api(), repository_path(repo)
    body = {"title": title(updates), "body": text(updates)}
    there = _find(github, path)
    if there is not None:
        done = github.send("PATCH", f"{path}/issues/{there['number']}", body)
        return {"number": done["number"], "url": done["html_url"], "created": False}
    done = github.send("POST", f"{path}/issues", {**body, "labels": [LABEL]})
    return {"number": done["number"], "url": done["html_url"], "created": True}


def title(updates: list[dict[str, Any]]) -> str:
    """The title of the issue."""
    urgent = sum(bool(one["advisories"]) for one in updates)
    said = f"{count(len(updates), 'dependency', 'dependencies')} can be updated"
    return said + (f", {urgent} with known vulnerabilities" if urgent else "")


def text(updates: list[dict[str, Any]]) -> str:
    """The issue: names, versions and words of ours."""
    rows = [
        (
            code(one["name"]),
            code(one["file"]),
            code(one["current"] or "?"),
            code(one["latest"]),
            one["behind"],
            one["risk"],
            ", ".join(one["advisories"][:5]) or "–",
        )
        for one in updates
    ]
    head = ("package", "declared in", "now", "latest", "behind", "risk", "advisories")
    parts = [table(head, rows) if rows else "Everything is up to date.", ""]
    parts.append(
        "The reasons for each risk are in the report of the run. This text is replaced by the next one."
    )
    return "\n".join([*parts, MARK])


if __name__ == "__main__":
    main({"releases": releases, "find_issue": find_issue, "track": track})
