"""Posting an event to a server, over TCP, TLS or a Unix socket."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiworkflow.errors import UnavailableError, UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATIENCE_S: Final = 60.0
_LARGEST_ANSWER: Final = 1_000_000
_UNIX: Final = "unix:"
_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED


@record
class Sent:
    """What a server has answered."""

    url: str
    status: int
    body: str


def post(
    url: str, body: bytes, headers: Mapping[str, str], server: str, certificate: str = ""
) -> Sent:
    """Post a body to a server.

    Args:
        server: where it is: `http://127.0.0.1:8080`, or `unix:/path`.
        certificate: file with the certificate that it is known by, whatever its name; "" for one that
            somebody vouches for.

    Raises:
        UnavailableError: no server answers. UsageError: `server` is no address, or not to be trusted.
    """
    parts = urlsplit(url)
    try:
        is_known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        is_known = False
    if not is_known:
        raise UsageError(
            f"`{server}` is no address of a server", hint="--url http://127.0.0.1:8080"
        )
    shown = server if server.startswith(_UNIX) else f"{parts.scheme}://{parts.netloc}"
    made: http.client.HTTPConnection
    if server.startswith(_UNIX):
        made = _UnixConnection(server.removeprefix(_UNIX))
    elif parts.scheme == "https":
        made = http.client.HTTPSConnection(
            str(parts.hostname), parts.port, timeout=_PATIENCE_S, context=_trust(certificate)
        )
    else:
        made = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_PATIENCE_S)
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    try:
        made.request("POST", path, body, dict(headers))
        answer = made.getresponse()
        text = answer.read(_LARGEST_ANSWER).decode("utf-8", "replace")
    except ssl.SSLCertVerificationError as error:
        is_old = error.verify_code == _EXPIRED
        raise UsageError(
            f"the certificate of {shown} is not to be trusted: {error.verify_message}",
            hint="the server needs a new one: `serve.tls` in config.yaml"
            if is_old
            else "name who vouches for it: SSL_CERT_FILE=ca.pem aiworkflow webhook …",
        ) from error
    except ssl.SSLError as error:
        raise UnavailableError(
            f"what answers at {shown} does not speak TLS: {error.reason or error}",
            hint="is it a server without a certificate? then its address begins with http://",
        ) from error
    except http.client.RemoteDisconnected as error:
        raise UnavailableError(
            f"what answers at {shown} has ended the connection without an answer",
            hint="is it a server with a certificate? then its address begins with https://",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"no server answers at {shown}: {error}",
            hint="start one: aiworkflow webhook start; or say where it is: --url URL",
        ) from error
    finally:
        made.close()
    return Sent(url, answer.status, text)


def _trust(certificate: str) -> ssl.SSLContext:
    """Whom to trust; a certificate by itself, under whatever name, where one is given."""
    if not certificate:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except OSError as error:
        raise UsageError(
            f"`{certificate}` cannot be read as a certificate",
            hint="the server's own: `serve.tls.certificate` in config.yaml",
        ) from error
    return context


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
