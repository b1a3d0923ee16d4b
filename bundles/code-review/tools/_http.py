"""A small client for JSON APIs: one request, one answer, one clear line when it does not work.

It sends credentials only to the host it was made for: other hosts, also by redirects and by links of
pages, are refused, and so is plain http unless the host is this machine. It never tries again: whether
that is right is for the workflow to say; how long the server asks to wait stands in the message.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from _tool import USAGE, Problem, log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import Message

MOST_BYTES = 20_000_000
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Message
    data: Any


class Api:
    """One server.

    Args:
        name: what people call it, for messages.
        base: its base URL.
        headers: sent with every request; credentials belong here.
        timeout_s: seconds without an answer, or within one, before it is given up.
    """

    def __init__(
        self, name: str, base: str, headers: Mapping[str, str], *, timeout_s: float = 30
    ) -> None:
        self.name = name
        self.base = base.rstrip("/")
        self._headers = {"Accept": "application/json", "User-Agent": "aiworkflow", **headers}
        self._timeout_s = timeout_s
        parts = urllib.parse.urlsplit(self.base)
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username:
            raise Problem(f"`{base}` is no base URL for {name}: write https://host", USAGE)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise Problem(f"{name} at {base}: credentials are not sent without https", USAGE)
        self._origin = _origin(self.base)
        self._opener = urllib.request.build_opener(_NoRedirect())

    def get(self, path: str, **query: object) -> Any:
        """The data of an answer to GET; `None` values of the query are left out."""
        return self.ask("GET", path, query=query).data

    def send(self, method: str, path: str, body: object, **headers: str) -> Any:
        """The data of an answer to a request with a JSON body."""
        return self.ask(method, path, body=body, headers=headers).data

    def pages(self, path: str, most: int = 50, **query: object) -> Iterator[Any]:
        """The data of each page, following `Link: <…>; rel="next"`."""
        url = self._url(path, query)
        for _ in range(most):
            answer = self.ask("GET", url)
            yield answer.data
            found = re.search(r'<([^>]+)>\s*;[^,]*\brel="?next\b', answer.headers.get("Link", ""))
            if found is None:
                return
            url = urllib.parse.urljoin(url, found.group(1))
        log(f"{self.name}: more than {most} pages; the rest is left out")

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        missing: bool = False,
    ) -> Answer:
        """Send one request.

        Args:
            path: below the base URL, or a whole URL of the same server.
            missing: a 404 is an answer, not a problem.

        Raises:
            Problem: no answer, or one that says no.
        """
        url = self._url(path, query or {})
        data = None
        sent = {**self._headers, **(headers or {})}
        if body is not None:
            data = json.dumps(body, ensure_ascii=False).encode()
            sent["Content-Type"] = "application/json"
        for _ in range(5):
            answer = self._once(urllib.request.Request(url, data, sent, method=method))
            if answer.status not in {301, 302, 303, 307, 308}:
                break
            target = urllib.parse.urljoin(url, answer.headers.get("Location", ""))
            if method != "GET":
                raise Problem(
                    f"{self.name} moved {_path(url)} to {_path(target)}; nothing was sent there"
                )
            url = self._same(target)
        if answer.status == 404 and missing:
            return answer
        if not 200 <= answer.status < 300:
            raise Problem(self._refusal(method, url, answer))
        if isinstance(answer.data, bytes):
            raise Problem(
                f"{self.name} answered {method} {_path(url)} with something that is not JSON"
            )
        return answer

    def _once(self, request: urllib.request.Request) -> Answer:
        began = time.monotonic()
        try:
            try:
                reply = self._opener.open(request, timeout=self._timeout_s)
            except urllib.error.HTTPError as error:
                reply = error
            with reply:
                content = reply.read(MOST_BYTES + 1)
        except TimeoutError as error:
            raise Problem(self._silence(request)) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise Problem(self._silence(request)) from error
            raise Problem(
                f"{self.name} cannot be reached at {self.base}: {error.reason}"
            ) from error
        except (http.client.HTTPException, OSError) as error:
            raise Problem(f"{self.name} broke off its answer: {error}") from error
        if len(content) > MOST_BYTES:
            raise Problem(f"{self.name} answered with more than {MOST_BYTES:,} bytes")
        seconds = time.monotonic() - began
        log(f"{request.method} {_path(request.full_url)}: {reply.status} in {seconds:.1f} s")
        return Answer(reply.status, reply.headers, _decoded(content))

    def _url(self, path: str, query: Mapping[str, object]) -> str:
        url = self._same(path) if "://" in path else self.base + path
        pairs = {key: value for key, value in query.items() if value is not None}
        mark = "&" if "?" in url else "?"
        return f"{url}{mark}{urllib.parse.urlencode(pairs, doseq=True)}" if pairs else url

    def _same(self, url: str) -> str:
        if _origin(url) != self._origin:
            raise Problem(f"{self.name} points to {_origin(url)}; nothing is sent to other hosts")
        return url

    def _silence(self, request: urllib.request.Request) -> str:
        where = f"{request.method} {_path(request.full_url)}"
        return f"{self.name} did not answer {where} within {self._timeout_s:g} s"

    def _refusal(self, method: str, url: str, answer: Answer) -> str:
        said = "; ".join(dict.fromkeys(_messages(answer.data)))[:400]
        text = f"{self.name} answered {method} {_path(url)} with {answer.status}"
        text += f": {said}" if said else ""
        if answer.status == 401:
            text += f"; check the credentials for {self.name}"
        wait = _wait(answer)
        return text + (
            f"; rate limit reached, try again after {wait} s" if wait is not None else ""
        )


def basic(user: str, password: str) -> str:
    """The value of an `Authorization` header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def quoted(part: object) -> str:
    """One part of a path."""
    return urllib.parse.quote(str(part), safe="")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are answers: whether to follow one is decided where the credentials are known."""

    def redirect_request(self, *_: object) -> None:
        return None


def _origin(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _path(url: str) -> str:
    return urllib.parse.urlsplit(url).path


def _decoded(content: bytes) -> Any:
    """The value of a JSON answer; None of an empty one; the bytes of anything else."""
    if not content.strip():
        return None
    try:
        return json.loads(content)
    except ValueError:
        return content


def _messages(data: Any) -> Iterator[str]:
    """What an error says, in the words of the APIs we know."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, list):
        for one in data[:10]:
            yield from _messages(one)
    elif isinstance(data, dict):
        for key in ("message", "detail", "title", "error", "error_description", "errorMessages"):
            yield from _messages(data.get(key))
        errors = data.get("errors")
        if isinstance(errors, dict):
            for field, text in errors.items():
                yield f"{field}: {text}"
        else:
            yield from _messages(errors)
        if "message" not in data and "field" in data and "code" in data:
            yield f"{data['field']} is {data['code']}"


def _wait(answer: Answer) -> int | None:
    """How many seconds to wait, where the server limits how much is asked."""
    after = answer.headers.get("Retry-After", "")
    if after.isdigit():
        return int(after)
    none_left = "0" in {
        answer.headers.get("X-RateLimit-Remaining"),
        answer.headers.get("RateLimit-Remaining"),
    }
    if answer.status != 429 and not (answer.status == 403 and none_left):
        return None
    reset = answer.headers.get("X-RateLimit-Reset") or answer.headers.get("RateLimit-Reset") or ""
    if not reset.isdigit():
        return 60
    # a moment for GitHub, a number of seconds for Datadog and PagerDuty
    return max(1, int(reset) - int(time.time())) if int(reset) > 1_000_000_000 else int(reset)
