"""The contract of a queue, held by the plugin for Amazon SQS.

It runs against moto's server, which has SQS's semantics; and against SQS itself, or another server that
speaks it, where `AIWORKFLOW_TEST_SQS` is the URL of one, such as `sqs://eu-central-1/`, and credentials are
in AWS's usual places. What needs a server of the tests' own is always tested with moto's. That one keeps
nothing when it is killed, so here it stands still, or cannot be reached, and is back.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.errors import UsageError
from aiworkflow.triggers.queues.address import read_address
from aiworkflow.triggers.queues.contract import LARGEST_BODY, Message, MessageInvalid, Queue, Taken
from aiworkflow.triggers.queues.contract import QueueUnavailable as Unavailable
from aiworkflow.triggers.queues.header import HEADER
from aiworkflow.triggers.queues.suite import QueueSuite, drained, message, take, taken_all
from aiworkflow.triggers.queues.survival import survives
from tests.contract.queues.plugged import (
    strangers_come_again,
    the_largest_is_set_aside_and_retried,
)
from tests.contract.queues.test_queues import emptied
from tests.gate import Gate
from tests.private_servers import PrivateSqs, free_port, make_certificates

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
pytest.importorskip("moto", reason="moto is not installed")

from aiworkflow_sqs import SqsQueue, wire  # noqa: E402

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)
REAL = os.environ.get("AIWORKFLOW_TEST_SQS", "")
RESTARTS = 10 if "EXHAUSTIVE" in os.environ else 1
PARTS = ("normal", "high", "urgent", wire.DELAYED, wire.DEAD)


def opened(url: str, name: str, login: str | None = None, lease_s: float = 1.0) -> SqsQueue:
    if url != REAL:
        login = login or PrivateSqs.login
    return SqsQueue(name, read_address(url, login), clock=CLOCK, ids=IDS, lease_s=lease_s)


def a_name() -> str:
    return f"t.{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateSqs]:
    with tempfile.TemporaryDirectory(prefix="q") as found:
        server = PrivateSqs(Path(found))
        server.begin()
        try:
            yield server
        finally:
            server.kill()


def noted(queue: SqsQueue) -> list[tuple[str, dict[str, object]]]:
    """The requests that it makes from now on."""
    found: list[tuple[str, dict[str, object]]] = []
    ask = queue._line.ask

    async def asking(action: str, **said: object) -> dict[str, object]:
        found.append((action, said))
        return await ask(action, **said)

    queue._line.ask = asking
    return found


class Raw:
    """What a stranger does on the server."""

    def __init__(self, url: str, name: str) -> None:
        self._name = name
        line = opened(url, name)._line
        self._client = line._make()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def url(self, part: str) -> str:
        found = self._client.create_queue(QueueName=wire.name_of(self._name, part))
        return found["QueueUrl"]

    def send(self, part: str, body: str, delay_s: int = 0, **attributes: str) -> None:
        said = {
            name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()
        }
        self._client.send_message(
            QueueUrl=self.url(part), MessageBody=body, MessageAttributes=said, DelaySeconds=delay_s
        )

    def forget(self) -> None:
        for part in PARTS:
            self._client.delete_queue(QueueUrl=self.url(part))


class TestSqs(QueueSuite):
    lease_s = 3.0
    largest_body = LARGEST_BODY - 16 * 1024  # the server takes 1 MiB with the attributes

    @pytest.fixture(autouse=True)
    def _server(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        self.url = REAL or request.getfixturevalue("server").url
        if not REAL:  # which consists of one machine
            monkeypatch.setattr("aiworkflow_sqs.queue._SURE_S", 0)
        self.names: set[str] = set()
        yield
        for name in self.names:
            with Raw(self.url, name) as raw:
                raw.forget()

    async def open(self, name: str) -> Queue:
        self.names.add(name)
        return opened(self.url, name, lease_s=self.lease_s)

    async def die(self, queue: Queue) -> None:
        queue._mine.clear()
        await queue.close()

    @pytest.mark.skipif(bool(REAL), reason="SQS keeps the order only as well as it can")
    def test_they_come_in_the_order_of_publishing(self) -> None:
        super().test_they_come_in_the_order_of_publishing()

    @pytest.mark.skipif(bool(REAL), reason="SQS keeps the order only as well as it can")
    def test_higher_priorities_come_first(self) -> None:
        super().test_higher_priorities_come_first()

    def test_what_strangers_publish_is_read_as_far_as_can_be(self) -> None:
        ours = '{"id": 7, "at": "x", "priority": 99, "headers": [], "tries": -1, "coded": true}'

        async def go() -> None:
            async with self.opened() as queue:
                with Raw(self.url, queue.name) as raw:
                    raw.send("normal", "1")
                    raw.send("normal", "2", id="two", From="me")
                    raw.send("normal", "3", **{HEADER: ours})
                    raw.send("normal", "4", **{HEADER: "[" * 3000})
                    raw.send("high", "5")
                    raw.send("delayed", "6")
                    raw.send("normal", "8", delay_s=1)
                    raw.send("dead", "7")
                found = await taken_all(queue, 7)
                bodies = {one.message.body: one.message for one in found}
                assert sorted(bodies) == [b"1", b"2", b"3", b"4", b"5", b"6", b"8"]
                assert {(one.attempt, one.failed) for one in found} == {(1, 0)}
                assert len({one.message.id for one in found} - {""}) == 7
                assert (bodies[b"2"].id, bodies[b"2"].headers) == ("two", {"From": "me"})
                assert [bodies[body].priority for body in (b"3", b"5")] == [0, 1]
                assert abs(bodies[b"1"].published - CLOCK.now().timestamp()) < 3600
                await strangers_come_again(queue, found)

        asyncio.run(go())

    def test_bytes_that_are_no_text_of_sqs_come_as_they_were(self) -> None:
        bodies = [b"", b"\xff\xfe", b'"\x00"', '"\ufffe"'.encode(), "\U0010ffff\t".encode()]

        async def go() -> None:
            async with self.opened() as queue:
                for number, body in enumerate(bodies):
                    await queue.publish(Message(str(number), body))
                found = await taken_all(queue, len(bodies))
                assert sorted(one.message.body for one in found) == sorted(bodies)
                for one in found:
                    await queue.set_aside(one, "why")
                assert sorted(one.message.body for one in await queue.dead()) == sorted(bodies)

        asyncio.run(go())

    @pytest.mark.parametrize("sign", [b"x", b"\x00"], ids=["text", "no text"])
    def test_the_largest_message_can_be_set_aside_and_retried(self, sign: bytes) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                least = self.largest_body * (1 if sign == b"x" else 0.75)
                await the_largest_is_set_aside_and_retried(queue, least, sign)

        asyncio.run(go())

    def test_a_strangers_message_without_room_for_a_header_is_not_taken_for_ever(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                with Raw(self.url, queue.name) as raw:
                    for part in ("normal", "delayed"):
                        raw.send(part, "x" * LARGEST_BODY)
                (taken,) = await take(queue, 1)
                await queue.give_back(taken, 0.1)
                (again,) = await take(queue, 1)
                assert (again.message.id, again.attempt) == (taken.message.id, 2)
                await queue.set_aside(again, "it is no JSON")
                dead = {one.reason: one for one in await queue.dead()}
                cut = "its 1048576 bytes were cut to half of them to make room for this"
                beside = "there is no room for a header beside 1048576 bytes"
                assert dead.keys() == {f"it is no JSON; {cut}", f"{beside}; {cut}"}
                assert {len(one.message.body) for one in dead.values()} == {LARGEST_BODY // 2}
                assert await queue.retry() == 2
                assert {one.attempt for one in await taken_all(queue, 2)} == {1}

        asyncio.run(go())

    def test_a_lease_lasts_as_long_as_its_taker(self) -> None:
        async def go() -> None:
            async with self.opened() as queue, self.opened(queue.name) as other:
                await queue.publish(message(1))
                (taken,) = await take(queue, 1)
                assert list(await other.take(1, 2 * self.lease_s)) == []
                await queue.give_back(taken)
                (again,) = await take(other, 1)
                assert (again.attempt, again.failed) == (2, 1)
                await other.acknowledge(again)

        asyncio.run(go())

    def test_who_is_late_with_it_leaves_it_to_others(self) -> None:
        async def go() -> None:
            async with self.opened() as late, self.opened(late.name) as queue:
                await late.publish(message(1))
                (first,) = await take(late, 1)
                late._keeping.cancel()  # as if it had stood still
                (second,) = await take(queue, 1)
                await late.give_back(first)
                await late.set_aside(first, "late")
                await queue.acknowledge(second)
                await late.acknowledge(first)
                status = await queue.status()
                assert (status.ready, status.taken, status.dead) == (0, 0, 0)

        asyncio.run(go())

    def test_what_came_after_its_taker_gave_up_is_not_lost(self) -> None:
        async def go() -> None:
            async with self.opened() as other:
                queue = await self.open(other.name)
                for number in range(40):
                    await queue.publish(message(number))
                    try:
                        async with asyncio.timeout(0.003 * (number % 5)):
                            for one in await queue.take(3, 0.1):
                                await queue.give_back(one)
                    except TimeoutError:
                        pass
                await queue.close()
                wanted = {f"m{number}" for number in range(40)}
                while wanted:
                    for one in await take(other, 5):
                        wanted.discard(one.message.id)
                        await other.acknowledge(one)

        asyncio.run(go())

    @pytest.mark.skipif(bool(REAL), reason="SQS lets a queue's name be used again after a minute")
    def test_what_is_removed_goes_on(self) -> None:
        def forget(names: list[str]) -> None:
            for name in names:
                with Raw(self.url, name) as raw:
                    raw.forget()

        asyncio.run(emptied(self, forget))

    def test_a_delay_beyond_the_servers_longest_goes_in_hops(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent: list[tuple[str, object]] = []
        monkeypatch.setattr("aiworkflow_sqs.parts._LONGEST_DELAY_S", 1)

        async def go() -> None:
            async with self.opened() as queue:
                ask = queue._line.ask

                async def noted(action: str, **said: object) -> dict[str, object]:
                    if action == "send_message":
                        sent.append(
                            (str(said["QueueUrl"]).rpartition("-")[2], said["DelaySeconds"])
                        )
                    return await ask(action, **said)

                queue._line.ask = noted
                began = CLOCK.monotonic()
                await queue.publish(message(1), delay_s=5)
                assert await drained(queue, 1) == ["m1"]
                assert CLOCK.monotonic() - began >= 5

        asyncio.run(go())
        *hops, last = sent
        assert len(hops) >= 2
        assert set(hops) == {("delayed", 1)}
        assert last[1] == 0

    @pytest.mark.skipif(bool(REAL), reason="SQS lets a queue's name be used again after a minute")
    def test_many_delayed_and_dead_ones_are_counted_and_removed(self) -> None:
        async def go() -> None:
            async with self.opened() as queue:
                for number in range(30):
                    await queue.publish(message(number), delay_s=3600)
                    await queue.publish(message(100 + number))
                for taken in await taken_all(queue, 30):
                    await queue.set_aside(taken, "why")
                status = await queue.status()
                assert (status.ready, status.delayed, status.dead) == (0, 30, 30)
                assert len(await queue.dead(25)) == 25
                assert await queue.retry([f"m{number}" for number in range(100, 115)]) == 15
                assert len(await queue.dead()) == 15
                assert await queue.drop() == 15
                assert await queue.purge() == 45
                status = await queue.status()
                assert (status.ready, status.delayed, status.dead) == (0, 0, 0)
                await queue.publish(message(1), delay_s=3600)
                with pytest.raises(Unavailable, match="only once in a minute") as error:
                    await queue.purge()
                assert error.value.hint == "wait a minute, and purge it again"
                with Raw(self.url, queue.name) as raw:
                    raw.forget()  # it may be purged now

        asyncio.run(go())


def test_any_name_is_a_queue_of_its_own(server: PrivateSqs) -> None:
    assert wire.name_of("orders_eu-1", "normal") == "orders_eu-1"
    assert wire.name_of("orders", "dead") == "orders-aiworkflow-dead"
    names = ["a.b", "a-b", "a:b", "ä", "a/b", "a" * 60, "a" * 61, "ü" * 200, "ü" * 199, "%d"]
    for part in PARTS:
        found = {wire.name_of(name, part) for name in names}
        assert len(found) == len(names)
        assert max(map(len, found)) <= 80

    async def go() -> None:
        for name in names[:4]:
            queue = opened(server.url, name)
            await queue.publish(Message(name, b"1"))
            assert await drained(queue, 1) == [name]
            await queue.close()

    asyncio.run(go())


def test_a_queue_that_is_there_is_used_as_it_is(server: PrivateSqs) -> None:
    """Its limit counts, and not the one that most queues have."""
    name = secrets.token_hex(6)

    async def go() -> None:
        queue = opened(server.url, name)
        with pytest.raises(MessageInvalid, match="server of this queue takes at most 12"):
            await queue.publish(Message("a", b"x" * 20_000))
        await queue.publish(Message("b", b"x" * 20_000, 9))
        await queue.publish(Message("c", b"1"))
        assert await drained(queue, 2) == ["b", "c"]
        await queue.close()

    with Raw(server.url, name) as raw:
        raw._client.create_queue(
            QueueName=name, Attributes={"MaximumMessageSize": "20480", "DelaySeconds": "600"}
        )
        asyncio.run(go())


def test_requests_wait_at_the_server_as_long_as_the_address_says(server: PrivateSqs) -> None:
    """It is asked at once, and then each part waits, beyond the end of what has begun it."""

    async def go() -> None:
        queue = opened(server.url.replace("wait=1", "wait=2"), a_name())
        asked = noted(queue)
        for _ in range(5):
            assert list(await queue.take(3, 0.01)) == []
        await queue.close()
        waits = [said["WaitTimeSeconds"] for action, said in asked if action == "receive_message"]
        assert sorted(waits) == [0, 0, 0, 2, 2, 2, 2]

    asyncio.run(go())


class Certain(SqsQueue):
    """Acknowledges until it is told that it has: what was deleted without an answer is not lost."""

    async def acknowledge(self, taken: Taken) -> None:
        while True:
            try:
                return await super().acknowledge(taken)
            except Unavailable:
                await asyncio.sleep(0.05)


@pytest.fixture
def gate(server: PrivateSqs) -> Iterator[Gate]:
    gate = Gate(free_port(), server.port)
    gate.open()
    yield gate
    gate.shut()


def test_the_server_may_be_out_of_reach(server: PrivateSqs, gate: Gate) -> None:
    """Connections break in the middle of requests, and then none can be made for a while."""
    name, address = a_name(), read_address(server.through(gate.port), server.login)

    def make() -> Queue:
        return Certain(name, address, clock=CLOCK, ids=IDS, lease_s=1.0)

    def shut_for_a_while() -> None:
        gate.shut()
        time.sleep(0.5)
        gate.open()

    asyncio.run(survives(make, shut_for_a_while, RESTARTS))


def test_what_could_not_be_settled_comes_to_others(server: PrivateSqs, gate: Gate) -> None:
    """Who took it may have given up all that it had."""

    async def go() -> None:
        name = a_name()
        queue, other = opened(server.through(gate.port), name), opened(server.url, name)
        for number in range(3):
            await queue.publish(message(number))
        first, second, _ = await taken_all(queue, 3)
        await asyncio.to_thread(gate.shut)
        with pytest.raises(Unavailable):
            await queue.give_back(first)
        with pytest.raises(Unavailable):
            await queue.set_aside(second, "why")
        await asyncio.to_thread(gate.open)
        assert sorted(await drained(other, 3)) == ["m0", "m1", "m2"]
        await queue.close()
        await other.close()

    asyncio.run(go())


def test_the_server_may_stand_still(server: PrivateSqs) -> None:
    async def go() -> None:
        queue = opened(server.url, a_name())
        await queue.publish(message(1))
        assert await drained(queue, 1) == ["m1"]
        with server.standing_still():
            still = asyncio.ensure_future(asyncio.sleep(0.01))
            with pytest.raises(Unavailable, match=r"does not answer \(ReadTimeoutError\)"):
                await queue.publish(message(2))
            assert still.done()  # the loop goes on while the client waits
        await queue.publish(message(3))
        came = set()
        while "m3" not in came:
            came |= {one.message.id for one in await take(queue, 5)}
        assert came <= {"m2", "m3"}
        await queue.close()

    asyncio.run(go())


def test_a_queue_is_closed_though_the_server_stands_still(
    server: PrivateSqs, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        queue = opened(server.url, a_name())
        assert list(await queue.take(1, 0)) == []
        with server.standing_still():
            await queue.close()
        assert all(asking.done() for asking in queue._asking.values())

    asyncio.run(go())
    assert [one.message for one in caplog.records if one.name == "asyncio"] == []


def published(url: str, login: str | None = None) -> None:
    """One message."""

    async def go() -> None:
        queue = opened(url, "t", login)
        try:
            await queue.publish(Message("a", b"1"))
        finally:
            await queue.close()

    asyncio.run(go())


def test_a_server_that_is_not_there_is_said_so() -> None:
    with pytest.raises(Unavailable) as error:
        published("sqs://eu-central-1/?endpoint=http://127.0.0.1:1", "me:hidden")
    assert error.value.message == (
        "the queue at sqs://eu-central-1/ (http://127.0.0.1:1) does not answer (EndpointConnectionError)"
    )
    assert error.value.hint == "start the server, or correct the `url` of the queue"
    assert "hidden" not in f"{error.value!r} {error.value.__cause__!r}"


def test_the_certificate_of_a_server_is_checked(
    tmp_path: Path, no_places: pytest.MonkeyPatch
) -> None:
    make_certificates(tmp_path)
    server = PrivateSqs(tmp_path, tmp_path)
    server.begin()
    try:
        with pytest.raises(Unavailable, match=r"does not answer \(SSLError\)"):
            published(server.tls_url)
        no_places.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        published(server.tls_url)
    finally:
        server.kill()


@pytest.fixture
def no_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Nothing is found in the usual places of AWS."""
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


