"""What every queue is tested with: ours, and those of plugins.

Derive a class in a test file, say how a queue is opened, and pytest runs the rest:

    class TestMine(QueueSuite):
        async def open(self, name: str) -> Queue:
            return await MyQueue.connect("mine://localhost", name, lease_s=self.lease_s)

A queue that is opened twice by the same name is the same one. The tests use a new name each.
"""

# ruff: noqa: D102, PT017  a test's name is its promise; pytest is not imported here

from __future__ import annotations

import asyncio
import json
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from aiworkflow.errors import AIWorkflowError
from aiworkflow.triggers.queues.contract import (
    LARGEST_BODY,
    LARGEST_HEADERS,
    LONGEST_DELAY_S,
    Message,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from aiworkflow.triggers.queues.contract import Queue, Status, Taken

_PATIENCE_S = 20.0
_ROUNDED_S = 0.01  # servers count milliseconds


class QueueSuite:
    """Tests of the contract of a queue.

    Attributes:
        lease_s: open queues with a lease so short.
        largest_body: bytes that the queue's server surely takes, if they are fewer than the contract's.
    """

    lease_s: ClassVar[float] = 1.0
    largest_body: ClassVar[int] = LARGEST_BODY

    async def open(self, name: str) -> Queue:
        """The queue of this name."""
        raise AssertionError(f"say how a queue such as {name} is opened")

    async def die(self, queue: Queue) -> None:
        """End a queue as a kill of its process would: nothing is given back, nobody is told.

        By default it is left alone, and its lease runs out.
        """

    @asynccontextmanager
    async def opened(self, name: str | None = None) -> AsyncIterator[Queue]:
        """A queue by a new name, empty afterwards."""
        queue = await self.open(name or f"t.{secrets.token_hex(6)}")
        try:
            yield queue
        finally:
            await queue.purge()
            await queue.drop()
            await queue.close()

    # -- publish and take -------------------------------------------------------------------------

    def test_what_was_published_is_taken_as_it_was(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                sent = Message("a-1", '{"n": "ü\\u0000"}'.encode(), 3, {"from": "hé"}, 5.0)
                await queue.publish(sent)
                (taken,) = await take(queue, 1)
                assert taken.message == sent
                assert (taken.attempt, taken.failed) == (1, 0)
                await queue.acknowledge(taken)
                assert await queue.take(10, 0) == []

        run(go())

    def test_nothing_comes_of_an_empty_queue(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                assert list(await queue.take(10, 0.05)) == []

        run(go())

    def test_they_come_in_the_order_of_publishing(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                for number in range(30):
                    await queue.publish(message(number))
                assert await drained(queue, 30) == [f"m{number}" for number in range(30)]

        run(go())

    def test_higher_priorities_come_first(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                for number, priority in enumerate((0, 3, 9, 3, 0, 9)):
                    await queue.publish(message(number, priority=priority))
                await settled(queue.status, lambda found: found.ready == 6)
                assert await drained(queue, 6) == ["m2", "m5", "m1", "m3", "m0", "m4"]

        run(go())

    def test_no_more_is_taken_than_is_asked_for(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                for number in range(5):
                    await queue.publish(message(number))
                first = await take(queue, 2)
                assert len(first) <= 2
                await settled(queue.status, lambda found: found.ready == 5 - len(first))

        run(go())

    def test_a_taker_waits_for_what_comes(self) -> None:
        async def go() -> None:
            async with self.opened() as queue, asyncio.TaskGroup() as group:
                waiting = group.create_task(take(queue, 1))
                await asyncio.sleep(0.05)
                assert not waiting.done()
                await queue.publish(message(1))
                (taken,) = await waiting
                assert taken.message.id == "m1"

        run(go())

    def test_two_takers_share(self) -> None:
        async def go() -> None:
            async with self.opened() as one, self.opened(one.name) as two:
                await together([one.publish(message(number)) for number in range(60)])
                seen: list[str] = []

                async def work(queue: Queue) -> None:
                    while len(seen) < 60:
                        for taken in await queue.take(5, 0.2):
                            seen.append(taken.message.id)
                            await queue.acknowledge(taken)

                await together([work(one), work(two)])
                assert sorted(seen) == sorted(f"m{number}" for number in range(60))

        run(go())

    def test_many_things_go_on_at_once(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                count = 300
                await together([queue.publish(message(number)) for number in range(count)])
                found = await taken_all(queue, count)
                assert len({one.message.id for one in found}) == count
                await together([queue.acknowledge(one) for one in found])
                await settled(queue.status, lambda one: not one.taken and not one.ready)

        run(go())

    def test_what_is_no_message_is_refused(self) -> None:
        bad: list[tuple[Message, float, str]] = [
            (Message("a", b"1", 10), 0, "priority 10"),
            (Message("a", b"1", -1), 0, "priority -1"),
            (Message("", b"1"), 0, "id of a message"),
            (Message("x" * 201, b"1"), 0, "id of a message"),
            (Message("a\n", b"1"), 0, "id of a message"),
            (Message("a", b"x" * (LARGEST_BODY + 1)), 0, "at most"),
            (Message("a", b"1", 0, {"a": "é" * LARGEST_HEADERS}), 0, "headers of the message"),
            (Message("a", b"1"), -1, "delay"),
            (Message("a", b"1"), LONGEST_DELAY_S + 1, "delay"),
        ]

        async def go() -> None:
            async with self.opened() as queue:
                for sent, delay, words in bad:
                    try:
                        await queue.publish(sent, delay_s=delay)
                    except AIWorkflowError as error:
                        assert words in error.message
                    else:
                        raise AssertionError(f"published, in spite of its {words}")

        run(go())

    def test_a_message_may_be_large(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                body = json.dumps("x" * (self.largest_body - 2)).encode()
                await queue.publish(Message("large", body))
                (taken,) = await take(queue, 1)
                assert taken.message.body == body

        run(go())

    # -- delays -----------------------------------------------------------------------------------

    def test_what_is_delayed_comes_later(self) -> None:
        async def came(delay_s: float) -> list[str]:
            """In what order they come; none of them sooner than it may."""
            delays = {"m1": 2 * delay_s, "m2": delay_s, "m3": 0.0}
            found: list[str] = []
            async with self.opened() as queue, asyncio.TaskGroup() as group:
                began = time.monotonic()
                # at once: it may take longer than the delays until a message is safe
                for sent in (message(1, priority=9), message(2), message(3)):
                    group.create_task(queue.publish(sent, delay_s=delays[sent.id]))
                while len(found) < len(delays):
                    for taken in await take(queue, 1):
                        assert time.monotonic() - began >= delays[taken.message.id] - _ROUNDED_S
                        await queue.acknowledge(taken)  # its lease may be shorter than the delays
                        found.append(taken.message.id)
            return found

        async def go() -> None:
            # a busy machine may be slower than short delays, so that all are due before one is taken
            found: list[str] = []
            for delay_s in (0.6, 2.0, 6.0):
                found = await came(delay_s)
                if found == ["m3", "m2", "m1"]:
                    break
            assert found == ["m3", "m2", "m1"]

        run(go())

    def test_a_long_delay_holds_a_message_back(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                await queue.publish(message(1), delay_s=LONGEST_DELAY_S)
                assert list(await queue.take(1, 0.3)) == []
                status = await queue.status()
                assert status.ready == 0
                assert status.delayed in {1, None}

        run(go())

    # -- leases -----------------------------------------------------------------------------------

    def test_what_a_dead_taker_had_comes_back(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                dying = await self.open(queue.name)
                await queue.publish(message(1))
                (first,) = await take(dying, 1)
                assert list(await queue.take(1, 0.05)) == []
                await self.die(dying)
                (again,) = await take(queue, 1)
                assert again.message.id == "m1"
                assert (again.attempt, again.failed) == (2, 0)
                await queue.acknowledge(again)
                assert list(await queue.take(1, 0.05)) == []
                assert first.attempt == 1

        run(go())

    def test_what_was_acknowledged_stays_away(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                dying = await self.open(queue.name)
                await queue.publish(message(1))
                await queue.publish(message(2))
                one, two = [*await take(dying, 1), *await take(dying, 1)]
                await dying.acknowledge(one)
                await self.die(dying)
                (again,) = await take(queue, 5)
                assert again.message.id == two.message.id

        run(go())

    def test_closing_gives_back_at_once(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                closing = await self.open(queue.name)
                await queue.publish(message(1))
                await take(closing, 1)
                await closing.close()
                (again,) = await take(queue, 1)
                assert again.message.id == "m1"

        run(go())

    def test_what_is_given_back_comes_again(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                sent = replace(message(1, priority=9), headers={"a": "b"})
                await queue.publish(sent)
                for failed in range(3):
                    (taken,) = await take(queue, 1)
                    assert taken.message == sent
                    assert (taken.attempt, taken.failed) == (failed + 1, failed)
                    await queue.give_back(taken, 0.0 if failed % 2 else 0.2)
                assert await drained(queue, 1) == ["m1"]
                assert list(await queue.dead()) == []

        run(go())

    # -- the dead ---------------------------------------------------------------------------------

    def test_what_is_set_aside_is_kept_with_its_reason(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                for number in range(3):
                    await queue.publish(message(number, priority=3))
                for taken in await taken_all(queue, 3):
                    await queue.set_aside(taken, f"it is {taken.message.id}")
                await settled(queue.status, lambda found: found.dead == 3)
                found = await queue.dead()
                assert [one.reason for one in found] == ["it is m0", "it is m1", "it is m2"]
                assert found[0].message == replace(message(0, priority=3))
                assert found[0].attempts == 1
                assert found[0].at > 0
                assert len(await queue.dead(2)) == 2
                assert len(await queue.dead()) == 3  # to look takes nothing away
                assert list(await queue.take(1, 0.05)) == []

        run(go())

    def test_the_dead_are_retried_as_new_ones(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                await set_aside(queue, 4)
                assert await queue.retry(["m1", "none"]) == 1
                (taken,) = await take(queue, 2)
                assert (taken.message.id, taken.attempt, taken.failed) == ("m1", 1, 0)
                await queue.acknowledge(taken)
                assert [one.message.id for one in await queue.dead()] == ["m0", "m2", "m3"]
                assert await queue.retry() == 3
                assert sorted(await drained(queue, 3)) == ["m0", "m2", "m3"]
                assert list(await queue.dead()) == []

        run(go())

    def test_the_dead_are_dropped(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                await set_aside(queue, 3)
                assert await queue.drop(["m0"]) == 1
                assert [one.message.id for one in await queue.dead()] == ["m1", "m2"]
                assert await queue.drop() == 2
                assert list(await queue.dead()) == []

        run(go())

    # -- the whole --------------------------------------------------------------------------------

    def test_status_counts(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                for number in range(4):
                    await queue.publish(message(number))
                await queue.publish(message(9), delay_s=3600)
                first, second = [*await take(queue, 1), *await take(queue, 1)]
                await queue.set_aside(first, "why")
                found = await settled(queue.status, lambda one: (one.ready, one.dead) == (2, 1))
                assert found.taken in {1, None}
                assert found.delayed in {1, None}
                assert found.consumers is None or found.consumers >= 1
                assert found.oldest_s is None or found.oldest_s >= 0
                await queue.acknowledge(second)
                found = await settled(queue.status, lambda one: not one.taken)
                assert found.ready == 2

        run(go())

    def test_a_purge_leaves_what_is_taken(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                for number in range(5):
                    await queue.publish(message(number, priority=number * 2))
                (taken,) = await take(queue, 1)
                await settled(queue.status, lambda one: one.ready == 4)
                assert await queue.purge() == 4
                found = await settled(queue.status, lambda one: one.ready == 0)
                assert found.taken in {1, None}
                await queue.give_back(taken)
                assert await drained(queue, 1) == [taken.message.id]

        run(go())

    def test_queues_are_apart(self) -> None:
        async def go() -> None:
            name = f"t.{secrets.token_hex(6)}"
            async with self.opened(name) as one, self.opened(f"{name}.b") as two:
                await one.publish(message(1))
                await two.publish(message(2))
                assert await drained(two, 1) == ["m2"]
                assert await drained(one, 1) == ["m1"]

        run(go())


# -- words of the tests ---------------------------------------------------------------------------


def run(test: Coroutine[object, object, None]) -> None:
    """A test with an event loop of its own."""
    asyncio.run(test)


def message(number: int, *, priority: int = 0) -> Message:
    """A small message."""
    return Message(f"m{number}", b'{"n": %d}' % number, priority, {}, 1000.0 + number)


async def together(work: Sequence[Coroutine[object, object, None]]) -> None:
    """Some things at once."""
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)


async def take(queue: Queue, most: int) -> Sequence[Taken]:
    """The next messages; there must be one."""
    found = await queue.take(most, _PATIENCE_S)
    assert found, "nothing came"
    return found


async def taken_all(queue: Queue, count: int) -> list[Taken]:
    """So many messages, in the order of taking."""
    found: list[Taken] = []
    while len(found) < count:
        found += await take(queue, count - len(found))
    return found


async def drained(queue: Queue, count: int) -> list[str]:
    """The ids of so many messages, each acknowledged before the next is taken."""
    found: list[str] = []
    while len(found) < count:
        (taken,) = await take(queue, 1)
        found.append(taken.message.id)
        await queue.acknowledge(taken)
    return found


async def set_aside(queue: Queue, count: int) -> None:
    """So many dead messages."""
    for number in range(count):
        await queue.publish(message(number))
    for taken in await taken_all(queue, count):
        await queue.set_aside(taken, "why")
    await settled(queue.status, lambda found: found.dead == count)


async def settled(ask: Callable[[], Awaitable[Status]], is_so: Callable[[Status], bool]) -> Status:
    """How a queue stands, as soon as it stands so: servers count a little late."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE_S
    while True:
        found = await ask()
        if is_so(found):
            return found
        assert loop.time() < until, found
        await asyncio.sleep(0.05)
