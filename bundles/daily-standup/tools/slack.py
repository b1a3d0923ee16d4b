#!/usr/bin/env python3
"""Post the digest of a stand-up to Slack: numbers and keys only."""

from __future__ import annotations

from typing import Any

from _slack import Slack
from _tool import USAGE, Problem, count, main

EVENT = "aiworkflow_standup"
STATES = {
    "on_track": ":large_green_circle: on track",
    "at_risk": ":large_yellow_circle: at risk",
    "blocked": ":red_circle: blocked",
}


def find_post(channel: str) -> dict[str, Any] | None:
    """The message that this step has posted already, or null."""
    return Slack(EVENT).find(channel)


def post(
    channel: str, hours: int, state: str, repos: list[dict[str, Any]], issues: dict[str, Any]
) -> dict[str, Any]:
    """Post the digest. All of it is made here, from numbers, keys and one word of three."""
    return Slack(EVENT).post(channel, text(hours, state, repos, issues))


def text(hours: int, state: str, repos: list[dict[str, Any]], issues: dict[str, Any]) -> str:
    """The message, in Slack's own markup."""
    if state not in STATES:
        raise Problem(f"`{state}` is no state; there are {', '.join(STATES)}", USAGE)
    lines = [f"*Stand-up* of the last {hours} hours: {STATES[state]}"]
    for one in repos:
        said = [
            f"{count(one['commits'], 'commit')}",
            f"{len(one['merged'])} merged{_numbers(one['merged'])}",
        ]
        if one["opened"]:
            said.append(f"{len(one['opened'])} opened{_numbers(one['opened'])}")
        if one["waiting"]:
            said.append(
                f"{len(one['waiting'])} open for more than three days{_numbers(one['waiting'])}"
            )
        if one["failing"]:
            said.append(f":x: {count(one['failing'], 'workflow')} failing")
        lines.append(f"• `{one['repo']}`: {', '.join(said)}")
    for word, label in (("done", "Done"), ("doing", "In progress"), ("blocked", "Blocked")):
        if issues[word]:
            lines.append(f"• {label}: {', '.join(issues[word][:25])}")
    return "\n".join(lines)


def _numbers(numbers: list[int]) -> str:
    return f" ({', '.join(f'#{number}' for number in numbers[:15])})" if numbers else ""


if __name__ == "__main__":
    main({"post": post, "find_post": find_post})
