"""Slack's Web API, in which a refusal is an answer with `"ok": false`.

Needs SLACK_BOT_TOKEN of an app that is in the channel, with the scopes chat:write and channels:history
(groups:history for private channels). SLACK_API_URL is https://slack.com/api unless set.
"""

from __future__ import annotations

import time
from typing import Any

from _http import Api
from _tool import Problem, credential, setting, this_run

LOOK_BACK_S = 2 * 86_400
MOST_PAGES = 10


class Slack:
    """A workspace, and the messages of one step in it.

    Args:
        event: what kind of message it is; its metadata say so, with the run that posts it.
    """

    def __init__(self, event: str) -> None:
        token = credential(
            "SLACK_BOT_TOKEN", "create an app at https://api.slack.com/apps and install it"
        )
        base = setting("SLACK_API_URL", "https://slack.com/api")
        self._api = Api("Slack", base, {"Authorization": f"Bearer {token}"})
        self._event = event
        self._key = this_run()

    def find(self, channel: str) -> dict[str, Any] | None:
        """The message that this run has posted already, or None."""
        if not self._key:
            return None
        query: dict[str, Any] = {
            "channel": channel,
            "limit": 200,
            "oldest": int(time.time()) - LOOK_BACK_S,
            "include_all_metadata": "true",
        }
        for _ in range(MOST_PAGES):
            answer = self._api.get("/conversations.history", **query)
            page = self._checked("conversations.history", answer)
            for message in page["messages"]:
                if self._is_ours(message):
                    return {"channel": channel, "ts": message["ts"]}
            query["cursor"] = (page.get("response_metadata") or {}).get("next_cursor")
            if not query["cursor"]:
                break
        return None

    def post(self, channel: str, text: str) -> dict[str, Any]:
        """Post a message, unless this run has done so already."""
        done = self.find(channel)
        if done is not None:
            return done
        body = {
            "channel": channel,
            "text": text,
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {"event_type": self._event, "event_payload": {"key": self._key}},
        }
        answer = self._checked(
            "chat.postMessage", self._api.send("POST", "/chat.postMessage", body)
        )
        return {"channel": answer["channel"], "ts": answer["ts"]}

    def _is_ours(self, message: dict[str, Any]) -> bool:
        metadata = message.get("metadata") or {}
        payload = metadata.get("event_payload") or {}
        return metadata.get("event_type") == self._event and payload.get("key") == self._key

    @staticmethod
    def _checked(method: str, answer: Any) -> dict[str, Any]:
        if isinstance(answer, dict) and answer.get("ok"):
            return answer
        said = answer if isinstance(answer, dict) else {}
        needed = f", which needs the scope {said['needed']}" if said.get("needed") else ""
        raise Problem(f"Slack refused {method}: {said.get('error', 'unknown error')}{needed}")
