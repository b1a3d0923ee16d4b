"""A way to a PostgreSQL server that is cut at one append: before it, within it, or after its commit.

It listens on a Unix socket of its own and hands everything on. An append is known by the name of the
statement in what the client sends; or it is cut at the ends of transactions instead.
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PORT = 5432
COMMIT = re.compile(rb"COMMIT\0")
_APPEND = re.compile(rb"append_group\(|\0append\0")
_KEY = b"K\0\0\0\x0c"  # BackendKeyData: the pid follows


class CutLine:
    """Between clients and a server.

    Args:
        folder: for the socket; its name must be short.
        upstream: where the server listens: a socket folder or a host, and the port.
        kill: ends a session of the server by its pid.

    Attributes:
        appends: how many have been asked for since `arm`.
        meant: what an append is known by.
    """

    def __init__(
        self, folder: Path, upstream: tuple[str, int], kill: Callable[[int], object]
    ) -> None:
        self.meant = _APPEND
        self.appends = 0
        self.cuts = 0
        self._at, self._how = 0, ""
        self._upstream = upstream
        self._kill = kill
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(folder / f".s.PGSQL.{PORT}"))
        self._server.listen(50)
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, at: int, how: str) -> None:
        """Cut the line at the append of this number: `unsent`, `sent`, `answered`, `half` or `killed`."""
        self.appends, self.cuts, self._at, self._how = 0, 0, at, how

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        host, port = self._upstream
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(os.path.join(host, f".s.PGSQL.{port}"))
        else:
            server = socket.create_connection((host, port))
        with client, server, suppress(OSError):
            self._hand_on(client, server)

    def _hand_on(self, client: socket.socket, server: socket.socket) -> None:
        pid = 0
        while True:
            readable, _, _ = select.select([client, server], [], [])
            if server in readable:
                data = server.recv(65536)
                at = data.find(_KEY)
                if not pid and at >= 0:
                    (pid,) = struct.unpack(">i", data[at + 5 : at + 9])
                if not data:
                    return
                client.sendall(data)
            if client in readable:
                data = client.recv(65536)
                if not data:
                    return
                if self.meant.search(data):
                    self.appends += 1
                    if self.appends == self._at:
                        self.cuts += 1
                        self._cut(data, client, server, pid)
                        return
                server.sendall(data)

    def _cut(self, data: bytes, client: socket.socket, server: socket.socket, pid: int) -> None:
        if self._how == "unsent":
            return
        server.sendall(data)
        if self._how in {"answered", "half"}:
            answer = server.recv(65536)
            if self._how == "half":
                client.sendall(answer[: len(answer) // 2])
        if self._how == "killed":
            self._kill(pid)
            while answer := server.recv(65536):  # what it still says, to its end
                client.sendall(answer)
