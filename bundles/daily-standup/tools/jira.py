#!/usr/bin/env python3
"""What moved in a Jira Cloud project lately. Reads only.

Needs JIRA_BASE_URL (https://your-team.atlassian.net), JIRA_EMAIL and JIRA_API_TOKEN.
"""

from __future__ import annotations

import re
from typing import Any

from _http import Api, basic
from _tool import USAGE, Problem, credential, log, main, setting

MOST_ISSUES = 500


def api() -> Api:
    """Jira Cloud's REST API."""
    where = "create a token at https://id.atlassian.com/manage-profile/security/api-tokens"
    email = credential("JIRA_EMAIL", "it is the address of the account that owns the token")
    token = credential("JIRA_API_TOKEN", where)
    base = setting("JIRA_BASE_URL", where="https://your-team.atlassian.net")
    return Api("Jira", base, {"Authorization": basic(email, token)})


def activity(project: str, hours: int) -> dict[str, Any]:
    """Issues of a project that changed, and all that are in progress."""
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{1,30}", project):
        raise Problem(f"`{project}` is no key of a project: write it as in ABC-123", USAGE)
    jql = (
        f'project = "{project}" AND (updated >= "-{hours}h" OR statusCategory = "In Progress") '
        "ORDER BY updated DESC"
    )
    return {"issues": [_issue(one) for one in search(api(), jql)]}


def search(jira: Api, jql: str) -> list[dict[str, Any]]:
    """All issues that a query finds, page by page."""
    found: list[dict[str, Any]] = []
    fields = ["summary", "status", "assignee", "priority", "labels", "issuetype", "updated"]
    body: dict[str, Any] = {"jql": jql, "fields": fields, "maxResults": 100}
    while True:
        page = jira.send("POST", "/rest/api/3/search/jql", body)
        found += page["issues"]
        following = page.get("nextPageToken")
        if not following or page.get("isLast"):
            return found
        if len(found) >= MOST_ISSUES:
            log(f"Jira: more than {MOST_ISSUES} issues; the rest is left out")
            return found
        body["nextPageToken"] = following


def _issue(one: dict[str, Any]) -> dict[str, Any]:
    fields = one["fields"]
    status = fields["status"]
    labels = [label.lower() for label in fields.get("labels") or []]
    return {
        "key": one["key"],
        "summary": fields["summary"],
        "type": fields["issuetype"]["name"],
        "status": status["name"],
        "category": {"new": "todo", "done": "done"}.get(status["statusCategory"]["key"], "doing"),
        "assignee": (fields.get("assignee") or {}).get("displayName", "nobody"),
        "priority": (fields.get("priority") or {}).get("name", "none"),
        "blocked": "blocked" in labels or "block" in status["name"].lower(),
        "updated": fields["updated"],
    }


if __name__ == "__main__":
    main({"activity": activity})
