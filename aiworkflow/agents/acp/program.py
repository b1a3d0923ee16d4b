"""A program that is spoken to in lines of JSON while it lives, and ended with all it began.

It leads a process group of its own and inherits the driver's lock. What it may say is bounded: a line,
and all lines together; what is no JSON goes to the log, and too much of it ends the conversation.
The end comes in steps: its input is closed, SIGTERM, SIGKILL to the whole group; a task that was
cancelled has no program left within a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Self, cast

from aiworkflow.agents.contract import AgentError
from aiworkflow.tools.contract import ToolError, Watch
from aiworkflow.tools.process import Child, Command, signal_name, spawn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aiworkflow.agents.contract import Surroundings

MOST_LINE: Final = 16_000_000  # bytes
MOST_ALL: Final = 100_000_000  # bytes
MOST_LOG: Final = 10_000_000  # bytes
_MOST_NONSENSE: Final = 20  # lines that are no JSON
_GONE_S: Final = 1.0
_GRACE_S: Final = 0.3  # from SIGTERM to SIGKILL
_LAST_WORDS_S: Final = 0.5  # after its exit, for what is still in the pipe


class Program:
    """A program that has begun; used once, by one task. Use as an asynchronous context manager.

    Attributes:
        problem: why the conversation cannot go on, once it cannot.
        has_spoken: whether a message of it has come.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        around: Surroundings,
    ) -> None:
        self.name = name
        self.problem: AgentError | None = None
        self.has_spoken = False
        self._around = around
        self._loop = asyncio.get_running_loop()
        command = Command(tuple(argv), cwd, env, f"`{name}`", log_limit=MOST_LOG, grace_s=_GRACE_S)
        watch = Watch(around.log, around.process, around.lock_fd)
        began = _spawned(command, watch)
        assert began.stdin is not None
        os.set_blocking(began.stdin.fileno(), False)
        self._stdin = began.stdin
        self._unsent = bytearray()
        self._is_sending = False
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()
        self._received = 0
        self._nonsense: list[str] = []
        self._answers = 0
        self._child = Child(began, command, watch, self._take)
        self._is_over = False
        self._noted = around.process(began.pid)
        self._noted.__enter__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end(0.0)

    # -- speaking: what the package calls a transport ---------------------------------------------

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message. Raises ConnectionError when the program takes no more."""
        if self._stdin.closed:
            raise ConnectionError("its input is closed")
        self._unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self._write()

    async def receive(self) -> dict[str, Any] | None:
        """The next message; None when no more will come: see `problem`."""
        while (line := await self._line()) is not None:
            text = line.strip()
            if not text or self.problem is not None:
                continue
            try:
                found = json.loads(text)
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, dict):
                self.has_spoken = True
                if "method" not in found:
                    self._answers += 1
                    self._child.ring()
                return cast("dict[str, Any]", found)
            self._note_nonsense(text)
        return None

    async def _line(self) -> bytes | None:
        child = self._child
        while not self._lines:
            if self._has_news():
                return None
            if not child.has_exited:
                await child.until(lambda: self._has_news() or child.has_exited)
            # what it has left behind may hold its output open; it does not speak for it
            elif not await child.until(self._has_news, _LAST_WORDS_S):
                return None
        return self._lines.popleft() if self.problem is None else None

    def _has_news(self) -> bool:
        return bool(self._lines) or self.problem is not None or self._child.stdout.is_closed

    async def close(self) -> None:
        """Nothing to do: the program ends with `end`."""

    async def rest(self) -> None:
        """Wait for the answer to what is under way."""
        before = self._answers
        await self._child.until(lambda: self._child.has_exited or self._answers > before)

    def log(self, text: str) -> None:
        """Put something into the task's log."""
        self._around.log(text)

    def give_up(self, problem: AgentError) -> None:
        """End the conversation: whoever waits for an answer gets none."""
        if self.problem is None:
            self.problem = problem
        self._child.ring()

    def _write(self) -> None:
        try:
            while self._unsent:
                written = os.write(self._stdin.fileno(), self._unsent[:65536])
                del self._unsent[:written]
        except BlockingIOError:
            if not self._is_sending:
                self._is_sending = True
                self._loop.add_writer(self._stdin.fileno(), self._write)
            return
        except OSError:  # it has closed its input: its end says the rest
            self._unsent.clear()
        if self._is_sending:
            self._is_sending = False
            self._loop.remove_writer(self._stdin.fileno())

    def _take(self, data: bytes) -> None:
        if self.problem is not None:
            return
        self._received += len(data)
        *whole, rest = data.split(b"\n")
        if whole:
            self._lines.append(bytes(self._rest) + whole[0])
            self._lines.extend(whole[1:])
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > MOST_LINE or self._received > MOST_ALL:
            self._rest.clear()
            most = MOST_LINE if self._received <= MOST_ALL else MOST_ALL
            what = "a line of" if most == MOST_LINE else "a conversation of"
            self.give_up(
                AgentError("limit", f"`{self.name}` sent {what} more than {most // 1_000_000} MB")
            )

    def _note_nonsense(self, line: bytes) -> None:
        text = line[:200].decode("utf-8", "replace")
        self._around.log(text + "\n")
        self._nonsense.append(text)
        if line.startswith(b"{") or len(self._nonsense) > _MOST_NONSENSE:
            self.give_up(self._said_nonsense())

    def _said_nonsense(self) -> AgentError:
        return AgentError(
            "bad_output",
            f"`{self.name}` does not speak the Agent Client Protocol: {self._nonsense[0][:100]!r}",
            hint="look whether its command line begins it in the mode of that protocol",
        )

    # -- its end ----------------------------------------------------------------------------------

    async def death(self) -> AgentError:
        """Why the conversation has ended, told by how the program did; waits for that a moment."""
        if self.problem is not None:
            return self.problem
        child = self._child
        await child.until(lambda: child.has_exited and child.has_been_read, _GONE_S)
        if self._nonsense and not self.has_spoken:
            return self._said_nonsense()
        because = f": {child.tail}" if child.tail else ""
        kind = "cut_off" if self.has_spoken else "unavailable"
        if not child.has_exited:
            return AgentError(kind, f"`{self.name}` closed its output{because}")
        code = child.exit_code or 0
        if code < 0:
            return AgentError(kind, f"`{self.name}` was killed by {signal_name(-code)}")
        return AgentError(kind, f"`{self.name}` ended with exit code {code}{because}")

    def silence(self, seconds: float, doing: str) -> AgentError:
        """What to say when time is up."""
        if self._nonsense and not self.has_spoken:
            return self._said_nonsense()
        return AgentError("timeout", f"`{self.name}` did not {doing} within {seconds:g} s")

    async def end(self, patience_s: float) -> None:
        """End it, and all it began, however often the caller is cancelled meanwhile.

        Args:
            patience_s: how long it may take to end by itself once its input is closed.
        """
        if self._is_over:
            return
        self._close_input()
        try:
            if patience_s:
                await self._child.until(lambda: self._child.has_exited, patience_s)
        finally:
            try:
                await self._child.end()
            finally:
                self._child.close()
                self._is_over = True
                self._noted.__exit__(None, None, None)

    def _close_input(self) -> None:
        if not self._stdin.closed:
            if self._is_sending:
                self._is_sending = False
                self._loop.remove_writer(self._stdin.fileno())
            with contextlib.suppress(OSError):
                self._stdin.close()


def _spawned(command: Command, watch: Watch) -> subprocess.Popen[bytes]:
    program = command.argv[0]
    try:
        return spawn(command, watch.lock_fd, subprocess.PIPE)
    except ToolError as error:
        if error.kind == "not_found" and command.cwd.is_dir():
            raise AgentError("not_found", f"`{program}` is not there") from None
        text = f"`{program}` cannot be started: {error.message}"
        raise AgentError("unavailable", text) from None
