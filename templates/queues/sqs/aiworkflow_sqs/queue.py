"""The queue on Amazon SQS: standard queues of the server, one for each place that a message can be in.

Theory. A queue is five of the server's, each made when it is first used, or used as it is:

    <queue>                         priority 0, and what strangers publish
    <queue>-aiworkflow-high         1 to 4
    <queue>-aiworkflow-urgent       5 to 9
    <queue>-aiworkflow-delayed      not yet due; who takes messages moves it when it is
    <queue>-aiworkflow-dead         set aside

What is taken is invisible to others for the lease, which is made longer as long as this process has it
and lives. The server counts how often a message was taken.

A message moves in two steps: sent to its new place, then deleted at the old one. Whatever dies in
between, it is in one of them, or in both. The server delays for 15 minutes at most: what is not due by
then is sent to the delayed ones once more.

To take is to ask each level what it has now, the highest first. A level that has nothing is listened
to: a request waits at the server until a message comes. It goes on when the `take` that began it ends,
and its message is in `_came` for the next one. So an idle queue costs few requests.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.triggers.queues.contract import (
    LARGEST_BODY,
    LEASE_S,
    Dead,
    Message,
    QueueUnavailable,
    Status,
    Taken,
    check_message,
)
from aiworkflow.triggers.queues.header import LEVELS, ROOM, Carried, level_of
from aiworkflow_sqs import wire
from aiworkflow_sqs.line import Line, TooSoon
from aiworkflow_sqs.parts import PAGE, Got, Parts, Receipt, TooLarge, together

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.triggers.queues.address import Address

_LONGEST_HIDDEN_S: Final = 43_000
_LONGEST_KEPT_S: Final = 600.0
"""A lease is made longer for so long; what hangs beyond that comes to others."""
_LOOK_S: Final = 30
"""Seconds for which nobody else sees the dead that somebody looks at."""
_SURE_S: Final = 1
"""A request that waits so long asks all of the server's machines, and finds what is there."""
_LATE_S: Final = 2
"""Seconds by which an answer may come later than it should, for an orderly end."""
_LEVELS: Final = [level for _, level in LEVELS]


