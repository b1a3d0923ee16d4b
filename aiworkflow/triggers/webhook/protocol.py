"""How a server begins its connections: with a place for each, also while it begins TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiworkflow.errors import UsageError
from aiworkflow.triggers.webhook.handshake import Door

if TYPE_CHECKING:
    import asyncio
    import socket
    import ssl

    import uvicorn

    from aiworkflow.triggers.webhook.connection import Connection
    from aiworkflow.triggers.webhook.places import Places

HEAD_S: Final = 10.0
"""How long the head of a request, or a handshake, may take to arrive."""

STALLED_S: Final = 60.0
"""How long whoever is answered may take nothing of the answer."""


def http_protocol(
    places: Places, head_s: float = HEAD_S, stalled_s: float = STALLED_S
) -> type[asyncio.Protocol]:
    """What makes protocols, for `uvicorn.Config(http=…)`.

    Args:
        places: how many connections there may be; more are cut.
        head_s: how long the head of a request may take to arrive, in seconds.
        stalled_s: how long whoever is answered may take nothing of the answer, in seconds.

    Raises:
        UsageError: the server's libraries are not installed.
    """
    try:
        from aiworkflow.triggers.webhook.connection import Bounds, Connection
    except ImportError as error:
        raise UsageError(
            "webhooks need uvicorn and httptools, which are not installed",
            hint="install them: pip install 'aiworkflow-bundles[server]'",
        ) from error
    bounds = Bounds(places, head_s, stalled_s)

    def begun(place: str | None = None, **given: object) -> Connection:
        return Connection(bounds, place, **given)

    return cast("type[asyncio.Protocol]", begun)


def tls_door(
    server: uvicorn.Server,
    listening: socket.socket,
    places: Places,
    tls: ssl.SSLContext,
    head_s: float = HEAD_S,
) -> Door:
    """What takes connections by TLS for a server that has started, instead of its own sockets.

    Args:
        server: whose `http` is an `http_protocol`.
        listening: a socket that listens, and does not block.
        places: the same as those of the protocol.
        tls: what the server shows, and whom it asks.
        head_s: how long a handshake may take, in seconds.
    """

    def begun(place: str) -> Connection:
        made = server.config.http_protocol_class(
            place=place,  # type: ignore[call-arg]
            config=server.config,
            server_state=server.server_state,
            app_state=server.lifespan.state,
        )
        return cast("Connection", made)

    return Door(listening, begun, places, tls, head_s)
