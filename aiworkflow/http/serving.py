"""An application on uvicorn: where it is bound, TLS, and an end in which nothing is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.errors import RefusedError, UsageError
from aiworkflow.http.door import is_loopback
from aiworkflow.http.problem import PROBLEM_TYPE, RequestRefused, problem_bytes, problem_of
from aiworkflow.records import record
from aiworkflow.triggers.webhook.protocol import HEAD_S, STALLED_S, http_protocol, tls_door
from aiworkflow.trust.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import uvicorn
    from starlette.types import ASGIApp, Receive, Scope, Send

    from aiworkflow.http.context import Context
    from aiworkflow.triggers.webhook.places import Places


_BACKLOG: Final = 2048
_KEEP_ALIVE_S: Final = 30
_log = logging.getLogger("aiworkflow.http")


@record
class Binding:
    """Where a server is to be found.

    Attributes:
        port: 0 for one that the system chooses.
        socket: path of a Unix socket, instead of host and port; "" for none.
        certificate, key: files of TLS, in PEM; "" for none.
        client_ca: file with who vouches for clients that show a certificate; "" for none.
        grace_s: seconds that open requests have at the end.
        head_s: seconds in which the head of a request, or a handshake, has to come.
        stalled_s: seconds after which whoever takes nothing of an answer is cut off.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    socket: str = ""
    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    grace_s: float = 10.0
    head_s: float = HEAD_S
    stalled_s: float = STALLED_S

    @property
    def is_local(self) -> bool:
        """Whether only this machine can come to it."""
        return bool(self.socket) or is_loopback(self.host)


def check_binding(binding: Binding, *, has_tokens: bool) -> None:
    """Whether a server may be bound there.

    Raises:
        RefusedError: others than this machine could come, and nobody has a token.
        UsageError: the files of TLS are not there, or not what they should be.
    """
    if not binding.is_local and not has_tokens:
        raise RefusedError(
            f"others could come to {binding.host}, and there is no token that they would need",
            hint="make one (aiworkflow token create NAME), or bind it to 127.0.0.1",
        )
    if binding.socket and binding.certificate:
        raise UsageError(
            "`serve.tls` is for an address, and `serve.socket` has none: commands of this machine "
            "speak no TLS there",
            hint="take one of them out of config.yaml",
        )
    tls_context(binding.certificate, binding.key, binding.client_ca)
    if not binding.is_local and not binding.certificate:
        _log.warning(
            "tokens travel in the clear: there is no TLS here, unless something before this has it"
        )


def open_app(context: Context, mounts: Mapping[str, ASGIApp] | None = None) -> ASGIApp:
    """The application of the API; see `make_app`.

    Raises:
        UsageError: what it needs is not installed.
    """
    try:
        from aiworkflow.http.application import make_app
    except ImportError as error:
        raise _not_installed("starlette") from error
    return make_app(context, mounts)


def _not_installed(name: str) -> UsageError:
    return UsageError(
        f"the HTTP API needs {name}, which is not installed",
        hint="install it: pip install 'aiworkflow-bundles[server]'",
    )


