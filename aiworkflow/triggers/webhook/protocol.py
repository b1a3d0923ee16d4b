"""How requests are read off a connection: whoever is slow with the head is cut, certificates are shown.

uvicorn gives a request its time only between requests, and tells an application nothing of the client's
certificate. This is its protocol with both.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    import asyncio

    from aiworkflow.triggers.webhook.places import Places

HEAD_S: Final = 10.0
"""How long the head of a request may take to arrive."""

_MOST_HEAD: Final = 256 * 1024  # bytes that came while a head is not whole; a body may come with it


def http_protocol(places: Places, head_s: float = HEAD_S) -> type[asyncio.Protocol]:
    """The protocol class for `uvicorn.Config(http=…)`.

    Args:
        places: how many connections there may be; more are cut.
        head_s: how long the head of a request may take to arrive, in seconds.

    Raises:
        UsageError: the server's libraries are not installed.
    """
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError as error:
        raise UsageError(
            "webhooks need uvicorn and httptools, which are not installed",
            hint="install them: pip install 'aiworkflow-bundles[server]'",
        ) from error

    class Protocol(HttpToolsProtocol):
        """One connection."""

        _timer: asyncio.TimerHandle | None = None
        _tls: dict[object, object] | None = None
        _head = 0
        _place: str | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._place = places.take(self.client[0] if self.client else "")
            if self._place is None:
                transport.abort()
                return
            self._tls = _certificate(transport)
            self._begin()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            if self._place is not None:
                places.leave(self._place)
                self._place = None
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._timer is not None:
                self._head += len(data)
            super().data_received(data)
            if self._timer is not None and self._head > _MOST_HEAD:
                self._cut()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._begin()
            if self._tls is not None:
                self.scope["extensions"] = {"tls": self._tls}

        def on_headers_complete(self) -> None:
            self._end()
            super().on_headers_complete()

        def _begin(self) -> None:
            if self._timer is None:
                self._head = 0
                self._timer = self.loop.call_later(head_s, self._cut)

        def _end(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _cut(self) -> None:
            self._timer = None
            if not self.transport.is_closing():
                self.transport.abort()

    return cast("type[asyncio.Protocol]", Protocol)


def _certificate(transport: asyncio.Transport) -> dict[object, object] | None:
    """What the client has shown, after the TLS layer has checked it against the server's CA."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return None
    der = tls.getpeercert(binary_form=True)
    if not der:
        return {}
    from cryptography.x509 import load_der_x509_certificate

    return {
        "client_cert_name": load_der_x509_certificate(der).subject.rfc4514_string(),
        "client_cert_sha256": hashlib.sha256(der).hexdigest(),
    }
