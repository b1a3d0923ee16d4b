#!/usr/bin/env python3
"""Boards, sprints and backlogs of Jira Cloud; and moving issues into a sprint.

Needs JIRA_BASE_URL (https://your-team.atlassian.net), JIRA_EMAIL and JIRA_API_TOKEN.
"""

from __future__ import annotations

import re
import statistics
from typing import Any

from _jira import agile_pages, jira_api, search
from _tool import USAGE, Problem, log, main

MOST_SPRINTS, MOST_ISSUES = 1_000, 1_000
KEY = re.compile(r"[A-Z][A-Z0-9_]{1,30}-[0-9]{1,8}")
FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")
BATCH = 50  # Jira takes no more issues at once


def _points_field(field: str) -> str:
    if not FIELD.fullmatch(field):
        raise Problem(f"`{field[:40]}` is no field: write its id, as in customfield_10016", USAGE)
    return field


def sprints(board: int, last: int) -> dict[str, Any]:
    """The sprint to plan (the next future one; 0 where there is none), and the last ones that are closed."""
    found = agile_pages(
        jira_api(), f"/rest/agile/1.0/board/{board}/sprint", "values", MOST_SPRINTS,
        state="active,closed,future",
    )  # fmt: skip
    # a sprint can be shown on a board that it does not belong to
    own = [one for one in found if one.get("originBoardId", board) == board]
    closed = sorted(
        (one for one in own if one["state"] == "closed"),
        key=lambda one: one.get("completeDate") or one.get("endDate") or "",
    )
    future = [one for one in own if one["state"] == "future"]
    coming = future[0] if future else {"id": 0, "name": "", "goal": ""}
    return {
        "next": coming["id"],
        "name": coming["name"],
        "goal": coming.get("goal") or "",
        "closed": [one["id"] for one in closed[-last:]],
    }


def velocity(sprints: list[int], field: str) -> dict[str, Any]:
    """Points that each sprint finished, and what may be expected of the next: the lower quartile to median."""
    jira, points = jira_api(), _points_field(field)
    done = []
    for sprint in sprints:
        issues = search(
            jira, f"sprint = {int(sprint)} AND statusCategory = Done", [points], MOST_ISSUES
        )
        done.append(
            {
                "id": sprint,
                "issues": len(issues),
                "points": sum(_number(one["fields"].get(points)) or 0 for one in issues),
            }
        )
    values = sorted(one["points"] for one in done)
    middle = statistics.median(values) if values else 0
    careful = values[len(values) // 4] if values else 0
    return {"sprints": done, "median": middle, "careful": careful}


def planned(sprint: int, field: str) -> dict[str, Any]:
    """What stands in the sprint already and is not done: it takes room too."""
    points = _points_field(field)
    if not sprint:
        return {"issues": []}
    jql = f"sprint = {int(sprint)} AND statusCategory != Done ORDER BY rank"
    found = search(jira_api(), jql, [points], MOST_ISSUES)
    return {
        "issues": [
            {"key": one["key"], "points": _number(one["fields"].get(points))}
            for one in found
            if KEY.fullmatch(one["key"])
        ]
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def backlog(board: int, field: str, most: int) -> dict[str, Any]:
    """The top of the backlog, in its order: what is not done and in no sprint yet."""
    points = _points_field(field)
    fields = ["summary", "description", "issuetype", "priority", "labels", "issuelinks", "status", points]
    found = agile_pages(
        jira_api(), f"/rest/agile/1.0/board/{board}/backlog", "issues", most,
        fields=",".join(fields), jql="statusCategory != Done AND issuetype not in (Epic, subTaskIssueTypes())",
    )[:most]  # fmt: skip
    issues = [_issue(one, points) for one in found]
    known = {one["key"] for one in issues}
    odd = [one["key"] for one in issues if not KEY.fullmatch(one["key"])]
    if odd:
        log(f"{len(odd)} issues with unusual keys are left out")
    kept = [one for one in issues if KEY.fullmatch(one["key"])]
    return {"issues": [{**one, "rank": rank} for rank, one in enumerate(kept, 1)], "keys": sorted(known)}


def _issue(one: dict[str, Any], points: str) -> dict[str, Any]:
    fields = one["fields"]
    blockers = [
        link["inwardIssue"]["key"]
        for link in fields.get("issuelinks") or []
        if "inwardIssue" in link
        and "block" in link["type"]["name"].lower()
        and link["inwardIssue"]["fields"]["status"]["statusCategory"]["key"] != "done"
    ]
    description = fields.get("description")
    return {
        "key": one["key"],
        "summary": fields["summary"],
        "description": (description if isinstance(description, str) else _plain(description))[:1500],
        "type": fields["issuetype"]["name"],
        "priority": (fields.get("priority") or {}).get("name", "none"),
        "labels": fields.get("labels") or [],
        "points": _number(fields.get(points)),
        "blocked_by": blockers,
    }


def _plain(node: Any) -> str:
    """The text of a document in Atlassian's format."""
    if not isinstance(node, dict):
        return ""
    if node.get("type") == "text":
        return str(node.get("text", ""))
    text = "".join(_plain(child) for child in node.get("content") or [])
    return text + ("\n" if node.get("type") in {"paragraph", "heading", "listItem"} else "")


def move(sprint: int, keys: list[str]) -> dict[str, Any]:
    """Put issues into a sprint. An issue that is there already stays, so it can be done again."""
    wrong = [key for key in keys if not isinstance(key, str) or not KEY.fullmatch(key)]
    if wrong:
        raise Problem(f"`{str(wrong[0])[:40]}` is no key of an issue", USAGE)
    jira = jira_api()
    found = jira.get(f"/rest/agile/1.0/sprint/{sprint}")
    if found["state"] != "future":
        raise Problem(f"sprint {sprint} is {found['state']}; issues are put into future ones only")
    for at in range(0, len(keys), BATCH):
        jira.send("POST", f"/rest/agile/1.0/sprint/{sprint}/issue", {"issues": keys[at : at + BATCH]})
    return {"sprint": sprint, "moved": len(keys)}


if __name__ == "__main__":
    main({"sprints": sprints, "velocity": velocity, "planned": planned, "backlog": backlog, "move": move})
