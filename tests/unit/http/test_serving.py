"""Where a server is bound: one address has one server, from the moment it is taken."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.errors import UsageError
from aiworkflow.http.serving import Binding, HttpServer
from aiworkflow.triggers.webhook.places import Places
from tests.certificates import certificates


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """No request comes so far."""


@contextlib.contextmanager
def bound(binding: Binding) -> Iterator[HttpServer]:
    server = HttpServer(nothing, binding, lambda: None, Places(time.monotonic))
    server.bind()
    try:
        yield server
    finally:
        server.unbind()


def test_an_address_is_taken_before_anybody_is_answered() -> None:
    async def go() -> None:
        with bound(Binding(port=0)) as server:
            port = int(server.url.rpartition(":")[2])
            with pytest.raises(UsageError, match=f"cannot answer at 127.0.0.1:{port}"):
                HttpServer(nothing, Binding(port=port), lambda: None, Places(time.monotonic)).bind()
            with socket.create_connection(("127.0.0.1", port), timeout=10):
                assert not server.is_up.is_set()  # who comes waits, and is not turned away
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)

    asyncio.run(go())


def test_a_unix_socket_is_left_to_the_server_that_has_it(tmp_path: Path) -> None:
    async def go() -> None:
        path = tmp_path / "s"
        with bound(Binding(socket=str(path))):
            with pytest.raises(UsageError, match="cannot answer at"):
                HttpServer(
                    nothing, Binding(socket=str(path)), lambda: None, Places(time.monotonic)
                ).bind()
            assert path.is_socket()
        assert not path.exists()

    asyncio.run(go())


def test_a_server_that_ends_leaves_the_socket_of_the_next_one(tmp_path: Path) -> None:
    async def go() -> None:
        path = tmp_path / "s"
        with bound(Binding(socket=str(path))) as old:
            assert old._bound is not None
            old._bound.close()  # it takes nothing new, and open requests have a while to end
            with bound(Binding(socket=str(path))):
                old.unbind()
                assert path.is_socket()

    asyncio.run(go())


# -- handshakes -----------------------------------------------------------------------------------


async def yes(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    shown = scope["extensions"]["tls"].get("client_cert_name", "").encode()
    length = [(b"content-length", b"%d" % len(shown))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": shown})


@contextlib.asynccontextmanager
async def by_tls(folder: Path, most: int, head_s: float = 60.0) -> AsyncIterator[int]:
    """A server with a certificate; its port."""
    binding = Binding(
        port=0,
        certificate=str(folder / "server.pem"),
        key=str(folder / "server.key"),
        client_ca=str(folder / "ca.pem"),
        head_s=head_s,
    )
    server = HttpServer(yes, binding, lambda: None, Places(time.monotonic, most=most))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.is_up.wait()
        yield int(server.url.rpartition(":")[2])
        server.stop()
        await running


async def asked(folder: Path, port: int, name: str = "") -> bytes:
    """What the server answers to a client with a certificate; b"" where it cuts it."""
    tls = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if name:
        tls.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="localhost"
        )
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        found = await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        return found
    return b""


async def until_answered(folder: Path, port: int) -> None:
    while not await asked(folder, port):
        await asyncio.sleep(0.02)


def runners() -> list[Any]:
    found: list[Any] = [asyncio.run]
    with contextlib.suppress(ImportError):
        import uvloop

        found.append(uvloop.run)
    return found


@pytest.mark.parametrize("run", runners(), ids=lambda run: str(run.__module__))
def test_a_handshake_takes_a_place_and_has_a_time(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    certificates(tmp_path)

    async def go() -> None:
        async with by_tls(tmp_path, most=2) as port:
            assert (await asked(tmp_path, port)).startswith(b"HTTP/1.1 200")
            assert (await asked(tmp_path, port, "ci")).endswith(b"CN=ci,O=Example")
            assert await asked(tmp_path, port, "stranger") == b""
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            await asyncio.sleep(0.1)
            assert await asked(tmp_path, port) == b""
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
            await until_answered(tmp_path, port)
            # whoever is in the middle of a handshake does not hold up the end
            _, late = await asyncio.open_connection("127.0.0.1", port)
        late.close()
        async with by_tls(tmp_path, most=2, head_s=1) as port:
            for early in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):  # slow, or no TLS
                held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
                for reader, writer in held:
                    writer.write(early)
                    with contextlib.suppress(ConnectionError):
                        await reader.read()
                    writer.close()
                await until_answered(tmp_path, port)

    run(go())


@pytest.mark.parametrize("run", runners(), ids=lambda run: str(run.__module__))
def test_a_client_that_asks_nothing_does_not_hold_up_the_end(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of a pool: it reads nothing until it asks again, and so sees no farewell."""
    pytest.importorskip("cryptography")
    certificates(tmp_path)

    async def go() -> None:
        async with by_tls(tmp_path, most=2) as port:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                port,
                ssl=ssl.create_default_context(cafile=str(tmp_path / "ca.pem")),
                server_hostname="localhost",
            )
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.transport.abort()

    run(go())
    assert "timeout graceful shutdown exceeded" not in caplog.text
