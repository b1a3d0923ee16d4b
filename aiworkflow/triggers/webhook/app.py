"""The webhooks of a project as one ASGI application: the path of a request from its bytes to a run.

Theory. A request goes through these doors, in this order: a place is free; the address has not been
refused too often; the body comes whole, in time and within its size; a route at its path finds it
genuine. Up to there every refusal looks the same, and costs about the same: whoever is outside learns
nothing, not even which paths there are. Behind it are senders who are known, and are told what is
wrong: the body is read, the event named, filters asked, the schema checked, and the run made durable
before the answer.

All that can be known beforehand is worked out when routes are armed; a request touches no file, and the
journal's only write is the run's own.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.errors import AIWorkflowError, RefusedError, UnavailableError
from aiworkflow.triggers.webhook import accept
from aiworkflow.triggers.webhook.answer import CUT, REFUSED, Answer, said
from aiworkflow.triggers.webhook.limits import Buckets
from aiworkflow.triggers.webhook.payload import (
    Unreadable,
    header_map,
    read_body,
    read_query,
    safe_headers,
)
from aiworkflow.triggers.webhook.recent import Happened
from aiworkflow.triggers.webhook.route import MAX_BODY
from aiworkflow.triggers.webhook.sender import Senders
from aiworkflow.triggers.webhook.verify import Client, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.triggers.webhook.accept import Acceptance
    from aiworkflow.triggers.webhook.options import WebhookOptions
    from aiworkflow.triggers.webhook.recent import Recent
    from aiworkflow.triggers.webhook.route import Route

    Scope = MutableMapping[str, object]
    Message = MutableMapping[str, object]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger(__name__)

_DECOY: Final = b"no secret at all"
_LOGGED: Final = (10, 1.0)  # refusals a second that are logged: a stranger must not fill the disk
_BUSY: Final = replace(said(503, {"error": "busy"}, again_s=1), closes=True)
_TOO_MANY: Final = said(429, {"error": "too many requests"}, again_s=10)


class WebhookApp:
    """An ASGI application that takes the webhooks of a project.

    Args:
        acceptance: what becomes of a genuine request.
        now: seconds since the epoch.
        monotonic: seconds since any point.
    """

    def __init__(
        self,
        acceptance: Acceptance,
        recent: Recent,
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        options: WebhookOptions,
    ) -> None:
        self._acceptance = acceptance
        self._recent = recent
        self._now = now
        self._monotonic = monotonic
        self._strangers = Buckets(*options.refusals)
        self._logged = Buckets(*_LOGGED, names=1)
        self._options = options
        self._senders = Senders(options.proxies)
        self._by_address: dict[str, int] = {}
        self._routes: Mapping[str, Sequence[Route]] = {}
        self._telling: frozenset[str] = frozenset()
        self._largest = MAX_BODY
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.busy = 0
        self.is_closed = False

    def arm(self, routes: Sequence[Route]) -> None:
        """From here on these routes count; requests under way end with those they began with."""
        by_path: dict[str, list[Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, []).append(route)
        self._routes = by_path
        self._telling = frozenset().union(*(route.telling for route in routes))
        # one for all paths: where a body is cut off would tell a stranger which paths there are
        self._largest = max([MAX_BODY, *(route.max_body for route in routes)])

    async def drain(self) -> None:
        """Take nothing new; return when what was taken is answered."""
        self.is_closed = True
        await self._quiet.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await _no_http(scope, receive, send)
            return
        client = cast("tuple[str, int] | None", scope.get("client"))
        pairs = cast("Sequence[tuple[bytes, bytes]]", scope["headers"])
        address = self._senders.of(client[0] if client else "", pairs)
        here = self._by_address.get(address, 0) if address else 0
        most = self._options
        if self.is_closed or self.busy >= most.max_requests or here >= most.max_per_address:
            answer = _BUSY
        else:
            self.busy += 1
            if address:
                self._by_address[address] = here + 1
            self._quiet.clear()
            try:
                answer = await self._answer(scope, receive, address)
            finally:
                self._leave(address)
        await send(answer.start())
        await send({"type": "http.response.body", "body": answer.body})

    def _leave(self, address: str) -> None:
        self.busy -= 1
        if not self.busy:
            self._quiet.set()
        left = self._by_address.get(address, 1) - 1
        if left:
            self._by_address[address] = left
        else:
            self._by_address.pop(address, None)

    async def _answer(self, scope: Scope, receive: Receive, address: str) -> Answer:
        if address and self._strangers.wait(address, self._monotonic()):
            return replace(_TOO_MANY, closes=True)
        path = str(scope["path"])
        is_post = scope["method"] == "POST"
        routes = self._routes.get(path, ()) if is_post else ()
        pairs = cast("Sequence[tuple[bytes, bytes]]", scope["headers"])
        body = await self._body(pairs, receive, self._largest)
        if isinstance(body, str):
            return self._refuse(path, address, body, CUT)
        if not routes:
            hmac.digest(_DECOY, body, "sha256")  # as long as it takes where there is a route
            return self._refuse(path, address, "no webhook is there" if is_post else "no POST")
        headers, doubled = header_map(pairs)
        request = Request(headers, body, _url(scope, headers), _client(scope), doubled)
        now = self._now()
        reasons = [route.check(request, now) for route in routes]
        genuine = [
            route for route, reason in zip(routes, reasons, strict=True)
            if not reason and len(body) <= route.max_body
        ]  # fmt: skip
        if not genuine:
            return self._refuse(path, address, next(filter(None, reasons), "the body is too large"))
        if all(route.respond.wait_s is None for route in genuine):
            return await self._take(genuine, scope, request, address, now, lambda: False)
        gone = asyncio.ensure_future(_hang_up(receive))
        try:
            return await self._take(genuine, scope, request, address, now, gone.done)
        finally:
            gone.cancel()

    async def _body(
        self, pairs: Sequence[tuple[bytes, bytes]], receive: Receive, most: int
    ) -> bytes | str:
        """The body, or why it was not read to its end."""
        for name, value in pairs:
            if name == b"content-length" and value.isdigit() and int(value[:20]) > most:
                return "the body is too large"
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._options.read_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return "the sender has gone"
                    chunk = cast("bytes", message.get("body", b""))
                    size += len(chunk)
                    if size > most:
                        return "the body is too large"
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except TimeoutError:
            return "the body did not come in time"

    def _refuse(self, path: str, address: str, reason: str, answer: Answer = REFUSED) -> Answer:
        at = self._monotonic()
        if address:
            self._strangers.take(address, at)
        if not self._logged.take("", at):
            about = {"path": path[:200], "address": address or None, "reason": reason}
            _log.warning("webhook refused", extra=about)
        self._recent.add(
            Happened(self._now(), path, address, answer.status, "refused", reason=reason)
        )
        return answer

    async def _take(
        self, routes: Sequence[Route], scope: Scope, request: Request, address: str, now: float,
        is_gone: Callable[[], bool],
    ) -> Answer:  # fmt: skip
        """What becomes of a genuine request, at each route that found it so."""
        content_type = request.headers.get("content-type", "")
        try:
            body = read_body(request.body, content_type)
            query = read_query(cast("bytes", scope.get("query_string", b"")))
        except Unreadable as error:
            answer = said(400, {"error": str(error)})
            for route in routes:
                self._remember(
                    route, scope, request, address, now, answer, "unreadable", str(error)
                )
            return answer
        shown = safe_headers(request.headers, self._telling)
        data: dict[str, Json] = {
            "path": str(scope["path"]),
            "query": dict(query),
            "headers": dict(shown),
            "body": body,
        }
        answers: list[Answer] = []
        runs: list[Json] = []
        for route in routes:
            given = accept.Given(request.headers, data, request.body, now, is_gone)
            answer, taken = await self._accept(route, given)
            self._remember(
                route, scope, request, address, now, answer, taken.outcome, taken.reason,
                run=taken.run, event=taken.event, delivery=taken.delivery,
            )  # fmt: skip
            answers.append(answer)
            runs += [taken.run] if taken.run else []
        if len(answers) == 1:
            return answers[0]
        worst = max(answers, key=lambda one: one.status)
        if worst.status >= 500 or not runs:
            return worst
        return said(min(one.status for one in answers), {"runs": runs})

    async def _accept(self, route: Route, given: accept.Given) -> tuple[Answer, accept.Taken]:
        """An answer whatever happens."""
        name = route.armed.name
        try:
            return await self._acceptance.accept(route, given)
        except UnavailableError as error:
            _log.error("webhook not taken", extra={"route": name, "error": error.message})
            taken = accept.Taken("unavailable", reason=error.message)
            return said(503, {"error": "not now"}, again_s=5), taken
        except RefusedError as error:
            return said(200, {"run": None, "reason": error.code}), accept.Taken(
                error.code, reason=error.message
            )
        except AIWorkflowError as error:
            _log.warning(
                "webhook cannot start a run", extra={"route": name, "error": error.message}
            )
            return said(422, {"error": error.code}), accept.Taken("invalid", reason=error.message)
        except Exception:  # noqa: BLE001  one request must not end the server
            _log.exception("webhook failed", extra={"route": name})
            return said(500, {"error": "internal"}), accept.Taken("failed")

    def _remember(
        self, route: Route, scope: Scope, request: Request, address: str, now: float,
        answer: Answer, outcome: str, reason: str = "",
        *, run: str = "", event: str = "", delivery: str = "",
    ) -> None:  # fmt: skip
        headers = None if run else safe_headers(request.headers, self._telling)
        self._recent.add(
            Happened(
                now, str(scope["path"]), address, answer.status, outcome, route.armed.name,
                event, delivery, reason, run, request.headers.get("content-type", ""),
                headers, b"" if run else request.body,
            )
        )  # fmt: skip
        about = {"webhook": route.armed.name, "event": event or None, "delivery": delivery or None}
        if outcome == "started":
            _log.info("run started", extra={**about, "run": run})
        else:
            _log.debug("webhook", extra={**about, "outcome": outcome, "run": run or None})


async def _hang_up(receive: Receive) -> None:
    """Return when the sender of a whole request has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _url(scope: Scope, headers: Mapping[str, str]) -> str:
    """The address as the sender has called it, as far as can be seen from here."""
    raw = scope.get("raw_path")
    path = raw.decode("latin-1") if isinstance(raw, bytes) else str(scope["path"])
    query = cast("bytes", scope.get("query_string", b"")).decode("latin-1")
    host = headers.get("host", "")
    return f"{scope.get('scheme', 'http')}://{host}{path}{'?' if query else ''}{query}"


def _client(scope: Scope) -> Client | None:
    """The certificate that the TLS layer has seen."""
    extensions = scope.get("extensions")
    tls = extensions.get("tls") if isinstance(extensions, dict) else None
    if not isinstance(tls, dict) or "client_cert_name" not in tls:
        return None  # a certificate may be of nobody by name, and be known by its fingerprint
    return Client(str(tls["client_cert_name"]), str(tls.get("client_cert_sha256", "")))


async def _no_http(scope: Scope, receive: Receive, send: Send) -> None:
    """What is no request: begin and end of the server, and websockets, of which there are none."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    while scope["type"] == "lifespan":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