def test_credentials_and_the_region_come_from_the_usual_places(
    server: PrivateSqs, no_places: pytest.MonkeyPatch
) -> None:
    def go(url: str) -> None:
        async def status() -> None:
            queue = SqsQueue("t", read_address(url), clock=CLOCK, ids=IDS)
            try:
                await queue.status()
            finally:
                await queue.close()

        asyncio.run(status())

    url = f"sqs:///?endpoint={server.endpoint}"
    with pytest.raises(UsageError, match=r"sqs:/// does not say which region") as wrong:
        go(url)
    assert wrong.value.hint == (
        "write it like sqs://eu-central-1/ or sqs://eu-central-1/?endpoint=https://host:port"
    )
    no_places.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with pytest.raises(Unavailable, match="cannot be asked without credentials") as error:
        go(url)
    assert "AWS_ACCESS_KEY_ID" in str(error.value.hint)
    no_places.setenv("AWS_ACCESS_KEY_ID", "AKID")
    no_places.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    go(url)
    no_places.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(UsageError, match="nobody") as wrong:
        go(url)
    assert wrong.value.hint == "correct AWS_PROFILE"


def answering(code: str, text: str) -> Callable[..., None]:
    """A server that refuses everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"__type": "com.amazonaws.sqs#%s", "message": "%s"}' % (
            code.encode(),
            text.encode(),
        )
        head = f"HTTP/1.1 403 No\r\nContent-Type: application/x-amz-json-1.0\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    def ask() -> None:
        async def go() -> None:
            async with await asyncio.start_server(answer, "127.0.0.1", 0) as found:
                port = found.sockets[0].getsockname()[1]
                url = f"sqs://eu-central-1/?endpoint=http://127.0.0.1:{port}"
                queue = opened(url, "t", "AKID:hidden")
                try:
                    await queue.status()
                finally:
                    await queue.close()

        asyncio.run(go())

    return ask


def test_what_the_server_refuses_is_said_and_the_keys_are_not_shown() -> None:
    with pytest.raises(
        Unavailable, match=r"refuses the credentials \(SignatureDoesNotMatch\)"
    ) as error:
        answering("SignatureDoesNotMatch", "calculated with AKID")()
    assert error.value.hint is not None
    assert "secret that `login` names" in error.value.hint
    assert "hidden" not in f"{error.value!r} {error.value.__cause__!r}"
    with pytest.raises(Unavailable, match="refuses: not authorized to perform: sqs:geta") as error:
        answering("AccessDenied", "not authorized to perform: sqs:geta")()
    assert error.value.hint == "see to it on the server, or correct the `url` of the queue"


@pytest.mark.parametrize(
    ("url", "login", "words"),
    [
        ("sqs://eu-central-1/orders", None, "is no region of SQS"),
        ("sqs://eu-central-1:80", None, "is no region of SQS"),
        ("sqs://eu-central-1/?endpoint=localhost:9324", None, "the `endpoint` of .* is no URL"),
        ("sqs://eu-central-1/?endpoint=http://a:0", None, "the `endpoint` of .* is no URL"),
        ("sqs://eu-central-1/?endpoints=x", None, "has no option `endpoints`"),
        ("sqs://eu-central-1/?wait=0", None, "is not a whole number of seconds from 1 to 20"),
        ("sqs://eu-central-1/?wait=21", None, "is not a whole number of seconds from 1 to 20"),
        ("sqs://eu-central-1/?wait=soon", None, "is not a whole number of seconds from 1 to 20"),
        ("sqs://eu-central-1/", "hidden", "is not two keys with a colon"),
    ],
)
def test_what_is_no_address_is_refused(url: str, login: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        opened(url, "t", login)
    assert error.value.hint
    assert "hidden" not in error.value.message


def test_a_fifo_queue_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`orders\.fifo` is a FIFO queue") as error:
        opened("sqs://eu-central-1/", "orders.fifo")
    assert error.value.hint == "use a standard queue"
