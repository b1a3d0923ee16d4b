"""The queue on NATS JetStream, server 2.9 or newer: a stream of work, read by consumers that pull.

Theory. A queue is one stream, `aiworkflow-<queue>`, that forgets what is acknowledged. Its subjects:

    aiworkflow.<queue>.normal            priority 0, and what strangers publish
    aiworkflow.<queue>.high              1 to 4
    aiworkflow.<queue>.urgent            5 to 9
    aiworkflow.<queue>.delayed           not yet due; who takes messages moves it when it is
    aiworkflow.<queue>.dead              set aside; no consumer reads it

Each but the last has a durable consumer, shared by all takers: what one took and did not settle within
the lease, the server gives to another, and it counts the deliveries. To publish is over when the server
has confirmed it, to acknowledge as well.

A message moves in two steps: published at its new place, then acknowledged at the old one. Whatever
dies in between, it is in one of them, or in both. What is asked twice within two minutes, since an
answer was lost, is done once, by `Nats-Msg-Id`. Servers before 2.12 cannot delay what is published, but
they can delay what is given back: a taker looks at each delayed message once, and refuses it until it
is due.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar, cast

from nats.errors import TimeoutError as Late
from nats.js import api
from nats.js.errors import APIError, NotFoundError, ServerError

from aiworkflow.triggers.queues.contract import (
    LARGEST_BODY,
    LEASE_S,
    Dead,
    Message,
    MessageInvalid,
    QueueUnavailable,
    Status,
    Taken,
    check_message,
)
from aiworkflow.triggers.queues.header import HEADER, LEVELS, ROOM, Carried, level_of
from aiworkflow_nats import wire
from aiworkflow_nats.line import Gone, Line, Lost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.triggers.queues.address import Address

T = TypeVar("T")

_ANSWER_S: Final = 5.0
_NEXT_S: Final = 2.0
_SHORTEST_POLL_S: Final = 0.005
_LONGEST_POLL_S: Final = 0.1
_TRIES: Final = 3
_PAGE: Final = 50
_IS_THERE_OTHERWISE: Final = 10058
"""JetStream's code for a stream that somebody has configured in another way."""
_FRAME: Final = 256
"""Bytes of a message's headers that the client adds."""
_NO_MESSAGE: Final = 10037
_NOT_DELETED: Final = (_NO_MESSAGE, 10057)
_CONSUMERS: Final = (*(level for _, level in LEVELS), wire.DELAYED)


class TooLarge(MessageInvalid):
    """A stranger's message leaves no room for a header."""