class HttpServer:
    """A server of an application.

    Args:
        drain: called when it is to end, before open requests are waited for.
        places: how many connections there may be.

    Attributes:
        url: where it answers; "" before it is bound.
        is_up: set when it answers.
    """

    def __init__(
        self, app: ASGIApp, binding: Binding, drain: Callable[[], None], places: Places
    ) -> None:
        self._app = _to_the_end(app)
        self._places = places
        self._binding = binding
        self._drain = drain
        self._server: uvicorn.Server | None = None
        self._stopping = False
        self._bound: socket.socket | None = None
        self._file: tuple[int, int] | None = None
        self.url = ""
        self.is_up = asyncio.Event()

    def bind(self) -> None:
        """Take the address: whoever comes before `run` answers has to wait, and is not turned away.

        Raises:
            UsageError: it cannot be bound there, or what it needs is not installed.
        """
        self._server = _server(self._app, self._binding, self._places)
        self._bound = _bind(self._binding)
        self._file = _file_of(self._binding)
        self.url = _url(self._binding, self._bound)

    def unbind(self) -> None:
        """Give the address back, if it was taken."""
        bound, self._bound = self._bound, None
        if bound is None:
            return
        bound.close()
        if self._binding.socket and self._file == _file_of(self._binding):
            Path(self._binding.socket).unlink(missing_ok=True)

    async def run(self) -> None:
        """Answer until it is told to stop; then open requests have a while to end.

        Raises:
            UsageError: as `bind`, which need not have been called.
        """
        if self._bound is None:
            self.bind()
        server, bound = self._server, self._bound
        assert server is not None and bound is not None  # noqa: PT018
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(server))
                try:
                    await server.serve(sockets=[bound])
                finally:
                    watching.cancel()
        finally:
            self.unbind()

    def stop(self) -> None:
        """Take no new requests; `run` returns when the open ones have ended."""
        if not self._stopping:
            self._stopping = True
            self._drain()
        if self._server is not None:
            self._server.should_exit = True

    def hurry(self) -> None:
        """Do not wait for open requests any more."""
        self.stop()
        if self._server is not None:
            self._server.force_exit = True

    async def _watch(self, server: uvicorn.Server) -> None:
        while not server.started:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.005)
        self.is_up.set()


def _to_the_end(app: ASGIApp) -> ASGIApp:
    """An application whose requests are told when there is no more time for them."""
    refused = RequestRefused("draining", "the server is going down", hint="ask again", retry_s=5)
    body = problem_bytes(problem_of(refused, 503))
    headers = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"5"),
        (b"connection", b"close"),
    ]

    async def to_the_end(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:  # the end does not wait for it any more
            with contextlib.suppress(RuntimeError):  # it was being answered
                await send({"type": "http.response.start", "status": 503, "headers": headers})
                await send({"type": "http.response.body", "body": body})

    return to_the_end


def _server(app: ASGIApp, binding: Binding, places: Places) -> uvicorn.Server:
    try:
        import uvicorn
    except ImportError as error:
        raise _not_installed("uvicorn") from error

    tls = tls_context(binding.certificate, binding.key, binding.client_ca)

    class Server(uvicorn.Server):
        """Signals are for whoever runs it, and connections are counted before their handshake."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            if tls is None:
                await super().startup(sockets)
                return
            await super().startup([])
            doors = [tls_door(self, one, places, tls, binding.head_s) for one in sockets or ()]
            self.servers = cast("list[asyncio.Server]", doors)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        app,
        http=http_protocol(places, binding.head_s, binding.stalled_s),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, int(binding.grace_s)),
    )
    return Server(config)


def _bind(binding: Binding) -> socket.socket:
    if binding.socket:
        return _bind_unix(Path(binding.socket))
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            binding.host, binding.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(_BACKLOG)  # only now is it ours: two may be bound that do not listen yet
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise UsageError(
            f"cannot answer at {binding.host}:{binding.port}: {error.strerror or error}",
            hint="take another port; `--port 0` lets the system choose one",
        ) from error
    bound.setblocking(False)
    return bound


def _bind_unix(path: Path) -> socket.socket:
    """A Unix socket that only this user can come to."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
            path.unlink()  # left behind by a server that was killed
        before = os.umask(0o177)
        try:
            bound.bind(str(path))
        finally:
            os.umask(before)
        bound.listen(_BACKLOG)  # who looks whether it was left behind finds that it answers
    except OSError as error:
        bound.close()
        raise UsageError(
            f"cannot answer at `{path}`: {error.strerror or error}",
            hint="name another path; its folder has to be there",
        ) from error
    bound.setblocking(False)
    return bound


def _file_of(binding: Binding) -> tuple[int, int] | None:
    """What tells the file of a Unix socket from one that another server has put there since."""
    try:
        found = Path(binding.socket).stat() if binding.socket else None
    except OSError:
        return None
    return found and (found.st_ino, found.st_ctime_ns)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        try:
            one.connect(str(path))
        except OSError:
            return False
    return True


def _url(binding: Binding, bound: socket.socket) -> str:
    if binding.socket:
        return f"unix:{binding.socket}"
    host, port = bound.getsockname()[:2]
    scheme = "https" if binding.certificate else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
