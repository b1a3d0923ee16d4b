"""The queue on RabbitMQ, 3.10 or newer: quorum queues, with confirms and acknowledgements.

Theory. A quorum queue has no levels of priority (two from version 4.0 on), so there is one for each of
three levels, read from the highest on, each message by one taker only:

    <queue>                              priority 0, and what strangers publish
    <queue>.aiworkflow.high              1 to 4
    <queue>.aiworkflow.urgent            5 to 9
    <queue>.aiworkflow.dead              set aside by us, or by the server after too many deliveries
    <queue>.aiworkflow.delay.<level>.<ms>   holds messages for so long; gone when it is not used

A delay is a queue with a time to live whose dead-letter exchange leads back; delays are rounded up to
two digits, so that there are few of them. The server moves what is due at least once.

A batch is taken by a consumer whose prefetch is just the batch, which then ends: nothing is held that
nobody works on. What is taken goes back when the channel closes, so at once when its taker dies; the
lease is the connection. The server counts deliveries (`x-delivery-count`); takings before a message was
given back travel in a header.

Nothing is put into a new queue before it is old enough to be kept (see `rabbitmq_new.py`). Who finds
`….dead`, made last, finds the others old enough; of the dead and the delays a message is safe when
their queue is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar, cast

from aiworkflow.triggers.queues.contract import (
    LEASE_S,
    Dead,
    Message,
    QueueUnavailable,
    Status,
    Taken,
    check_message,
    moment,
)
from aiworkflow.triggers.queues.rabbitmq_line import Channel, Delivery, Lost, NotKept, Silent
from aiworkflow.triggers.queues.rabbitmq_link import Link
from aiworkflow.triggers.queues.rabbitmq_new import Young, grow, is_there, make

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.triggers.queues.address import Address

T = TypeVar("T")

_LEVELS: Final = ((5, "urgent"), (1, "high"), (0, ""))
_TOPS: Final = {5: 9, 1: 4, 0: 0}
_OURS: Final = "x-aiworkflow-"
_HIDDEN: Final = ("x-death", "x-first-death", "x-last-death", "x-delivery", "x-acquired", _OURS)
_FEW: Final = 3  # so many are asked for one by one
_QUIET_S: Final = 0.1  # another taker was faster
_SHORTEST_POLL_S: Final = 0.005
_LONGEST_POLL_S: Final = 0.1
_TRIES: Final = 4
_PASSING: Final = {0, 320, 541}  # the line broke, the server is stopped, or it failed
_BY_SERVER: Final = {
    "maxlen": "the server's queue was full (`max-length` of a policy)",
    "expired": "it was older than the server's queue allows (`message-ttl` of a policy)",
}
_LOOKS: Final = 100
_KEPT_S: Final = 3600.0  # a delay's queue outlives its messages by so much
_DECLARED_S: Final = 60.0


class RabbitQueue:
    """A queue on RabbitMQ.

    Args:
        lease_s: seconds after which a message that could not be settled comes back; while nobody has
            tried that, the lease is the connection.
    """

    def __init__(
        self, name: str, address: Address, *, clock: Clock, ids: Ids, lease_s: float = LEASE_S
    ) -> None:
        self.name = name
        self._lease_s = lease_s
        self._clock = clock
        self._ids = ids
        self._link = Link(address, clock=clock, ids=ids)
        self._own = f"{name}.aiworkflow"
        self._dead = f"{self._own}.dead"
        self._taking: dict[
            int, Channel
        ] = {}  # by level: one that is silent does not end the others
        self._giving: Channel | None = None
        self._lock = asyncio.Lock()
        self._is_declared = False
        self._delays: dict[str, float] = {}  # when each was last declared
        self._young = Young(clock)

    # -- messages ---------------------------------------------------------------------------------

    async def publish(self, message: Message, *, delay_s: float = 0.0) -> None:
        """One message more, safe with the server."""
        check_message(message, delay_s)
        now = message.published or self._clock.now().timestamp()
        await self._send(message, {"published": now}, delay_s)

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """Look, and look again after longer and longer pauses."""
        until = self._clock.monotonic() + wait_s
        pause = _SHORTEST_POLL_S
        while True:
            found = await self._again(lambda: self._take(most))
            left = until - self._clock.monotonic()
            if found or left <= 0:
                return found
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_POLL_S)

    async def _take(self, most: int) -> Sequence[Taken]:
        """Of the highest level that has some. One that is silent does not hold up the others."""
        silent: Silent | None = None
        for level in range(len(_LEVELS)):
            try:
                found = await self._take_of(level, most)
            except Silent as error:
                silent = error
            else:
                if found:
                    return found
        if silent is not None:
            raise silent
        return []

    async def _take_of(self, level: int, most: int) -> Sequence[Taken]:
        queue, least = self._queue(level), _LEVELS[level][0]
        channel = await self._taking_channel(level)
        found: list[Taken] = []
        async with channel.lock:
            while len(found) < most:
                one = await channel.get(queue)
                if one is None:
                    break
                found.append(self._taken(channel, least, one))
                want = min(most - len(found), one.left)
                if want > _FEW:
                    some = await channel.some(queue, want, _QUIET_S)
                    found += [self._taken(channel, least, each) for each in some]
        return found

    def _taken(self, channel: Channel, least: int, one: Delivery) -> Taken:
        headers = _headers(one)
        times = _number(headers.get("x-delivery-count"))
        tries = _number(headers.get(f"{_OURS}tries"))
        message = _message(one, least)
        if not message.id and not times and not tries:  # delivered before, it may have been used
            message = Message(self._ids.token(), message.body, message.priority, message.headers)
        failed = _number(headers.get(f"{_OURS}failed"))
        return Taken(message, tries + times + 1, failed, (channel, one.tag))

    async def acknowledge(self, taken: Taken) -> None:
        """The server may forget it."""
        channel, tag = cast("tuple[Channel, int]", taken.receipt)
        channel.acknowledge(tag)

    async def give_back(self, taken: Taken, delay_s: float = 0.0) -> None:
        """Another message in its place, then an acknowledgement."""
        if not _is_held(taken):
            return
        more: dict[str, object] = {
            "published": taken.message.published,
            "tries": taken.attempt,
            "failed": taken.failed + 1,
        }
        await self._move(taken, more, delay_s)

    async def set_aside(self, taken: Taken, reason: str) -> None:
        """A message to the dead ones, then an acknowledgement."""
        if not _is_held(taken):
            return
        more: dict[str, object] = {
            "published": taken.message.published,
            "tries": taken.attempt,
            "reason": reason[:2000],
            "died": self._clock.now().timestamp(),
        }
        await self._move(taken, more, to=self._dead)

    async def _move(
        self, taken: Taken, more: dict[str, object], delay_s: float = 0.0, to: str = ""
    ) -> None:
        """Another message in place of one, or that one again: the channel it came by may live long."""
        try:
            await self._send(taken.message, more, delay_s, to)
        except QueueUnavailable:
            channel, tag = cast("tuple[Channel, int]", taken.receipt)
            asyncio.get_running_loop().call_later(self._lease_s, channel.put_back, tag)
            raise
        await self.acknowledge(taken)

    async def _send(
        self, message: Message, more: dict[str, object], delay_s: float = 0.0, to: str = ""
    ) -> None:
        import pika

        headers: dict[str, object] = dict(message.headers)
        headers |= {_OURS + name: _text(value) for name, value in more.items()}
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            priority=message.priority,
            message_id=message.id or None,
            headers=headers,
        )
        level = next(at for at, (least, _) in enumerate(_LEVELS) if message.priority >= least)

        async def go() -> None:
            channel = await self._giving_channel()
            queue = to or self._queue(level)
            if delay_s > 0:
                queue = await self._delay(channel, level, delay_s)
            await channel.publish(queue, properties, message.body)
            await self._young.grown(channel, queue)

        await self._again(go)

    async def _delay(self, channel: Channel, level: int, delay_s: float) -> str:
        """The queue that holds messages for so long."""
        ms = _rounded(max(1, round(delay_s * 1000)))
        queue = f"{self._own}.delay.{_LEVELS[level][0]}.{ms}"
        now = self._clock.monotonic()
        if now - self._delays.get(queue, -_DECLARED_S) >= _DECLARED_S:
            arguments = {
                "x-queue-type": "quorum",
                "x-message-ttl": ms,
                "x-expires": ms + int(_KEPT_S * 1000),
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": self._queue(level),
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            }
            await channel.declare(queue, arguments)
            if queue not in self._delays:  # perhaps somebody else has just made it
                self._young.note(queue)
            self._delays[queue] = now
        return queue

    # -- the dead ---------------------------------------------------------------------------------

    async def dead(self, most: int = 100) -> Sequence[Dead]:
        """The oldest first: taken, and let go of again."""
        found: list[Dead] = []

        async def look(_: Channel, one: Delivery) -> bool:
            found.append(_dead(one))
            return len(found) < most

        async def go() -> None:
            found.clear()
            await self._each_dead(look)

        if most > 0:
            await self._again(go)
        return found

    async def retry(self, ids: Sequence[str] | None = None) -> int:
        """Back into their queues, as new ones."""
        return await self._settle_dead(ids, again=True)

    async def drop(self, ids: Sequence[str] | None = None) -> int:
        """Remove them."""
        if ids is None:

            async def all_() -> int:
                return await (await self._giving_channel()).purge(self._dead)

            return await self._again(all_)
        return await self._settle_dead(ids, again=False)

    async def _settle_dead(self, ids: Sequence[str] | None, *, again: bool) -> int:
        wanted = None if ids is None else set(ids)
        count = 0

        async def settle(channel: Channel, one: Delivery) -> bool:
            nonlocal count
            message = _message(one, one.properties.priority or 0)
            if wanted is None or message.id in wanted:
                if again:
                    published: dict[str, object] = {"published": message.published}
                    await self._send(message, published)
                channel.acknowledge(one.tag)
                count += 1
            return True

        await self._again(lambda: self._each_dead(settle))
        return count

    async def _each_dead(self, do: Callable[[Channel, Delivery], Awaitable[bool]]) -> None:
        """Show the dead ones that there are now, each once, while `do` says so; then let go of them."""
        await self._giving_channel()  # so that the queue is there
        channel = await (await self._link.line()).channel()
        try:
            async with channel.lock:
                left = await channel.declare(self._dead)
                for _ in range(left):
                    one = await channel.get(self._dead)
                    if one is None or not await do(channel, one):
                        break
                kept = left - channel.settled
                channel.let_go()
                for _ in range(_LOOKS):  # it takes a moment, and who looks again must find them
                    if await channel.declare(self._dead) >= kept:
                        break
                    await asyncio.sleep(_SHORTEST_POLL_S)
        finally:
            await channel.close()

    # -- the whole --------------------------------------------------------------------------------

    async def status(self) -> Status:
        """Count what the server tells everybody."""

        async def go() -> Status:
            channel = await self._giving_channel()
            levels = range(len(_LEVELS))
            ready = sum([await channel.declare(self._queue(level)) for level in levels])
            dead = await channel.declare(self._dead)
            return Status(ready, None, None, dead, None, None)

        return await self._again(go)

    async def purge(self) -> int:
        """Remove what is ready, and what this object has delayed: no other can be found."""

        async def go() -> int:
            channel = await self._giving_channel()
            count = 0
            for level in range(len(_LEVELS)):
                count += await channel.purge(self._queue(level))
            while self._delays:
                queue = next(iter(self._delays))
                count += await channel.delete(queue)
                del self._delays[queue]
            return count

        return await self._again(go)

    async def close(self) -> None:
        """Close the connection: the server gives back at once what was taken."""
        await self._link.close()

    # -- channels ---------------------------------------------------------------------------------

    def _queue(self, level: int) -> str:
        suffix = _LEVELS[level][1]
        return f"{self._own}.{suffix}" if suffix else self.name

    async def _taking_channel(self, level: int) -> Channel:
        await self._giving_channel()
        async with self._lock:
            channel = self._taking.get(level)
            if channel is None or not channel.is_open:
                channel = await (await self._link.line()).channel()
                self._taking[level] = channel
            return channel

    async def _giving_channel(self) -> Channel:
        async with self._lock:
            if self._giving is None or not self._giving.is_open:
                line = await self._link.line()
                if not self._is_declared:
                    await self._declare()
                    self._is_declared = True
                channel = await line.channel()
                await channel.confirm()
                self._giving = channel
            return self._giving

    async def _declare(self) -> None:
        """The queues, each as it is if it is there already; the one of the dead is the last."""
        line = await self._link.line()
        plain: dict[str, object] = {"x-queue-type": "quorum"}
        dead = {**plain, "x-delivery-limit": -1} if line.major >= 4 else plain
        led = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self._dead}
        safe = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
        is_new = not await is_there(line, self._dead)
        are_young = is_new
        for level in range(len(_LEVELS)):
            are_young |= await make(line, self._queue(level), {**plain, **led, **safe})
        if are_young:
            await grow()
        if is_new and await make(line, self._dead, dead):
            self._young.note(self._dead)

    async def _again(self, do: Callable[[], Awaitable[T]]) -> T:
        """Do something, on a new line if the old one is lost on the way."""
        why = Lost(0, "")
        for _ in range(_TRIES):
            try:
                return await do()
            except Silent as error:
                raise self._link.silent(Silent(error.queue or self.name)) from error
            except Lost as error:
                why = error
                if error.reply == 404:  # somebody has removed a queue
                    self._is_declared = False
                    self._giving = None
                    self._delays.clear()
                elif error.reply not in _PASSING:
                    raise self._link.refused(error) from error
        if isinstance(why, NotKept):
            raise self._link.refused(why) from why
        raise self._link.unavailable(str(why)) from why


def _is_held(taken: Taken) -> bool:
    """Whether the channel it came by is there still; else the server has given it back."""
    channel: Channel
    channel, _ = cast("tuple[Channel, int]", taken.receipt)
    return channel.is_open


def _rounded(ms: int) -> int:
    """Up to two digits."""
    unit: int = 10 ** max(0, len(str(ms)) - 2)
    return -(-ms // unit) * unit


def _headers(one: Delivery) -> dict[str, object]:
    found = one.properties.headers
    return dict(found) if isinstance(found, dict) else {}


def _message(one: Delivery, least: int) -> Message:
    """What was published; a stranger's level is that of the queue it is in."""
    properties, headers = one.properties, _headers(one)
    priority = properties.priority or 0
    top = _TOPS.get(least, 9)
    shown = {
        str(name): str(value) for name, value in headers.items() if not name.startswith(_HIDDEN)
    }
    return Message(
        properties.message_id or "",
        one.body,
        priority if least <= priority <= top else least,
        shown,
        _moment(headers.get(f"{_OURS}published", properties.timestamp)),
    )


def _dead(one: Delivery) -> Dead:
    headers = _headers(one)
    priority = one.properties.priority or 0
    reason = headers.get(f"{_OURS}reason") or _why_dead(headers)
    attempts = _number(headers.get(f"{_OURS}tries"))
    at = _moment(headers.get(f"{_OURS}died"))
    return Dead(_message(one, priority), str(reason), at, attempts)


def _why_dead(headers: Mapping[str, object]) -> str:
    """Why the server itself has set a message aside."""
    deaths = headers.get("x-death")
    last = deaths[0] if isinstance(deaths, list) and deaths else None
    why = str(last.get("reason")) if isinstance(last, dict) else ""
    return _BY_SERVER.get(why, "its takers died, one after the other")


def _text(value: object) -> object:
    """As a header: fractions as text, since AMQP's own are of another kind."""
    return repr(value) if isinstance(value, float) else value


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**31 else 0


def _moment(value: object) -> float:
    try:
        return moment(float(value)) if isinstance(value, (str, int, float)) else 0.0
    except (ValueError, OverflowError):
        return 0.0
