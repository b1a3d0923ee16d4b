"""The contract of a queue, held by the plugin for Apache Kafka.

The broker is the one that librdkafka brings for its own tests, in a process of its own: it speaks Kafka's
protocol, with groups and the checks on who may commit, but keeps everything in memory, and knows neither
TLS nor logins. Its restarts end all connections and keep what it has. Where KAFKA_SERVERS names a real
Kafka (`host:9092`), the suite is held there as well.
"""

from __future__ import annotations

import asyncio
import os
import secrets

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.triggers.queues.address import read_address
from aiworkflow.triggers.queues.contract import LARGEST_BODY, Queue
from aiworkflow.triggers.queues.suite import QueueSuite, drained, message, take, taken_all
from tests.contract.queues.plugged import (
    strangers_come_again,
    the_largest_is_set_aside_and_retried,
)
from tests.private_servers import PrivateKafka

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")

from aiworkflow_kafka import KafkaQueue, ledger, wire

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


def opened(url: str, name: str, login: str | None = None, lease_s: float = 1.0) -> KafkaQueue:
    return KafkaQueue(name, read_address(url, login), clock=CLOCK, ids=IDS, lease_s=lease_s)


def a_name() -> str:
    return f"t.{secrets.token_hex(4)}"


class TestKafka(QueueSuite):
    lease_s = 1.0
    largest_body = (
        LARGEST_BODY - 16 * 1024
    )  # a broker's `message.max.bytes` is 1 MiB with the headers

    @pytest.fixture(autouse=True)
    def _server(self, kafka: PrivateKafka) -> None:
        self.url = kafka.url

    async def open(self, name: str) -> Queue:
        return opened(self.url, name, lease_s=self.lease_s)

    async def die(self, queue: Queue) -> None:
        await queue.close()

    def test_what_strangers_publish_is_read_as_far_as_can_be(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                await queue.status()
                name, ours = (
                    queue.name,
                    '{"id": 7, "at": "x", "priority": 99, "headers": [], "due": NaN}',
                )
                raw(self.url, name, b"1")
                raw(self.url, name, b"2", {"id": b"two", "From": b"me", "odd": b"\xff"})
                raw(self.url, name, b"3", {"Aiworkflow": ours.encode()})
                raw(self.url, name, b"4", {"Aiworkflow": b"[" * 3000})
                raw(self.url, f"{name}.aiworkflow.high", b"5")
                raw(self.url, f"{name}.aiworkflow.delayed", b"6")
                raw(self.url, f"{name}.aiworkflow.dead", b"7")
                raw(self.url, name, None)
                found = await taken_all(queue, 7)
                bodies = {one.message.body: one.message for one in found}
                assert sorted(bodies) == [b"", b"1", b"2", b"3", b"4", b"5", b"6"]
                assert {(one.attempt, one.failed) for one in found} == {(1, 0)}
                assert all(one.message.published > 0 for one in found)
                assert len({one.message.id for one in found} - {""}) == 7
                assert bodies[b"2"].id == "two"
                assert bodies[b"2"].headers == {"From": "me", "odd": "\ufffd"}
                assert [bodies[body].priority for body in (b"3", b"5")] == [0, 1]
                await strangers_come_again(queue, found)

        asyncio.run(go())

    def test_the_largest_message_can_be_set_aside_and_retried(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                await the_largest_is_set_aside_and_retried(queue, self.largest_body)

        asyncio.run(go())

    def test_a_strangers_message_without_room_for_a_header_is_not_taken_for_ever(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                await queue.status()
                raw(self.url, queue.name, b"x" * (LARGEST_BODY - 100))
                (taken,) = await take(queue, 1)
                await queue.give_back(taken, 0.1)
                (again,) = await take(queue, 1)
                assert (again.message.id, again.attempt) == (taken.message.id, 2)
                await queue.set_aside(again, "it is no JSON")
                (dead,) = await queue.dead()
                cut = f"its {LARGEST_BODY - 100} bytes were cut to make room for this"
                assert dead.reason == f"it is no JSON; {cut}"
                assert await queue.retry() == 1
                assert [one.attempt for one in await take(queue, 1)] == [1]

        asyncio.run(go())

    def test_who_is_late_with_it_leaves_it_to_others(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                await queue.publish(message(1))
                (first,) = await take(queue, 1)
                (second,) = await take(queue, 1)  # the lease is over
                assert second.attempt == 2
                await queue.give_back(first)
                await queue.set_aside(first, "late")
                await queue.acknowledge(first)
                status = await queue.status()
                assert (status.ready, status.taken, status.dead) == (0, 1, 0)
                await queue.acknowledge(second)
                status = await queue.status()
                assert (status.ready, status.taken, status.dead) == (0, 0, 0)

        asyncio.run(go())

    def test_what_was_given_up_while_it_came_is_given_back(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                for number in range(40):
                    await queue.publish(message(number))
                    try:
                        async with asyncio.timeout(0.002 * (number % 5)):
                            for one in await queue.take(3, 0.1):
                                await queue.give_back(one)
                    except TimeoutError:
                        pass
                await seen(queue, {f"m{number}" for number in range(40)})

        asyncio.run(go())

    def test_what_is_settled_out_of_order_stays_settled(self) -> None:
        """All before the committed offset is settled, and what stands beside it says the rest."""

        async def go() -> None:
            async with self.opened() as queue:
                dying = await self.open(queue.name)
                for number in range(30):
                    await queue.publish(message(number, priority=9 * (number % 2)))
                found = await taken_all(dying, 30)
                kept = {one.message.id for one in found[::3]}
                for one in found:
                    if one.message.id not in kept:
                        await dying.acknowledge(one)
                assert (await queue.status()).taken == len(kept)
                await self.die(dying)
                again = await taken_all(queue, len(kept))
                assert {one.message.id for one in again} == kept
                assert {one.attempt for one in again} == {2}
                for one in again:
                    await queue.acknowledge(one)
                assert list(await queue.take(1, 0.2)) == []

        asyncio.run(go())

    def test_who_takes_nothing_leaves_it_to_others(self) -> None:
        async def go() -> None:
            async with self.opened() as idle, self.opened(idle.name) as queue:
                assert list(await idle.take(1, 0.5)) == []  # now it has all partitions
                for number in range(12):
                    await queue.publish(message(number))
                await seen(queue, {f"m{number}" for number in range(12)})

        asyncio.run(go())

    def test_no_more_is_read_ahead_than_a_little(self) -> None:
        async def go() -> None:
            async with self.opened() as queue, asyncio.TaskGroup() as group:
                await queue.publish(message(0))
                for number in range(1, 1200):
                    group.create_task(queue.publish(message(number)))
                    if not number % 100:
                        await asyncio.sleep(0.01)
                (first,) = await take(queue, 1)
                await asyncio.sleep(0.5)
                shares = queue._reader._shares.values()
                assert 100 < max(len(share.ahead) for share in shares) <= 200
                await queue.acknowledge(first)
                assert await drained(queue, 1199) == [f"m{number}" for number in range(1, 1200)]

        asyncio.run(go())

    def test_lower_levels_come_after_many_of_a_higher_one(self) -> None:
        """However many of them there are when it stops to read ahead."""

        async def go() -> None:
            for count in (199, 200, 201, 400):
                async with self.opened() as queue:
                    for number in range(count):
                        await queue.publish(message(number, priority=9))
                    await queue.publish(message(count))
                    found: list[str] = []
                    while len(found) <= count:
                        for one in await take(queue, 50):
                            found.append(one.message.id)
                            await queue.acknowledge(one)
                    assert found == [f"m{number}" for number in range(count + 1)]

        asyncio.run(go())

    def test_many_delayed_ones_are_counted_and_purged(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                for number in range(120):
                    await queue.publish(message(number), delay_s=3600)
                assert list(await queue.take(1, 0.2)) == []
                assert (await queue.status()).delayed == 120
                assert await queue.purge() == 120
                assert (await queue.status()).delayed == 0

        asyncio.run(go())

    def test_a_long_delay_does_not_hold_up_short_ones_nor_is_it_forgotten(self) -> None:
        """It is written anew while more than there is room for is settled behind it."""

        async def go() -> None:
            async with self.opened() as queue:
                await queue.publish(message(0), delay_s=3600)
                for number in range(1, 40):
                    await queue.publish(message(number), delay_s=0.01 if number % 2 else 3600)
                await seen(queue, {f"m{number}" for number in range(1, 40, 2)})
                ledger._LONGEST, before = 10, ledger._LONGEST
                try:
                    await queue.publish(message(99))
                    await seen(queue, {"m99"})
                    status = await queue.status()
                    assert (status.ready, status.delayed, status.taken) == (0, 20, 0)
                    moved = sum(told(self.url, queue.name))
                    assert moved > 40  # of all that was written some was written twice
                finally:
                    ledger._LONGEST = before

        asyncio.run(go())


if "KAFKA_SERVERS" in os.environ:

    class TestRealKafka(TestKafka):
        lease_s = 6.0

        @pytest.fixture(autouse=True)
        def _server(self) -> None:
            self.url = f"kafka://{os.environ['KAFKA_SERVERS']}"


def raw(url: str, topic: str, body: bytes | None, headers: dict[str, bytes] | None = None) -> None:
    """Publish as a stranger does."""
    from confluent_kafka import Producer

    producer = Producer(
        {"bootstrap.servers": url.partition("//")[2], "message.max.bytes": 2 * LARGEST_BODY}
    )
    producer.produce(topic, body, headers=headers or {})
    assert producer.flush(20) == 0


def told(url: str, name: str) -> list[int]:
    """The ends of the partitions of what is delayed."""
    from confluent_kafka import Consumer, TopicPartition

    client = Consumer({"bootstrap.servers": url.partition("//")[2], "group.id": "look"})
    topic = wire.names_of(name).topic(wire.DELAYED)
    parts = client.list_topics(topic, 10).topics[topic].partitions
    found = [client.get_watermark_offsets(TopicPartition(topic, one), 10)[1] for one in parts]
    client.close()
    return found


async def seen(queue: Queue, wanted: set[str]) -> None:
    """Each of them comes, and perhaps again."""
    while wanted:
        for one in await take(queue, 5):
            wanted.discard(one.message.id)
            await queue.acknowledge(one)
