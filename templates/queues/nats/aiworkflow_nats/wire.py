"""What stands in a message on the server: names of streams and subjects, and one header of ours.

The header `Aiworkflow` is JSON in ASCII, so that any text may stand in it. Whoever else publishes needs
none: `Nats-Msg-Id` is the id then, and the other headers are the message's own.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record
from aiworkflow.triggers.queues.contract import PRIORITIES, Dead, Message, moment

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER: Final = "Aiworkflow"
LEVELS: Final = ((5, "urgent"), (1, "high"), (0, "normal"))
"""The least priority of each level, and its subject; the highest first."""
DELAYED: Final = "delayed"
DEAD: Final = "dead"
ROOM: Final = 8192
"""Bytes of a message that are kept for what is written to it later, above all a reason."""

_LONGEST_REASON: Final = 500
_LONGEST_NAME: Final = 200
_MOST: Final = 10**12
_ONCE: Final = "Nats-Msg-Id"


@record
class Carried:
    """A message, and what has become of it so far.

    Attributes:
        tries: how often it was taken before it was written.
        failed: how often it was given back.
        due: when it may be taken, seconds since the epoch.
        reason, died: why and when it was set aside.
    """

    message: Message
    tries: int = 0
    failed: int = 0
    due: float = 0.0
    reason: str = ""
    died: float = 0.0

    @property
    def dead(self) -> Dead:
        """As one of the dead."""
        return Dead(self.message, self.reason, self.died, self.tries)


def stream_of(queue: str) -> str:
    """The name of a queue's stream: letters, digits, `_`, `-`, and others as `=2E`."""
    name = re.sub(
        r"[^A-Za-z0-9_-]", lambda one: "".join(f"={byte:02X}" for byte in one[0].encode()), queue
    )
    if len(name) > _LONGEST_NAME:
        name = hashlib.sha256(queue.encode()).hexdigest()
    return f"aiworkflow-{name}"


def base_of(queue: str) -> str:
    """What the subjects of a queue begin with."""
    return stream_of(queue).replace("-", ".", 1)


def level_of(priority: int) -> str:
    """The level of a priority."""
    return next(level for least, level in LEVELS if priority >= least)


def headers_of(carried: Carried, once: str = "") -> dict[str, str]:
    """The headers of a message.

    Args:
        once: the server drops what comes again with the same text within two minutes.
    """
    message = carried.message
    said: dict[str, object] = {"id": message.id, "at": message.published}
    said |= {"priority": message.priority, "headers": dict(message.headers)}
    more: dict[str, object] = {
        "tries": carried.tries,
        "failed": carried.failed,
        "due": carried.due,
        "reason": carried.reason[:_LONGEST_REASON],
        "died": carried.died,
    }
    said |= {name: value for name, value in more.items() if value}
    found = {HEADER: json.dumps(said, separators=(",", ":"))}
    return {**found, _ONCE: once} if once else found


def read(headers: Mapping[str, str] | None, body: bytes | None, subject: str, id_: str) -> Carried:
    """What a message on the server says, as far as it can be read.

    Args:
        id_: its id if it says none.
    """
    found = dict(headers or {})
    said = _said(found.pop(HEADER, ""))
    if not said:
        said["id"] = found.pop(_ONCE, "")
        said["headers"] = {
            name: value for name, value in found.items() if not name.startswith("Nats-")
        }
    level = subject.rpartition(".")[2]
    least = next((least for least, name in LEVELS if name == level), 0)
    priority = _whole(said, "priority", least)
    own = said.get("headers")
    message = Message(
        _text(said, "id") or id_,
        body or b"",
        priority if priority < PRIORITIES else least,
        {str(name): str(value) for name, value in own.items()} if isinstance(own, dict) else {},
        moment(_number(said, "at")),
    )
    return Carried(
        message,
        _whole(said, "tries"),
        _whole(said, "failed"),
        moment(_number(said, "due")),
        _text(said, "reason"),
        moment(_number(said, "died")),
    )


def _said(text: str) -> dict[str, object]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(said: Mapping[str, object], name: str) -> str:
    found = said.get(name)
    return found if isinstance(found, str) else ""


def _whole(said: Mapping[str, object], name: str, other: int = 0) -> int:
    found = said.get(name)
    return found if isinstance(found, int) and 0 <= found < _MOST else other


def _number(said: Mapping[str, object], name: str) -> float:
    found = said.get(name)
    return float(found) if isinstance(found, (int, float)) and abs(found) < _MOST else 0.0
