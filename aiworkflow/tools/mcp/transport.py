"""How messages reach an MCP server: lines of a program, or requests over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Final

import anyio
import httpx2
import mcp_types as types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.later import retry_after_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mcp.client._transport import TransportStreams

    from aiworkflow.tools.program import Program

KEY: Final = "aiworkflow/key"
"""Where in a call's `_meta` its idempotency key stands."""
_CONNECT_S: Final = 10.0


@contextlib.asynccontextmanager
async def lines_of(program: Program, answers: Answers) -> AsyncIterator[TransportStreams]:
    """A transport over a program's lines."""
    to_read, reading = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    writing, to_write = anyio.create_memory_object_stream[SessionMessage](0)

    async def read() -> None:
        async with to_read:
            while (line := await program.line()) is not None:
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError as error:
                    await to_read.send(error)
                else:
                    await to_read.send(SessionMessage(message))

    async def write() -> None:
        async with to_write:
            async for one in to_write:
                if answers.is_mute:
                    continue
                text = one.message.model_dump_json(by_alias=True, exclude_unset=True)
                with contextlib.suppress(ToolError):  # the reader says that it has ended
                    await program.write(text.encode())

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_quiet(read())), group.create_task(_quiet(write()))]
        try:
            yield reading, writing
        finally:
            reading.close()
            writing.close()
            for task in tasks:
                task.cancel()


async def _quiet(work: object) -> None:
    """Until the other side is closed."""
    with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        await work  # type: ignore[misc]


class Answers:
    """What the server's HTTP layer said last beside its messages.

    Attributes:
        is_mute: whether the server is told nothing more: not even that its question has no answer.
        failed: the last status that was an error, whichever request it answered.
    """

    def __init__(self) -> None:
        self.is_mute = False
        self.failed: int | None = None
        self._of_calls: dict[str, int] = {}
        self.retry_after_s: float | None = None
        self.too_large: int | None = None

    def forget(self, key: str) -> None:
        """A call begins."""
        self.failed = self.retry_after_s = self.too_large = None
        self._of_calls.pop(key, None)

    def of_call(self, key: str) -> int | None:
        """The status that the request of a call itself was refused with.

        Another request may be refused while the call is at work: another call, or the one by which the
        library looks for the answer again. That says nothing of what became of the call.
        """
        return self._of_calls.get(key)

    def refusal(self, name: str, status: int | None) -> ToolError | None:
        """What there is to say of a status, where a message of the server would say less."""
        if self.too_large is not None:
            return ToolError(
                "limit",
                f"{name} answered with more than {self.too_large} bytes",
                in_doubt=True,
                hint="ask for less, or raise `limits: output` in config.yaml",
            )
        if status in {401, 403}:
            text, hint = f"{name} refuses access (HTTP {status})", "look at the server's `headers`"
            return ToolError("auth", text, http_status=status, hint=hint)
        if status == 429:
            text, later = f"{name} has had too many requests (HTTP 429)", self.retry_after_s
            return ToolError("rate_limit", text, http_status=status, retry_after_s=later)
        return None

    async def note(self, response: httpx2.Response) -> None:
        """A response came."""
        if response.status_code >= 400:
            self.failed = response.status_code
            self.retry_after_s = retry_after_s(response.headers)
            key = _key_of(response.request)
            if key is not None:
                self._of_calls[key] = response.status_code


def _key_of(request: httpx2.Request) -> str | None:
    """The key of the call that a request makes; None where it makes none."""
    try:
        found = json.loads(request.content)["params"]["_meta"][KEY]
    except (KeyError, TypeError, ValueError, httpx2.RequestNotRead):
        return None
    return found if isinstance(found, str) else None


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, limit: int, answers: Answers) -> None:
        self._stream = stream
        self._limit = self._left = limit
        self._answers = answers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._left -= len(piece)
            if self._left < 0:
                self._answers.too_large = self._limit
                raise httpx2.StreamError("the answer is too large")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Transport(httpx2.AsyncHTTPTransport):
    """Refuses answers that are too large, before they are in memory."""

    def __init__(self, limit: int, answers: Answers) -> None:
        super().__init__()
        self._limit = limit
        self._answers = answers

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._answers.is_mute and request.method == "POST":
            raise httpx2.ConnectError("the connection is being closed")
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx2.AsyncByteStream) and request.method == "POST":
            response.stream = _Bounded(response.stream, self._limit, self._answers)
        return response


@contextlib.asynccontextmanager
async def requests_to(
    url: str, headers: Mapping[str, str], answers: Answers, limit: int
) -> AsyncIterator[TransportStreams]:
    """A transport over HTTP; large answers are refused."""
    async with (
        httpx2.AsyncClient(
            headers=dict(headers),
            timeout=httpx2.Timeout(_CONNECT_S, read=None),
            event_hooks={"response": [answers.note]},
            transport=_Transport(limit, answers),
        ) as client,
        streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams
