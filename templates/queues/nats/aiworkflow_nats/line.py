"""The connection to a server: made when it is first used, and made anew when it is lost.

The client could reconnect by itself, but then nobody would learn that what was asked before has no
answer any more, but by waiting. So it does not, and what is going on ends with the connection.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error, NoRespondersError
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

from aiworkflow.errors import UsageError
from aiworkflow.triggers.queues.address import login_of
from aiworkflow.triggers.queues.contract import QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiworkflow.triggers.queues.address import Address

T = TypeVar("T")

_PORT: Final = 4222
_CONNECT_S: Final = 5.0
_CLOSE_S: Final = 1.0
_ANSWER_S: Final = 10.0
_PING_S: Final = 20


class Lost(Exception):
    """The connection is lost, or nothing was answered."""


class Gone(Exception):
    """What was asked of is not on the server (any more)."""


class Line:
    """A connection.

    Raises:
        UsageError: the address is none.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._login = login_of(address)
        parts = urlsplit(address.shown)
        if parts.hostname is None or parts.path not in {"", "/"}:
            raise UsageError(
                f"{address.shown} is no address of a NATS server",
                hint="write it like nats://host:4222",
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._server = f"nats://{host}:{parts.port or _PORT}"
        self._client: Client | None = None
        self._limits: set[asyncio.Timeout] = set()
        self._opening = asyncio.Lock()
        self._said = ""

    async def ask(self, do: Callable[[Client], Awaitable[T]]) -> T:
        """Do something over the connection.

        Raises:
            Lost, Gone, QueueUnavailable.
        """
        async with self._opening:
            if self._client is None or not self._client.is_connected:
                self._client = await self._connect()
            client = self._client
        limit = asyncio.timeout(_ANSWER_S)
        try:
            async with limit:
                self._limits.add(limit)
                return await do(client)
        except (NoStreamResponseError, NotFoundError) as error:
            raise Gone(str(error)) from error
        except (NoRespondersError, ServiceUnavailableError) as error:
            raise self.unavailable(
                "has no JetStream", "start the server with JetStream: nats-server -js"
            ) from error
        except APIError as error:
            raise self.unavailable(f"refuses: {error.description}") from error
        except (TimeoutError, Error, OSError) as error:
            raise Lost(self._said or type(error).__name__) from error
        finally:
            self._limits.discard(limit)

    async def close(self) -> None:
        """End it."""
        if self._client is not None:
            await _closed(self._client)
            self._client = None

    def unavailable(self, why: str, hint: str = "") -> QueueUnavailable:
        """The error for whoever uses the queue."""
        return QueueUnavailable(
            f"the queue at {self._address.shown} {why}",
            hint=hint or "start the server, or correct the `url` of the queue",
        )

    async def _connect(self) -> Client:
        client, context = Client(), _Context(ssl.PROTOCOL_TLS_CLIENT)
        context.load_default_certs()
        wants_tls = self._address.scheme.endswith("+tls")
        login = self._login

        def user() -> str:
            """Asked for when it is about to be sent: not to a server that has shown no certificate."""
            if wants_tls and not context.is_used:
                raise _NoTls
            return login[0] if login is not None else ""

        self._said = ""
        try:
            async with asyncio.timeout(_CONNECT_S):
                await client.connect(
                    self._server,
                    user=user if login is not None else None,
                    password=(lambda: login[1]) if login is not None else None,
                    tls=context,
                    name="aiworkflow",
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    ping_interval=_PING_S,
                    error_cb=self._heard,
                    closed_cb=self._ended,
                )
                if wants_tls and not context.is_used:
                    raise _NoTls
        except (Error, OSError, TimeoutError) as error:
            await _closed(client)
            if isinstance(error, _NoTls):
                raise self.unavailable(
                    "does not answer: it speaks no TLS", "require TLS on the server"
                ) from error
            if "authorization" in str(error).lower():
                raise self.unavailable(
                    "refuses the login", "set the secret that `login` names to `user:password`"
                ) from None
            raise self.unavailable(
                f"does not answer ({self._said or type(error).__name__})"
            ) from error
        return client

    async def _heard(self, error: Exception) -> None:
        self._said = type(error).__name__ if isinstance(error, OSError) else str(error)

    async def _ended(self) -> None:
        """What waits for an answer of this connection will have none."""
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now)


async def _closed(client: Client) -> None:
    """Close it; after a handshake that failed the client would wait for ever for the end of it."""

    def is_news(said: logging.LogRecord) -> bool:
        """The end of a TLS connection of this client makes asyncio warn each time, of nothing."""
        return "eof_received" not in said.getMessage()

    log = logging.getLogger("asyncio")
    log.addFilter(is_news)
    try:
        async with asyncio.timeout(_CLOSE_S):
            await client.close()
    except TimeoutError:
        pass
    finally:
        log.removeFilter(is_news)


class _NoTls(Error):
    """The server speaks no TLS, and the client would go on without."""


class _Context(ssl.SSLContext):
    """Knows whether it was used.

    Attributes:
        is_used: whether a connection was wrapped in it.
    """

    is_used = False

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        self.is_used = True
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
