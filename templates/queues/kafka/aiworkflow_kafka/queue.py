"""The queue on Apache Kafka, brokers 2.4 or newer: topics, and one consumer group of all who take.

Theory. The topics of a queue `orders`, which the server makes when they are first asked for:

    orders                       priority 0, and what strangers publish
    orders.aiworkflow.high       1 to 4
    orders.aiworkflow.urgent     5 to 9
    orders.aiworkflow.delayed    due later, by a header; who has a partition knows when which message is
    orders.aiworkflow.dead       set aside; no consumer reads it

A group knows one number for each partition, before which all is settled, so the lowest that is not
settled is committed. With the number Kafka keeps a text; there stands what was settled beyond it, and
how often each message was taken (`ledger`). So what was settled stays settled when somebody dies, and
what was lost with its taker is counted.

A group that has members lets nobody else commit. What is done without being one, to purge and to care
for the dead, is written down for a group that never has any, `aiworkflow-marks.orders`: whoever takes
looks there first.

A message that moves is published at its new place, then settled at the old one. Whatever dies in
between, it is in one of them, or in both.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar, cast

from aiworkflow.triggers.queues.contract import (
    LARGEST_BODY,
    LEASE_S,
    Dead,
    Message,
    Status,
    Taken,
    check_message,
)
from aiworkflow.triggers.queues.header import ROOM, Carried, level_of
from aiworkflow_kafka import wire
from aiworkflow_kafka.ledger import Ledger
from aiworkflow_kafka.line import Line
from aiworkflow_kafka.looker import Found, Looker, Part
from aiworkflow_kafka.out import Out, TooLarge
from aiworkflow_kafka.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.triggers.queues.address import Address
    from aiworkflow_kafka.share import Given, Receipt

T = TypeVar("T")

_FRAME: Final = 512
"""Bytes of a message beside body and header."""


class KafkaQueue:
    """A queue in topics.

    Args:
        lease_s: seconds after which a message that nobody settled comes back; of a taker that died
            at least 6.

    Raises:
        UsageError: the address is none, or no topic can have the name.
    """

    def __init__(
        self, name: str, address: Address, *, clock: Clock, ids: Ids, lease_s: float = LEASE_S
    ) -> None:
        self.name = name
        self._clock = clock
        self._names = wire.names_of(name)
        self._line = Line(address, clock)
        self._out = Out(self._line, self._names, ids.token(), clock)

        def looker(group: str) -> Looker:
            return Looker(self._line, self._names, group, lease_s)

        self._takers, self._marks = looker(self._names.group), looker(self._names.marks)
        self._looking = asyncio.Lock()
        self._reader = Reader(
            self._line,
            self._names,
            looker(self._names.marks),
            self._out,
            clock=clock,
            lease_s=lease_s,
        )
        self._lease_s = lease_s
        self._mine: dict[Receipt, float] = {}  # what is taken, and until when

    # -- messages ---------------------------------------------------------------------------------

    async def publish(self, message: Message, *, delay_s: float = 0.0) -> None:
        """One message more in a topic."""
        check_message(message, delay_s)
        now = self._clock.now().timestamp()
        kept = replace(message, published=message.published or now)
        carried = Carried(kept, due=now + delay_s if delay_s > 0 else 0.0)
        most = max(0, wire.LARGEST - ROOM - len(wire.header_of(Carried(kept))))
        check_message(message, delay_s, min(LARGEST_BODY, most))
        await self._put(carried)

    async def _put(self, carried: Carried) -> None:
        level = level_of(carried.message.priority)
        await self._out.publish(wire.DELAYED if carried.due else level, carried)

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """Ask the member of the group, which begins to be one now."""
        self._forget_late()
        asked = self._reader.take(most, wait_s)
        try:
            given = await asyncio.wrap_future(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(
                lambda done: (
                    None
                    if done.cancelled() or done.exception() is not None
                    else self._reader.release([one.receipt for one in done.result()])
                )
            )
            raise
        until = self._clock.monotonic() + self._lease_s
        self._mine |= {one.receipt: until for one in given}
        return [_taken(one) for one in given]

    def _forget_late(self) -> None:
        now = self._clock.monotonic()
        self._mine = {receipt: until for receipt, until in self._mine.items() if until > now}

    async def acknowledge(self, taken: Taken) -> None:
        """Settled, and committed."""
        receipt = cast("Receipt", taken.receipt)
        self._mine.pop(receipt, None)
        await asyncio.wrap_future(self._reader.settle(receipt))

    async def give_back(self, taken: Taken, delay_s: float = 0.0) -> None:
        """Another message in its place."""
        receipt = cast("Receipt", taken.receipt)
        if not self._is_held(receipt):
            return
        due = self._clock.now().timestamp() + delay_s if delay_s > 0 else 0.0
        try:
            await self._put(Carried(taken.message, taken.attempt, taken.failed + 1, due))
        except TooLarge:  # a stranger's; how often it was taken is counted
            self._mine.pop(receipt, None)
            self._reader.release([receipt], delay_s)
        else:
            await self.acknowledge(taken)

    async def set_aside(self, taken: Taken, reason: str) -> None:
        """Another message among the dead."""
        if not self._is_held(cast("Receipt", taken.receipt)):
            return
        died = self._clock.now().timestamp()
        carried = Carried(taken.message, taken.attempt, taken.failed, 0.0, reason, died)
        try:
            await self._out.publish(wire.DEAD, carried)
        except TooLarge:  # a stranger's; better a part of it than to take it again and again
            body = taken.message.body
            cut = f"its {len(body)} bytes were cut to make room for this"
            short = replace(taken.message, body=body[: wire.LARGEST - 4 * ROOM])
            why = f"{reason[:400]}; {cut}"
            await self._out.publish(wire.DEAD, replace(carried, message=short, reason=why))
        await self.acknowledge(taken)

    def _is_held(self, receipt: Receipt) -> bool:
        return self._clock.monotonic() < self._mine.get(receipt, 0.0)

    # -- the dead ---------------------------------------------------------------------------------

    async def dead(self, most: int = 100) -> Sequence[Dead]:
        """The oldest first."""

        def go() -> list[Dead]:
            found: list[Dead] = []
            for _, messages in self._dead():
                for count, one in enumerate(messages, 1):
                    found.append(one.carried.dead)
                    if count >= most:
                        break
            return sorted(found, key=lambda one: one.at)[:most]

        return await self._look(go)

    async def retry(self, ids: Sequence[str] | None = None) -> int:
        """Back to where they were taken from, as new ones."""

        def back(one: Found) -> None:
            message = one.carried.message
            self._out.publish_now(level_of(message.priority), Carried(message))

        return await self._each_dead(ids, back)

    async def drop(self, ids: Sequence[str] | None = None) -> int:
        """Done with."""
        return await self._each_dead(ids, lambda _: None)

    async def _each_dead(self, ids: Sequence[str] | None, do: Callable[[Found], None]) -> int:
        wanted = None if ids is None else set(ids)

        def go() -> int:
            count = 0
            for ledger, messages in self._dead():
                for one in messages:
                    if wanted is None or one.carried.message.id in wanted:
                        do(one)
                        count += 1
                    elif ledger.is_crowded:  # it stays, but at the end, and gives room
                        self._out.publish_now(wire.DEAD, one.carried)
                    else:
                        continue
                    ledger.settle(one.offset)
                    self._marks.commit({one.part: ledger})
            return count

        return await self._look(go)

    def _dead(self) -> Iterator[tuple[Ledger, Iterator[Found]]]:
        """For each partition what is known of it, and its messages."""
        ledgers = self._marks.ledgers(self._marks.parts([self._names.topic(wire.DEAD)]))
        for part in ledgers:
            _, end = self._marks.ends(part)
            yield ledgers[part], self._marks.read_on(part, ledgers[part], end)

    # -- the whole --------------------------------------------------------------------------------

    async def status(self) -> Status:
        """Count by the numbers of the partitions; who takes, and how old a message is, costs more."""

        def go() -> Status:
            ready, delayed, taken = self._counts(self._marks.parts(self._names.taken_from))
            dead = 0
            parts = self._marks.parts([self._names.topic(wire.DEAD)])
            for part, ledger in self._marks.ledgers(parts).items():
                first, end = self._marks.ends(part)
                dead += ledger.ready(first, end)
            return Status(ready, delayed, taken, dead, oldest_s=None, consumers=None)

        return await self._look(go)

    async def purge(self) -> int:
        """Mark the ends of all partitions: what stands before and was never taken does not count."""

        def go() -> int:
            parts = self._marks.parts(self._names.taken_from)
            ends = {part: Ledger(self._marks.ends(part)[1]) for part in parts}
            ready, delayed, _ = self._counts(parts)
            self._marks.commit(ends)
            return ready + delayed

        return await self._look(go)

    def _counts(self, parts: Sequence[Part]) -> tuple[int, int, int]:
        """How many are ready, delayed and taken."""
        ready = delayed = taken = 0
        ledgers, marks = self._takers.ledgers(parts), self._marks.ledgers(parts)
        for part in parts:
            first, end = self._marks.ends(part)
            count = ledgers[part].ready(max(first, marks[part].base), end)
            taken += ledgers[part].taken(end)
            if part.topic == self._names.topic(wire.DELAYED):
                delayed += count
            else:
                ready += count
        return ready, delayed, taken

    async def close(self) -> None:
        """Leave the group, so that what is taken comes to others at once."""
        self._mine.clear()
        await asyncio.to_thread(self._reader.close)
        await asyncio.to_thread(self._takers.close)
        await asyncio.to_thread(self._marks.close)
        self._out.close()

    async def _look(self, do: Callable[[], T]) -> T:
        async with self._looking:
            return await asyncio.to_thread(do)


def _taken(one: Given) -> Taken:
    return Taken(one.carried.message, one.attempt, one.carried.failed, one.receipt)
