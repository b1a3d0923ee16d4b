"""`http.get`, `head`, `post`, `put`, `patch`, `delete`, `request`: one HTTP exchange.

Only hosts under `allow: network` are reached, checked again at each redirect; the connection's real
address is looked at before anything is sent. No proxy, certificate file or password comes from the
environment. Nothing is retried here: that is the workflow's to say. An answer that is not 2xx is a
failure, unless `ok` lists it. When a write was sent and its end is not known (the connection broke,
time ran out, a gateway gave up), the failure is in doubt.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from aiworkflow.tools.builtin.arguments import Arguments
from aiworkflow.tools.builtin.http_answer import Answer, failure, value_of
from aiworkflow.tools.builtin.http_request import Request, read_request
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.hosts import Host, is_allowed, is_forbidden_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.tools.contract import Surroundings

_CONNECT_TIMEOUT_S = 20.0
_MOST_REDIRECTS = 5
_OPERATIONS = frozenset({"get", "head", "post", "put", "patch", "delete", "request"})
# of the author's headers, those that may follow a redirect to another origin
_HARMLESS = frozenset({"accept", "accept-language", "content-type", "user-agent"})


class _ForbiddenAddress(Exception):
    """The connection leads where no request may go."""


@dataclass(slots=True)
class _Progress:
    """How far the exchange has come."""

    was_sent: bool = False
    hops: list[str] = field(default_factory=list)


async def call_http(operation: str, given: Mapping[str, Json], surroundings: Surroundings) -> Json:
    """Do one call → `{status, headers, url, json}`, or `body` or `base64` in place of `json`.

    Raises:
        ToolError: `input`, `permission`, `http`, `rate_limit`, `unavailable`, `timeout`, `limit`.
    """
    if operation not in _OPERATIONS:
        raise ToolError("not_found", f"there is no `http.{operation}`")
    request = read_request(operation, Arguments(f"http.{operation}", given), surroundings)
    progress = _Progress()
    try:
        async with asyncio.timeout(request.timeout_s):
            answer = await _exchange(request, surroundings, progress)
    except TimeoutError as error:
        raise ToolError(
            "timeout",
            f"`{request.method} {_shown(request.url)}` had no whole answer within"
            f" {request.timeout_s:g} s",
            in_doubt=request.is_write and progress.was_sent,
            hint="give it more time with `timeout`",
        ) from error
    if not (200 <= answer.status < 300 or answer.status in request.ok):
        raise failure(answer, f"{request.method} {_shown(answer.url)}", is_write=request.is_write)
    return value_of(answer)


# -- the exchange ---------------------------------------------------------------------------------


async def _exchange(request: Request, surroundings: Surroundings, progress: _Progress) -> Answer:
    """Send the request, follow redirects within the allowed hosts."""
    current = request
    while True:
        _check_host(current.url, surroundings.allow.network, redirected=bool(progress.hops))
        answer = await _send(current, surroundings, progress)
        location = answer.headers.get("location")
        if not (request.follow and answer.status in {301, 302, 303, 307, 308} and location):
            return answer
        if answer.status in request.ok:
            return answer
        progress.hops.append(current.url)
        if len(progress.hops) > _MOST_REDIRECTS:
            raise ToolError(
                "http",
                f"`{request.method} {_shown(request.url)}` was redirected more than"
                f" {_MOST_REDIRECTS} times",
                in_doubt=request.is_write,
            )
        try:
            current = _redirected(current, answer.status, location)
            _check_host(current.url, surroundings.allow.network, redirected=True)
        except ToolError as error:
            # the first server has taken the write, whatever comes of the redirect
            error.in_doubt = request.is_write and answer.status in {301, 302, 303}
            raise


def _redirected(request: Request, status: int, location: str) -> Request:
    import httpx2

    before = httpx2.URL(request.url)
    try:
        after = before.join(location)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ToolError("http", f"the redirect's target cannot be read: {error}") from None
    if before.scheme == "https" and after.scheme != "https":
        raise ToolError("permission", f"a redirect from https to `{_shown(str(after))}` is refused")
    method, body, headers = request.method, request.body, dict(request.headers)
    if (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST"):
        method, body = "GET", None
        headers.pop("content-type", None)
        headers.pop("idempotency-key", None)
    if (before.scheme, before.host, before.port) != (after.scheme, after.host, after.port):
        headers = {name: value for name, value in headers.items() if name in _HARMLESS}
        headers["accept-encoding"] = "identity"
    return Request(method, str(after), headers, body, request.timeout_s, request.ok, request.follow)


def _check_host(url: str, network: tuple[str, ...], *, redirected: bool) -> None:
    import httpx2

    parsed = httpx2.URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ToolError("input", f"`{_shown(url)}` must begin with https:// or http:// and a host")
    if parsed.userinfo:
        raise ToolError(
            "input",
            f"`{_shown(url)}` must hold no user name or password",
            hint="name a variable of `env` with `basic`",
        )
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise ToolError("input", f"`{_shown(url)}` names a port that there is not")
    name = parsed.raw_host.decode("ascii", "replace").lower().strip("[]").removesuffix(".")
    host = Host(name, parsed.port or (443 if parsed.scheme == "https" else 80))
    if is_allowed(host, network):
        return
    how = "a redirect leads to " if redirected else ""
    covered = ", ".join(f"`{entry}`" for entry in network) or "nothing"
    raise ToolError(
        "permission",
        f"{how}`{host.name}` is not allowed: `allow: network` covers {covered}",
        hint=f"add `{host.name}` to `allow: network` in the frontmatter",
    )


async def _send(request: Request, surroundings: Surroundings, progress: _Progress) -> Answer:
    """One hop, up to the last byte of its answer."""
    import httpx2

    network = surroundings.allow.network

    async def trace(event: str, info: Mapping[str, object]) -> None:
        if event.endswith("send_request_headers.started"):
            progress.was_sent = True
        elif event.endswith("connect_tcp.complete"):
            stream = cast("_Stream", info["return_value"])
            address = stream.get_extra_info("server_addr")
            if isinstance(address, tuple) and is_forbidden_address(str(address[0]), network):
                await stream.aclose()
                raise _ForbiddenAddress(str(address[0]))

    what = f"`{request.method} {_shown(request.url)}`"
    doubt, headers = request.is_write, request.headers
    client = httpx2.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        verify=request.url.startswith("https:"),  # plain http needs no certificates read
        timeout=httpx2.Timeout(None, connect=_CONNECT_TIMEOUT_S),
    )
    try:
        async with (
            client,
            client.stream(
                request.method,
                request.url,
                headers=[(name.encode(), value.encode()) for name, value in headers.items()],
                content=request.body,
                extensions={"trace": trace},
            ) as response,
        ):
            body = await _read(response, surroundings.output_limit, what, in_doubt=doubt)
            return Answer(response.status_code, _joined(response), str(response.url), body)
    except _ForbiddenAddress as error:
        raise ToolError(
            "permission",
            f"{what} leads to {error}, where machines get their credentials",
            hint=f"if that is meant, add `{error}` itself to `allow: network`",
        ) from None
    except httpx2.TimeoutException as error:
        raise ToolError(
            "timeout", f"{what}: no connection within {_CONNECT_TIMEOUT_S:g} s"
        ) from error
    except httpx2.DecodingError as error:
        raise ToolError("http", f"{what}: the answer cannot be decoded", in_doubt=doubt) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        sent = progress.was_sent
        how = "the connection broke before the whole answer was there" if sent else "no connection"
        because = str(error) or type(error).__name__
        raise ToolError(
            "unavailable", f"{what}: {how}: {because}", in_doubt=doubt and sent
        ) from error


class _Stream:
    """What httpx2 hands to a trace: the connection's stream. For types only."""

    def get_extra_info(self, info: str) -> object: ...

    async def aclose(self) -> None: ...


async def _read(response: httpx2.Response, limit: int, what: str, *, in_doubt: bool) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > limit:
            raise ToolError(
                "limit",
                f"{what} answered with more than {limit} bytes",
                in_doubt=in_doubt,
                hint="ask for less, or raise `limits: output` in config.yaml",
            )
    return bytes(body)


def _joined(response: httpx2.Response) -> dict[str, str]:
    """Headers by lower-case name; one that is there twice is joined by commas."""
    return {name.lower(): value for name, value in response.headers.items()}


def _shown(url: str) -> str:
    """A URL without what may be secret in it: user, query, fragment."""
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"//[^/@]*@", "//", bare)[:300]
