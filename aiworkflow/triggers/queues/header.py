"""A header of ours, for queues whose servers cannot count: what has become of a message so far.

It is JSON in ASCII, so that any text may stand in it. It is read as a stranger's: what is missing or
nonsense counts as not said.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record
from aiworkflow.triggers.queues.contract import PRIORITIES, Dead, Message, moment

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER: Final = "Aiworkflow"
"""What the header is called, where headers have names."""
LEVELS: Final = ((5, "urgent"), (1, "high"), (0, "normal"))
"""The least priority of each level, and its name; the highest first."""
ROOM: Final = 8192
"""Bytes of a message that are kept for what is written to it later, above all a reason."""

_LONGEST_REASON: Final = 500
_MOST: Final = 10**12


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


def level_of(priority: int) -> str:
    """The level of a priority."""
    return next(level for least, level in LEVELS if priority >= least)


def written(carried: Carried, **others: object) -> str:
    """The header's text.

    Args:
        others: what a queue has to say beside, as JSON.
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
        **others,
    }
    said |= {name: value for name, value in more.items() if value}
    return json.dumps(said, separators=(",", ":"))


def said_in(text: str) -> dict[str, object]:
    """What a header says; empty for one that cannot be read."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def carried_by(said: Mapping[str, object], body: bytes, level: str, id_: str) -> Carried:
    """A message as its header says, as far as that can be.

    Args:
        level: the one that it was found in; priority 0 for what is none.
        id_: its id if it says none.
    """
    least = next((least for least, name in LEVELS if name == level), 0)
    priority = _whole(said, "priority", least)
    own = said.get("headers")
    message = Message(
        _text(said, "id") or id_,
        body,
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


def _text(said: Mapping[str, object], name: str) -> str:
    found = said.get(name)
    return found if isinstance(found, str) else ""


def _whole(said: Mapping[str, object], name: str, other: int = 0) -> int:
    found = said.get(name)
    return found if isinstance(found, int) and 0 <= found < _MOST else other


def _number(said: Mapping[str, object], name: str) -> float:
    found = said.get(name)
    return float(found) if isinstance(found, (int, float)) and abs(found) < _MOST else 0.0
