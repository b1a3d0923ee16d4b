"""Connections as they come to a server: slow heads, large heads, pieces, certificates of clients."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import resource
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.triggers.webhook.options import WebhookOptions
from aiworkflow.triggers.webhook.places import Places, most_connections
from aiworkflow.triggers.webhook.protocol import http_protocol
from tests.certificates import certificates

uvicorn = pytest.importorskip("uvicorn")


class Server:
    """What came to an application that says yes to everything."""

    def __init__(self, answer: bytes = b"ok") -> None:
        self.answer = answer
        self.app: Any = self
        self.scopes: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.port = 0
        self.connections: set[Any] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
        self.bodies.append(body)
        length = [(b"content-length", b"%d" % len(self.answer))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": self.answer})

    @contextlib.asynccontextmanager
    async def running(
        self,
        head_s: float = 5.0,
        most: int | None = None,
        stalled_s: float = 5.0,
        **options: Any,
    ) -> AsyncIterator[None]:
        protocol = http_protocol(Places(time.monotonic, most=most), head_s, stalled_s)
        config = uvicorn.Config(
            self.app, port=0, http=protocol, log_config=None, lifespan="off", ws="none", **options
        )
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as group:
            group.create_task(server._serve())
            while not server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            self.port = server.servers[0].sockets[0].getsockname()[1]
            self.connections = server.server_state.connections
            yield
            server.should_exit = True


async def ask(port: int, *pieces: bytes, **tls: Any) -> bytes:
    """All that comes back, until the server ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **tls)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
    found = b""
    with contextlib.suppress(ConnectionError):
        found = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return found


def test_a_head_that_does_not_end_is_cut_and_a_slow_body_is_not() -> None:
    async def go() -> None:
        server = Server()
        async with server.running(head_s=0.2):
            cut = await asyncio.gather(
                ask(server.port),
                ask(server.port, b"POST /h HTTP/1.1\r\nhost: x\r\nx-a"),
                ask(server.port, *[b"POST / HTTP/1.1\r\n", *[b"x: y\r\n"] * 8]),
                ask(server.port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"GET / HT"),
            )
            assert [found[:12] for found in cut] == [b"", b"", b"", b"HTTP/1.1 200"]
            whole = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 40\r\n\r\n"
            slow = await ask(server.port, whole, *[b"x"] * 40)  # the application has a time for it
            assert slow.endswith(b"ok")

    asyncio.run(go())


def test_connections_are_bounded_and_one_that_ends_makes_room() -> None:
    async def go() -> None:
        server = Server()
        one = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        async with server.running(most=2):
            held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            assert await ask(server.port, one) == b""
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
            async with asyncio.timeout(20):
                while not (await ask(server.port, one)).endswith(b"ok"):
                    await asyncio.sleep(0.01)
            assert len(server.scopes) == 1

    asyncio.run(go())


