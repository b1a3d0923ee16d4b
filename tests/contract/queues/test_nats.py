"""The contract of a queue, held by the plugin for NATS JetStream on servers of the tests' own."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.errors import UsageError
from aiworkflow.triggers.queues.address import read_address
from aiworkflow.triggers.queues.contract import LARGEST_BODY, Message, Queue
from aiworkflow.triggers.queues.contract import QueueUnavailable as Unavailable
from aiworkflow.triggers.queues.header import ROOM
from aiworkflow.triggers.queues.suite import QueueSuite, drained, message, take, taken_all
from aiworkflow.triggers.queues.survival import survives
from tests.contract.queues.plugged import (
    strangers_come_again,
    the_largest_is_set_aside_and_retried,
)
from tests.contract.queues.test_queues import emptied
from tests.private_servers import PrivateNats, make_certificates

pytest.importorskip("nats", reason="nats-py is not installed")

from aiworkflow_nats import NatsQueue, wire

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)
RESTARTS = 10 if "EXHAUSTIVE" in os.environ else 3


def opened(url: str, name: str, login: str | None = None, lease_s: float = 0.5) -> NatsQueue:
    return NatsQueue(name, read_address(url, login), clock=CLOCK, ids=IDS, lease_s=lease_s)


def a_name() -> str:
    return f"t.{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateNats]:
    with tempfile.TemporaryDirectory(prefix="q") as found:
        server = PrivateNats(Path(found))
        server.begin()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[PrivateNats]:
    make_certificates(tmp_path)
    server = PrivateNats(tmp_path, tmp_path)
    server.begin()
    try:
        yield server
    finally:
        server.kill()


async def raw(url: str, subject: str, body: bytes, headers: dict[str, str] | None = None) -> None:
    """Publish as a stranger does."""
    import nats

    client = await nats.connect(url)
    await client.jetstream().publish(subject, body, headers=headers)
    await client.close()


async def removed(url: str, names: list[str]) -> None:
    import nats

    client = await nats.connect(url)
    for name in names:
        await client.jetstream().delete_stream(wire.stream_of(name))
    await client.close()


class TestNats(QueueSuite):
    lease_s = 0.5
    largest_body = LARGEST_BODY - 16 * 1024  # the server's `max_payload` is 1 MiB with the headers

    @pytest.fixture(autouse=True)
    def _server(self, server: PrivateNats) -> None:
        self.url = server.url

    async def open(self, name: str) -> Queue:
        return opened(self.url, name)

    async def die(self, queue: Queue) -> None:
        queue._mine.clear()
        await queue.close()

    def test_what_strangers_publish_is_read_as_far_as_can_be(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                await queue.status()
                base = wire.base_of(queue.name)
                ours = (
                    '{"id": 7, "at": "x", "priority": 99, "headers": [], "tries": -1, "due": NaN}'
                )
                await raw(self.url, f"{base}.normal", b"1")
                await raw(self.url, f"{base}.normal", b"2", {"Nats-Msg-Id": "two", "From": "me"})
                await raw(self.url, f"{base}.normal", b"3", {"Aiworkflow": ours})
                await raw(self.url, f"{base}.normal", b"4", {"Aiworkflow": "[" * 3000})
                await raw(self.url, f"{base}.high", b"5")
                await raw(self.url, f"{base}.delayed", b"6")
                await raw(self.url, f"{base}.dead", b"7")
                found = await taken_all(queue, 6)
                bodies = {one.message.body: one.message for one in found}
                assert sorted(bodies) == [b"1", b"2", b"3", b"4", b"5", b"6"]
                assert {(one.attempt, one.failed) for one in found} == {(1, 0)}
                assert {one.message.published for one in found} == {0.0}
                assert len({one.message.id for one in found} - {""}) == 6
                assert (bodies[b"2"].id, bodies[b"2"].headers) == ("two", {"From": "me"})
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
                for level in ("normal", "delayed"):
                    await raw(self.url, f"{wire.base_of(queue.name)}.{level}", b"x" * LARGEST_BODY)
                (taken,) = await take(queue, 1)
                await queue.give_back(taken, 0.1)
                (again,) = await take(queue, 1)
                assert (again.message.id, again.attempt) == (taken.message.id, 2)
                await queue.set_aside(again, "it is no JSON")
                dead = {one.reason: one for one in await queue.dead()}
                cut = "its 1048576 bytes were cut to make room for this"
                beside = "there is no room for a header beside 1048576 bytes"
                assert dead.keys() == {f"it is no JSON; {cut}", f"{beside}; {cut}"}
                for one in dead.values():
                    assert len(one.message.body) == LARGEST_BODY - 2 * ROOM
                assert await queue.retry() == 2
                assert {one.attempt for one in await taken_all(queue, 2)} == {1}

        asyncio.run(go())

    def test_who_is_late_with_it_leaves_it_to_others(self) -> None:
        async def go() -> None:
            async with self.opened() as late, self.opened(late.name) as queue:
                await late.publish(message(1))
                (first,) = await take(late, 1)
                (second,) = await take(queue, 1)
                await late.give_back(first)
                await late.set_aside(first, "late")
                await queue.acknowledge(second)
                await late.acknowledge(first)
                status = await queue.status()
                assert (status.ready, status.taken, status.dead) == (0, 0, 0)

        asyncio.run(go())

    def test_what_was_given_up_while_it_came_is_given_back(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                await together_with_cancelling(queue, 40)
                await seen(queue, {f"m{number}" for number in range(40)})

        asyncio.run(go())

    def test_what_is_removed_goes_on(self) -> None:
        def forget(names: list[str]) -> None:
            asyncio.run(removed(self.url, names))

        asyncio.run(emptied(self, forget))

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


async def seen(queue: Queue, wanted: set[str]) -> None:
    """Each of them comes, and perhaps again."""
    while wanted:
        for one in await take(queue, 5):
            wanted.discard(one.message.id)
            await queue.acknowledge(one)


async def together_with_cancelling(queue: Queue, count: int) -> None:
    """Publish, while takers give up again and again."""
    for number in range(count):
        await queue.publish(message(number))
        try:
            async with asyncio.timeout(0.001 * (number % 5)):
                for one in await queue.take(3, 0.1):
                    await queue.give_back(one)
        except TimeoutError:
            pass


def test_any_name_is_a_stream_of_its_own() -> None:
    assert wire.stream_of("orders") == "aiworkflow-orders"
    assert wire.base_of("orders-eu") == "aiworkflow.orders-eu"
    assert wire.stream_of("orders.eu") == "aiworkflow-orders=2Eeu"
    names = ["a.b", "a=2Eb", "a*b", "a>b", "ä", "a/b", "a" * 200, "ü" * 200, "ü" * 199, "%d"]
    assert len({wire.stream_of(name) for name in names}) == len(names)

    async def go(url: str) -> None:
        for name in names:
            queue = opened(url, name)
            await queue.publish(Message(name, b"1"))
            assert await drained(queue, 1) == [name]
            await queue.close()

    with tempfile.TemporaryDirectory(prefix="q") as found:
        server = PrivateNats(Path(found))
        server.begin()
        try:
            asyncio.run(go(server.url))
        finally:
            server.kill()


def test_the_server_may_be_killed(server: PrivateNats) -> None:
    name = a_name()
    asyncio.run(survives(lambda: opened(server.url, name, lease_s=1.0), server.again, RESTARTS))


def test_what_a_server_hears_late_is_published_once(server: PrivateNats) -> None:
    """It is asked several times while the server stands still."""

    async def go() -> None:
        queue = opened(server.url, a_name())
        await queue.status()
        with server.standing_still():
            with pytest.raises(Unavailable, match="does not answer"):
                await queue.publish(message(1))
        assert await drained(queue, 1) == ["m1"]
        assert list(await queue.take(1, 0.2)) == []
        await queue.close()

    asyncio.run(go())


def test_what_is_delayed_and_dead_outlives_the_server(server: PrivateNats) -> None:
    async def go() -> None:
        queue = opened(server.url, a_name())
        await queue.publish(message(1), delay_s=1.5)
        await queue.publish(message(2), delay_s=3600)
        await queue.publish(message(3))
        (taken,) = await take(queue, 1)
        await queue.set_aside(taken, "why")
        await asyncio.to_thread(server.again)
        assert [one.reason for one in await queue.dead()] == ["why"]
        await seen(queue, {"m1"})  # a server that is killed may have forgotten that m3 was settled
        status = await queue.status()
        assert (status.ready, status.delayed, status.dead) == (0, 1, 1)
        await queue.close()

    asyncio.run(go())


def test_only_a_server_that_can_be_trusted_is_told_the_login(
    guarded: PrivateNats, server: PrivateNats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go(url: str) -> None:
        queue = opened(url, a_name(), PrivateNats.login)
        try:
            await queue.publish(Message("a", b"1"))
            assert await drained(queue, 1) == ["a"]
        finally:
            await queue.close()

    with pytest.raises(Unavailable, match=r"does not answer .*SSLCertVerificationError"):
        asyncio.run(go(guarded.tls_url))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    asyncio.run(go(guarded.tls_url))
    asyncio.run(go(guarded.tls_url.replace("nats+tls", "nats")))  # it asks for TLS itself
    with pytest.raises(Unavailable, match="it speaks no TLS") as error:
        asyncio.run(go(f"nats+tls://localhost:{server.port}"))
    assert error.value.hint == "require TLS on the server"


def test_a_server_without_tls_hears_no_login() -> None:
    """Whoever stands in between may say that there is no TLS."""
    heard = b""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        writer.write(
            b'INFO {"server_id":"x","version":"2.9.10","headers":true,"max_payload":9}\r\n'
        )
        heard += await reader.read()
        writer.close()

    async def go() -> None:
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as found:
            port = found.sockets[0].getsockname()[1]
            queue = opened(f"nats+tls://localhost:{port}", "t", "me:hidden")
            with pytest.raises(Unavailable, match="it speaks no TLS"):
                await queue.status()
            await queue.close()

    asyncio.run(go())
    assert b"hidden" not in heard


def test_a_wrong_login_is_said_so_and_not_shown(
    guarded: PrivateNats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def go(login: str | None) -> None:
        queue = opened(guarded.tls_url, "t", login)
        try:
            await queue.status()
        finally:
            await queue.close()

    for login in ("me:hidden", "hidden:", None):
        with pytest.raises(Unavailable, match="refuses the login") as error:
            asyncio.run(go(login))
        assert error.value.hint == "set the secret that `login` names to `user:password`"
        assert "hidden" not in f"{error.value!r} {error.value.__cause__!r}"


def test_a_server_that_is_not_there_or_no_jetstream_is_said_so(tmp_path: Path) -> None:
    async def go(url: str) -> None:
        queue = opened(url, "t", "me:hidden")
        try:
            await queue.publish(Message("a", b"1"))
        finally:
            await queue.close()

    with pytest.raises(Unavailable) as error:
        asyncio.run(go("nats://127.0.0.1:1"))
    assert (
        error.value.message
        == "the queue at nats://127.0.0.1:1 does not answer (ConnectionRefusedError)"
    )
    assert error.value.hint == "start the server, or correct the `url` of the queue"
    server = PrivateNats(tmp_path, more="max_payload: 1000000")
    server.begin()
    try:
        with pytest.raises(Unavailable, match="has no JetStream") as error:
            asyncio.run(go(server.url))
        assert error.value.hint == "start the server with JetStream: nats-server -js"
    finally:
        server.kill()


@pytest.mark.parametrize("url", ["nats:///orders", "nats://host/orders"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of a NATS server") as error:
        opened(url, "t")
    assert error.value.hint == "write it like nats://host:4222"
