#!/usr/bin/env python3
"""Post the digest of a stand-up to Slack: numbers and keys only.

Needs SLACK_BOT_TOKEN of an app that is in the channel, with the scopes chat:write and channels:history
(groups:history for private channels). SLACK_API_URL is https://slack.com/api unless set.
"""

from __future__ import annotations

import os
import time
from typing import Any

from _http import Api
from _tool import Problem, count, credential, main, setting

STATES = {
    "on_track": ":large_green_circle: on track",
    "at_risk": ":large_yellow_circle: at risk",
    "blocked": ":red_circle: blocked",
}
LOOK_BACK_S = 2 * 86_400
EVENT = "aiworkflow_standup"


class Slack:
    """Slack's Web API, in which a refusal is an answer with `"ok": false`."""

    def __init__(self) -> None:
        token = credential(
            "SLACK_BOT_TOKEN", "create an app at https://api.slack.com/apps and install it"
        )
        base = setting("SLACK_API_URL", "https://slack.com/api")
        self._api = Api("Slack", base, {"Authorization": f"Bearer {token}"})

    def get(self, method: str, **query: object) -> dict[str, Any]:
        """Call a method that reads."""
        return self._checked(method, self._api.get(f"/{method}", **query))

    def send(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call a method that writes."""
        return self._checked(method, self._api.send("POST", f"/{method}", body))

    @staticmethod
    def _checked(method: str, answer: Any) -> dict[str, Any]:
        if not isinstance(answer, dict) or not answer.get("ok"):
            reason = answer.get("error", "unknown") if isinstance(answer, dict) else "no answer"
            needed = f", which needs the scope {answer['needed']}" if (answer or {}).get("needed") else ""
            raise Problem(f"Slack refused {method}: {reason}{needed}")
        return answer


def key() -> str:
    """What a message of this step is known by, so that it is not posted twice."""
    return os.environ.get("AIWORKFLOW_KEY", "")


def find_post(channel: str) -> dict[str, Any] | None:
    """The message that this step has posted already, or null."""
    return _find(Slack(), channel)


def _find(slack: Slack, channel: str) -> dict[str, Any] | None:
    if not key():
        return None
    cursor = None
    for _ in range(10):
        page = slack.get(
            "conversations.history",
            channel=channel,
            limit=200,
            oldest=int(time.time()) - LOOK_BACK_S,
            include_all_metadata="true",
            cursor=cursor,
        )
        for message in page["messages"]:
            metadata = message.get("metadata") or {}
            if metadata.get("event_type") == EVENT and metadata["event_payload"].get("key") == key():
                return {"channel": channel, "ts": message["ts"]}
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
        if cursor is None:
            return None
    return None


def post(
    channel: str, hours: int, state: str, repos: list[dict[str, Any]], issues: dict[str, Any]
) -> dict[str, Any]:
    """Post the digest. All of it is made here, from numbers, keys and one word of three."""
    slack = Slack()
    done = _find(slack, channel)
    if done is not None:
        return done
    answer = slack.send(
        "chat.postMessage",
        {
            "channel": channel,
            "text": text(hours, state, repos, issues),
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {"event_type": EVENT, "event_payload": {"key": key()}},
        },
    )
    return {"channel": answer["channel"], "ts": answer["ts"]}


def text(hours: int, state: str, repos: list[dict[str, Any]], issues: dict[str, Any]) -> str:
    """The message, in Slack's own markup."""
    if state not in STATES:
        raise Problem(f"`{state}` is no state; there are {', '.join(STATES)}")
    lines = [f"*Stand-up* of the last {hours} hours: {STATES[state]}"]
    for one in repos:
        said = [f"{count(one['commits'], 'commit')}", f"{len(one['merged'])} merged{_numbers(one['merged'])}"]
        if one["opened"]:
            said.append(f"{len(one['opened'])} opened{_numbers(one['opened'])}")
        if one["waiting"]:
            said.append(f"{len(one['waiting'])} open for more than three days{_numbers(one['waiting'])}")
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