class SqsQueue:
    """A queue in queues of the server.

    Args:
        lease_s: seconds after which a message that nobody settled comes back; rounded up to whole ones.

    Raises:
        UsageError: the address is none, or the name is that of a FIFO queue.
    """

    def __init__(
        self, name: str, address: Address, *, clock: Clock, ids: Ids, lease_s: float = LEASE_S
    ) -> None:
        if name.endswith(".fifo"):
            raise UsageError(
                f"`{name}` is a FIFO queue of SQS, where one message holds back all others",
                hint="use a standard queue",
            )
        self.name = name
        self._clock = clock
        self._lease_s = max(1, math.ceil(lease_s))
        self._line = Line(address)
        self._parts = Parts(name, self._line)
        self._taking = asyncio.Lock()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._failed: AIWorkflowError | None = None
        self._came: dict[str, deque[Taken]] = {level: deque() for level in _LEVELS}
        self._mine: dict[Receipt, tuple[float, float]] = {}  # since when, and until when
        self._keeping: asyncio.Future[None] | None = None

    # -- messages ---------------------------------------------------------------------------------

    async def publish(self, message: Message, *, delay_s: float = 0.0) -> None:
        """One message more on the server."""
        check_message(message, delay_s)
        now = self._clock.now().timestamp()
        kept = replace(message, published=message.published or now)
        level = level_of(message.priority)
        header = wire.size_of(wire.sent(Carried(replace(kept, body=b"{}"))))
        most = max(0, await self._parts.largest(level) - ROOM - header)
        if wire.text_of(message.body)[1]:
            most = most * 3 // 4
        check_message(message, delay_s, min(LARGEST_BODY, most))
        carried = Carried(kept, due=now + delay_s if delay_s > 0 else 0.0)
        await self._parts.put(wire.DELAYED if delay_s > 0 else level, carried, delay_s)

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """Ask, and listen until something comes."""
        until = self._clock.monotonic() + wait_s
        self._failed = None  # what failed before is asked again now
        while True:
            async with self._taking:
                found = await self._take(most)
            left = until - self._clock.monotonic()
            if not found:
                for level in _LEVELS:
                    self._ask(level, 1, self._line.wait_s)
            if found or left <= 0:
                return found
            listening = self._asking.values()
            await asyncio.wait(listening, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def _take(self, most: int) -> list[Taken]:
        """What has come, and what those levels have that are not listened to."""
        if self._is_idle(wire.DELAYED):
            self._asking[wire.DELAYED] = asyncio.ensure_future(self._tried(self._move_due()))
        found: list[Taken] = []
        for level in _LEVELS:
            found += self._pop(level, most - len(found))
            while len(found) < most and self._failed is None and self._is_idle(level):
                await asyncio.wait([self._ask(level, most - len(found), 0)])
                more = self._pop(level, most - len(found))
                found += more
                if not more:
                    break
        if not found and self._failed is not None:
            raise self._failed
        if found and self._keeping is None:
            self._keeping = asyncio.ensure_future(self._keep())
        return found

    def _pop(self, level: str, most: int) -> list[Taken]:
        """What has come of a level and is still ours."""
        found: list[Taken] = []
        came = self._came[level]
        while came and len(found) < most:
            taken = came.popleft()
            if self._is_held(taken):
                found.append(taken)
        return found

    def _is_idle(self, part: str) -> bool:
        """Whether it is not being asked for messages now."""
        task = self._asking.get(part)
        return task is None or task.done()

    def _ask(self, level: str, most: int, wait_s: int) -> asyncio.Task[None]:
        """Ask for messages, if that is not being done; what comes is kept, whoever gives up waiting."""
        if self._is_idle(level):
            fetching = self._fetch(level, most, wait_s)
            self._asking[level] = asyncio.ensure_future(self._tried(fetching))
        return self._asking[level]

    async def _tried(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except AIWorkflowError as error:
            self._failed = error  # for a `take` that waits
        else:
            self._failed = None

    async def _fetch(self, level: str, most: int, wait_s: int) -> None:
        for got in await self._parts.receive(level, most, wait_s, self._lease_s):
            carried = got.carried
            now = self._clock.monotonic()
            self._mine[got.receipt] = now, now + self._lease_s
            attempt = carried.tries + got.times
            self._came[level].append(Taken(carried.message, attempt, carried.failed, got.receipt))

    async def _move_due(self) -> None:
        """Move what comes of the delayed: to its level, or to the delayed ones once more."""
        page = await self._parts.receive(wire.DELAYED, PAGE, self._line.wait_s, self._lease_s)
        await together(self._moved(got) for got in page)

    async def _moved(self, got: Got) -> None:
        carried = got.carried
        left = carried.due - self._clock.now().timestamp()
        try:
            if left > 0:
                await self._parts.put(wire.DELAYED, carried, left)
            else:
                level = level_of(carried.message.priority)
                await self._parts.put(level, replace(carried, due=0.0))
        except TooLarge as error:
            await self._bury(replace(carried, reason=error.message))
        await self._parts.away(got.receipt)

    # -- to settle them ---------------------------------------------------------------------------

    async def acknowledge(self, taken: Taken) -> None:
        """Off the server."""
        receipt = cast("Receipt", taken.receipt)
        self._mine.pop(receipt, None)
        with self._settling():
            await self._parts.away(receipt)

    async def give_back(self, taken: Taken, delay_s: float = 0.0) -> None:
        """Another message in its place."""
        if not self._is_held(taken):
            return
        due = self._clock.now().timestamp() + delay_s if delay_s > 0 else 0.0
        carried = Carried(taken.message, taken.attempt, taken.failed + 1, due)
        part = wire.DELAYED if delay_s > 0 else level_of(taken.message.priority)
        try:
            with self._settling():
                await self._parts.put(part, carried, delay_s)
        except TooLarge:  # a stranger's; the server counts how often it was taken
            receipt = cast("Receipt", taken.receipt)
            self._mine.pop(receipt, None)
            with self._settling():
                await self._parts.hide([receipt], min(_LONGEST_HIDDEN_S, math.ceil(delay_s)))
        else:
            await self.acknowledge(taken)

    async def set_aside(self, taken: Taken, reason: str) -> None:
        """Another message among the dead."""
        if self._is_held(taken):
            with self._settling():
                await self._bury(Carried(taken.message, taken.attempt, taken.failed, reason=reason))
            await self.acknowledge(taken)

    async def _bury(self, carried: Carried) -> None:
        dead = replace(carried, died=self._clock.now().timestamp())
        try:
            await self._parts.put(wire.DEAD, dead)
        except TooLarge:  # a stranger's; better a part of it than to take it again and again
            body = carried.message.body
            short = body[: len(body) // 2].decode(errors="ignore").encode()
            cut = f"its {len(body)} bytes were cut to half of them to make room for this"
            dead = replace(dead, reason=f"{carried.reason[:400]}; {cut}")
            message = replace(carried.message, body=short, headers={})
            await self._parts.put(wire.DEAD, replace(dead, message=message))

    def _is_held(self, taken: Taken) -> bool:
        _, until = self._mine.get(cast("Receipt", taken.receipt), (0.0, 0.0))
        return self._clock.monotonic() < until

    @contextmanager
    def _settling(self) -> Iterator[None]:
        """Where the server does not answer, what was taken may be given up by who took it.

        So it comes to others when its lease is over, which is not made longer any more.
        """
        try:
            yield
        except QueueUnavailable:
            self._mine = {one: (-math.inf, until) for one, (_, until) in self._mine.items()}
            raise

    async def _keep(self) -> None:
        """Make the leases longer of what `take` has given out, and forget those that are over."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            now = self._clock.monotonic()
            waiting = {taken.receipt for came in self._came.values() for taken in came}
            kept = [
                receipt
                for receipt, (since, until) in self._mine.items()
                if now < until and now - since < _LONGEST_KEPT_S and receipt not in waiting
            ]
            try:
                lost = await self._parts.hide(kept, self._lease_s)
            except AIWorkflowError:
                continue  # what is over by the next time is forgotten
            for receipt in kept:
                if receipt in self._mine:  # it was not settled meanwhile
                    since, _ = self._mine[receipt]
                    self._mine[receipt] = since, 0.0 if receipt in lost else now + self._lease_s
            now = self._clock.monotonic()
            for receipt in [one for one, (_, until) in self._mine.items() if until <= now]:
                del self._mine[receipt]

    # -- the dead ---------------------------------------------------------------------------------

    async def dead(self, most: int = 100) -> Sequence[Dead]:
        """So many as the server gives, the oldest first."""
        found: list[Dead] = []

        async def note(got: Got) -> bool:
            found.append(got.carried.dead)
            return False

        await self._each_dead(note, most)
        return sorted(found, key=lambda one: one.at)

    async def retry(self, ids: Sequence[str] | None = None) -> int:
        """Back to their levels, as new ones."""
        wanted = None if ids is None else set(ids)

        async def back(got: Got) -> bool:
            message = got.carried.message
            if wanted is not None and message.id not in wanted:
                return False
            await self._parts.put(level_of(message.priority), Carried(message))
            return await self._parts.away(got.receipt)

        return await self._each_dead(back)

    async def drop(self, ids: Sequence[str] | None = None) -> int:
        """Off the server."""
        wanted = None if ids is None else set(ids)

        async def away(got: Got) -> bool:
            is_wanted = wanted is None or got.carried.message.id in wanted
            return is_wanted and await self._parts.away(got.receipt)

        return await self._each_dead(away)

    async def _each_dead(
        self, do: Callable[[Got], Coroutine[object, object, bool]], most: int | None = None
    ) -> int:
        """Do something with each, and let go of those that stay; how many went."""
        count = 0
        stay: dict[str, Receipt] = {}
        try:
            while most is None or len(stay) < most:
                size = PAGE if most is None else most - len(stay)
                page = await self._parts.receive(wire.DEAD, size, _SURE_S, _LOOK_S)
                new = [got for got in page if got.receipt.id not in stay]
                stay |= {got.receipt.id: got.receipt for got in page}
                if not new:  # there are no more, or the first ones come again
                    break
                went = await together(do(got) for got in new)
                for got, is_gone in zip(new, went, strict=True):
                    if is_gone:
                        del stay[got.receipt.id]
                count += sum(went)
        finally:
            await self._parts.hide([*stay.values()], 0)
        return count

    # -- the whole --------------------------------------------------------------------------------

    async def status(self) -> Status:
        """Count, as well as the server can; who takes, and what is the oldest, it does not know."""
        parts = [*_LEVELS, wire.DELAYED, wire.DEAD]
        *levels, delayed, dead = await together(self._parts.counts(part) for part in parts)
        return Status(
            ready=sum(ready for ready, _, _ in levels),
            delayed=sum(later for _, later, _ in levels) + sum(delayed),
            taken=sum(taken for _, _, taken in levels),
            dead=sum(dead),
            oldest_s=None,
            consumers=None,
        )

    async def purge(self) -> int:
        """Take what is ready, and delete it: the server would purge what is taken too.

        What is delayed cannot be taken; nobody has any of it for long, so that the server may purge.
        """
        async with self._taking:
            count = sum(await together(self._empty(level) for level in _LEVELS))
        delayed = sum(await self._parts.counts(wire.DELAYED))
        try:
            await self._parts.purge(wire.DELAYED)
        except TooSoon as error:
            if delayed:
                raise self._line.unavailable(
                    "can remove what is delayed only once in a minute",
                    "wait a minute, and purge it again",
                ) from error
        return count + delayed

    async def _empty(self, level: str) -> int:
        count = 0
        receipts = [cast("Receipt", taken.receipt) for taken in self._came[level]]
        self._came[level].clear()
        while True:
            count += sum(await together(self._parts.away(receipt) for receipt in receipts))
            page = await self._parts.receive(level, PAGE, _SURE_S, self._lease_s)
            if not page:
                return count
            receipts = [got.receipt for got in page]

    async def close(self) -> None:
        """Let what is taken come to others at once, also what is still on its way here."""
        if self._keeping is not None:
            self._keeping.cancel()
        try:
            if self._asking:
                await asyncio.wait(self._asking.values(), timeout=self._line.wait_s + _LATE_S)
            for asking in self._asking.values():
                asking.cancel()  # a server that stands still; the lease will do
            await self._parts.hide([*self._mine], 0)
        except AIWorkflowError:
            pass  # the lease will do
        finally:
            self._mine.clear()
            await self._line.close()
