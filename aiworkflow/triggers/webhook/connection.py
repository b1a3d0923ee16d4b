"""A connection of the server: whoever is slow is cut, and the certificate of a client is shown.

uvicorn gives a connection its time only between requests, waits for ever for a reader who reads
nothing, keeps as many requests as are sent ahead, and tells an application nothing of the client's
certificate. This is its protocol with all of that. At any moment something ends a connection on which
nothing happens: the time for a head, the application's for a body or an answer, the time for a reader,
or uvicorn's between requests.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aiworkflow.records import record

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from aiworkflow.triggers.webhook.places import Places

_MOST_HEAD: Final = 256 * 1024  # bytes that came while a head is not whole; a body may come with it
_FAREWELL_S: Final = 1.0
_MOST_AHEAD: Final = 64  # requests that were sent before those before them are answered


@record
class Bounds:
    """What a connection may take.

    Attributes:
        places: how many connections there may be; more are cut.
        head_s: how long the head of a request, or a handshake, may take to arrive, in seconds.
        stalled_s: how long whoever is answered may take nothing of the answer, in seconds.
    """

    places: Places
    head_s: float
    stalled_s: float


class Connection(HttpToolsProtocol):
    """One connection.

    Args:
        place: what it is counted for, where it has its place already.
        given: as uvicorn makes its protocols.
    """

    def __init__(self, bounds: Bounds, place: str | None = None, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]
        self._bounds = bounds
        self._place = place
        self._timer: asyncio.TimerHandle | None = None
        self._tls: dict[object, object] | None = None
        self._head = 0
        self._reading: asyncio.TimerHandle | None = None
        self._unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It begins."""
        super().connection_made(transport)
        if self._place is None:
            self._place = self._bounds.places.take(self.client[0] if self.client else "")
        if self._place is None:
            transport.abort()
            return
        self._tls = _certificate(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._end()
        self._has_read()
        self.leave()
        super().connection_lost(exc)

    def leave(self) -> None:
        """Give the place back, where it has one still: it is over, or never began."""
        if self._place is not None:
            self._bounds.places.leave(self._place)
            self._place = None

    # -- requests ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """A piece of what is sent."""
        if self._timer is not None:
            self._head += len(data)
        super().data_received(data)
        if self._timer is not None:
            if self._head > _MOST_HEAD:
                self._cut()
            return
        cycle: RequestResponseCycle | None = self.cycle  # there is none before the first request
        if cycle is not None and cycle.response_complete:
            self._stay()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._begin()
        if self._tls is not None:
            self.scope["extensions"] = {"tls": self._tls}

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._end()
        if self.transport.is_closing():
            return  # what is left of a piece of which too much was sent ahead
        super().on_headers_complete()
        if len(self.pipeline) > _MOST_AHEAD:
            self._cut()

    def _begin(self) -> None:
        if self._timer is None:
            self._head = 0
            self._timer = self.loop.call_later(self._bounds.head_s, self._cut)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.abort()

    def _stay(self) -> None:
        """Begin the time between requests anew: what came has begun none, but stopped that time."""
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    # -- answers ----------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """All of an answer was handed to the transport."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._must_read()

    def timeout_keep_alive_handler(self) -> None:
        """No request has come for long; but whoever is reading the last answer still has time."""
        if self.transport.get_write_buffer_size():
            self.timeout_keep_alive_task = None
            self._must_read()
            self._stay()
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """The transport has much that was not read."""
        super().pause_writing()
        self._must_read()

    def resume_writing(self) -> None:
        """Most of it was read."""
        super().resume_writing()
        self._has_read()
        if self.transport.is_closing():
            self._must_read()

    def shutdown(self) -> None:
        """The server ends. Whoever asks nothing now does not hold it up, not even by a TLS farewell."""
        super().shutdown()
        if self.transport.is_closing() and not self.transport.get_write_buffer_size():
            self._has_read()
            self._reading = self.loop.call_later(_FAREWELL_S, self.transport.abort)

    def _must_read(self) -> None:
        """Cut a reader of whom the system takes nothing more for long."""
        if self._reading is None:
            self._unread = self.transport.get_write_buffer_size()
            if self._unread:
                self._reading = self.loop.call_later(self._bounds.stalled_s, self._look)

    def _look(self) -> None:
        self._reading = None
        if self.transport.get_write_buffer_size() < self._unread:
            self._must_read()  # slowly, but it reads
        else:
            self.transport.abort()

    def _has_read(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None


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
