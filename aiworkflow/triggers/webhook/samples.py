"""Small events to try a webhook with, in the form that their senders give them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine.carried import Json

_SHA: Final = "0123456789abcdef0123456789abcdef01234567"
_USER: Final[Mapping[str, Json]] = {"login": "octocat", "id": 1, "type": "User"}
_REPOSITORY: Final[Mapping[str, Json]] = {
    "id": 1,
    "name": "hello",
    "full_name": "octocat/hello",
    "private": False,
    "default_branch": "main",
    "clone_url": "https://example.com/octocat/hello.git",
}
_ISSUE: Final[Mapping[str, Json]] = {
    "number": 1,
    "title": "A sample",
    "body": "An issue to try a webhook with.",
    "state": "open",
    "labels": [],
}
_GITHUB: Final[Mapping[str, Mapping[str, Json]]] = {
    "push": {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": _SHA,
        "commits": [
            {"id": _SHA, "message": "A sample", "added": ["a.txt"], "modified": [], "removed": []}
        ],
    },
    "pull_request": {
        "action": "opened",
        "number": 1,
        "pull_request": {
            "number": 1,
            "title": "A sample",
            "body": "A pull request to try a webhook with.",
            "state": "open",
            "draft": False,
            "head": {"ref": "topic", "sha": _SHA},
            "base": {"ref": "main", "sha": "0" * 40},
        },
    },
    "issues": {"action": "opened", "issue": dict(_ISSUE)},
    "issue_comment": {
        "action": "created",
        "issue": dict(_ISSUE),
        "comment": {"id": 1, "body": "A comment to try a webhook with."},
    },
    "release": {"action": "published", "release": {"tag_name": "v1.0.0", "name": "A sample"}},
    "ping": {"zen": "Try it out.", "hook_id": 1},
}


def sample(scheme: str, event: str, action: str, delivery: str) -> bytes:
    """The body of an event.

    Args:
        action: of the event, where its sender says one; "" for the usual one.
        delivery: its id, where the body holds that.
    """
    found: dict[str, Json]
    match scheme:
        case "github":
            about = dict(_GITHUB.get(event, {"action": action or "created"}))
            if action:
                about["action"] = action
            found = {**about, "repository": dict(_REPOSITORY), "sender": dict(_USER)}
        case "gitlab":
            found = {
                "object_kind": event,
                "ref": "refs/heads/main",
                "project": {"id": 1, "path_with_namespace": "octocat/hello"},
                "object_attributes": {"action": "open", "target_branch": "main"},
                "commits": [{"id": _SHA, "added": ["a.txt"], "modified": [], "removed": []}],
            }
        case "bitbucket":
            branch: dict[str, Json] = {"type": "branch", "name": "main"}
            found = {
                "repository": {"full_name": "octocat/hello"},
                "push": {"changes": [{"new": branch}]},
            }
        case "stripe":
            found = {
                "id": f"evt_{delivery}",
                "object": "event",
                "type": event,
                "data": {"object": {}},
            }
        case "slack":
            inner: dict[str, Json] = {"type": event, "text": "A sample"}
            found = {"type": "event_callback", "event_id": f"Ev{delivery}", "event": inner}
        case "twilio":
            return b"MessageSid=SM0&From=%2B15005550006&To=%2B15005550001&Body=A+sample"
        case _:
            found = {"type": event, "id": delivery, "data": {}}
    return json.dumps(found).encode()
