"""The server's queues that one of ours is made of, each made when it is first used."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final, TypeVar, cast

from aiworkflow.records import record
from aiworkflow.triggers.queues.contract import LARGEST_BODY, MessageInvalid
from aiworkflow_sqs import wire
from aiworkflow_sqs.line import Gone, Late

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from aiworkflow.triggers.queues.header import Carried
    from aiworkflow_sqs.line import Line

T = TypeVar("T")

PAGE: Final = 10
"""Most messages of one request."""

_LONGEST_DELAY_S: Final = 900
_KEPT_S: Final = 14 * 86_400
"""The longest that the server keeps a message."""
_TRIES: Final = 3
_COUNTS: Final = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "Delayed", "NotVisible")]


class TooLarge(MessageInvalid):
    """A stranger's message leaves no room for a header."""


@record
class Receipt:
    """What the server knows a taken message by.

    Attributes:
        part: where it is.
        handle: of this taking.
        id: the same each time it is taken from there.
    """

    part: str
    handle: str
    id: str


@record
class Got:
    """A message that the server gave.

    Attributes:
        times: how often it did so, this time included.
    """

    receipt: Receipt
    carried: Carried
    times: int


class Parts:
    """The queues of the server for the queue of a name."""

    def __init__(self, name: str, line: Line) -> None:
        self._name = name
        self._line = line
        self._urls: dict[str, str] = {}
        self._largest: dict[str, int] = {}
        self._finding: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def receive(self, part: str, most: int, wait_s: int, lease_s: int) -> list[Got]:
        """Some messages; nobody else gets them for so many seconds."""
        answer = await self._do(
            part,
            "receive_message",
            MaxNumberOfMessages=min(most, PAGE),
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=lease_s,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
        )
        return [
            Got(
                Receipt(part, one["ReceiptHandle"], one["MessageId"]),
                wire.read(one, part),
                wire.times(one),
            )
            for one in cast("list[wire.Given]", answer.get("Messages", []))
        ]

    async def put(self, part: str, carried: Carried, delay_s: float = 0.0) -> None:
        """Send a message; the server has it when this returns, for 15 minutes as a delayed one at most.

        Raises:
            TooLarge.
        """
        message = wire.sent(carried)
        if wire.size_of(message) > await self.largest(part):
            size = len(carried.message.body)
            raise TooLarge(f"there is no room for a header beside {size} bytes")
        delay = min(_LONGEST_DELAY_S, math.ceil(delay_s))
        await self._do(part, "send_message", DelaySeconds=delay, **message)

    async def largest(self, part: str) -> int:
        """Bytes of the largest message that it takes."""
        if part not in self._largest:
            found = await self._attributes(part, ["MaximumMessageSize"])
            self._largest[part] = int(found.get("MaximumMessageSize", LARGEST_BODY))
        return self._largest[part]

    async def away(self, receipt: Receipt) -> bool:
        """Delete a message; whether its lease was not over."""
        try:
            await self._do(receipt.part, "delete_message", ReceiptHandle=receipt.handle)
        except Late:
            return False
        return True

    async def hide(self, receipts: Sequence[Receipt], seconds: int) -> set[Receipt]:
        """Let them come to others after so many seconds, not before; which are lost already."""

        async def some(part: str, page: Sequence[Receipt]) -> set[Receipt]:
            entries = [
                {"Id": str(number), "ReceiptHandle": one.handle, "VisibilityTimeout": seconds}
                for number, one in enumerate(page)
            ]
            answer = await self._do(part, "change_message_visibility_batch", Entries=entries)
            failed = cast("list[dict[str, str]]", answer.get("Failed", []))
            return {page[int(one["Id"])] for one in failed}

        pages: list[tuple[str, Sequence[Receipt]]] = []
        for part in {one.part for one in receipts}:
            of_part = [one for one in receipts if one.part == part]
            pages += [(part, of_part[at : at + PAGE]) for at in range(0, len(of_part), PAGE)]
        lost = await together(some(part, page) for part, page in pages)
        return set().union(*lost)

    async def counts(self, part: str) -> tuple[int, int, int]:
        """How many messages are visible, delayed by the server, and invisible, as far as it knows."""
        found = await self._attributes(part, _COUNTS)
        visible, delayed, invisible = (int(found.get(name, 0)) for name in _COUNTS)
        return visible, delayed, invisible

    async def purge(self, part: str) -> None:
        """Remove all, also what is taken.

        Raises:
            TooSoon.
        """
        await self._do(part, "purge_queue")

    async def _attributes(self, part: str, names: list[str]) -> dict[str, str]:
        answer = await self._do(part, "get_queue_attributes", AttributeNames=names)
        return cast("dict[str, str]", answer.get("Attributes", {}))

    async def _do(self, part: str, action: str, **said: object) -> dict[str, object]:
        """Make a request about a part, which is made if it is not there (any more)."""
        why = ""
        for _ in range(_TRIES):
            try:
                async with self._finding[part]:
                    if part not in self._urls:
                        self._urls[part] = await self._url(wire.name_of(self._name, part))
                return await self._line.ask(action, QueueUrl=self._urls[part], **said)
            except Gone as error:
                self._urls.pop(part, None)
                self._largest.pop(part, None)
                why = str(error)
        raise self._line.unavailable(f"loses its queues as soon as they are made: {why}")

    async def _url(self, name: str) -> str:
        """What the server calls a queue; it is made if there is none."""
        try:
            answer = await self._line.ask("get_queue_url", QueueName=name)
        except Gone:
            kept = {"MessageRetentionPeriod": str(_KEPT_S)}
            answer = await self._line.ask("create_queue", QueueName=name, Attributes=kept)
        return str(answer["QueueUrl"])


async def together(work: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """Some things at once; the first error, when all are done."""
    tasks = [asyncio.ensure_future(one) for one in work]
    if tasks:
        await asyncio.wait(tasks)
    for error in [task.exception() for task in tasks]:
        if error is not None:
            raise error
    return [task.result() for task in tasks]
