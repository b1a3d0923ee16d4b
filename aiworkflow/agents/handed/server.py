"""The MCP server of one attempt: what a program calls here is called as by an agent of our own loop.

Theory. A program that acts by itself knows tools as MCP servers, which it begins itself. For the time
of one attempt there is a folder that only its owner may enter, with a socket, a token, and a program
that carries bytes between its standard streams and the socket (`pipe`). The agent is told to begin
that program. Whoever connects and knows the token is served here, in the process that drives the run:
each call goes through `Task.call`, and so stands in the journal before it is made and after.

The agent may begin the program several times, and ends it when it likes. An answer that nobody waits
for any more (the program gave up, or its connection broke) is kept: when the same is called again with
the same arguments, it is answered by that, and not done twice.

When the attempt is over the folder is gone, and the token with it. Calls that are still under way
then are awaited where the agent has come to its end, and ended where the attempt is.

Of the protocol (MCP, 2024-11-05 to 2025-11-25) this is what tools need: `initialize`, `ping`,
`tools/list`, `tools/call`. Lines are JSON-RPC 2.0.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.agents.contract import AgentError, Called, ToolCall, ToolResult
from aiworkflow.agents.fitting import misfit
from aiworkflow.agents.handed import pipe
from aiworkflow.agents.handed.names import NAME, names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiworkflow.agents.contract import Emit, Surroundings, Task
    from aiworkflow.bundle.workflow import Json

_VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
_MOST_LINE: Final = 16_000_000
_MOST_AT_ONCE: Final = 64
_MOST_CALLS: Final = 2_000
_KNOCK_S: Final = 10.0
_LONGEST_PATH: Final = 90


@asynccontextmanager
async def handing(task: Task, emit: Emit, around: Surroundings) -> AsyncIterator[str]:
    """Serve the tools of a task while it is done.

    Args:
        around: where the attempt has a folder of its own, and its log.

    Yields:
        The program that an agent is to begin as its MCP server; "" for a task without tools.
    """
    if not task.tools:
        yield ""
        return
    ends = None if task.timeout_s is None else time.monotonic() + task.timeout_s
    folder = _folder(around.scratch)
    try:
        async with asyncio.TaskGroup() as group:
            server = _Server(task, emit, secrets.token_hex(32), group)
            program = await server.open(folder)
            try:
                yield program
                if not server.is_known:
                    around.log("\n[it has never asked which tools the step has]\n")
                await server.rest(ends)
            finally:
                await server.close()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder(scratch: Path) -> Path:
    """A folder for the socket, whose path must be short."""
    folder = scratch / "tools"
    if len(os.fsencode(folder)) > _LONGEST_PATH:
        return Path(tempfile.mkdtemp(prefix="aiworkflow-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder


class _Server:
    """Serves all connections of one attempt."""

    def __init__(self, task: Task, emit: Emit, token: str, group: asyncio.TaskGroup) -> None:
        self._task = task
        self._emit = emit
        self._token = token
        self.group = group
        self._wire = names(task.tools)
        self._tools = {one.name: one for one in task.tools}
        self._count = 0
        self._made: set[asyncio.Task[ToolResult]] = set()
        self._forgotten: dict[str, asyncio.Task[ToolResult]] = {}
        self._lines: set[asyncio.Task[None]] = set()
        self._server: asyncio.AbstractServer | None = None
        self.is_known = False

    async def open(self, folder: Path) -> str:
        """Listen; the program that leads here."""
        self._server = await asyncio.start_unix_server(
            self._knock, str(folder / pipe.SOCKET), limit=_MOST_LINE
        )
        return await asyncio.to_thread(self._place, folder)

    def _place(self, folder: Path) -> str:
        token = folder / pipe.SHOWN
        token.touch(0o600)
        token.write_text(self._token)
        program = folder / NAME
        words = (sys.executable, "-I", "-S", str(Path(pipe.__file__)), str(folder))
        program.touch(0o700)
        program.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
        return str(program)

    async def rest(self, ends: float | None) -> None:
        """Wait for the calls that are still under way: their agent has come to its end.

        Raises:
            AgentError: `timeout`: the time of the task is up before.
        """
        while self._made:
            left = None if ends is None else max(0.0, ends - time.monotonic())
            done, _ = await asyncio.wait(self._made, timeout=left)
            if not done:
                raise AgentError(
                    "timeout", "the time was up while a tool was called", in_doubt=True
                )

    async def close(self) -> None:
        """Let nobody in any more, and let go of who is in."""
        if self._server is not None:
            self._server.close()
        for line in self._lines:
            line.cancel()
        for call in self._made:
            call.cancel()

    # -- connections ------------------------------------------------------------------------------

    def _knock(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = self.group.create_task(_Line(self, reader, writer).serve())
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)

    def knows(self, token: bytes) -> bool:
        """Whether somebody may come in."""
        return hmac.compare_digest(token.strip(), self._token.encode())

    def listed(self) -> list[Json]:
        """The tools, as the protocol has them."""
        self.is_known = True
        return [
            {"name": one.name, "description": one.description, "inputSchema": dict(one.parameters)}
            for one in self._wire.tools(self._task.tools)
        ]

    # -- calls ------------------------------------------------------------------------------------

    def begin(self, name: str, arguments: Mapping[str, Json]) -> asyncio.Task[ToolResult]:
        """Make a call, or take up one that nobody waits for any more."""
        key = self._key(name, arguments)
        known = self._forgotten.pop(key, None)
        if known is not None:
            return known
        made = self.group.create_task(self._call(self._wire.name(name), arguments))
        self._made.add(made)
        made.add_done_callback(self._made.discard)
        return made

    def forget(
        self, name: str, arguments: Mapping[str, Json], call: asyncio.Task[ToolResult]
    ) -> None:
        """Whoever asked for a call does not wait for it any more."""
        self._forgotten[self._key(name, arguments)] = call

    @staticmethod
    def _key(name: str, arguments: Mapping[str, Json]) -> str:
        return json.dumps([name, dict(arguments)], sort_keys=True)

    async def _call(self, name: str, arguments: Mapping[str, Json]) -> ToolResult:
        self._count += 1
        spec = self._tools.get(name)
        if spec is None:
            known = ", ".join(self._wire.of(one) for one in self._tools)
            return ToolResult(f"there is no tool `{name}`; tools are: {known}", is_error=True)
        if self._count > _MOST_CALLS:
            return ToolResult(f"more than {_MOST_CALLS:,} calls in one task", is_error=True)
        if len(self._made) > _MOST_AT_ONCE:
            text = f"more than {_MOST_AT_ONCE} calls at once; call it again when others have ended"
            return ToolResult(text, is_error=True)
        if problem := misfit(spec.parameters, arguments):
            return ToolResult(problem, is_error=True)
        call = ToolCall(f"{NAME}-{self._count}", name, arguments)
        self._emit(Called(call))
        result = await self._task.call(call)
        self._emit(Called(call, result))
        return result


class _Line:
    """One connection."""

    def __init__(
        self, server: _Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._asked: dict[str, tuple[str, Mapping[str, Json], asyncio.Task[ToolResult]]] = {}

    async def serve(self) -> None:
        """Answer what comes, until there is no more."""
        try:
            async with asyncio.timeout(_KNOCK_S):
                token = await self._reader.readline()
            if not self._server.knows(token):
                return
            while line := await self._reader.readline():
                self._take(line)
                await self._writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # it has gone, or sends lines without end
        finally:
            asked, self._asked = self._asked, {}
            for name, arguments, call in asked.values():
                self._server.forget(name, arguments, call)
            self._writer.close()

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            self._fail(None, -32700, "it is no JSON")
            return
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            if not (isinstance(asked, dict) and ("result" in asked or "error" in asked)):
                self._fail(None, -32600, "it is no request")
            return
        given = asked.get("params")
        params = cast("dict[str, Json]", given) if isinstance(given, dict) else {}
        id_, method = asked.get("id"), asked["method"]
        if id_ is None:
            if method == "notifications/cancelled":
                self._give_up(params.get("requestId"))
            return
        if not isinstance(id_, str | int):
            self._fail(None, -32600, "its id is none")
            return
        match method:
            case "initialize":
                self._answer(id_, self._greeting(params))
            case "ping":
                self._answer(id_, {})
            case "tools/list":
                self._answer(id_, {"tools": self._server.listed()})
            case "tools/call":
                self._called(id_, params)
            case _:
                self._fail(id_, -32601, f"there is no `{method[:100]}` here")

    @staticmethod
    def _greeting(params: Mapping[str, Json]) -> dict[str, Json]:
        from aiworkflow import __version__

        wanted = params.get("protocolVersion")
        return {
            "protocolVersion": wanted if wanted in _VERSIONS else _VERSIONS[0],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": NAME, "version": __version__},
            "instructions": "The tools of the workflow step that you do.",
        }

    def _called(self, id_: str | int, params: Mapping[str, Json]) -> None:
        name, given = params.get("name"), params.get("arguments")
        if not isinstance(name, str) or not isinstance(given, dict | None):
            self._fail(id_, -32602, "`tools/call` takes `name` and `arguments`")
            return
        arguments = given or {}
        call = self._server.begin(name, arguments)
        self._asked[repr(id_)] = name, arguments, call
        self._server.group.create_task(self._tell(id_, call))

    async def _tell(self, id_: str | int, call: asyncio.Task[ToolResult]) -> None:
        await asyncio.wait({call})
        if self._asked.pop(repr(id_), None) is None or call.cancelled() or call.exception():
            return
        result = call.result()
        content: Json = [{"type": "text", "text": result.text}]
        self._answer(id_, {"content": content, "isError": result.is_error})
        with contextlib.suppress(OSError):
            await self._writer.drain()

    def _give_up(self, id_: Json) -> None:
        asked = self._asked.pop(repr(id_), None)
        if asked is not None:
            self._server.forget(*asked)

    # -- answers ----------------------------------------------------------------------------------

    def _answer(self, id_: str | int, result: Json) -> None:
        self._say({"jsonrpc": "2.0", "id": id_, "result": result})

    def _fail(self, id_: str | int | None, code: int, text: str) -> None:
        error: Json = {"code": code, "message": text}
        self._say({"jsonrpc": "2.0", "id": id_, "error": error})

    def _say(self, message: dict[str, Json]) -> None:
        data = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        self._writer.write(data + b"\n")
