"""TLS handshakes: a connection has its place before it begins one, and a time for it.

asyncio tells a server's protocol of a connection only when its handshake is over; until then nobody
counts it. Here connections are accepted and counted first.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from aiworkflow.triggers.webhook.connection import Connection
    from aiworkflow.triggers.webhook.places import Places

_AGAIN_S: Final = 1.0


class Door:
    """Takes connections for a server with TLS, until it is closed; as `asyncio.Server` is used.

    Args:
        listening: a socket that listens, and does not block.
        begun: makes the protocol of a connection that is counted for what is given.
        places: how many connections there may be; more are cut.
        tls: what the server shows, and whom it asks.
        longest_s: how long a handshake may take, in seconds.
    """

    def __init__(
        self,
        listening: socket.socket,
        begun: Callable[[str], Connection],
        places: Places,
        tls: ssl.SSLContext,
        longest_s: float,
    ) -> None:
        self._listening = listening
        self._begun = begun
        self._places = places
        self._tls = tls
        self._longest_s = longest_s
        self._beginning: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Take nothing new; handshakes are not waited for: nothing was asked yet."""
        for task in (self._accepting, *self._beginning):
            task.cancel()

    async def wait_closed(self) -> None:
        """Return when that is so."""
        await asyncio.wait({self._accepting, *self._beginning})

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listening)
            except OSError:  # no more files can be opened for now
                await asyncio.sleep(_AGAIN_S)
                continue
            place = self._places.take(str(address[0]) if isinstance(address, tuple) else "")
            if place is None:
                connection.close()
                continue
            task = loop.create_task(self._begin(connection, place))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket, place: str) -> None:
        protocol = self._begun(place)
        try:
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._longest_s,
            )
        except OSError:  # no TLS, too slow, a certificate of nobody; an ssl.SSLError is one
            protocol.leave()
        except BaseException:
            protocol.leave()
            raise
