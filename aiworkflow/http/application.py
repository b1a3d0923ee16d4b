"""The API as an ASGI application: from the table of routes to requests and answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.routing import Match, Mount
from starlette.routing import Route as Path

from aiworkflow.errors import AIWorkflowError
from aiworkflow.http.door import check_host, who_asks
from aiworkflow.http.jsonbody import check_body, read_json
from aiworkflow.http.openapi import API, openapi
from aiworkflow.http.problem import (
    PROBLEM_TYPE,
    RequestRefused,
    problem_bytes,
    problem_of,
    status_of,
    unknown_problem,
)
from aiworkflow.http.route import Answer, Asked, Route, Streamed
from aiworkflow.http.table import HEALTH, TABLE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from aiworkflow.engine.carried import Json
    from aiworkflow.http.context import Context
    from aiworkflow.http.route import Caller

_log = logging.getLogger("aiworkflow.http")

_NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})
_LONGEST_KEY: Final = 255
_PIECE: Final = 65_536  # bytes that are handed over at once: the transport says when it has enough
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


def make_app(context: Context, mounts: Mapping[str, ASGIApp] | None = None) -> ASGIApp:
    """The application.

    Args:
        context: entered before the first request, and left after the last.
        mounts: other applications, by the path that they are at, such as `/hooks`.
    """
    pages = [Path(one.path, _endpoint(context, one), methods=["GET"]) for one in HEALTH]
    pages += [Path(API + one.path, _endpoint(context, one), methods=[one.method]) for one in TABLE]
    pages.append(Path(API + _DESCRIPTION.path, _endpoint(context, _DESCRIPTION), methods=["GET"]))
    mounted = [Mount(path, app=app) for path, app in (mounts or {}).items()]
    app = Starlette(
        routes=[*pages, *mounted],
        exception_handlers={HTTPException: _http_error, AIWorkflowError: _refused},
    )
    app.router.redirect_slashes = False  # one address for each thing; a redirect loses the body
    return _with_headers(app)


async def _described(asked: Asked) -> Answer:
    """The description of the API itself."""
    del asked
    return Answer(openapi())


_DESCRIPTION: Final = Route("GET", "/openapi.json", "read", _described, "Describe the API.", {})


def _endpoint(context: Context, route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            check_host(context, request.headers)
            address = request.client.host if request.client is not None else "unix"
            caller = who_asks(context, route, request.headers, address)
            asked = await _understood(context, route, request, caller)
            answer = await route.handle(asked)
        except AIWorkflowError as error:
            root = str(context.client.project.root)
            return _problem(error, status_of(error, route.usage), root)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:  # noqa: BLE001  the last door for errors: nothing of them goes outside
            id_ = context.client.project.ids.token()
            _log.exception("a request failed", extra={"id": id_, "path": route.path})
            return Response(problem_bytes(unknown_problem(id_)), 500, media_type=PROBLEM_TYPE)
        if isinstance(answer, Streamed):
            return _Stream(answer.pieces)
        return _response(route, answer)

    return endpoint


class _Stream(StreamingResponse):
    """A stream that makes room as soon as its reader is gone."""

    def __init__(self, pieces: AsyncGenerator[bytes]) -> None:
        headers = {"x-accel-buffering": "no"}
        super().__init__(pieces, media_type="text/event-stream", headers=headers)
        self._pieces = pieces

    async def stream_response(self, send: Send) -> None:
        """Send the pieces."""
        async with contextlib.aclosing(self._pieces):
            await super().stream_response(send)


def _response(route: Route, answer: Answer) -> Response:
    headers = dict(answer.headers)
    if isinstance(answer.body, bytes):
        return Response(answer.body, answer.status, headers, "application/octet-stream")
    content = json.dumps(answer.body, ensure_ascii=False, default=str)
    status = answer.status if answer.status != 200 else route.status
    if answer.body.get("new") is False:
        status = 200
    body = content.encode("utf-8", "backslashreplace")
    return Response(body, status, headers, "application/json")


# -- requests -------------------------------------------------------------------------------------


async def _understood(context: Context, route: Route, request: Request, caller: Caller) -> Asked:
    """What is asked for.

    Raises:
        RequestRefused: it is not what the route takes.
    """
    if context.draining.is_set() and route.method != "GET":
        raise RequestRefused("draining", "the server is going down", retry_s=5)
    query = _query(route, request)
    body = await _body(context, route, request) if route.body is not None else _NOTHING
    key = request.headers.get("idempotency-key", "") if route.starts else ""
    if len(key) > _LONGEST_KEY or not key.isprintable():
        raise RequestRefused(
            "invalid-request", f"Idempotency-Key has at most {_LONGEST_KEY} printable characters"
        )
    return Asked(
        context,
        context.client.acting_as(caller.actor) if caller.actor else context.client,
        caller,
        {name: str(request.path_params[name]) for name in route.names},
        query,
        body,
        key,
        request.headers.get("last-event-id", ""),
        route.stream
        and request.method == "GET"  # of HEAD nobody would read the events
        and "text/event-stream" in request.headers.get("accept", ""),
    )


def _query(route: Route, request: Request) -> dict[str, Json]:
    known = {one.name: one for one in route.query}
    for name in request.query_params:
        if name not in known:
            listed = ", ".join(f"`{one}`" for one in known) or "nothing"
            raise RequestRefused(
                "invalid-request",
                f"there is no `{name[:60]}` in the query of this request",
                hint=f"it takes {listed}",
            )
    return {name: one.read(request.query_params.getlist(name)) for name, one in known.items()}


async def _body(context: Context, route: Route, request: Request) -> Mapping[str, Json]:
    said = request.headers.get("content-type", "").lower()
    kind, _, more = (word.strip() for word in said.partition(";"))
    charset = more.partition("charset=")[2].strip('" ')
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity" or charset not in {"", "utf-8", "utf8"}:
        raise RequestRefused("not-json", "the body has to be JSON in UTF-8, not compressed")
    content = await _content(context, request)
    needs = (route.body or {}).get("required")
    if not content and not needs and kind in {"", "application/json"}:
        return _NOTHING
    if kind != "application/json":
        raise RequestRefused(
            "not-json", "the body has to be JSON", hint="send `Content-Type: application/json`"
        )
    found = read_json(content)
    assert route.body is not None
    check_body(route.body, found)
    assert isinstance(found, dict)
    return found


async def _content(context: Context, request: Request) -> bytes:
    """The body, if it is not too large and does not take too long."""
    most = context.limits.body_bytes
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        raise _too_large(most)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(context.limits.body_s):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
    except TimeoutError:
        raise RequestRefused("invalid-request", "the body took too long") from None
    return b"".join(parts)


def _too_large(most: int) -> RequestRefused:
    return RequestRefused("too-large", f"the body has more than {most:,} bytes")


# -- answers --------------------------------------------------------------------------------------


def _problem(error: AIWorkflowError, status: int, root: str = "") -> Response:
    headers = {}
    retry_s = getattr(error, "retry_s", None)
    if retry_s is not None:
        headers["retry-after"] = str(max(1, int(retry_s + 0.999)))
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="aiworkflow"'
    return Response(
        problem_bytes(problem_of(error, status, root)), status, headers, media_type=PROBLEM_TYPE
    )


async def _http_error(request: Request, error: Exception) -> Response:
    """What is not in the table."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code, text = {
        404: ("not-found", "there is nothing at this address"),
        405: ("method-not-allowed", "this address is not asked in this way"),
    }.get(status, ("invalid-request", "the request cannot be understood"))
    refused = RequestRefused(code, text, hint=f"see {API}/openapi.json")
    answer = _problem(refused, status)
    if status == 405:
        answer.headers["allow"] = ", ".join(_methods(request))
    return answer


def _methods(request: Request) -> list[str]:
    """How an address may be asked."""
    found: set[str] = set()
    for one in request.app.routes:
        if isinstance(one, Path) and one.matches(request.scope)[0] is not Match.NONE:
            found |= one.methods or set()
    return sorted(found)


async def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, AIWorkflowError)
    return _problem(error, status_of(error))


def _with_headers(app: ASGIApp) -> ASGIApp:
    """The headers of every answer. There is none that lets a page of another origin in."""

    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message.get("headers", ())}
                more = [one for one in _HEADERS if one[0] not in there]
                if scope.get("scheme") == "https":
                    more.append((b"strict-transport-security", b"max-age=31536000"))
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            body = message.get("body", b"")
            for end in range(_PIECE, len(body), _PIECE):
                piece = body[end - _PIECE : end]
                await send({"type": message["type"], "body": piece, "more_body": True})
            if len(body) > _PIECE:
                message = {**message, "body": body[(len(body) - 1) // _PIECE * _PIECE :]}
            await send(message)

        await app(scope, receive, sending)

    return with_headers
