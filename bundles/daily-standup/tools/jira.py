#!/usr/bin/env python3
"""What moved in a Jira Cloud project lately. Reads only.

Needs JIRA_BASE_URL (https://your-team.atlassian.net), JIRA_EMAIL and JIRA_API_TOKEN.
"""

from __future__ import annotations

import re
from typing import Any

from _jira import jira_api, search
from _tool import USAGE, Problem, main

MOST_ISSUES = 500
FIELDS = ("summary", "status", "assignee", "priority", "labels", "issuetype", "updated")


def activity(project: str, hours: int) -> dict[str, Any]:
    """Issues of a project that changed, and all that are in progress."""
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{1,30}", project):
        raise Problem(f"`{project}` is no key of a project: write it as in ABC-123", USAGE)
    jql = (
        f'project = "{project}" AND (updated >= "-{hours}h" OR statusCategory = "In Progress") '
        "ORDER BY updated DESC"
    )
    return {"issues": [_issue(one) for one in search(jira_api(), jql, FIELDS, MOST_ISSUES)]}


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