class NatsQueue:
    """A queue in a stream.

    Args:
        lease_s: seconds after which a message that nobody settled comes back.
    """

    def __init__(
        self, name: str, address: Address, *, clock: Clock, ids: Ids, lease_s: float = LEASE_S
    ) -> None:
        self.name = name
        self._clock = clock
        self._ids = ids
        self._lease_s = lease_s
        self._stream = wire.stream_of(name)
        self._base = wire.base_of(name)
        self._line = Line(address)
        self._is_declared = False
        self._declaring = asyncio.Lock()
        self._taking = asyncio.Lock()
        self._inboxes: dict[str, tuple[Client, Subscription]] = {}
        self._mine: dict[str, float] = {}  # what is taken, and until when

    # -- messages ---------------------------------------------------------------------------------

    async def publish(self, message: Message, *, delay_s: float = 0.0) -> None:
        """One message more in the stream."""
        check_message(message, delay_s)
        now = self._clock.now().timestamp()
        kept = replace(message, published=message.published or now)
        carried = Carried(kept, due=now + delay_s if delay_s > 0 else 0.0)
        await self._put(carried, delay_s, once=self._ids.token(), is_new=True)

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """Look, and look again after longer and longer pauses."""
        until = self._clock.monotonic() + wait_s
        pause = _SHORTEST_POLL_S
        while True:
            async with self._taking:
                found = await self._take(most)
            left = until - self._clock.monotonic()
            if found or left <= 0:
                return found
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_POLL_S)

    async def _take(self, most: int) -> list[Taken]:
        found: list[Taken] = []
        try:
            await self._move_due()
            for _, level in LEVELS:
                if len(found) < most:
                    found += [
                        self._taken(one) for one in await self._next(level, most - len(found))
                    ]
        except QueueUnavailable:
            if not found:
                raise
        return found

    def _taken(self, msg: Msg) -> Taken:
        carried = self._read(msg)
        attempt = carried.tries + msg.metadata.num_delivered
        return Taken(carried.message, attempt, carried.failed, msg.reply)

    def _read(self, msg: Msg) -> Carried:
        about = msg.metadata
        id_ = f"{about.timestamp.timestamp():.6f}-{about.sequence.stream}"
        return wire.read(msg.headers, msg.data, msg.subject, id_)

    async def acknowledge(self, taken: Taken) -> None:
        """Out of the stream."""
        receipt = cast("str", taken.receipt)
        self._mine.pop(receipt, None)
        await self._away(receipt)

    async def give_back(self, taken: Taken, delay_s: float = 0.0) -> None:
        """Another message in its place."""
        receipt = cast("str", taken.receipt)
        due = self._clock.now().timestamp() + delay_s if delay_s > 0 else 0.0
        carried = Carried(taken.message, taken.attempt, taken.failed + 1, due)
        if not self._is_held(taken):
            return
        try:
            await self._put(carried, delay_s, once=receipt)
        except TooLarge:  # a stranger's; the server counts how often it was taken
            await self._refuse([receipt], delay_s)
            self._mine.pop(receipt, None)
        else:
            await self.acknowledge(taken)

    async def set_aside(self, taken: Taken, reason: str) -> None:
        """Another message among the dead."""
        carried = Carried(taken.message, taken.attempt, taken.failed, reason=reason)
        if self._is_held(taken):
            await self._bury(carried, cast("str", taken.receipt))
            await self.acknowledge(taken)

    async def _bury(self, carried: Carried, once: str) -> None:
        dead = replace(carried, died=self._clock.now().timestamp())
        try:
            await self._put(dead, to=wire.DEAD, once=once)
        except TooLarge:  # a stranger's; better a part of it than to take it again and again
            message = carried.message
            short = replace(message, body=message.body[: -2 * ROOM])
            cut = f"its {len(message.body)} bytes were cut to make room for this"
            reason = f"{carried.reason[:400]}; {cut}"
            await self._put(replace(dead, message=short, reason=reason), to=wire.DEAD, once=once)

    def _is_held(self, taken: Taken) -> bool:
        return self._clock.monotonic() < self._mine.get(cast("str", taken.receipt), 0.0)

    async def _put(
        self,
        carried: Carried,
        delay_s: float = 0.0,
        *,
        once: str,
        to: str = "",
        is_new: bool = False,
    ) -> None:
        """Publish, and wait until the server has it.

        Args:
            once: what is asked again, because the answer was lost, is done once.
            is_new: it was not on the server before.
        """
        level = level_of(carried.message.priority)
        subject = f"{self._base}.{to or (wire.DELAYED if delay_s > 0 else level)}"
        headers = wire.headers_of(carried, once)
        size = len(wire.headers_of(Carried(carried.message))[HEADER])
        body = carried.message.body

        async def go(client: Client) -> None:
            if is_new:
                most = max(0, client.max_payload - ROOM - size)
                check_message(carried.message, delay_s, min(LARGEST_BODY, most))
            else:  # it has room for what is written to it now, if we have published it
                whole = len(body) + sum(len(one) + len(text) + 4 for one, text in headers.items())
                if whole + _FRAME > client.max_payload:
                    raise TooLarge(f"there is no room for a header beside {len(body)} bytes")
            await client.jetstream().publish(
                subject, body, timeout=_ANSWER_S, stream=self._stream, headers={**headers}
            )

        await self._again(go)

    async def _away(self, receipt: str) -> None:
        """Acknowledge, and wait until the server knows."""

        async def go(client: Client) -> None:
            await client.request(receipt, b"+ACK", timeout=_ANSWER_S)

        await self._again(go)

    # -- what is due ------------------------------------------------------------------------------

    async def _move_due(self) -> None:
        """See to what is delayed and comes to us: it is new, or due."""
        for msg in await self._next(wire.DELAYED, _PAGE):
            carried = self._read(msg)
            left = carried.due - self._clock.now().timestamp()
            if left > 0:
                await self._refuse([msg.reply], left)
            else:
                once = f"{self._base}.due.{msg.metadata.sequence.stream}"
                try:
                    await self._put(replace(carried, due=0.0), once=once)
                except TooLarge as error:
                    await self._bury(replace(carried, reason=error.message), once)
                await self._away(msg.reply)
            self._mine.pop(msg.reply, None)

    async def _refuse(self, receipts: Sequence[str], delay_s: float = 0.0) -> None:
        """They come again after so long. Nothing is waited for: if it is lost, they come earlier."""
        delay = b" " + json.dumps({"delay": int(delay_s * 1e9)}).encode() if delay_s > 0 else b""

        async def go(client: Client) -> None:
            for receipt in receipts:
                await client.publish(receipt, b"-NAK" + delay)

        await self._again(go)

    # -- the dead ---------------------------------------------------------------------------------

    async def dead(self, most: int = 100) -> Sequence[Dead]:
        """The oldest first."""
        found: list[Dead] = []
        last = 0
        while page := await self._page_of_dead(last, min(_PAGE, most - len(found))):
            found += [carried.dead for _, carried in page]
            last = page[-1][0]
        return found

    async def retry(self, ids: Sequence[str] | None = None) -> int:
        """Back to where they were taken from, as new ones."""

        async def back(seq: int, carried: Carried) -> bool:
            await self._put(Carried(carried.message), once=f"{self._base}.dead.{seq}")
            return await self._forget(seq)

        return await self._each_dead(ids, back)

    async def drop(self, ids: Sequence[str] | None = None) -> int:
        """Out of the stream."""
        if ids is None:
            return await self._purge(wire.DEAD)
        return await self._each_dead(ids, lambda seq, _: self._forget(seq))

    async def _each_dead(
        self, ids: Sequence[str] | None, do: Callable[[int, Carried], Awaitable[bool]]
    ) -> int:
        wanted = None if ids is None else set(ids)
        count, last = 0, 0
        while page := await self._page_of_dead(last, _PAGE):
            for seq, carried in page:
                if wanted is None or carried.message.id in wanted:
                    count += await do(seq, carried)
            last = page[-1][0]
        return count

    async def _page_of_dead(self, after: int, most: int) -> list[tuple[int, Carried]]:
        """Some of the dead, and their numbers in the stream."""
        subject = f"{self._base}.{wire.DEAD}"

        async def go(client: Client) -> list[tuple[int, Carried]]:
            found: list[tuple[int, Carried]] = []
            last = after
            while len(found) < most:
                try:
                    raw = await client.jetstream(timeout=_ANSWER_S).get_msg(
                        self._stream, seq=last + 1, subject=subject, next=True
                    )
                except NotFoundError as error:
                    if error.err_code == _NO_MESSAGE:
                        break
                    raise
                last = raw.seq or 0
                found.append((last, wire.read(raw.headers, raw.data, subject, str(last))))
            return found

        return await self._again(go)

    async def _forget(self, seq: int) -> bool:
        """Remove one of the dead; whether it was there."""

        async def go(client: Client) -> bool:
            try:
                return await client.jetstream(timeout=_ANSWER_S).delete_msg(self._stream, seq)
            except (NotFoundError, ServerError) as error:
                if error.err_code in _NOT_DELETED:
                    return False
                raise

        return await self._again(go)

    # -- the whole --------------------------------------------------------------------------------

    async def status(self) -> Status:
        """Count. Who only pulls is not known to the server, nor what is the oldest."""

        async def go(client: Client) -> Status:
            jetstream = client.jetstream(timeout=_ANSWER_S)
            stream = await jetstream.stream_info(self._stream, subjects_filter=f"{self._base}.>")
            counts = stream.state.subjects or {}
            levels = [await jetstream.consumer_info(self._stream, level) for _, level in LEVELS]
            return Status(
                ready=sum(one.num_pending or 0 for one in levels),
                delayed=counts.get(f"{self._base}.{wire.DELAYED}", 0),
                taken=sum(one.num_ack_pending or 0 for one in levels),
                dead=counts.get(f"{self._base}.{wire.DEAD}", 0),
                oldest_s=None,
                consumers=None,
            )

        return await self._again(go)

    async def purge(self) -> int:
        """Take what is ready, and acknowledge it: the server cannot tell it from what is taken."""
        count = 0
        async with self._taking:
            for _, level in LEVELS:
                while found := await self._next(level, _PAGE):
                    for msg in found:
                        self._mine.pop(msg.reply, None)
                        await self._away(msg.reply)
                    count += len(found)
        return count + await self._purge(wire.DELAYED)

    async def _purge(self, subject: str) -> int:
        asked = json.dumps({"filter": f"{self._base}.{subject}"}).encode()

        async def go(client: Client) -> int:
            to = f"{api.DEFAULT_PREFIX}.STREAM.PURGE.{self._stream}"
            answer = json.loads((await client.request(to, asked, timeout=_ANSWER_S)).data)
            if "error" in answer:
                raise APIError.from_error(answer["error"])
            return int(answer["purged"])

        return await self._again(go)

    async def close(self) -> None:
        """Refuse what is taken, so that it comes to others at once."""
        try:
            if self._mine:
                await self._refuse([*self._mine])
        except QueueUnavailable:
            pass  # the lease will do
        finally:
            self._mine.clear()
            await self._line.close()

    # -- the server -------------------------------------------------------------------------------

    async def _next(self, consumer: str, most: int) -> list[Msg]:
        """What a consumer has now, and at most so many."""
        return await self._again(lambda client: self._fetch(client, consumer, most))

    async def _fetch(self, client: Client, consumer: str, most: int) -> list[Msg]:
        """Ask for messages, and read until there are so many, or the server says that it is all.

        What comes too late for one request is found by the next one.
        """
        inbox = await self._inbox(client, consumer)
        found: list[Msg] = []
        asked = json.dumps({"batch": most, "no_wait": True}).encode()
        until = self._clock.monotonic() + self._lease_s
        to = f"{api.DEFAULT_PREFIX}.CONSUMER.MSG.NEXT.{self._stream}.{consumer}"
        await client.publish(to, asked, reply=inbox.subject)
        try:
            while len(found) < most:
                msg = await inbox.next_msg(_NEXT_S)
                if not msg.reply:  # a status: there are no more
                    break
                self._mine[msg.reply] = until
                found.append(msg)
        except Late:
            if not found:
                await client.jetstream(timeout=_ANSWER_S).consumer_info(self._stream, consumer)
        return found

    async def _inbox(self, client: Client, consumer: str) -> Subscription:
        """Where messages of a consumer come to, on this connection."""
        of, inbox = self._inboxes.get(consumer, (None, None))
        if inbox is None or of is not client:
            inbox = await client.subscribe(client.new_inbox(), pending_bytes_limit=0)
            self._inboxes[consumer] = client, inbox
        return inbox

    async def _declare(self) -> None:
        """The stream and its consumers, each as it is if it is there already."""

        async def go(client: Client) -> None:
            jetstream = client.jetstream(timeout=_ANSWER_S)
            try:
                await jetstream.add_stream(
                    name=self._stream,
                    subjects=[f"{self._base}.*"],
                    retention=api.RetentionPolicy.WORK_QUEUE,
                    storage=api.StorageType.FILE,
                )
            except APIError as error:
                if error.err_code != _IS_THERE_OTHERWISE:
                    raise
            for consumer in _CONSUMERS:
                await jetstream.add_consumer(
                    self._stream,
                    durable_name=consumer,
                    filter_subject=f"{self._base}.{consumer}",
                    ack_policy=api.AckPolicy.EXPLICIT,
                    ack_wait=self._lease_s,
                    max_ack_pending=-1,
                )

        async with self._declaring:
            if not self._is_declared:
                await self._line.ask(go)
                self._is_declared = True

    async def _again(self, do: Callable[[Client], Awaitable[T]]) -> T:
        """Do something, on a new connection or stream if the old one is lost on the way."""
        why: Exception = Lost("")
        for _ in range(_TRIES):
            try:
                await self._declare()
                return await self._line.ask(do)
            except Gone as error:
                why, self._is_declared = error, False
            except Lost as error:
                why = error
        raise self._line.unavailable(f"does not answer ({why})") from why
