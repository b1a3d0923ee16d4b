"""HTTP calls against servers that behave, and servers that do not."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from aiworkflow.tools.contract import ToolError


class Seen:
    """A request as it arrived."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *rows = head.decode().split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.headers = {k.lower(): v for k, v in (row.split(": ", 1) for row in rows)}


class Server:
    """Answers each connection with what `answer` writes to it, byte by byte as it likes."""

    def __init__(self, answer: Callable[[Seen, socket.socket], None]) -> None:
        self.seen: list[Seen] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.closing = threading.Event()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.closing.is_set():
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            raw = b""
            while b"\r\n\r\n" not in raw:
                piece = connection.recv(65536)
                if not piece:
                    return
                raw += piece
            wanted = int(Seen(raw).headers.get("content-length", "0"))
            while len(raw.partition(b"\r\n\r\n")[2]) < wanted:
                raw += connection.recv(65536)
            seen = Seen(raw)
            self.seen.append(seen)
            self._answer(seen, connection)

    def close(self) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()


def answer(
    status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None
) -> Callable[[Seen, socket.socket], None]:
    rows = {"content-length": str(len(body)), "connection": "close", **(headers or {})}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in rows.items()) + "\r\n"

    def send(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(head.encode() + (b"" if seen.method == "HEAD" else body))

    return send


def answer_json(value: object, status: int = 200, **headers: str) -> Callable[..., None]:
    return answer(
        status, json.dumps(value).encode(), {"content-type": "application/json", **headers}
    )


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers = []

    def start(act: Callable[[Seen, socket.socket], None]) -> Server:
        servers.append(Server(act))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


HERE = ("127.0.0.1",)
NOW = "Wed, 21 Oct 2026 07:28:00 GMT"


def failing(call, *arguments, network=HERE, **more) -> ToolError:
    with pytest.raises(ToolError) as failed:
        call(*arguments, network=network, **more)
    return failed.value


# -- what works -----------------------------------------------------------------------------------


def test_json_comes_as_data(call, serve):
    server = serve(answer_json({"ä": [1]}))
    found = call("http.get", {"url": server.url + "/x"}, network=HERE)
    assert found["status"] == 200
    assert found["json"] == {"ä": [1]}
    assert found["headers"]["content-type"] == "application/json"
    assert found["url"] == server.url + "/x"
    assert "body" not in found


def test_text_comes_in_its_charset_and_bytes_as_base64(call, serve):
    latin = serve(
        answer(
            body="Größe".encode("latin-1"), headers={"content-type": "text/plain; charset=latin-1"}
        )
    )
    assert call("http.get", {"url": latin.url}, network=HERE)["body"] == "Größe"
    binary = serve(answer(body=b"\xff\xfe\x00"))
    assert (
        base64.b64decode(call("http.get", {"url": binary.url}, network=HERE)["base64"])
        == b"\xff\xfe\x00"
    )


@pytest.mark.parametrize(
    "charset",
    ["undefined", "punycode", "Punycode", "idna", "unicode_escape", "raw-unicode-escape", "rot13"],
)
@pytest.mark.parametrize("body", [b"xn--99\xff", b"a" * 200_000 + b"-" + b"9" * 200_000])
def test_what_is_no_charset_of_a_text_is_not_decoded(call, serve, charset, body):
    """Two of these codecs take a minute for the second body, and raise errors of their own."""
    server = serve(answer(body=body, headers={"content-type": f"text/plain; charset={charset}"}))
    found = call("http.get", {"url": server.url}, network=HERE)
    assert base64.b64decode(found["base64"]) == body


def test_the_request_is_the_one_that_was_asked_for(call, serve):
    server = serve(answer_json({}, 201))
    arguments = {
        "url": server.url + "/items?a=1",
        "query": {"q": "x y&z", "tag": ["b", "c"], "none": None, "n": 3, "yes": True},
        "headers": {"X-Custom": "value", "X-None": None},
        "json": {"title": "ü", "n": 1.5},
    }
    assert call("http.post", arguments, network=HERE)["status"] == 201
    (seen,) = server.seen
    assert seen.method == "POST"
    assert seen.target in {
        "/items?a=1&q=x%20y%26z&tag=b&tag=c&n=3&yes=true",
        "/items?a=1&q=x+y%26z&tag=b&tag=c&n=3&yes=true",
    }
    assert json.loads(seen.body) == {"title": "ü", "n": 1.5}
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-custom"] == "value"
    assert "x-none" not in seen.headers
    assert seen.headers["user-agent"] == "aiworkflow"
    assert seen.headers["idempotency-key"] == "the-key"


@pytest.mark.parametrize("operation", ["get", "head", "put", "patch", "delete"])
def test_each_operation_has_its_method_and_only_writes_carry_the_key(call, serve, operation):
    server = serve(answer())
    call(f"http.{operation}", {"url": server.url}, network=HERE)
    assert server.seen[0].method == operation.upper()
    assert ("idempotency-key" in server.seen[0].headers) == (operation not in {"get", "head"})


def test_any_method_and_a_text_body(call, serve):
    server = serve(answer())
    call("http.request", {"method": "propfind", "url": server.url, "body": "<x/>"}, network=HERE)
    assert (server.seen[0].method, server.seen[0].body) == ("PROPFIND", b"<x/>")
    assert server.seen[0].headers["content-type"] == "text/plain; charset=utf-8"


def test_headers_beyond_ascii_are_sent_as_utf_8(call, serve, place):
    server = serve(answer())
    place.env.update(TOKEN="é")
    arguments = {"url": server.url, "bearer": "TOKEN", "headers": {"X-City": "Örebro"}}
    call("http.get", arguments, network=HERE)
    assert server.seen[0].headers["authorization"] == "Bearer é"
    assert server.seen[0].headers["x-city"] == "Örebro"


@pytest.mark.parametrize("port", [0, 65536, 99999, -1])
def test_a_port_that_there_is_not(call, serve, port):
    """Also where a server redirects to it."""
    url = f"http://127.0.0.1:{port}/"
    error = failing(call, "http.get", {"url": url})
    assert (error.kind, "names a port that there is not" in error.message) == ("input", True)
    server = serve(answer(status=303, headers={"location": url}))
    error = failing(call, "http.post", {"url": server.url, "body": "x"})
    assert (error.kind, error.in_doubt) == ("input", True)


def test_credentials_come_from_the_env_of_the_step_by_name(call, serve, place):
    server = serve(answer())
    place.env.update(TOKEN="t-123", PAIR="me:pass", KEY="k-1")
    call(
        "http.get",
        {"url": server.url, "bearer": "TOKEN", "headers_from": {"X-Key": "KEY"}},
        network=HERE,
    )
    call("http.get", {"url": server.url, "basic": "PAIR"}, network=HERE)
    assert server.seen[0].headers["authorization"] == "Bearer t-123"
    assert server.seen[0].headers["x-key"] == "k-1"
    assert server.seen[1].headers["authorization"] == "Basic bWU6cGFzcw=="
    error = failing(call, "http.get", {"url": server.url, "bearer": "MISSING"})
    assert (error.kind, "secrets.MISSING" in str(error.hint)) == ("input", True)


def test_the_environment_of_the_machine_says_nothing(call, serve, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert call("http.get", {"url": serve(answer()).url}, network=HERE)["status"] == 200


def test_a_compressed_answer_is_read_and_measured_unpacked(call, serve):
    server = serve(answer(body=gzip.compress(b"x" * 100_000), headers={"content-encoding": "gzip"}))
    assert call("http.get", {"url": server.url}, network=HERE)["body"] == "x" * 100_000
    assert server.seen[0].headers["accept-encoding"] == "identity"
    assert failing(call, "http.get", {"url": server.url}, output_limit=5000).kind == "limit"


# -- answers that are failures --------------------------------------------------------------------


def test_an_answer_that_is_not_2xx_is_a_failure_with_what_it_says(call, serve):
    server = serve(answer(404, b'{"message":\n "no such\x1b[31m thing"}'))
    error = failing(call, "http.get", {"url": server.url + "/a?token=secret"})
    assert error.kind == "http"
    assert error.message == (
        f'`GET {server.url}/a` answered 404 Not Found: {{"message": "no such [31m thing"}}'
    )
    assert not error.in_doubt


def test_statuses_under_ok_are_no_failure(call, serve):
    server = serve(answer(404, b"gone"))
    assert call("http.get", {"url": server.url, "ok": [404, 410]}, network=HERE)["status"] == 404


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": NOW}, 30.0),
        ({"retry-after": "99999999"}, 86400.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_too_many_requests_say_how_long_to_wait(call, serve, headers, wait):
    error = failing(call, "http.post", {"url": serve(answer(429, b"", headers)).url})
    assert (error.kind, error.retry_after_s, error.in_doubt) == ("rate_limit", wait, False)


@pytest.mark.parametrize(
    ("status", "doubt"), [(500, False), (502, True), (504, True), (503, False)]
)
def test_a_write_that_a_gateway_gave_up_on_is_in_doubt(call, serve, status, doubt):
    server = serve(answer(status))
    assert failing(call, "http.post", {"url": server.url}).in_doubt == doubt
    assert not failing(call, "http.get", {"url": server.url}).in_doubt


def test_an_answer_that_only_says_it_is_json(call, serve):
    server = serve(answer(body=b"<html>", headers={"content-type": "application/json"}))
    assert failing(call, "http.get", {"url": server.url}).kind == "output"


# -- hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network", [(), ("example.com",), ("*.0.0.1",), ("127.0.0.1:1",), ("127.0.0.10",)]
)
def test_a_host_that_is_not_allowed_is_never_asked(call, serve, network):
    server = serve(answer())
    error = failing(call, "http.get", {"url": server.url}, network=network)
    assert error.kind == "permission"
    assert "`127.0.0.1` is not allowed" in error.message
    assert server.seen == []


def test_a_port_can_be_named(call, serve):
    server = serve(answer())
    assert (
        call("http.get", {"url": server.url}, network=(f"127.0.0.1:{server.port}",))["status"]
        == 200
    )


def test_a_redirect_within_the_allowed_hosts_is_followed(call, serve):
    end = serve(answer(body=b"here"))
    start = serve(answer(302, headers={"location": end.url + "/end"}))
    found = call("http.get", {"url": start.url}, network=HERE)
    assert (found["body"], found["url"]) == ("here", end.url + "/end")


def test_a_redirect_to_a_foreign_host_is_refused_before_it_is_asked(call, serve):
    foreign = serve(answer(body=b"secret"))
    start = serve(answer(302, headers={"location": foreign.url}))
    network = (f"127.0.0.1:{start.port}",)
    error = failing(call, "http.get", {"url": start.url}, network=network)
    assert (error.kind, error.in_doubt) == ("permission", False)
    assert "a redirect leads to" in error.message
    assert foreign.seen == []
    assert failing(call, "http.post", {"url": start.url}, network=network).in_doubt


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/", "//[broken", "gopher:x"]
)
def test_a_redirect_to_what_is_no_web_address_is_refused(call, serve, target):
    start = serve(answer(302, headers={"location": target}))
    assert failing(call, "http.get", {"url": start.url}).kind in {"input", "http", "permission"}


def test_what_the_author_sends_does_not_follow_to_another_origin(call, serve, place):
    place.env["TOKEN"] = "t-123"
    end = serve(answer())
    start = serve(answer(307, headers={"location": end.url}))
    arguments = {
        "url": start.url,
        "bearer": "TOKEN",
        "headers": {"X-Api-Key": "k"},
        "json": {"a": 1},
    }
    call("http.post", arguments, network=HERE)
    assert end.seen[0].method == "POST"
    assert json.loads(end.seen[0].body) == {"a": 1}
    assert not {"authorization", "x-api-key", "idempotency-key"} & set(end.seen[0].headers)
    assert end.seen[0].headers["content-type"] == "application/json"


def test_after_a_see_other_a_write_becomes_a_read(call, serve):
    end = serve(answer(body=b"done"))
    start = serve(answer(303, headers={"location": end.url}))
    assert call("http.post", {"url": start.url, "json": {}}, network=HERE)["body"] == "done"
    assert (end.seen[0].method, end.seen[0].body) == ("GET", b"")


def test_redirects_in_a_circle_end(call, serve):
    server = serve(answer(302, headers={"location": "/again"}))
    assert "redirected more than 5 times" in failing(call, "http.get", {"url": server.url}).message
    assert len(server.seen) == 6


def test_redirects_can_be_left_alone(call, serve):
    server = serve(answer(302, headers={"location": "/x"}))
    error = failing(call, "http.get", {"url": server.url, "follow": False})
    assert "answered 302 Found" in error.message
    found = call("http.get", {"url": server.url, "follow": False, "ok": 302}, network=HERE)
    assert found["headers"]["location"] == "/x"


def test_a_name_that_leads_to_where_machines_get_credentials_is_refused(call, serve, monkeypatch):
    server = serve(answer(body=b"credentials"))
    from aiworkflow.tools import hosts

    # loopback plays the part of the address that is never to be reached by a name
    monkeypatch.setattr(hosts, "_METADATA", frozenset({hosts.ipaddress.ip_address("127.0.0.1")}))
    url = f"http://localhost:{server.port}"
    error = failing(call, "http.get", {"url": url}, network=("localhost",))
    assert (error.kind, "127.0.0.1" in error.message) == ("permission", True)
    assert server.seen == []
    assert call("http.get", {"url": url}, network=("localhost", "127.0.0.1"))["status"] == 200


# -- servers that misbehave -----------------------------------------------------------------------


def test_nobody_there_is_not_in_doubt(call):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failing(call, "http.post", {"url": f"http://127.0.0.1:{port}"})
    assert (error.kind, error.in_doubt) == ("unavailable", False)


def test_a_connection_that_breaks_leaves_a_write_in_doubt(call, serve):
    server = serve(lambda _seen, connection: connection.close())
    error = failing(call, "http.post", {"url": server.url, "json": {}})
    assert (error.kind, error.in_doubt) == ("unavailable", True)
    assert not failing(call, "http.get", {"url": server.url}).in_doubt


def test_an_answer_that_is_cut_off_is_no_answer(call, serve):
    def cut(_seen: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")

    error = failing(call, "http.put", {"url": serve(cut).url})
    assert (error.kind, error.in_doubt) == ("unavailable", True)


def test_an_answer_that_is_no_http(call, serve):
    server = serve(lambda _seen, connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n"))
    assert failing(call, "http.get", {"url": server.url}).kind == "unavailable"


@pytest.mark.parametrize("where", ["head", "body"])
def test_an_answer_that_trickles_ends_with_its_time(call, serve, where):
    def trickle(_seen: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if where == "body" else b"x-a: "))
        for _ in range(100):
            connection.sendall(b"x")
            if server.closing.wait(0.05):
                return

    server = serve(trickle)
    began = time.monotonic()
    error = failing(call, "http.post", {"url": server.url, "timeout": "300ms"})
    assert time.monotonic() - began < 2
    assert (error.kind, error.in_doubt) == ("timeout", True)
    assert not failing(call, "http.get", {"url": server.url, "timeout": 0.2}).in_doubt


def test_a_body_without_end_is_cut_at_the_limit(call, serve):
    def pour(_seen: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(10_000):
            connection.sendall(b"x" * 65536)

    server = serve(pour)
    error = failing(call, "http.get", {"url": server.url})
    assert (error.kind, error.in_doubt) == ("limit", False)
    assert failing(call, "http.post", {"url": server.url}).in_doubt


# -- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "needs `url`"),
        ({"url": 3}, "`url` of `http.post` must be text"),
        ({"url": "127.0.0.1/x"}, "must begin with https:// or http://"),
        ({"url": "file:///etc/passwd"}, "must begin with https:// or http://"),
        ({"url": "http://"}, "must begin with"),
        ({"url": "http://me:pw@127.0.0.1/"}, "`http://127.0.0.1/` must hold no user name"),
        ({"url": "http://127.0.0.1:port"}, "`url` cannot be read"),
        ({"url": "http://127.0.0.1", "json": {}, "body": ""}, "`json` or `body`, not both"),
        ({"url": "http://127.0.0.1", "headers": {"Host": "evil"}}, "set by the request itself"),
        ({"url": "http://127.0.0.1", "headers": {"a b": "x"}}, "no name of a header"),
        ({"url": "http://127.0.0.1", "headers": {"X": "a\r\nEvil: 1"}}, "line break"),
        ({"url": "http://127.0.0.1", "headers": {"X": "\ud800"}}, "surrogate"),
        ({"url": "http://127.0.0.1", "query": {"a": {"b": 1}}}, "`query.a` must be"),
        ({"url": "http://127.0.0.1", "timeout": "soon"}, "`timeout` takes a duration"),
        ({"url": "http://127.0.0.1", "timeout": 0}, "longer than nothing"),
        ({"url": "http://127.0.0.1", "ok": ["404"]}, "list of status codes"),
        ({"url": "http://127.0.0.1", "heders": {}}, "takes no `heders`; did you mean `headers`?"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(call, arguments, why):
    error = failing(call, "http.post", arguments)
    assert (error.kind, why in error.message) == ("input", True), error.message


def test_methods_that_open_tunnels_are_refused(call):
    arguments = {"method": "CONNECT", "url": "http://127.0.0.1"}
    assert failing(call, "http.request", arguments).kind == "input"
    assert failing(call, "http.fetch", {}).kind == "not_found"
