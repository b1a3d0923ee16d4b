"""HTTP clients that outlive a task, since to make one takes longer than all else of a call.

Theory. There is one client for each event loop and origin (scheme, host, port), made at its first use.
It knows nothing of whoever asks: headers, keys and times go with each request, cookies are never kept,
and neither proxies nor `.netrc` of the environment are used. So agents that reach the same origin with
different keys share open connections and nothing else. A connection that is not used is closed before
servers do it as a rule (5 s); one that a task was cancelled on is closed at once.

A client cannot be used in another loop than the one it was made in. What belongs to a loop that has
ended goes with it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    import httpx2

_IDLE_S: Final = 4.0
_MOST_IDLE: Final = 32


class Clients:
    """The clients of one process; close them in the loop they were used in."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[tuple[str, str], httpx2.AsyncClient]
        ] = WeakKeyDictionary()

    def at(self, url: str) -> httpx2.AsyncClient:
        """The client for an address, in the loop that runs."""
        mine = self._of.setdefault(asyncio.get_running_loop(), {})
        parts = urlsplit(url)
        # credentials in a URL are its own: they go with each request to it
        origin = (parts.scheme, parts.netloc.rpartition("@")[2].lower())
        client = mine.get(origin)
        if client is None:
            client = mine[origin] = _client(is_encrypted=parts.scheme == "https")
        return client

    async def close(self) -> None:
        """Close those of the loop that runs, with all their connections."""
        for client in self._of.pop(asyncio.get_running_loop(), {}).values():
            await client.aclose()


@asynccontextmanager
async def alone() -> AsyncIterator[Clients]:
    """Clients for one task of whoever shares none."""
    clients = Clients()
    try:
        yield clients
    finally:
        await clients.close()


def _client(*, is_encrypted: bool) -> httpx2.AsyncClient:
    import httpx2

    return httpx2.AsyncClient(
        trust_env=False,
        verify=_certificates() if is_encrypted else _nothing_trusted(),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx2.Limits(
            max_connections=None,
            max_keepalive_connections=_MOST_IDLE,
            keepalive_expiry=_IDLE_S,
        ),
    )


@cache
def _certificates() -> ssl.SSLContext:
    """The certificates that are trusted; read once, since they take 25 ms and a megabyte."""
    import httpx2

    return httpx2.create_ssl_context(trust_env=False)


@cache
def _nothing_trusted() -> ssl.SSLContext:
    """For plain HTTP: a client wants some context, and this one lets nothing through."""
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
