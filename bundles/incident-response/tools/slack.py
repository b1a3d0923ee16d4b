#!/usr/bin/env python3
"""Tell a Slack channel how an incident is assessed, in sentences of ours."""

from __future__ import annotations

import re
from typing import Any

from _incident import sentences
from _slack import Slack
from _tool import USAGE, Problem, main

EVENT = "aiworkflow_incident"
ICONS = {
    "triggered": ":rotating_light:",
    "acknowledged": ":eyes:",
    "resolved": ":white_check_mark:",
}


def find_post(channel: str) -> dict[str, Any] | None:
    """The message that this step has posted already, or null."""
    return Slack(EVENT).find(channel)


def post(
    channel: str, incident: str, number: int, status: str, urgency: str, assessment: dict[str, Any]
) -> dict[str, Any]:
    """Post the assessment."""
    if status not in ICONS or not re.fullmatch(r"[A-Z0-9]{6,20}", incident):
        raise Problem(f"`{incident[:40]}` with the status `{status[:40]}` is no incident", USAGE)
    head = f"{ICONS[status]} *Incident {number}* ({incident}): {status}, {urgency} urgency"
    lines = [head, *(f"• {one}" for one in sentences(assessment))]
    lines.append(
        "_Assessed by a workflow from its records; the reasons are with those who run it._"
    )
    return Slack(EVENT).post(channel, "\n".join(lines))


if __name__ == "__main__":
    main({"post": post, "find_post": find_post})
