"""The arguments of an HTTP call, read into a request. Secrets come from the step's `env` by name."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

from aiworkflow.records import record
from aiworkflow.settings import units
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.environment import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.tools.builtin.arguments import Arguments
    from aiworkflow.tools.contract import Surroundings

DEFAULT_TIMEOUT_S = 60.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_METHOD = re.compile(r"[A-Z]{1,20}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# these decide where a request goes or where it ends, and are ours
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te"})


@record
class Request:
    """One request, whole.

    Attributes:
        headers: by lower-case name.
        timeout_s: bound of the whole exchange, redirects included.
        ok: statuses beside 2xx that are no failure.
        follow: whether redirects are followed.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_s: float
    ok: tuple[int, ...]
    follow: bool

    @property
    def is_write(self) -> bool:
        """Whether it may change something."""
        return self.method not in _SAFE


def read_request(operation: str, arguments: Arguments, surroundings: Surroundings) -> Request:
    """The request that a call asks for.

    Raises:
        ToolError: `input`.
    """
    method = operation.upper()
    if operation == "request":
        method = arguments.text("method").upper()
        if not _METHOD.fullmatch(method) or method in {"CONNECT", "TRACE"}:
            raise ToolError("input", "`method` must be a word such as GET or POST")
    url = arguments.text("url")
    query = arguments.table("query")
    headers = _headers(arguments.table("headers"))
    headers.update(_credentials(arguments, surroundings.env))
    body = None
    if operation not in {"get", "head"}:
        body = _body(arguments, headers)
    timeout_s = _timeout_s(arguments)
    ok = _statuses(arguments.value("ok"))
    follow = arguments.flag("follow", default=True)
    arguments.done()
    headers.setdefault("user-agent", "aiworkflow")
    headers.setdefault("accept", "*/*")
    headers["accept-encoding"] = "identity"  # so that the size limit is one of what was sent
    if method not in _SAFE:
        headers.setdefault("idempotency-key", surroundings.key)
    return Request(method, _with_query(url, query), headers, body, timeout_s, ok, follow)


def _headers(given: Mapping[str, Json]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in given.items():
        if value is None:
            continue
        if not _HEADER.fullmatch(name):
            raise ToolError("input", f"`{name[:60]}` is no name of a header")
        if name.lower() in _OURS:
            raise ToolError("input", f"the header `{name}` is set by the request itself")
        found[name.lower()] = _header_value(name, as_text(value))
    return found


def _header_value(name: str, text: str) -> str:
    if any((ord(char) < 32 and char != "\t") or ord(char) in {127, 0xFEFF} for char in text):
        raise ToolError("input", f"the header `{name}` holds a line break or control character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ToolError("input", f"the header `{name}` holds half a surrogate pair") from None
    return text.strip()


def _credentials(arguments: Arguments, env: Mapping[str, str]) -> dict[str, str]:
    """Headers made from variables of the step's `env`, the only place where secrets may stand."""
    found: dict[str, str] = {}
    bearer, basic = arguments.optional_text("bearer"), arguments.optional_text("basic")
    if bearer is not None:
        token = _header_value("authorization", _variable(env, bearer, "bearer"))
        found["authorization"] = f"Bearer {token}"
    if basic is not None:
        pair = _variable(env, basic, "basic").strip().encode()
        found["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    for name, variable in arguments.table("headers_from").items():
        if not isinstance(variable, str):
            raise ToolError("input", f"`headers_from.{name}` must name a variable of `env`")
        found.update(_headers({name: _variable(env, variable, "headers_from")}))
    return found


def _variable(env: Mapping[str, str], name: str, argument: str) -> str:
    value = env.get(name)
    if not value:
        raise ToolError(
            "input",
            f"`{argument}` names `{name}`, which the step's `env` does not set",
            hint=f'give the step `env: {{{name}: "{{{{ secrets.{name} }}}}"}}`',
        )
    return value


def _body(arguments: Arguments, headers: dict[str, str]) -> bytes | None:
    if arguments.has("json") and arguments.has("body"):
        raise ToolError("input", f"`{arguments.call}` takes `json` or `body`, not both")
    text = arguments.optional_text("body")
    value = arguments.value("json")
    try:
        if value is not None:
            headers.setdefault("content-type", "application/json")
            return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        if text is not None:
            headers.setdefault("content-type", "text/plain; charset=utf-8")
            return text.encode()
    except ValueError:  # NaN, or UnicodeEncodeError, which is one
        raise ToolError("input", "the body holds what is no JSON or no text") from None
    return None


def _timeout_s(arguments: Arguments) -> float:
    found = arguments.value("timeout")
    if found is None:
        return DEFAULT_TIMEOUT_S
    try:
        seconds = units.duration(found)
    except ValueError as error:
        raise ToolError("input", f"`timeout` takes {error}") from None
    if seconds <= 0:
        raise ToolError("input", "`timeout` must be longer than nothing")
    return seconds


def _statuses(given: Json) -> tuple[int, ...]:
    listed = given if isinstance(given, list) else [] if given is None else [given]
    found = tuple(one for one in listed if isinstance(one, int) and 100 <= one <= 599)
    if len(found) != len(listed):
        raise ToolError("input", "`ok` must be a list of status codes such as [404, 409]")
    return found


def _with_query(url: str, query: Mapping[str, Json]) -> str:
    """The URL with the query added. Lists repeat their name; null is left out."""
    import httpx2

    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in query.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict | list):
                raise ToolError("input", f"`query.{name}` must be text, numbers or a list of these")
            if one is not None:
                pairs.append((name, as_text(one)))
    try:
        parsed = httpx2.URL(url)
        if pairs:
            parsed = parsed.copy_merge_params(pairs)
    except (httpx2.InvalidURL, UnicodeError, TypeError) as error:
        raise ToolError("input", f"`url` cannot be read: {error}") from None
    return str(parsed)
