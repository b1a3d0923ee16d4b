"""What stands in a message on the server: names of topics and groups, and one header of ours.

The header `Aiworkflow` is JSON in ASCII, so that any text may stand in it. Whoever else publishes needs
none: the header `id` is the id then, and the other headers are the message's own.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import UsageError
from aiworkflow.records import record
from aiworkflow.triggers.queues.contract import moment
from aiworkflow.triggers.queues.header import (
    HEADER,
    LEVELS,
    Carried,
    carried_by,
    said_in,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

DELAYED: Final = "delayed"
DEAD: Final = "dead"
LARGEST: Final = 1_048_588
"""Bytes of a message with its headers that a broker takes, unless it is told otherwise."""

_ID: Final = "id"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")


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


def header_of(carried: Carried) -> bytes:
    """Our header of a message."""
    return written(carried).encode()


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
    said = said_in(found.pop(HEADER, ""))
    if not said:
        said = {"id": found.pop(_ID, ""), "headers": found}
    carried = carried_by(said, body or b"", level, id_)
    if carried.message.published:
        return carried
    return replace(carried, message=replace(carried.message, published=moment(at)))


def _decoded(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
