"""The contract of a queue: messages are published, taken under a lease, and settled.

Theory. A message is in one of five places:

    published ──▶ delayed ──▶ ready ──▶ taken ──▶ gone           acknowledged
                     ▲          ▲         ├─────▶ ready/delayed  given back, or its lease is over
                     └──────────┴─────────┴─────▶ dead           set aside, with the reason

What every queue promises:

* **Never lost**: once `publish` has returned, the message outlives a kill of this process and of the
  queue's server, as far as that server keeps its own promises (see the how-to for each).
* **At least once**: a message is taken again when its lease is over before it was settled, so also when
  whoever took it died. Who takes messages must bear to see one twice; its `id` stays the same.
* **Order**: of the messages that are ready, those of a higher level of priority first; within one level
  in the order in which one publisher published them. What was delayed, given back or taken
  by somebody who died comes when it comes.
* **Settled is settled**: after `acknowledge` returned, the message does not come again, unless the
  server was lost in that moment. To settle a message whose lease is over does nothing, and is no error.

What none promises: that a message is taken only once, or by one taker at a time.

An object is used from one event loop. Every method may raise `QueueUnavailable`; a `publish` that does
may or may not have published. A queue goes on by itself when its server is back.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final, Protocol

from aiworkflow.errors import UnavailableError, UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEASE_S: Final = 10.0
"""Seconds after which a message that nobody settled comes back."""
PRIORITIES: Final = 10
LONGEST_DELAY_S: Final = 30 * 86_400.0
LARGEST_BODY: Final = 1024 * 1024
"""Bytes; a queue whose server takes less than that refuses what is larger with `MessageInvalid`."""
LARGEST_HEADERS: Final = 16 * 1024
"""Bytes of all names and values together."""
LONGEST_ID: Final = 200
_LATEST: Final = 1e11  # of seconds since the epoch


@record
class Message:
    """What is published.

    Attributes:
        id: the same for one message, however often it is published or delivered; "" when whoever
            published it gave none, and it was delivered before.
        body: JSON text, or what a stranger published in its place.
        priority: 0 to 9; higher ones first. A queue may have fewer levels; 0, 3 and 9 always differ.
        headers: what goes with it.
        published: seconds since the epoch, or 0.0 where nobody knows.
    """

    id: str
    body: bytes
    priority: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    published: float = 0.0


@record
class Taken:
    """A message under a lease.

    Attributes:
        attempt: how often it was taken, this time included.
        failed: how often it was given back.
        receipt: what the queue knows it by; opaque.
    """

    message: Message
    attempt: int
    failed: int
    receipt: object


@record
class Dead:
    """A message that was set aside.

    Attributes:
        reason: why, in words.
        at: when, seconds since the epoch.
        attempts: how often it was taken before.
    """

    message: Message
    reason: str
    at: float
    attempts: int


@record
class Status:
    """How a queue stands.

    Attributes:
        ready, delayed, taken, dead: how many messages are there; None where the queue cannot say.
        oldest_s: how long the oldest ready message has been there, in seconds; None without one, or
            where the queue cannot say.
        consumers: how many take from it now; None where the queue cannot say.
    """

    ready: int
    delayed: int | None
    taken: int | None
    dead: int
    oldest_s: float | None
    consumers: int | None


class QueueUnavailable(UnavailableError):
    """The queue's server does not answer, or refuses."""

    code = "queue-unavailable"


class MessageInvalid(UsageError):
    """A message that cannot be published."""

    code = "invalid-message"


class Queue(Protocol):
    """A named queue, as one process has it open.

    Attributes:
        name: its name.
    """

    name: str

    async def publish(self, message: Message, *, delay_s: float = 0.0) -> None:
        """Put a message into the queue; durable when this returns.

        Args:
            delay_s: seconds before which nobody takes it; a queue may round them up by a tenth.

        Raises:
            MessageInvalid: see `check_message`.
        """
        ...

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """Some messages, the first of the order; none when no one came within `wait_s`."""
        ...

    async def acknowledge(self, taken: Taken) -> None:
        """It is done with; it does not come again."""
        ...

    async def give_back(self, taken: Taken, delay_s: float = 0.0) -> None:
        """It could not be done; it comes again after so long, with `failed` one more."""
        ...

    async def set_aside(self, taken: Taken, reason: str) -> None:
        """It never can be done; it is kept with the dead ones."""
        ...

    async def dead(self, most: int = 100) -> Sequence[Dead]:
        """The dead messages, the oldest first, at most so many."""
        ...

    async def retry(self, ids: Sequence[str] | None = None) -> int:
        """Make dead messages ready again, as if they were new; None for all. How many it were."""
        ...

    async def drop(self, ids: Sequence[str] | None = None) -> int:
        """Remove dead messages for ever; None for all. How many it were."""
        ...

    async def status(self) -> Status:
        """How it stands now."""
        ...

    async def purge(self) -> int:
        """Remove what is ready and delayed for ever, not what is taken or dead. How many it were."""
        ...

    async def close(self) -> None:
        """Let go of it: what was taken and not settled comes back at once."""
        ...


def moment(at: float) -> float:
    """A moment that a stranger names: 0.0 for one that cannot be."""
    return at if 0.0 <= at < _LATEST else 0.0


def check_message(message: Message, delay_s: float, largest: int = LARGEST_BODY) -> None:
    """Refuse what no queue takes, or not this one.

    Args:
        largest: bytes of the largest body that it takes.

    Raises:
        MessageInvalid: it says what, and the way out.
    """
    if not 0 <= message.priority < PRIORITIES:
        raise MessageInvalid(f"priority {message.priority} is not one of 0 to 9")
    if not 0 <= delay_s <= LONGEST_DELAY_S:
        raise MessageInvalid(
            f"a delay of {delay_s:g} s is not between 0 and 30 days", hint="shorten the delay"
        )
    if len(message.body) > largest:
        taker = "a queue takes" if largest == LARGEST_BODY else "the server of this queue takes"
        raise MessageInvalid(
            f"the message has {len(message.body)} bytes, and {taker} at most {largest}",
            hint="store the data elsewhere, and publish where it is",
        )
    texts = [text for both in message.headers.items() for text in both]
    if sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) > LARGEST_HEADERS:
        raise MessageInvalid(
            f"the headers of the message have more than {LARGEST_HEADERS} bytes",
            hint="put what is long into the body",
        )
    if not message.id or len(message.id) > LONGEST_ID or not message.id.isprintable():
        raise MessageInvalid(
            "the id of a message has 1 to 200 characters that can be printed",
            hint="leave it out to have one made",
        )
