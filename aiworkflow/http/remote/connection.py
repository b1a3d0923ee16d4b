"""Requests to a server: the token, errors as they were there, and trying again what may be."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
import time
from typing import TYPE_CHECKING, Final, Self, TypeVar, cast
from urllib.parse import urlsplit

from aiworkflow.errors import (
    EXIT_REFUSED,
    EXIT_USAGE,
    AIWorkflowError,
    FailedError,
    RefusedError,
    UnavailableError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    import httpx2

    from aiworkflow.engine.carried import Json

    Query = Mapping[str, str | int | bool | Sequence[str] | None]

C = TypeVar("C")

API: Final = "/api/v1"
TIMEOUT_S: Final = 60.0
_CONNECT_S: Final = 10.0
_TRIES: Final = 4
_PAUSE_S: Final = 0.25
_AGAIN: Final = frozenset({429, 502, 503, 504})
_LONGEST_WAIT_S: Final = 10.0
_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED


class Unreachable(UnavailableError):
    """A server does not answer."""

    code = "unreachable"


class Connection:
    """A server, and what is shown to it.

    Args:
        server: `https://host`, `http://host:port` or `unix:/path`.
        token: None for none; it is in no message and in no representation.

    Raises:
        UsageError: the address is none.
    """

    def __init__(self, server: str, token: str | None = None) -> None:
        self.server = server.rstrip("/")
        self._socket = server.removeprefix("unix:") if server.startswith("unix:") else None
        parts = urlsplit(server)
        if self._socket is None and (
            parts.scheme not in {"http", "https"} or not parts.hostname or parts.username
        ):
            raise UsageError(
                "a server's address begins with http://, https:// or unix:, and has no password",
                hint="such as https://workflows.example.org, or http://localhost:8080",
            )
        if token is not None and (not token.isascii() or not token.isprintable() or not token):
            raise UsageError("the token has characters that no token has")
        self._token = token
        self._sync: httpx2.Client | None = None
        self._async: httpx2.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"Connection({self.server!r})"

    @property
    def is_in_the_clear(self) -> bool:
        """Whether the token travels to another machine unencrypted."""
        if self._socket is not None or self._token is None or self.server.startswith("https:"):
            return False
        host = urlsplit(self.server).hostname or ""
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host != "localhost"

    # -- life -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close what the calls that wait here have opened."""
        if self._sync is not None:
            self._sync.close()
            self._sync = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if self._async is not None:
            await self._async.aclose()
            self._async = None

    @property
    def _base(self) -> str:
        return "http://localhost" if self._socket is not None else self.server

    @property
    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"} if self._token is not None else {}

    def _here(self) -> httpx2.Client:
        import httpx2

        if self._sync is None:
            more: dict[str, object] = {}
            if self._socket is not None:
                more["transport"] = httpx2.HTTPTransport(uds=self._socket)
            self._sync = _made(
                lambda: httpx2.Client(
                    base_url=self._base,
                    headers=self._headers,
                    timeout=httpx2.Timeout(TIMEOUT_S, connect=_CONNECT_S),
                    **more,  # type: ignore[arg-type]
                )
            )
        return self._sync

    def asynchronous(self) -> httpx2.AsyncClient:
        """The client for what others need not wait for; open while the connection is entered."""
        import httpx2

        if self._async is None:
            more: dict[str, object] = {}
            if self._socket is not None:
                more["transport"] = httpx2.AsyncHTTPTransport(uds=self._socket)
            self._async = _made(
                lambda: httpx2.AsyncClient(
                    base_url=self._base,
                    headers=self._headers,
                    timeout=httpx2.Timeout(TIMEOUT_S, connect=_CONNECT_S),
                    **more,  # type: ignore[arg-type]
                )
            )
        return self._async

    # -- asking -----------------------------------------------------------------------------------

    def get(self, path: str, query: Query | None = None) -> dict[str, Json]:
        """Ask for an object, waiting for it.

        Raises:
            AIWorkflowError: as it was raised there. Unreachable: nobody answers.
        """
        return _object(self.get_bytes(path, query))

    def get_bytes(self, path: str, query: Query | None = None) -> bytes:
        """Ask for bytes. Raises as `get`."""
        return self._send("GET", path, query, None, "", may_repeat=True)

    def post(
        self, path: str, body: Mapping[str, Json] | None = None, *, key: str = ""
    ) -> dict[str, Json]:
        """Ask for something to be done, waiting for it.

        Args:
            key: with one, it may be sent again until it is answered, and is done once.

        Raises:
            AIWorkflowError: as it was raised there. Unreachable: nobody answers, or the answer is lost.
        """
        return _object(self._send("POST", path, None, body or {}, key, may_repeat=bool(key)))

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Json] | None = None,
        *,
        key: str = "",
        query: Query | None = None,
        patience_s: float = TIMEOUT_S,
    ) -> dict[str, Json]:
        """The same as `get` and `post`, while others go on.

        Args:
            patience_s: how long the answer may take.
        """
        import httpx2

        may_repeat = method == "GET" or bool(key)
        content, headers = _parts(body, key)
        params = {name: value for name, value in (query or {}).items() if value is not None}
        for left in reversed(range(_TRIES)):
            pause = _PAUSE_S * 2 ** (_TRIES - left)
            try:
                answer = await self.asynchronous().request(
                    method,
                    API + path,
                    params=params,
                    content=content,
                    headers=headers,
                    timeout=httpx2.Timeout(patience_s, connect=_CONNECT_S),
                )
            except httpx2.TransportError as error:
                if not left or not _repeatable(error, may_repeat=may_repeat):
                    raise self.unreachable(error, sent=not may_repeat) from error
            else:
                if not left or not _busy(answer, may_repeat=may_repeat):
                    return _object(checked(answer))
                pause = _wait_of(answer, pause)
            await asyncio.sleep(pause)
        raise AssertionError  # the last try has returned, or raised

    def _send(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Mapping[str, Json] | None,
        key: str,
        *,
        may_repeat: bool,
    ) -> bytes:
        import httpx2

        content, headers = _parts(body, key)
        params = {name: value for name, value in (query or {}).items() if value is not None}
        for left in reversed(range(_TRIES)):
            pause = _PAUSE_S * 2 ** (_TRIES - left)
            try:
                answer = self._here().request(
                    method,
                    API + path,
                    params=params,
                    content=content,
                    headers=headers,
                )
            except httpx2.TransportError as error:
                if not left or not _repeatable(error, may_repeat=may_repeat):
                    raise self.unreachable(error, sent=not may_repeat) from error
            else:
                if not left or not _busy(answer, may_repeat=may_repeat):
                    return checked(answer)
                pause = _wait_of(answer, pause)
            time.sleep(pause)
        raise AssertionError  # the last try has returned, or raised

    def unreachable(self, error: Exception, *, sent: bool = False) -> Unreachable:
        """The error of a server that does not answer.

        Args:
            sent: whether what was asked may have been done all the same.
        """
        import httpx2

        untrusted = _untrusted(error)
        if untrusted is not None:
            why, hint = untrusted
            return Unreachable(f"the server {self.server} {why}", hint=hint)
        why = str(error) or type(error).__name__
        lost = sent and not isinstance(error, httpx2.ConnectError)
        more = "; whether it was done is not known" if lost else ""
        hint = (
            "look there: aiworkflow runs list"
            if lost
            else "is it running, and is this its address?"
        )
        return Unreachable(f"the server {self.server} does not answer: {why}{more}", hint=hint)


