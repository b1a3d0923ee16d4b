"""What stands in a message on the server: names of streams and subjects, and a header of ours.

Whoever else publishes needs none: `Nats-Msg-Id` is the id then, and the other headers are the
message's own.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from aiworkflow.triggers.queues.header import HEADER, Carried, carried_by, said_in, written

if TYPE_CHECKING:
    from collections.abc import Mapping

DELAYED: Final = "delayed"
DEAD: Final = "dead"

_LONGEST_NAME: Final = 200
_ONCE: Final = "Nats-Msg-Id"


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


def headers_of(carried: Carried, once: str = "") -> dict[str, str]:
    """The headers of a message.

    Args:
        once: the server drops what comes again with the same text within two minutes.
    """
    found = {HEADER: written(carried)}
    return {**found, _ONCE: once} if once else found


def read(headers: Mapping[str, str] | None, body: bytes | None, subject: str, id_: str) -> Carried:
    """What a message on the server says, as far as it can be read.

    Args:
        id_: its id if it says none.
    """
    found = dict(headers or {})
    said = said_in(found.pop(HEADER, ""))
    if not said:
        said["id"] = found.pop(_ONCE, "")
        said["headers"] = {
            name: value for name, value in found.items() if not name.startswith("Nats-")
        }
    return carried_by(said, body or b"", subject.rpartition(".")[2], id_)
