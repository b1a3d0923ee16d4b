"""Queues whose server is killed and begun again in the middle: what was published is taken.

On servers of the tests' own. Publishers and takers are not begun again: they go on by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import open_journal
from aiworkflow.triggers.queues import rabbitmq_line
from aiworkflow.triggers.queues.address import read_address
from aiworkflow.triggers.queues.contract import Message, Queue, QueueUnavailable
from aiworkflow.triggers.queues.embedded import EmbeddedQueue
from aiworkflow.triggers.queues.rabbitmq import RabbitQueue
from aiworkflow.triggers.queues.redis import RedisQueue
from aiworkflow.triggers.queues.survival import survives
from tests.crash.test_postgres_faults import Cluster, cluster
from tests.gate import Gate
from tests.private_servers import PrivateRabbit, PrivateRedis, free_port, make_certificates
from tests.rabbit_server import forget_in_rabbit

__all__ = ["cluster"]

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)
RESTARTS = 6 if "EXHAUSTIVE" in os.environ else 1


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="q") as found:
        yield Path(found)


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """An authority of our own: `ca.pem`, and the server's `cert.pem` and `key.pem`."""
    with tempfile.TemporaryDirectory(prefix="q") as found:
        make_certificates(Path(found))
        yield Path(found)


@pytest.fixture(scope="module")
def rabbit(certificates: Path) -> Iterator[PrivateRabbit]:
    with tempfile.TemporaryDirectory(prefix="q") as found:
        server = PrivateRabbit(Path(found), certificates)
        server.begin()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="module")
def redis(certificates: Path) -> Iterator[PrivateRedis]:
    with tempfile.TemporaryDirectory(prefix="q") as found:
        server = PrivateRedis(Path(found), certificates)
        server.begin()
        try:
            yield server
        finally:
            server.kill()


def redis_queue(url: str, name: str, login: str | None = None) -> Queue:
    return RedisQueue(name, read_address(url, login), clock=CLOCK, ids=IDS, lease_s=1.0)


def rabbit_queue(url: str, name: str, login: str | None = None) -> Queue:
    return RabbitQueue(name, read_address(url, login), clock=CLOCK, ids=IDS)


def test_redis_may_be_killed(redis: PrivateRedis) -> None:
    name = f"t.{secrets.token_hex(4)}"
    asyncio.run(survives(lambda: redis_queue(redis.url, name), redis.again, max(3, RESTARTS)))


def test_redis_may_be_taken_over_from(
    redis: PrivateRedis, certificates: Path, tmp_path: Path
) -> None:
    """The one before is a replica then, and keeps its connections; the address leads to the other."""
    from redis import Redis

    other = PrivateRedis(tmp_path, certificates)
    other.begin()
    gate = Gate(free_port(), redis.port)
    gate.open()

    async def go() -> None:
        queue = redis_queue(f"redis://127.0.0.1:{gate.port}/0", f"t.{secrets.token_hex(4)}")
        await queue.publish(Message("a", b"1"))
        with Redis.from_url(redis.url) as old:
            old.replicaof("127.0.0.1", other.port)
            gate.upstream = other.port
            with pytest.raises(QueueUnavailable, match="replica"):
                await queue.publish(Message("b", b"1"))
            await queue.publish(Message("b", b"1"))
            (taken,) = await queue.take(5, 1.0)
            assert taken.message.id == "b"
            await queue.acknowledge(taken)
            await queue.close()
            old.replicaof("NO", "ONE")

    try:
        asyncio.run(go())
    finally:
        gate.shut()
        other.kill()


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_rabbitmq_may_be_begun_again(how: str, rabbit: PrivateRabbit) -> None:
    name = f"t.{secrets.token_hex(4)}"
    restart = partial(rabbit.again, getattr(rabbit, how))
    asyncio.run(survives(lambda: rabbit_queue(rabbit.url, name), restart, RESTARTS))