def test_half_of_the_files_that_may_be_open_are_for_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, most in ((1024, 512), (resource.RLIM_INFINITY, 8192), (1_000_000, 8192)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert most_connections() == most


def test_one_address_has_a_part_of_the_places_and_a_proxy_is_none() -> None:
    said = WebhookOptions(max_connections_per_address=3, proxies=["127.0.0.0/8", "10.0.0.0/8"])
    places = Places(time.monotonic, said, most=10)
    taken = [places.take("192.0.2.1") for _ in range(4)]
    assert taken == ["192.0.2.1"] * 3 + [None]
    network = [places.take(f"2001:db8::{n}") for n in range(4)]  # one has any number of them
    assert network == ["2001:db8::/64"] * 3 + [None]
    assert [places.take(peer) for peer in ("127.0.0.1", "10.1.2.3", "", "10.1.2.3")] == [""] * 4
    assert places.take("10.1.2.3") is None  # there are ten in all
    places.leave("192.0.2.1")
    assert (places.take("192.0.2.1"), places.take("192.0.2.1")) == ("192.0.2.1", None)
    for name in ("192.0.2.1",) * 3 + ("2001:db8::/64",) * 3 + ("",) * 4:
        places.leave(name)
    assert (places._taken, places._of_one) == (0, {})
    assert Places(time.monotonic, most=3)._most_of_one == 1  # never more than half of all


def test_a_head_without_end_takes_no_memory() -> None:
    async def go() -> None:
        server = Server()
        async with server.running():
            many = [b"x-header: " + b"y" * 8000 + b"\r\n"] * 200
            assert await ask(server.port, b"POST / HTTP/1.1\r\n", *many) in {b""}
            assert server.scopes == []

    asyncio.run(go())


def test_a_body_in_pieces_is_one_body() -> None:
    async def go() -> None:
        server = Server()
        async with server.running():
            head = b"POST /h HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            found = await ask(server.port, head, b"3\r\nabc\r\n", b"2;x=y\r\nde\r\n", b"0\r\n\r\n")
            assert found.endswith(b"ok")
            assert server.bodies == [b"abcde"]
            both = b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n"
            await ask(server.port, b"POST /h HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + both)
            assert all(scope["path"] == "/h" for scope in server.scopes)

    asyncio.run(go())


def test_whoever_reads_nothing_is_cut_and_whoever_reads_slowly_is_not() -> None:
    async def go() -> None:
        server = Server(b"x" * 20_000_000)
        request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: %s\r\n\r\n"
        async with server.running(stalled_s=0.5, timeout_keep_alive=1):
            for then in (b"close", b"keep-alive"):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
                writer.write(request % then)
                await _until(lambda: bool(server.connections))
                await _until(lambda: not server.connections)
                writer.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=100_000)
            writer.write(request % b"close")
            size = 0
            while piece := await reader.read(1_000_000):
                size += len(piece)
                await asyncio.sleep(0.01)  # for longer, all together, than it may read nothing
            assert size > len(server.answer)
            writer.close()

    asyncio.run(go())


def test_requests_that_are_sent_far_ahead_take_no_memory() -> None:
    async def go() -> None:
        server = Server()
        one = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
        async with server.running():
            some = await ask(
                server.port, one * 20 + one.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
            )
            assert some.count(b"HTTP/1.1 200") == 21
            assert await ask(server.port, one * 5000) == b""
            assert len(server.scopes) < 100

    asyncio.run(go())


@pytest.mark.parametrize("more", [b"\r\n", b"xxx"], ids=["nothing", "rest of a body"])
def test_a_connection_on_which_nothing_begins_ends(more: bytes) -> None:
    async def go() -> None:
        server = Server()

        async def early(scope: Any, receive: Any, send: Any) -> None:
            del receive  # it is answered before its body has come
            gone = {"type": "http.disconnect"}
            await Server.__call__(server, scope, lambda: asyncio.sleep(0, gone), send)

        config: Any = {"timeout_keep_alive": 1}
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
        length = 6 if more.strip() else 0
        server.app = early
        async with server.running(**config), asyncio.timeout(30):
            found = await ask(server.port, head % length, b"", more)
            assert found.endswith(b"ok")

    asyncio.run(go())


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():
            await asyncio.sleep(0.01)


# -- certificates ----------------------------------------------------------------------------------


def test_the_certificate_of_a_client_is_shown_to_the_application(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    files = certificates(tmp_path)

    def tls(name: str = "") -> dict[str, Any]:
        context = ssl.create_default_context(cafile=files["ca.pem"])
        if name:
            context.load_cert_chain(files[f"{name}.pem"], files[f"{name}.key"])
        return {"ssl": context, "server_hostname": "localhost"}

    request = b"POST /h HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

    async def go() -> None:
        server = Server()
        async with server.running(
            ssl_certfile=files["server.pem"],
            ssl_keyfile=files["server.key"],
            ssl_ca_certs=files["ca.pem"],
            ssl_cert_reqs=ssl.CERT_OPTIONAL,
        ):
            assert (await ask(server.port, request, **tls())).endswith(b"ok")
            assert (await ask(server.port, request, **tls("ci"))).endswith(b"ok")
            with contextlib.suppress(ssl.SSLError):
                assert await ask(server.port, request, **tls("stranger")) == b""
        first, second = server.scopes
        assert not first["extensions"]["tls"]
        shown = second["extensions"]["tls"]
        assert shown["client_cert_name"] == "CN=ci,O=Example"
        der = ssl.PEM_cert_to_DER_cert(Path(files["ci.pem"]).read_text())
        assert shown["client_cert_sha256"] == hashlib.sha256(der).hexdigest()

    asyncio.run(go())
