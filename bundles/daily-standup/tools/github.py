#!/usr/bin/env python3
"""What happened in a GitHub repository lately. Reads only.

Needs GITHUB_TOKEN (a fine-grained token that may read contents, pull requests and actions).
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from _github import github_api, repository_path
from _tool import main

if TYPE_CHECKING:
    from _http import Api

MOST_PAGES = 10


def activity(repo: str, hours: int) -> dict[str, Any]:
    """Commits on the default branch, pull requests that moved, and workflows that fail there."""
    github, path = github_api(), repository_path(repo)
    now = datetime.datetime.now(datetime.UTC)
    since = f"{now - datetime.timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
    branch = github.get(path)["default_branch"]
    pulls = _pulls(github, path, since)
    merged = [one for one in pulls if (one["merged_at"] or "") >= since]
    opened = [one for one in pulls if one["open"] and one["created"] >= since]
    return {
        "repo": repo,
        "branch": branch,
        "commits": _commits(github, path, branch, since),
        "merged": [_shown(one) for one in merged],
        "opened": [_shown(one) for one in opened],
        "waiting": [
            {**_shown(one), "days": (now - datetime.datetime.fromisoformat(one["created"])).days}
            for one in _open(github, path)
            if not one["draft"]
        ],
        "failing": _failing(github, path, branch),
    }


def _commits(github: Api, path: str, branch: str, since: str) -> list[dict[str, Any]]:
    found = []
    for page in github.pages(f"{path}/commits", MOST_PAGES, sha=branch, since=since, per_page=100):
        for one in page:
            author = (one.get("author") or {}).get("login") or one["commit"]["author"]["name"]
            title = one["commit"]["message"].partition("\n")[0]
            found.append({"sha": one["sha"][:12], "author": author, "title": title})
    return found


def _pull(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "number": one["number"],
        "title": one["title"],
        "author": (one["user"] or {}).get("login", "ghost"),
        "open": one["state"] == "open",
        "draft": bool(one.get("draft")),
        "created": one["created_at"],
        "merged_at": one["merged_at"],
        "reviewers": [who["login"] for who in one.get("requested_reviewers") or []],
    }


def _pulls(github: Api, path: str, since: str) -> list[dict[str, Any]]:
    """Pull requests that changed since then, newest change first."""
    found = []
    options = {"state": "all", "sort": "updated", "direction": "desc", "per_page": 100}
    for page in github.pages(f"{path}/pulls", MOST_PAGES, **options):
        fresh = [one for one in page if one["updated_at"] >= since]
        found += [_pull(one) for one in fresh]
        if len(fresh) < len(page):
            break
    return found


def _open(github: Api, path: str) -> list[dict[str, Any]]:
    """Open pull requests, the oldest first."""
    options = {"state": "open", "sort": "created", "direction": "asc", "per_page": 100}
    return [_pull(one) for page in github.pages(f"{path}/pulls", 2, **options) for one in page]


def _shown(pull: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pull.items() if key != "merged_at"}


def _failing(github: Api, path: str, branch: str) -> list[dict[str, Any]]:
    """Workflows whose latest finished run on the branch failed."""
    answer = github.get(
        f"{path}/actions/runs", branch=branch, status="completed", exclude_pull_requests="true",
        per_page=50,
    )  # fmt: skip
    latest: dict[int, dict[str, Any]] = {}
    for one in answer["workflow_runs"]:  # newest first
        latest.setdefault(one["workflow_id"], one)
    return [
        {"workflow": one["name"] or "unnamed", "run": one["run_number"]}
        for one in latest.values()
        if one["conclusion"] in {"failure", "timed_out", "startup_failure"}
    ]


if __name__ == "__main__":
    main({"activity": activity})
