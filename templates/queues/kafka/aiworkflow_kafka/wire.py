"""What stands in a message on the server: names of topics and groups, and one header of ours.

The header `Aiworkflow` is JSON in ASCII, so that any text may stand in it. Whoever else publishes needs
none: the header `id` is the id then, and the other headers are the message's own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import UsageError
from aiworkflow.records import record
from aiworkflow.triggers.queues.contract import PRIORITIES, Dead, Message, moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADER: Final = "Aiworkflow"
LEVELS: Final = ((5, "urgent"), (1, "high"), (0, "normal"))
"""The least priority of each level, and its name; the highest first."""
DELAYED: Final = "delayed"
DEAD: Final = "dead"
ROOM: Final = 8192
"""Bytes of a message that are kept for what is written to it later, above all a reason."""
LARGEST: Final = 1_048_588
"""Bytes of a message with its headers that a broker takes, unless it is told otherwise."""

_LONGEST_REASON: Final = 500
_MOST: Final = 10**12
_ID: Final = "id"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")


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


@record
class Names:
    """What belongs to a queue on the server.

    Attributes:
        group: the consumer group of those who take.
        marks: a group without consumers: what is purged, and which of the dead are gone.
    """

    queue: str
    group: str
    marks: str

    def topic(self, level: str) -> str:
        """The topic of a level, of what is delayed or of the dead."""
        return self.queue if level == LEVELS[-1][1] else f"{self.queue}.aiworkflow.{level}"

    def level(self, topic: str) -> str:
        """The other way round."""
        return LEVELS[-1][1] if topic == self.queue else topic.rpartition(".")[2]

    @property
    def taken_from(self) -> list[str]:
        """The topics that messages are taken from."""
        return [self.topic(level) for level in (*(level for _, level in LEVELS), DELAYED)]


def names_of(queue: str) -> Names:
    """The names that belong to a queue.

    Raises:
        UsageError: no topic can have its name.
    """
    if not _NAME.fullmatch(queue) or queue in {".", ".."}:
        raise UsageError(
            f"`{queue}` is no name of a topic in Kafka",
            hint="it has 1 to 200 letters of ASCII, digits, dots, `_` and `-`",
        )
    return Names(queue, f"aiworkflow.{queue}", f"aiworkflow-marks.{queue}")


def level_of(priority: int) -> str:
    """The level of a priority."""
    return next(level for least, level in LEVELS if priority >= least)


def header_of(carried: Carried) -> bytes:
    """Our header of a message."""
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
    return json.dumps(said, separators=(",", ":")).encode()


def read(
    headers: Sequence[tuple[str, bytes | str | None]],
    body: bytes | None,
    level: str,
    *,
    id_: str,
    at: float,
) -> Carried:
    """What a message on the server says, as far as it can be read.

    Args:
        id_: its id if it says none.
        at: when it was published if it does not say that.
    """
    found = {name: _decoded(value) for name, value in headers}
    said = _said(found.pop(HEADER, ""))
    if not said:
        said = {"id": found.pop(_ID, ""), "headers": found}
    least = next((least for least, name in LEVELS if name == level), 0)
    priority = _whole(said, "priority", least)
    own = said.get("headers")
    message = Message(
        _text(said, "id") or id_,
        body or b"",
        priority if priority < PRIORITIES else least,
        {str(name): str(value) for name, value in own.items()} if isinstance(own, dict) else {},
        moment(_number(said, "at") or at),
    )
    return Carried(
        message,
        _whole(said, "tries"),
        _whole(said, "failed"),
        moment(_number(said, "due")),
        _text(said, "reason"),
        moment(_number(said, "died")),
    )


def _decoded(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


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
