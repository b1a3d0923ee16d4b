"""One request to a model server, and its answer as a stream: SSE or lines of JSON.

Proxies and `.netrc` of the environment are not used: what is reached is what the settings say.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from aiworkflow.agents.api.clients import alone
from aiworkflow.agents.api.refusal import host_of, key_hint, refused
from aiworkflow.agents.api.turn import no_stream
from aiworkflow.agents.contract import AgentError, Standing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    import httpx2

    from aiworkflow.agents.api.clients import Clients

_CONNECT_S: Final = 10.0
_TAIL_S: Final = 0.05
_MOST_BYTES: Final = 50_000_000
_MOST_LINE: Final = 16_000_000
_MOST_OTHERS: Final = 1000  # lines
_MOST_LISTED: Final = 20_000_000  # OpenRouter lists some hundred models with all they can do


async def _ended(chunks: AsyncIterator[bytes]) -> None:
    """Read what comes after the answer's end, a moment long: then the connection can be used again."""
    import httpx2

    try:
        async with asyncio.timeout(_TAIL_S):
            async for _ in chunks:
                pass
    except (TimeoutError, AgentError, httpx2.HTTPError):
        pass  # the answer was whole before


class Connection:
    """What one task says to one server: kept open over its turns, and counted.

    Attributes:
        sent, received: bytes of bodies so far, as a measure of what usage can be true.
    """

    def __init__(
        self, client: httpx2.AsyncClient, base: str, headers: Mapping[str, str], key: str | None
    ) -> None:
        self._client = client
        self._base = base
        self._headers = dict(headers)
        self._key = key
        self.sent = 0
        self.received = 0

    @asynccontextmanager
    async def post(
        self, path: str, body: Mapping[str, Any], timeout_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """POST a JSON body; yields the chunks of a successful answer.

        Raises:
            AgentError: the server cannot be reached, refuses, or breaks off.
        """
        import httpx2

        url = self._base + path
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )
        self.sent += len(content)
        try:
            async with asyncio.timeout(timeout_s):
                async with aclosing(await self._send(url, content, timeout_s)) as response:
                    if response.status_code >= 300:
                        raise await refused(response, url, self._key)
                    if response.headers.get("content-type", "").startswith("text/html"):
                        raise AgentError(
                            "not_found",
                            f"{host_of(url)} answered with a web page, not as a model server does",
                            hint="check the `url` of the agent: as a rule it ends with /v1",
                        )
                    chunks = self._bounded(response)
                    yield chunks
                    await _ended(chunks)
        except TimeoutError:
            raise AgentError(
                "timeout", f"{host_of(url)} did not finish its answer within {timeout_s:.3g} s"
            ) from None
        except httpx2.TimeoutException:
            raise AgentError("timeout", f"{host_of(url)} did not answer in time") from None
        except httpx2.ConnectError as error:
            raise AgentError(
                "unavailable",
                f"{host_of(url)} cannot be reached: {str(error) or 'connection refused'}",
                hint="check that it runs, and the `url` of the agent",
            ) from None
        except httpx2.InvalidURL as error:
            raise AgentError("bad_request", f"the agent's url `{url}` is none: {error}") from None
        except httpx2.HTTPError as error:
            said = str(error) or type(error).__name__
            raise AgentError("cut_off", f"{host_of(url)} broke off its answer: {said}") from None

    async def _send(self, url: str, content: bytes, timeout_s: float) -> httpx2.Response:
        """The head of the answer.

        A server may close a connection that was left open just while we write to it: what was asked
        there is asked on another one. On a new connection nothing is asked twice.
        """
        import httpx2

        is_new = False

        async def notice(event: str, about: Mapping[str, object]) -> None:
            del about
            nonlocal is_new
            is_new = is_new or event.startswith("connection.connect")

        while True:
            request = self._client.build_request(
                "POST",
                url,
                headers={**self._headers, "content-type": "application/json"},
                content=content,
                timeout=httpx2.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
                extensions={"trace": notice},
            )
            try:
                return await self._client.send(request, stream=True)
            except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                if is_new:
                    raise

    async def get(self, path: str) -> tuple[int, object]:
        """GET a small JSON document: the status, and what it says; None where that is no JSON.

        Raises:
            httpx2.HTTPError, httpx2.InvalidURL: the server cannot be reached.
        """
        async with self._client.stream("GET", self._base + path, headers=self._headers) as response:
            content = b""
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > _MOST_LISTED:
                    return response.status_code, None
        try:
            return response.status_code, json.loads(content)
        except (ValueError, RecursionError):
            return response.status_code, None

    async def _bounded(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            self.received += len(chunk)
            if size > _MOST_BYTES:
                raise AgentError("limit", "the answer is longer than 50 MB")
            yield chunk


@asynccontextmanager
async def connect(
    url: str, headers: Mapping[str, str], key: str | None, clients: Clients | None = None
) -> AsyncIterator[Connection]:
    """A connection for one task.

    Args:
        key: environment variable that holds the key, for what is said when it is refused.
        clients: shared with other tasks; None for a client of its own.
    """
    if clients is not None:
        yield Connection(clients.at(url), url, headers, key)
        return
    async with alone() as own:
        yield Connection(own.at(url), url, headers, key)


async def look(
    url: str, headers: Mapping[str, str], path: str, key: str | None, timeout_s: float = 5.0
) -> tuple[Standing, object]:
    """Whether something answers HTTP there, and what it lists at `path`."""
    import httpx2

    began = time.monotonic()
    problem, found = "", None
    try:
        async with asyncio.timeout(timeout_s), connect(url, headers, key) as connection:
            status, found = await connection.get(path)
        if status >= 300:
            found = None
        if status in {401, 403}:
            problem = f"{host_of(url)} refuses the key; " + key_hint(key)
        elif status >= 500:
            problem = f"{host_of(url)} answered {status}"
    except TimeoutError:
        problem = f"{host_of(url)} does not answer within {timeout_s:g} s"
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        problem = f"{host_of(url)} cannot be reached: {str(error) or 'connection refused'}"
    return Standing(problem, seconds=time.monotonic() - began), found


async def warm_ollama(url: str, model: str, timeout_s: float) -> None:
    """Have a model loaded, which a request without a prompt does. Raises AgentError."""
    async with (
        connect(url, {}, None) as connection,
        connection.post("/api/generate", {"model": model}, timeout_s) as chunks,
    ):
        async for _ in chunks:
            pass


async def lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[str]:
    """Lines of a stream, however its chunks are cut; CR, LF and CRLF end one."""
    rest: list[bytes] = []  # joined once a line is whole: a long line costs no more than its length
    size = 0
    async for chunk in chunks:
        first, *others = chunk.split(b"\n")
        rest.append(first)
        size += len(first)
        if size > _MOST_LINE:
            raise AgentError("limit", "one line of the answer is longer than 16 MB")
        if not others:
            continue
        yield b"".join(rest).decode("utf-8", "replace").rstrip("\r")
        *whole, last = others
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
        rest, size = [last], len(last)
    if size:
        yield b"".join(rest).decode("utf-8", "replace")


async def events(chunks: AsyncIterator[bytes], agent: str) -> AsyncGenerator[tuple[str, str]]:
    """Server-sent events: type and data. By the WHATWG's HTML standard, section 9.2.

    Close it where it is left before its end: to have that done later wakes the loop twice.

    Args:
        agent: what messages call it.

    Raises:
        AgentError: there are none, and what is there says why.
    """
    kind = ""
    data: list[str] = []
    others: list[str] = []  # some servers answer 200 with an error, and no stream
    has_begun = False
    async with aclosing(lines(chunks)) as found:
        async for line in found:
            if not line:
                if data:
                    has_begun = True
                    yield kind or "message", "\n".join(data)
                kind, data = "", []
            elif not line.startswith(":"):
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name == "event":
                    kind = value
                elif name == "data":
                    data.append(value)
                elif not has_begun and len(others) < _MOST_OTHERS:
                    others.append(line)
    if data:
        yield kind or "message", "\n".join(data)
    elif others and not has_begun:
        raise no_stream("\n".join(others), agent)


def parse(text: str, host: str) -> dict[str, Any]:
    """A JSON object of a stream. Raises AgentError where it is none."""
    try:
        found = json.loads(text)
        if "\\ud" in text or "\\uD" in text:  # half a surrogate pair is nothing that can be kept
            whole = json.dumps(found, ensure_ascii=False).encode("utf-16", "surrogatepass")
            found = json.loads(whole.decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        raise AgentError("bad_output", f"{host} sent what is no JSON: {text[:100]!r}") from None
    if not isinstance(found, dict):
        raise AgentError("bad_output", f"{host} sent what is no object: {text[:100]!r}")
    return cast("dict[str, Any]", found)
