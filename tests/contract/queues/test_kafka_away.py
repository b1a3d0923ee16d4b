"""A queue on Apache Kafka whose broker is away, refuses, or is not the one it should be."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock
from aiworkflow.errors import UsageError
from aiworkflow.triggers.queues.address import read_address
from aiworkflow.triggers.queues.contract import Message, MessageInvalid
from aiworkflow.triggers.queues.contract import QueueUnavailable as Unavailable
from aiworkflow.triggers.queues.suite import drained, message, take
from aiworkflow.triggers.queues.survival import survives
from tests.private_servers import PrivateKafka, make_certificates

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")

from aiworkflow_kafka import KafkaQueue, ledger, looker
from aiworkflow_kafka.line import Line

from tests.contract.queues.test_kafka import CLOCK, IDS, a_name, opened, told

RESTARTS = 10 if "EXHAUSTIVE" in os.environ else 3


def test_the_server_may_be_killed(kafka: PrivateKafka) -> None:
    name = a_name()
    asyncio.run(survives(lambda: opened(kafka.url, name), kafka.again, RESTARTS))


def test_what_is_delayed_and_dead_outlives_the_server(kafka: PrivateKafka) -> None:
    async def go() -> None:
        queue = opened(kafka.url, a_name())
        await queue.publish(message(1), delay_s=1.5)
        await queue.publish(message(2), delay_s=3600)
        await queue.publish(message(3))
        (taken,) = await take(queue, 1)
        await queue.set_aside(taken, "why")
        await asyncio.to_thread(kafka.again)
        assert [one.reason for one in await queue.dead()] == ["why"]
        assert await drained(queue, 1) == ["m1"]
        status = await queue.status()
        assert (status.ready, status.delayed, status.dead) == (0, 1, 1)
        await queue.close()

    asyncio.run(go())


def test_what_a_server_hears_late_is_published_once(kafka: PrivateKafka) -> None:
    async def go() -> None:
        queue = opened(kafka.url, a_name())
        await queue.publish(message(0))
        with kafka.standing_still():
            with pytest.raises(Unavailable, match="does not answer"):
                await queue.publish(message(1))
        assert set(await drained(queue, 2)) == {"m0", "m1"}
        assert list(await queue.take(1, 0.5)) == []
        await queue.close()

    asyncio.run(go())


def test_nothing_waits_for_a_server_that_stands_still(kafka: PrivateKafka) -> None:
    """The client blocks, but in threads of its own."""

    async def go() -> None:
        queue = opened(kafka.url, a_name())
        await queue.publish(message(0))
        (taken,) = await take(queue, 1)
        ticks = 0
        with kafka.standing_still():
            async with asyncio.TaskGroup() as group:
                asked = [
                    group.create_task(swallowed(one))
                    for one in (
                        queue.publish(message(1)),
                        queue.status(),
                        queue.acknowledge(taken),
                        queue.take(1, 0.1),
                    )
                ]
                while not all(one.done() for one in asked):
                    await asyncio.sleep(0.01)
                    ticks += 1
        assert ticks > 50
        await queue.close()

    asyncio.run(go())


async def swallowed(work: Coroutine[object, object, object]) -> None:
    with suppress(Unavailable):
        await work


def test_what_the_group_refuses_is_left_to_others(kafka: PrivateKafka) -> None:
    """Members that the group has given up learn it when they commit."""

    async def go() -> None:
        queue = opened(kafka.url, a_name())
        await queue.publish(message(1))
        (taken,) = await take(queue, 1)
        illegal_generation, offset_commit = 22, 8
        kafka.order("refuse", offset_commit, illegal_generation, 1)
        await queue.acknowledge(taken)
        (again,) = await take(queue, 1)
        assert (again.message.id, again.attempt) == ("m1", 2)
        await queue.acknowledge(again)
        assert (await queue.status()).taken == 0
        await queue.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("code", "said", "hint"),
    [
        (
            3,
            "has no topic {}",
            "create it, or let the server do so: auto.create.topics.enable=true",
        ),
        (29, "refuses {}", "let the user read, write and describe its topics and groups"),
    ],
)
def test_a_topic_that_is_not_there_or_not_ours_is_named(
    kafka: PrivateKafka, code: int, said: str, hint: str
) -> None:
    async def go() -> None:
        queue = opened(kafka.url, a_name())
        topic = f"{queue.name}.aiworkflow.high"
        kafka.order("refuse-topic", topic, code)
        for asked in (queue.publish(message(1)), queue.take(1, 0.1), queue.status()):
            with pytest.raises(Unavailable) as error:
                await asked
            assert error.value.message == f"the queue at {kafka.url} {said.format(topic)}"
            assert error.value.hint == hint
        await queue.close()

    asyncio.run(go())


class Later(SystemClock):
    """A clock that is some days ahead."""

    def __init__(self, days: float) -> None:
        self._ahead = timedelta(days=days)

    def now(self) -> datetime:
        return super().now() + self._ahead

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead.total_seconds()


def test_what_the_server_would_forget_is_written_anew(
    kafka: PrivateKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages after a week by default, and groups without consumers too."""
    committed: list[dict[looker.Part, ledger.Ledger]] = []
    real = looker.Looker.commit

    def commit(self: looker.Looker, ledgers: dict[looker.Part, ledger.Ledger]) -> None:
        committed.append({part: one for part, one in ledgers.items() if one.base})
        real(self, ledgers)

    async def go() -> None:
        name = a_name()
        queue = opened(kafka.url, name)
        await queue.publish(message(0))
        await queue.publish(message(1), delay_s=10 * 86_400)
        (taken,) = await take(queue, 1)
        await queue.set_aside(taken, "why")
        assert await queue.drop() == 1
        await queue.close()
        monkeypatch.setattr(looker.Looker, "commit", commit)
        address = read_address(kafka.url)
        later = KafkaQueue(name, address, clock=Later(2), ids=IDS, lease_s=1.0)
        async with asyncio.timeout(30):
            while sum(told(kafka.url, name)) < 2 or (await later.status()).delayed != 1:
                assert list(await later.take(1, 0.2)) == []
        status = await later.status()
        assert (status.ready, status.delayed, status.dead) == (0, 1, 0)
        assert sum(told(kafka.url, name)) == 2
        (again,) = committed
        assert {part.topic for part in again} == {f"{name}.aiworkflow.dead"}
        await later.close()
        much_later = KafkaQueue(name, address, clock=Later(11), ids=IDS, lease_s=1.0)
        assert await drained(much_later, 1) == ["m1"]
        await much_later.close()

    asyncio.run(go())


def test_a_producer_that_can_do_nothing_more_is_replaced(kafka: PrivateKafka) -> None:
    async def go() -> None:
        queue = opened(kafka.url, a_name())
        await queue.publish(message(1))
        produce, out_of_order_sequence = 0, 45
        kafka.order("refuse", produce, out_of_order_sequence, 1)
        with pytest.raises(Unavailable, match="out of order"):
            await queue.publish(message(2))
        await queue.publish(message(3))
        assert await drained(queue, 2) == ["m1", "m3"]
        await queue.close()

    asyncio.run(go())


def test_what_is_settled_is_not_taken_again_when_the_client_begins_again(
    kafka: PrivateKafka,
) -> None:
    async def go() -> None:
        queue = opened(kafka.url, a_name(), lease_s=30.0)
        for number in range(4):
            await queue.publish(message(number))
        assert await drained(queue, 2) == ["m0", "m1"]
        (held,) = await take(queue, 1)
        fetch, out_of_range = 1, 1
        kafka.order("refuse", fetch, out_of_range, 1)
        await queue.publish(message(4))
        assert await drained(queue, 2) == ["m3", "m4"]
        await queue.acknowledge(held)
        assert list(await queue.take(1, 1.5)) == []
        await queue.close()

    asyncio.run(go())


def test_a_topic_that_is_made_anew_is_read_from_its_beginning(kafka: PrivateKafka) -> None:
    async def go() -> None:
        queue = opened(kafka.url, a_name(), lease_s=30.0)
        for number in range(4):
            await queue.publish(message(number))
        assert await drained(queue, 4) == ["m0", "m1", "m2", "m3"]
        kafka.order("forget-topic", queue.name)
        other = opened(kafka.url, queue.name)
        await other.publish(message(5))
        await other.publish(message(6))
        assert await drained(queue, 2) == ["m5", "m6"]
        await other.close()
        await queue.close()

    asyncio.run(go())


def test_what_the_server_refuses_is_said(kafka: PrivateKafka) -> None:
    async def go() -> None:
        queue = opened(kafka.url, a_name())
        await queue.publish(message(1))
        produce, too_large, not_allowed = 0, 10, 29
        kafka.order("refuse", produce, too_large, 1)
        with pytest.raises(MessageInvalid, match=r"has 8 bytes, and the server .* takes less"):
            await queue.publish(message(2))
        kafka.order("refuse", produce, not_allowed, 1)
        with pytest.raises(Unavailable) as error:
            await queue.publish(message(2))
        assert error.value.message == f"the queue at {kafka.url} refuses {queue.name}"
        assert error.value.hint == "let the user read, write and describe its topics and groups"
        await queue.close()

    asyncio.run(go())


def test_a_server_that_is_not_there_is_said_so() -> None:
    async def go() -> None:
        queue = opened("kafka://127.0.0.1:1", "t", "me:hidden")
        for asked in (
            queue.publish(Message("a", b"1")),
            queue.take(1, 0.1),
            queue.status(),
            queue.purge(),
        ):
            with pytest.raises(Unavailable) as error:
                await asked
            assert "the queue at kafka://127.0.0.1:1 does not answer (" in error.value.message
            assert "refused" in error.value.message
            assert error.value.hint == "start the server, or correct the `url` of the queue"
            assert "hidden" not in f"{error.value!r} {error.value.__cause__!r}"
        await queue.close()

    asyncio.run(go())


@asynccontextmanager
async def tls_before(port: int, folder: Path) -> AsyncIterator[int]:
    """A port where TLS is spoken, with another one behind it."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while found := await reader.read(65536):
                writer.write(found)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, inside[1]))
            group.create_task(pump(inside[0], writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as found:
        yield found.sockets[0].getsockname()[1]


def test_only_a_server_with_a_right_certificate_is_spoken_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_certificates(tmp_path)
    kafka = PrivateKafka()

    async def go() -> None:
        async with tls_before(kafka.port, tmp_path) as port:
            kafka.order("at", "localhost", port)
            queue = opened(f"kafka+tls://localhost:{port}", a_name())
            with pytest.raises(Unavailable, match=r"does not answer .*certificate"):
                await queue.publish(message(1))
            await queue.close()
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            queue = opened(f"kafka+tls://localhost:{port}", a_name())
            await queue.publish(message(1))
            assert await drained(queue, 1) == ["m1"]
            await queue.close()
            queue = opened(f"kafka+tls://127.0.0.1:{port}", a_name())
            with pytest.raises(Unavailable, match="does not answer"):  # not its name
                await queue.publish(message(1))
            await queue.close()

    try:
        asyncio.run(go())
    finally:
        kafka.kill()


def test_a_server_without_tls_hears_no_login() -> None:
    heard = b""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard += await reader.read(1000)
        writer.write(b"what?")
        writer.close()

    async def go() -> None:
        async with await asyncio.start_server(listen, "127.0.0.1", 0) as found:
            port = found.sockets[0].getsockname()[1]
            queue = opened(f"kafka+tls://localhost:{port}?sasl=PLAIN", "t", "me:hidden")
            with pytest.raises(Unavailable, match="does not answer"):
                await queue.status()
            await queue.close()

    asyncio.run(go())
    assert heard
    assert b"hidden" not in heard


def test_an_address_says_how_to_log_in_and_where_else_to_ask() -> None:
    def settings(url: str, login: str | None = None) -> dict[str, object]:
        return Line(read_address(url, login), CLOCK).settings

    found = settings("kafka+tls://host?also=other:9093,third:9092&sasl=PLAIN", "me:p@ss:w/rd")
    assert found["bootstrap.servers"] == "host:9092,other:9093,third:9092"
    assert found["security.protocol"] == "SASL_SSL"
    assert (found["sasl.mechanism"], found["sasl.username"]) == ("PLAIN", "me")
    assert found["sasl.password"] == "p@ss:w/rd"
    found = settings("kafka://[::1]:9", "me:p")
    assert found["bootstrap.servers"] == "[::1]:9"
    assert (found["security.protocol"], found["sasl.mechanism"]) == (
        "SASL_PLAINTEXT",
        "SCRAM-SHA-512",
    )
    assert settings("kafka://host")["security.protocol"] == "PLAINTEXT"
    assert settings("kafka+tls://host")["security.protocol"] == "SSL"


def test_another_server_is_asked_where_the_first_is_away(kafka: PrivateKafka) -> None:
    async def go() -> None:
        queue = opened(f"kafka://127.0.0.1:1?also=127.0.0.1:2,127.0.0.1:{kafka.port}", a_name())
        await queue.publish(message(1))
        assert await drained(queue, 1) == ["m1"]
        await queue.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("url", "name", "said", "hint"),
    [
        ("kafka:///orders", "t", "is no address of a Kafka server", "kafka://host:9092?also="),
        ("kafka://host/orders", "t", "is no address of a Kafka server", "kafka://host:9092?also="),
        ("kafka://host?acks=0", "t", "is no address of a Kafka server", "kafka://host:9092?also="),
        ("kafka://host?sasl=GSSAPI", "t", "`GSSAPI` is no way to log in", "SCRAM-SHA-256, PLAIN"),
        ("kafka://host", "ä", "`ä` is no name of a topic in Kafka", "letters of ASCII"),
        ("kafka://host", "..", "`..` is no name of a topic in Kafka", "letters of ASCII"),
        ("kafka://host", "a" * 201, "is no name of a topic in Kafka", "1 to 200"),
    ],
)
def test_what_is_no_address_or_topic_is_refused(url: str, name: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        opened(url, name)
    assert said in error.value.message
    assert hint in (error.value.hint or "")
