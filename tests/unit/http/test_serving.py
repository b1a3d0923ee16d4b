"""Where a server is bound: one address has one server, from the moment it is taken."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.errors import UsageError
from aiworkflow.http.serving import Binding, HttpServer
from aiworkflow.triggers.webhook.places import Places


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
