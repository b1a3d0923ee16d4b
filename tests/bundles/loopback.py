"""An HTTP server on loopback for tests: routes, recorded calls, answers planned ahead."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in; `path` is not decoded, names of headers are in lower case."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any

    def one(self, name: str, default: str = "") -> str:
        """A parameter of the query that is given once."""
        values = self.query.get(name, [default])
        assert len(values) == 1, f"`{name}` is given {len(values)} times"
        return values[0]

    def number(self, name: str, default: int) -> int:
        return int(self.one(name, str(default)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says: JSON, or bytes as they are."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Route = Callable[..., Answer]


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    """Mark a method as what answers requests; groups of the pattern are its arguments."""

    def mark(function: Route) -> Route:
        function.route = (method, re.compile(pattern))  # type: ignore[attr-defined]
        return function

    return mark


class Loopback:
    """A server; a subclass has the routes and says who may ask.

    Attributes:
        calls: all requests, in the order they came in.
        unexpected: requests that no route knows; a test that ends with some has failed.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.unexpected: list[str] = []
        self._planned: list[tuple[re.Pattern[str], Answer]] = []
        self._lock = threading.Lock()
        self._routes = [
            (*getattr(type(self), name).route, getattr(self, name))
            for name in dir(type(self))
            if hasattr(getattr(type(self), name), "route")
        ]
        self._http = _server(self)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        assert not self.unexpected, f"no such path in the real API: {self.unexpected}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def plan(self, status: int, body: Any = None, *, path: str = "", **headers: str) -> None:
        """Answer the next request whose path matches so; `Retry_After` is the header `Retry-After`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._planned.append((re.compile(path), Answer(status, body, named)))

    def asked(self, method: str, pattern: str = "") -> list[Call]:
        """Requests with a method, whose path matches."""
        return [one for one in self.calls if one.method == method and re.search(pattern, one.path)]

    def refuse(self, call: Call) -> Answer | None:
        """The answer to a request that may not be made, or None."""
        raise NotImplementedError

    def answer(self, call: Call) -> Answer:
        with self._lock:
            self.calls.append(call)
            for planned in self._planned:
                if planned[0].search(call.path):
                    self._planned.remove(planned)
                    return planned[1]
            refusal = self.refuse(call)
            if refusal is not None:
                return refusal
            for method, pattern, function in self._routes:
                match = pattern.fullmatch(call.path)
                if method == call.method and match:
                    return function(call, **match.groupdict())
            self.unexpected.append(f"{call.method} {call.path}")
            return Answer(404, {"message": "Not Found"})


def _server(server: Loopback) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _any(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", "0")))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            if content:
                assert headers.get("content-type", "").split(";")[0] == "application/json"
            body = json.loads(content) if content else None
            query = parse_qs(parts.query, keep_blank_values=True)
            call = Call(self.command, parts.path, query, headers, body)
            answer = server.answer(call)
            raw = (
                answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            )
            if answer.status == 204:
                raw = b""
            self.send_response(answer.status)
            if answer.status != 204:
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(raw)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that hang up are part of the tests."""

    return Server(("127.0.0.1", 0), Handler)


@contextmanager
def closing_all(*servers: Loopback) -> Iterator[None]:
    """Close servers, each of them checked for requests that it did not expect."""
    try:
        yield
    finally:
        for server in servers:
            server.close()
