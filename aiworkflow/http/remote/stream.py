"""A run's events as a server sends them: one after the other, over connections that are lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import AIWorkflowError
from aiworkflow.http.remote.connection import API, checked
from aiworkflow.http.remote.reading import path_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    import httpx2

    from aiworkflow.http.remote.connection import Connection

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_SILENCE_S: Final = 60.0
PASSING: Final = frozenset({"draining", "unavailable", "journal-unavailable", "too-many"})
"""Codes of errors that pass by themselves."""

PATIENCE_S: Final = 120.0
"""How long nobody may answer who is followed."""


class Events:
    """The events of a run, from one on, until the run is at rest.

    Each comes once and in order, however often the connection is lost: it is made again after the last
    event that came.

    Args:
        patience_s: how long nothing may come: neither events nor that the stream is alive.

    Attributes:
        seq: the last event that came.
    """

    def __init__(
        self, connection: Connection, run: str, after: int = 0, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._connection = connection
        self._run = run
        self._patience_s = patience_s
        self._heard = 0.0
        self.seq = after

    def _hear(self) -> None:
        self._heard = asyncio.get_running_loop().time()

    async def __aiter__(self) -> AsyncGenerator[tuple[int, bytes]]:
        """Seq and payload of each.

        Raises:
            AIWorkflowError: as the server says. Unreachable: nobody answers, for long.
        """
        import httpx2

        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE_S
        self._hear()
        while True:
            try:
                async with contextlib.aclosing(self._once()) as coming:
                    async for name, id_, data in coming:
                        pause = _FIRST_PAUSE_S
                        self._hear()
                        if name == "end":
                            return
                        if id_.isdecimal() and int(id_) > self.seq:
                            self.seq = int(id_)
                            yield self.seq, data.encode("utf-8", "surrogatepass")
                failed: Exception | None = None
            except httpx2.TransportError as error:
                failed = error
            except AIWorkflowError as error:
                if error.code not in PASSING:
                    raise
                failed = error
            if loop.time() - self._heard > self._patience_s:
                raise self._connection.unreachable(failed or TimeoutError("it cuts off"))
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 2)

    async def _once(self) -> AsyncGenerator[tuple[str, str, str]]:
        """Name, id and data of what comes over one connection."""
        import httpx2

        client = self._connection.asynchronous()
        headers = {"accept": "text/event-stream", "last-event-id": str(self.seq)}
        timeout = httpx2.Timeout(_SILENCE_S, connect=10.0)
        async with client.stream(
            "GET",
            f"{API}{path_of(self._run, 'events')}",
            params={"raw": "true"},
            headers=headers,
            timeout=timeout,
        ) as answer:
            if answer.status_code != 200:
                await answer.aread()
                checked(answer)
            async with contextlib.aclosing(_pieces(answer, self._hear)) as coming:
                async for one in coming:
                    yield one


async def _pieces(
    answer: httpx2.Response, alive: Callable[[], None] = lambda: None
) -> AsyncGenerator[tuple[str, str, str]]:
    """Name, id and data of each event; `alive` is called for what only says that there are none."""
    name, id_ = "", ""
    data: list[str] = []
    async for line in _lines(answer):
        if not line:
            if data:
                yield name, id_, "\n".join(data)
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "id":
                id_ = value
            case "data":
                data.append(value)
            case "":  # a comment
                alive()
            case _:  # `retry`
                continue


async def _lines(answer: httpx2.Response) -> AsyncIterator[str]:
    """Lines that end with a line feed alone: JSON may hold what others take for line ends."""
    rest = b""
    async for part in answer.aiter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "surrogatepass")