def _untrusted(error: BaseException) -> tuple[str, str] | None:
    """What is wrong with the TLS of a server, and a way out; None where that is not what is wrong."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    if isinstance(found, ssl.SSLCertVerificationError):
        why = f"shows a certificate that is not to be trusted: {found.verify_message}"
        if found.verify_code == _EXPIRED:
            return why, "it needs a new one: `serve.tls` in its config.yaml"
        return why, "name who vouches for it: SSL_CERT_FILE=ca.pem aiworkflow …"
    if isinstance(found, ssl.SSLError):
        hint = "is it a server without a certificate? then its address begins with http://"
        return f"does not speak TLS: {found.reason or found}", hint
    return None


def _made(make: Callable[[], C]) -> C:
    """A client. Raises UsageError where the variable for certificates names what is none."""
    try:
        return make()
    except OSError as error:
        raise UsageError(
            f"SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error.strerror or error}",
            hint="name a PEM file with those who vouch for servers, or unset it",
        ) from error


def _parts(body: Mapping[str, Json] | None, key: str) -> tuple[bytes | None, dict[str, str]]:
    headers = {"idempotency-key": key} if key else {}
    if body is None:
        return None, headers
    headers["content-type"] = "application/json"
    return json.dumps(dict(body), allow_nan=False).encode(), headers


def _repeatable(error: httpx2.TransportError, *, may_repeat: bool) -> bool:
    import httpx2

    # one that could not connect was never sent
    return may_repeat or isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)


def _busy(answer: httpx2.Response, *, may_repeat: bool) -> bool:
    return answer.status_code in _AGAIN and (may_repeat or answer.status_code == 429)


def _wait_of(answer: httpx2.Response, pause: float) -> float:
    said = answer.headers.get("retry-after", "")
    return min(float(said), _LONGEST_WAIT_S) if said.isdecimal() else pause


def _object(content: bytes) -> dict[str, Json]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise _stranger() from error
    if not isinstance(found, dict):
        raise _stranger()
    return _Given(found)


class _Given(dict[str, "Json"]):
    """An answer's object; who asks for what is not in it hears that this is no server of ours."""

    def __missing__(self, key: str) -> Json:
        raise _stranger(f", or one of another version: its answer has no `{key}`")