def test_rabbitmq_may_be_killed_as_soon_as_it_has_a_queue(
    rabbit: PrivateRabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forgets the queue, but nobody was told that a message is safe; the others go on."""
    monkeypatch.setattr(rabbitmq_line, "_ANSWER_S", 3.0)

    async def forgotten() -> tuple[str, Queue]:
        """A queue that the server was killed too early for; a busy machine may be too slow."""
        for _ in range(5):
            name = f"t.{secrets.token_hex(4)}"
            queue = rabbit_queue(rabbit.url, name)
            publishing = asyncio.create_task(queue.publish(Message("early", b"1")))
            await asyncio.to_thread(rabbit.until_there, name)
            await asyncio.to_thread(rabbit.kill)
            is_noted = rabbit.has_noted(name)
            is_confirmed = publishing.done()
            await asyncio.to_thread(rabbit.start)
            await asyncio.wait([publishing])
            if not is_noted:
                assert not is_confirmed
                assert isinstance(publishing.exception(), QueueUnavailable)
                return name, queue
            publishing.exception()
            await queue.close()
        pytest.skip("this server notes its queues before it can be killed")

    async def go() -> None:
        name, queue = await forgotten()
        with pytest.raises(QueueUnavailable, match=f"said nothing of the queue `{name}`") as error:
            await queue.publish(Message("early", b"1"))
        assert f"quorum_status {name}`" in str(error.value.hint)
        await queue.publish(Message("urgent", b"1", 9))
        (taken,) = await queue.take(5, 10)
        assert taken.message.id == "urgent"
        await queue.acknowledge(taken)
        with pytest.raises(QueueUnavailable, match="said nothing"):
            await queue.take(5, 0)
        await asyncio.to_thread(forget_in_rabbit, [name], rabbit.url)
        await queue.publish(Message("late", b"1"))
        (taken,) = await queue.take(5, 10)
        assert taken.message.id == "late"
        await queue.acknowledge(taken)
        await queue.close()

    asyncio.run(go())


def test_a_delay_is_kept_though_rabbitmq_is_killed_at_once(rabbit: PrivateRabbit) -> None:
    """Its queue is new, so whoever publishes is kept waiting until the server knows of it."""
    name = f"t.{secrets.token_hex(4)}"

    async def go() -> None:
        queue = rabbit_queue(rabbit.url, name)
        await queue.publish(Message("first", b"1"))
        await queue.publish(Message("delayed", b"1", 5), delay_s=2)
        await asyncio.to_thread(rabbit.again)
        found = set()
        while len(found) < 2:
            some = await queue.take(5, 30)
            assert some, f"only {found} came"
            for taken in some:
                found.add(taken.message.id)
                await queue.acknowledge(taken)
        assert found == {"first", "delayed"}
        await queue.close()

    asyncio.run(go())


@pytest.mark.parametrize("kind", ["redis", "rabbit"])
def test_only_a_server_that_can_be_trusted_is_spoken_to(
    kind: str, certificates: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = request.getfixturevalue(kind)
    make = redis_queue if kind == "redis" else rabbit_queue

    async def go() -> None:
        queue = make(server.tls_url, f"t.{secrets.token_hex(4)}")
        try:
            await queue.publish(Message("a", b"1"))
            (taken,) = await queue.take(1, 10)
            assert taken.message.id == "a"
            await queue.acknowledge(taken)
        finally:
            await queue.close()

    with pytest.raises(QueueUnavailable, match="does not answer"):
        asyncio.run(go())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    asyncio.run(go())


@pytest.mark.parametrize("kind", ["redis", "rabbit"])
def test_a_wrong_login_is_said_so_and_not_shown(kind: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(kind)
    make = redis_queue if kind == "redis" else rabbit_queue

    async def go() -> None:
        queue = make(server.url, "t", "nobody:hidden")
        try:
            await queue.status()
        finally:
            await queue.close()

    with pytest.raises(QueueUnavailable, match="refuses the login") as error:
        asyncio.run(go())
    assert error.value.hint is not None
    assert "`login`" in error.value.hint
    assert "hidden" not in f"{error.value!r} {error.value.__cause__!r}"


def test_what_rabbitmq_refuses_is_said_in_its_words(rabbit: PrivateRabbit) -> None:
    """A virtual host that is not there is no wrong login, and a server that says no does answer."""
    import pika

    name = f"t.{secrets.token_hex(4)}"
    stream = {"x-queue-type": "stream"}
    connection = pika.BlockingConnection(pika.URLParameters(rabbit.url))
    connection.channel().queue_declare(name, durable=True, arguments=stream)
    connection.close()

    async def go(url: str, match: str) -> None:
        queue = rabbit_queue(url, name)
        try:
            with pytest.raises(QueueUnavailable, match=match) as error:
                await queue.purge()
        finally:
            await queue.close()
        assert error.value.hint is not None
        assert "correct the `url`" in error.value.hint

    asyncio.run(go(f"{rabbit.url}nowhere", "refuses: NOT_ALLOWED - vhost nowhere not found"))
    asyncio.run(go(rabbit.url, "refuses: NOT_IMPLEMENTED - queue.purge"))


def test_a_bound_of_a_queue_on_rabbitmq_is_said(rabbit: PrivateRabbit) -> None:
    """Where it takes nothing more, and where it sets something aside by itself."""
    import pika

    name = f"t.{secrets.token_hex(4)}"
    plain: dict[str, object] = {"x-queue-type": "quorum", "x-max-length": 1}
    led = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{name}.aiworkflow.dead"}
    connection = pika.BlockingConnection(pika.URLParameters(rabbit.url))
    channel = connection.channel()
    full = {**plain, "x-overflow": "reject-publish"}
    channel.queue_declare(f"{name}.aiworkflow.high", durable=True, arguments=full)
    channel.queue_declare(name, durable=True, arguments={**plain, **led})
    channel.queue_declare(
        f"{name}.aiworkflow.urgent", durable=True, arguments={"x-message-ttl": 1, **led}
    )
    connection.close()

    async def go() -> None:
        queue = rabbit_queue(rabbit.url, name)
        with pytest.raises(QueueUnavailable, match="refuses: it could not keep") as error:
            for number in range(5):  # it takes some more than its length
                await queue.publish(Message(f"high{number}", b"1", 2))
        assert "max-length" in str(error.value.hint)
        await queue.publish(Message("old", b"1", 9))
        for number in range(3):
            await queue.publish(Message(f"more{number}", b"1"))
        found: dict[str, str] = {}
        while not {"old", "more0"} <= set(found):
            found = {one.message.id: one.reason for one in await queue.dead()}
        assert "`message-ttl`" in found["old"]
        assert "`max-length`" in found["more0"]
        await queue.close()

    asyncio.run(go())


def test_an_alarm_of_rabbitmq_is_said(
    folder: Path, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no messages while it is short of memory; its queues have their leaders."""
    monkeypatch.setattr(rabbitmq_line, "_ANSWER_S", 3.0)
    server = PrivateRabbit(folder, certificates)
    with (folder / "rabbitmq.conf").open("a") as conf:
        conf.write("vm_memory_high_watermark.absolute = 1MB\n")
    server.begin()

    async def go() -> None:
        queue = rabbit_queue(server.url, "t")
        try:
            await queue.publish(Message("a", b"1"))
        finally:
            await queue.close()

    try:
        with pytest.raises(QueueUnavailable, match="takes no messages now: low on memory") as error:
            asyncio.run(go())
        assert "alarms" in str(error.value.hint)
    finally:
        server.kill()


def test_postgresql_may_be_killed(cluster: Cluster, folder: Path) -> None:
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # a restart holds up the loop
    url = f"{cluster.url}&schema=queue"
    journals = []

    def make() -> Queue:
        journal = open_journal(url, folder, clock=CLOCK, ids=IDS)
        journals.append(journal)
        return EmbeddedQueue("t", journal, clock=CLOCK, ids=IDS, lease_s=1.0)

    try:
        asyncio.run(survives(make, lambda: cluster.control("restart", "-m", "immediate"), RESTARTS))
    finally:
        for journal in journals:
            journal.close()
