"""A way to a server that can be shut: connections break, and none can be made until it is opened again."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress


class Gate:
    """In front of a server on this machine.

    Attributes:
        port: where clients come to.
        upstream: where those who come from now on are led to.
    """

    def __init__(self, port: int, upstream: int) -> None:
        self.port = port
        self.upstream = upstream
        self._going: set[socket.socket] = set()
        self._listener = socket.socket()
        self._listener.close()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Break what is going on, in the middle of it."""
        for one in (self._listener, *self._going):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.upstream)) as server:
                both = {client: server, server: client}
                self._going |= both.keys()
                try:
                    while True:
                        for one in select.select([*both], [], [])[0]:
                            data = one.recv(65536)
                            if not data:
                                return
                            both[one].sendall(data)
                finally:
                    self._going -= both.keys()