def _stranger(more: str = "") -> UnavailableError:
    return UnavailableError(
        f"what answers there is no server of aiworkflow{more}",
        hint="look at the address, and ask who runs it which version it is",
    )


# -- errors as they were there --------------------------------------------------------------------


def checked(answer: httpx2.Response) -> bytes:
    """The content of an answer.

    Raises:
        AIWorkflowError: as it was raised there.
    """
    if answer.status_code < 300:
        return answer.content
    try:
        problem = json.loads(answer.content)
        detail = problem["detail"]
    except (ValueError, KeyError, TypeError):
        raise UnavailableError(
            f"the server answers {answer.status_code}, and nothing that can be read",
            hint="is it one of aiworkflow? look at the address",
        ) from None
    if answer.status_code == 401:  # whoever speaks HTTP is told of a header, which no command has
        problem["hint"] = (
            "set AIWORKFLOW_TOKEN, or AIWORKFLOW_TOKEN_FILE to a file that holds it; "
            "`aiworkflow token create` makes one, where the server is"
        )
    raise error_of(problem, str(detail))


def error_of(problem: Mapping[str, Json], message: str) -> AIWorkflowError:
    """The error that a problem was made of: of its own class where there is one here."""
    code = str(problem.get("code", "error"))
    exit_code = problem.get("exit_code")
    hint = problem.get("hint")
    kind = _classes().get(code)
    if kind is None:
        base: type[AIWorkflowError] = FailedError
        if exit_code == EXIT_USAGE:
            base = UsageError
        elif exit_code == EXIT_REFUSED:
            base = RefusedError
        elif code in {"unavailable", "draining", "too-many"}:
            base = UnavailableError
        kind = cast("type[AIWorkflowError]", type(base.__name__, (base,), {"code": code}))
    error = kind.__new__(kind)  # its own `__init__` takes what is not told
    AIWorkflowError.__init__(error, message, hint=hint if isinstance(hint, str) else None)
    problems = problem.get("problems")
    if isinstance(problems, list):
        error.problems = tuple(str(one) for one in problems)  # type: ignore[attr-defined]
    listed = problem.get("diagnostics")
    if isinstance(listed, list):
        error.details = {"diagnostics": listed}  # type: ignore[attr-defined]
        error.diagnostics = ()  # type: ignore[attr-defined]
    return error


def _classes() -> dict[str, type[AIWorkflowError]]:
    """Errors that callers tell apart, by their codes."""
    from aiworkflow.client.agreeing import CostNotAgreed
    from aiworkflow.client.calling import CallNotAgreed
    from aiworkflow.client.inputs import InputsInvalid
    from aiworkflow.client.project import BundleInvalid, NotBuiltYet
    from aiworkflow.journal import Held, JournalUnavailable, UnknownRun
    from aiworkflow.runtime.lanes import Overlap

    known: Sequence[type[AIWorkflowError]] = (
        BundleInvalid,
        CallNotAgreed,
        CostNotAgreed,
        Held,
        InputsInvalid,
        JournalUnavailable,
        NotBuiltYet,
        Overlap,
        UnknownRun,
    )
    return {one.code: one for one in known}
