"""What stands in a message on the server: names of queues, the text of a body, and a header of ours.

The header is a message attribute. Whoever else publishes needs none: the attribute `id` is the id then,
or the one that SQS gives a message, and attributes that are texts are the message's headers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypedDict

from aiworkflow.triggers.queues.contract import moment
from aiworkflow.triggers.queues.header import HEADER, Carried, carried_by, said_in, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    class Attribute(TypedDict, total=False):
        """A message attribute."""

        DataType: str
        StringValue: str

    class Given(TypedDict, total=False):
        """A message as the server gives it."""

        MessageId: str
        ReceiptHandle: str
        Body: str
        Attributes: Mapping[str, str]
        MessageAttributes: Mapping[str, Attribute]

    class Sent(TypedDict):
        """A message as the server is given it."""

        MessageBody: str
        MessageAttributes: Mapping[str, Attribute]


DELAYED: Final = "delayed"
DEAD: Final = "dead"

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_NO_TEXT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ID: Final = "id"
_TYPE: Final = "String"


def name_of(queue: str, part: str) -> str:
    """The name of a part of a queue on the server.

    The part `normal` has the queue's own name, if SQS can have it; a name that it cannot have is told
    from others by a digest.
    """
    name = queue
    if _PLAIN_NAME.fullmatch(queue) is None:
        digest = hashlib.sha256(queue.encode()).hexdigest()[:16]
        name = f"{re.sub(r'[^A-Za-z0-9_-]', '-', queue)[:40]}-{digest}"
    return name if part == "normal" else f"{name}-aiworkflow-{part}"


def sent(carried: Carried) -> Sent:
    """What the server is given for a message."""
    text, is_coded = text_of(carried.message.body)
    said = written(carried, coded=is_coded)
    return {
        "MessageBody": text,
        "MessageAttributes": {HEADER: {"DataType": _TYPE, "StringValue": said}},
    }


def size_of(message: Sent) -> int:
    """Its bytes, as the server counts them."""
    size = len(message["MessageBody"].encode())
    for name, attribute in message["MessageAttributes"].items():
        size += len(name) + sum(len(str(text)) for text in attribute.values())
    return size


def text_of(body: bytes) -> tuple[str, bool]:
    """A body as text that SQS takes, and whether it had to be written as base64."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if text and _NO_TEXT.search(text) is None:
        return text, False
    return f"base64:{base64.b64encode(body).decode()}", True


def read(given: Given, part: str) -> Carried:
    """What a message on the server says, as far as it can be read."""
    attributes = given.get("MessageAttributes", {})
    found = {name: one.get("StringValue", "") for name, one in attributes.items()}
    said = said_in(found.pop(HEADER, ""))
    if not said:
        said["id"] = found.pop(_ID, "")
        said["headers"] = {name: text for name, text in found.items() if text}
        said["at"] = moment(_number(given, "SentTimestamp") / 1000)
    body = given.get("Body", "").encode(errors="replace")
    if said.get("coded") is True:
        with suppress(binascii.Error):  # it is what it is
            body = base64.b64decode(body.removeprefix(b"base64:"), validate=True)
    return carried_by(said, body, part, given.get("MessageId", ""))


def times(given: Given) -> int:
    """How often the server has given it to somebody, this time included."""
    return max(1, _number(given, "ApproximateReceiveCount"))


def _number(given: Given, name: str) -> int:
    text = given.get("Attributes", {}).get(name, "")
    return int(text) if text.isdecimal() and len(text) < 16 else 0
