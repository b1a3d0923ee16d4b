"""The contract of a queue, held by each of ours on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import Journal, open_journal
from aiworkflow.triggers.queues.address import read_address
from aiworkflow.triggers.queues.contract import Message, Queue, QueueUnavailable
from aiworkflow.triggers.queues.embedded import EmbeddedQueue
from aiworkflow.triggers.queues.rabbitmq import RabbitQueue
from aiworkflow.triggers.queues.redis import RedisQueue
from aiworkflow.triggers.queues.suite import QueueSuite, drained, message, taken_all
from tests.postgres import a_schema
from tests.rabbit_server import URL as RABBIT
from tests.rabbit_server import forget_in_rabbit, need_rabbit
from tests.redis_server import URL as REDIS
from tests.redis_server import forget_in_redis, need_redis

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)


class Embedded(QueueSuite):
    lease_s = 0.5
    url: str

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> Iterator[None]:
        self.folder = tmp_path
        self.journals: list[Journal] = []
        yield
        for journal in self.journals:
            journal.close()

    def journal(self) -> Journal:
        """One for each queue, as in processes apart."""
        journal = open_journal(self.url, self.folder, clock=CLOCK, ids=IDS)
        self.journals.append(journal)
        return journal

    async def open(self, name: str) -> Queue:
        return EmbeddedQueue(name, self.journal(), clock=CLOCK, ids=IDS, lease_s=self.lease_s)


class TestSqlite(Embedded):
    url = "sqlite"


class TestMemory(Embedded):
    url = "memory"

    def journal(self) -> Journal:
        """One for all: it lives in one process."""
        return self.journals[0] if self.journals else super().journal()


class TestPostgres(Embedded):
    @pytest.fixture(autouse=True)
    def _schema(self) -> Iterator[None]:
        with a_schema() as self.url:
            yield


class TestRedis(QueueSuite):
    lease_s = 0.5

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        need_redis()
        self.names: set[str] = set()
        yield
        forget_in_redis(self.names)

    async def open(self, name: str) -> Queue:
        self.names.add(name)
        return RedisQueue(name, read_address(REDIS), clock=CLOCK, ids=IDS, lease_s=self.lease_s)

    async def die(self, queue: Queue) -> None:
        await queue._redis.aclose()

    def test_what_strangers_publish_is_read_as_far_as_can_be(self) -> None:
        async def go() -> None:
            import redis

            async with self.opened() as queue:
                await queue.status()
                strange = [
                    {"body": "1"},
                    {"body": "2", "id": "two", "headers": '{"a": [1], "b": null}', "at": "nan"},
                    {
                        "body": "3",
                        "id": b"\xff",
                        "headers": "[",
                        "at": "inf",
                        "tries": "x",
                        "failed": "-1",
                    },
                    {"body": "4", "tries": "9" * 50, "headers": "7", "at": "-5"},
                    {"other": "5"},
                    {"body": "6", "id": ""},
                ]
                with redis.Redis.from_url(REDIS) as client:
                    for fields in strange:
                        client.xadd(f"aiworkflow:{{{queue.name}}}:0", fields)
                found = await taken_all(queue, len(strange))
                assert [one.message.body for one in found] == [b"1", b"2", b"3", b"4", b"", b"6"]
                assert {one.message.published for one in found} == {0.0}
                assert {(one.attempt, one.failed) for one in found} == {(1, 0)}
                assert len({one.message.id for one in found} - {""}) == 6
                assert found[1].message.headers == {"a": "[1]", "b": "None"}
                for one in found:
                    await queue.set_aside(one, "strange")
                assert len(await queue.dead()) == 6

        asyncio.run(go())

    def test_what_the_server_refuses_is_said(self) -> None:
        async def go() -> None:
            import redis

            async with self.opened() as queue:
                key = f"aiworkflow:{{{queue.name}}}:3"
                with redis.Redis.from_url(REDIS) as client:
                    client.set(key, "no stream")
                with pytest.raises(QueueUnavailable, match=r"refuses: the key `.*:3` is of type"):
                    await queue.status()
                with pytest.raises(QueueUnavailable, match=r"refuses: the key `.*:3` is of type"):
                    await queue.publish(Message("a", b"1", priority=3))
                with redis.Redis.from_url(REDIS) as client:
                    client.delete(key)

        asyncio.run(go())

    def test_what_is_emptied_goes_on(self) -> None:
        asyncio.run(emptied(self, forget_in_redis))


class TestRabbit(QueueSuite):
    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        need_rabbit()
        self.names: set[str] = set()
        yield
        forget_in_rabbit(self.names)

    async def open(self, name: str) -> Queue:
        self.names.add(name)
        return RabbitQueue(name, read_address(RABBIT), clock=CLOCK, ids=IDS, lease_s=0.5)

    async def die(self, queue: Queue) -> None:
        await asyncio.sleep(0.05)  # what was written is on its way
        queue._link._line._raw._transport.abort()

    def test_what_strangers_publish_is_read_as_far_as_can_be(self) -> None:
        async def go() -> None:
            import pika

            async with self.opened() as queue:
                await queue.status()
                connection = pika.BlockingConnection(pika.URLParameters(RABBIT))
                channel = connection.channel()
                for properties in (
                    pika.BasicProperties(),
                    pika.BasicProperties(message_id="two", priority=200, timestamp=2**62),
                    pika.BasicProperties(
                        message_id="three",
                        headers={
                            "a": {"b": [1]},
                            "x-aiworkflow-tries": "x",
                            "x-aiworkflow-published": "nan",
                        },
                    ),
                ):
                    channel.basic_publish("", queue.name, b"1", properties)
                connection.close()
                other = await self.open(queue.name)
                found = await taken_all(other, 3)
                assert found[0].message.id
                assert [one.message.id for one in found[1:]] == ["two", "three"]
                assert {one.message.priority for one in found} == {0}
                assert {one.message.published for one in found} == {0.0}
                assert found[2].message.headers == {"a": "{'b': [1]}"}
                await self.die(other)
                found = await taken_all(queue, 3)
                assert sorted(one.message.id for one in found) == ["", "three", "two"]
                assert {one.attempt for one in found} == {2}

        asyncio.run(go())

    def test_what_the_server_has_no_place_for_comes_again(self) -> None:
        """Here the dead are as many as may be; somebody has made their queue so."""

        async def go() -> None:
            import pika

            async with self.opened() as queue:
                connection = pika.BlockingConnection(pika.URLParameters(RABBIT))
                channel = connection.channel()
                dead = f"{queue.name}.aiworkflow.dead"
                few = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
                channel.queue_declare(dead, durable=True, arguments=few)
                for number in range(9):
                    await queue.publish(message(number))
                refused = set()
                for taken in await taken_all(queue, 9):
                    try:
                        await queue.set_aside(taken, "bad")
                    except QueueUnavailable as error:
                        assert "could not keep" in error.message
                        refused.add(taken.message.id)
                assert refused
                channel.queue_purge(dead)
                connection.close()
                again = await taken_all(queue, len(refused))
                assert {one.message.id for one in again} == refused
                assert {one.attempt for one in again} == {2}

        asyncio.run(go())

    def test_what_is_removed_goes_on(self) -> None:
        asyncio.run(emptied(self, forget_in_rabbit))


async def emptied(suite: QueueSuite, forget: Callable[[list[str]], None]) -> None:
    """Somebody removes everything from the server, while the queue is open."""
    async with suite.opened() as queue:
        await queue.publish(message(1))
        assert await drained(queue, 1) == ["m1"]
        for number in range(2, 5):
            await asyncio.to_thread(forget, [queue.name])
            await queue.publish(message(number))
            assert await drained(queue, 1) == [f"m{number}"]
        await asyncio.to_thread(forget, [queue.name])
        assert list(await queue.take(1, 0)) == []
        assert (await queue.status()).ready == 0
