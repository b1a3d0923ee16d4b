"""Tools that stay alive between calls: JSON-RPC 2.0, one message a line.

```
→ {"jsonrpc": "2.0", "id": 1, "method": "comment", "params": {"body": "…"},
   "meta": {"key": "…", "attempt": 1, "run": "…", "step": "…"}}
← {"jsonrpc": "2.0", "id": 1, "result": {"id": 7}}
← {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no such issue"}}
← {"jsonrpc": "2.0", "method": "log", "params": {"text": "…"}}
```

Calls may overlap; a program that answers one after the other is fine. A line that is no message goes to
the log; a message that cannot be read, or an error without an id, fails all open calls. What is asked
of us is refused: there is nothing that a tool may ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import TYPE_CHECKING

from aiworkflow.steady import one_line
from aiworkflow.tools.contract import ToolError, Watch
from aiworkflow.tools.program import Listeners, Program, begun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.tools.process import Command

_KINDS = {-32602: "input", -32601: "not_found"}
_SHOWN = 300


class Speaker:
    """A tool's program that has begun."""

    def __init__(self, program: Program, name: str, listeners: Listeners) -> None:
        self._program = program
        self._name = name
        self._listeners = listeners
        self._numbers = itertools.count(1)
        self._open: dict[int, asyncio.Future[Mapping[str, Json]]] = {}

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked once more."""
        return self._program.is_alive

    async def call(
        self,
        method: str,
        params: Mapping[str, Json],
        meta: Mapping[str, Json],
        log: Callable[[str], None],
    ) -> Json:
        """Ask for something, and wait for the answer.

        Raises:
            ToolError: `tool`, `input`, `not_found`: it says so. `output`: its answer is none.
                `unavailable`, `limit`: it has ended; in doubt.
        """
        number = next(self._numbers)
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": params, "meta": meta}
        try:
            with self._listeners.listening(log):
                await self._program.write(json.dumps(asked, ensure_ascii=False).encode())
                return self._result(await answer)
        finally:
            del self._open[number]

    def _result(self, answer: Mapping[str, Json]) -> Json:
        error = answer.get("error")
        if error is None:
            if "result" not in answer:
                text = f"{self._name} answered with neither `result` nor `error`"
                raise ToolError("output", text)
            return answer["result"]
        about = error if isinstance(error, dict) else {"message": json.dumps(error)}
        code, said = (
            about.get("code"),
            one_line(str(about.get("message") or ""), _SHOWN) or "no reason given",
        )
        kind = _KINDS.get(code, "tool") if isinstance(code, int) else "tool"
        raise ToolError(kind, f"{self._name} failed: {said}")

    async def listen(self) -> None:
        """Hand its answers to whoever waits, to its end."""
        while (line := await self._program.line()) is not None:
            await self._heard(line)
        for one in self._open.values():
            if not one.done():
                one.set_exception(self._program.gone())

    async def _heard(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as why:
            message = None
            if line.startswith(b"{") and b'"jsonrpc"' in line:
                self._fail_all(f"an answer that cannot be read: {one_line(str(why), _SHOWN)}")
        if not isinstance(message, dict):
            shown = line[:_SHOWN].decode("utf-8", "replace")
            self._listeners.say(f"[no JSON-RPC message: {one_line(shown, _SHOWN)}]\n")
            return
        number = message.get("id")
        if "method" in message:
            params = message.get("params")
            if message["method"] == "log" and isinstance(params, dict):
                self._listeners.say(str(params.get("text", "")).rstrip("\n") + "\n")
            if number is not None:
                refusal = {"code": -32601, "message": "a tool can ask for nothing"}
                answer = {"jsonrpc": "2.0", "id": number, "error": refusal}
                with contextlib.suppress(ToolError):
                    await self._program.write(json.dumps(answer).encode())
            return
        if number is None and message.get("error") is not None:
            error = one_line(json.dumps(message["error"]), _SHOWN)
            self._fail_all(f"an error of no call: {error}")
        waiting = self._open.get(number) if isinstance(number, int) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _fail_all(self, what: str) -> None:
        """An answer came, and nobody can say to which call: each of them would wait for ever."""
        for one in self._open.values():
            if not one.done():
                text = f"{self._name} wrote {what}"
                hint = "answer each call with one line of JSON in UTF-8, under its `id`"
                one.set_exception(ToolError("output", text, in_doubt=True, hint=hint))


@contextlib.asynccontextmanager
async def speaking(command: Command, watch: Watch) -> AsyncIterator[Speaker]:
    """A tool's program while it is needed. Raises ToolError: it could not be begun."""
    listeners = Listeners()
    own = Watch(listeners.say, watch.process, watch.lock_fd)
    async with begun(command, own) as program, asyncio.TaskGroup() as group:
        speaker = Speaker(program, command.name, listeners)
        listening = group.create_task(speaker.listen())
        try:
            yield speaker
        finally:
            listening.cancel()
