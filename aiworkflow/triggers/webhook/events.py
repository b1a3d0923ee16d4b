"""What each sender's events are called, and where they say their action, id, branch and files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aiworkflow.bundle.webhook import Verify
    from aiworkflow.engine.carried import Json

    Fields = Mapping[str, Json]


@record
class Event:
    """A request as its sender means it.

    Attributes:
        name: what has happened: `pull_request`; None where the sender does not say.
        action: what of it: `opened`.
        delivery: the sender's id of the event, the same when it is sent again; None for none.
        answer: what is to be answered at once, and nothing else done: a ping, a challenge.
    """

    name: str | None = None
    action: str | None = None
    delivery: str | None = None
    answer: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What it goes by: its name, and its name with its action."""
        if self.name is None:
            return ()
        return (self.name,) if self.action is None else (self.name, f"{self.name}.{self.action}")


def event_of(verify: Verify, headers: Mapping[str, str], body: Json) -> Event:
    """The event that a verified request tells of."""
    fields: Fields = body if isinstance(body, dict) else {}
    return _SENDERS.get(verify.scheme, _plain)(headers, fields, verify)


def text_at(fields: Json, *path: str) -> str | None:
    """A text in nested maps; None where there is none."""
    found: Json = fields
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) and found else None


def _github(headers: Mapping[str, str], body: Fields, verify: Verify) -> Event:
    del verify
    name = headers.get("x-github-event")
    answer = "pong" if name == "ping" else None
    return Event(name, text_at(dict(body), "action"), headers.get("x-github-delivery"), answer)


def _gitlab(headers: Mapping[str, str], body: Fields, verify: Verify) -> Event:
    del verify
    said = headers.get("x-gitlab-event", "").removesuffix(" Hook").lower().replace(" ", "_")
    name = text_at(dict(body), "object_kind") or said or None
    ids = ("webhook-id", "idempotency-key", "x-gitlab-event-uuid")
    return Event(name, text_at(dict(body), "object_attributes", "action"), _first(headers, ids))


def _bitbucket(headers: Mapping[str, str], body: Fields, verify: Verify) -> Event:
    del body, verify
    name = headers.get("x-event-key")
    answer = "pong" if name == "diagnostics:ping" else None
    return Event(name, None, headers.get("x-request-uuid"), answer)


def _stripe(headers: Mapping[str, str], body: Fields, verify: Verify) -> Event:
    del headers, verify
    return Event(text_at(dict(body), "type"), None, text_at(dict(body), "id"))


def _slack(headers: Mapping[str, str], body: Fields, verify: Verify) -> Event:
    del headers, verify
    said = dict(body)
    kind = text_at(said, "type")
    if kind == "url_verification":
        return Event(kind, None, None, text_at(said, "challenge") or "")
    if kind == "event_callback":
        return Event(text_at(said, "event", "type"), None, text_at(said, "event_id"))
    name = kind or ("command" if "command" in said else None)
    return Event(name, None, text_at(said, "trigger_id"))


def _shopify(headers: Mapping[str, str], body: Fields, verify: Verify) -> Event:
    del body, verify
    return Event(headers.get("x-shopify-topic"), None, headers.get("x-shopify-webhook-id"))


def _twilio(headers: Mapping[str, str], body: Fields, verify: Verify) -> Event:
    del verify
    return Event(text_at(dict(body), "EventType"), None, headers.get("i-twilio-idempotency-token"))


def _plain(headers: Mapping[str, str], body: Fields, verify: Verify) -> Event:
    """Any other sender: Standard Webhooks, CloudEvents, or what a body calls its event."""
    said = dict(body)
    name = headers.get("ce-type") or text_at(said, "type") or text_at(said, "event")
    own = verify.options.get("delivery")
    ids = (str(own).lower(),) if own else ("webhook-id", "ce-id", "idempotency-key")
    return Event(name, text_at(said, "action"), _first(headers, ids))


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((headers[name] for name in names if headers.get(name)), None)


_SENDERS: Final[Mapping[str, Callable[[Mapping[str, str], Fields, Verify], Event]]] = {
    "github": _github,
    "gitlab": _gitlab,
    "bitbucket": _bitbucket,
    "stripe": _stripe,
    "slack": _slack,
    "shopify": _shopify,
    "twilio": _twilio,
}

# -- what repositories say -------------------------------------------------------------------------

_LONGEST_PATH: Final = 4096
_LONGEST_NAME: Final = 255
_BRANCH_AT: Final = (
    ("pull_request", "base", "ref"),
    ("object_attributes", "target_branch"),
    ("pullrequest", "destination", "branch", "name"),
    ("workflow_run", "head_branch"),
    ("check_suite", "head_branch"),
    ("check_run", "check_suite", "head_branch"),
    ("merge_group", "base_ref"),
    ("deployment", "ref"),
)


def branches_of(body: Json) -> tuple[str, ...]:
    """The branches that an event is about: what was pushed to, or is to be merged into."""
    return tuple(name for name in _branches_of(body) if _can_be(name))


def _branches_of(body: Json) -> tuple[str, ...]:
    ref = text_at(body, "ref")
    if ref is not None and (ref.startswith("refs/heads/") or text_at(body, "ref_type") == "branch"):
        return (ref.removeprefix("refs/heads/"),)
    for path in _BRANCH_AT:
        found = text_at(body, *path)
        if found is not None:
            return (found.removeprefix("refs/heads/"),)
    push = body.get("push") if isinstance(body, dict) else None
    changes = push.get("changes") if isinstance(push, dict) else None
    named = [
        text_at(one, side, "name")
        for one in (changes if isinstance(changes, list) else [])
        for side in ("new", "old")
        if text_at(one, side, "type") == "branch"
    ]
    return tuple(dict.fromkeys(name for name in named if name is not None))


def files_of(body: Json) -> Iterator[str]:
    """The files that the commits of a push have added, changed or removed."""
    commits = body.get("commits") if isinstance(body, dict) else None
    for commit in commits if isinstance(commits, list) else []:
        if isinstance(commit, dict):
            for kind in ("added", "modified", "removed"):
                listed = commit.get(kind)
                for path in listed if isinstance(listed, list) else []:
                    if isinstance(path, str) and _can_be(path):
                        yield path


def _can_be(path: str) -> bool:
    """Whether a name can be one of a file or a branch; longer ones would only take long to match."""
    return len(path) <= _LONGEST_PATH and max(map(len, path.split("/"))) <= _LONGEST_NAME


def event_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern for names of events: `*` stands for any characters.

    Each text between two stars is looked for once, where it comes first: that is right for stars, and
    takes no more time than the name is long, whoever has thought it up.
    """
    first, *rest = [re.escape(part) for part in re.split(r"\*+", pattern)]
    if not rest:
        return re.compile(first)
    *inner, last = rest
    return re.compile(first + "".join(f"(?>.*?{part})" for part in inner) + f".*{last}", re.DOTALL)
