"""A program that stays: begun once, spoken to in lines on its standard input and output.

Theory. The program is a child like any other (`process.py`): it leads a process group, inherits the
driver's lock, and what it leaves behind is ended with it. What is different is that nobody waits for
its end. Lines that nobody has read yet are bounded: then the pipe is not read, and the program has to
wait. Its standard error goes to the log of the call that was made last, and to nobody between calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections import deque
from typing import IO, TYPE_CHECKING

from aiworkflow.tools.contract import ToolError, Watch
from aiworkflow.tools.process import Child, Command, spawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_FAREWELL_S = 0.5  # from the end of its input to SIGTERM
_LAST_WORDS_S = 0.2  # after its exit, for what is still in the pipe
_WAITING = 1_000_000  # bytes of whole lines that wait to be read


class Listeners:
    """Who hears what a program says beside its answers: the call that was made last."""

    def __init__(self) -> None:
        self._logs: list[Callable[[str], None]] = []

    @contextlib.contextmanager
    def listening(self, log: Callable[[str], None]) -> Iterator[None]:
        """Hand what is said to `log` for a while."""
        self._logs.append(log)
        try:
            yield
        finally:
            self._logs.remove(log)

    def say(self, text: str) -> None:
        """Something was said."""
        if self._logs:
            self._logs[-1](text)


class Program:
    """A program that has begun."""

    def __init__(self, began: subprocess.Popen[bytes], command: Command, watch: Watch) -> None:
        self._child = Child(began, command, watch, self._take)
        self._name = command.name
        self._stdin = _Sink()
        self._limit = command.output_limit
        self._part = bytearray()
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._is_too_long = False
        self._is_deaf = False

    @property
    def is_alive(self) -> bool:
        """Whether it can be spoken to."""
        child = self._child
        is_deaf = child.has_exited or child.stdout.is_closed or self._stdin.is_lost
        return not (is_deaf or self._is_too_long)

    def gone(self) -> ToolError:
        """What to say of a program that has ended; whether it did what it was told is not known."""
        if self._is_too_long:
            return ToolError(
                "limit",
                f"{self._name} wrote a line of more than {self._limit} bytes",
                in_doubt=True,
                hint="write large results to a file, or raise `limits: output` in config.yaml",
            )
        code, said = self._child.exit_code, self._child.tail
        how = "" if code is None else f" with exit code {code}"
        if code is not None and code < 0:
            how = f", killed by signal {-code}"
        return ToolError(
            "unavailable",
            f"{self._name} has ended{how}" + (f": {said}" if said else ""),
            in_doubt=True,
            hint="it is begun again with the next call",
        )

    async def write(self, line: bytes) -> None:
        """Write a line; waits while the program does not read.

        Raises:
            ToolError: it has ended.
        """
        if not self.is_alive:
            raise self.gone()
        await self._stdin.write(line + b"\n")

    async def line(self) -> bytes | None:
        """The next line it wrote; None when there will be none."""
        while not self._lines:
            if self._is_too_long:
                return None
            if (
                self._child.stdout.is_closed
            ):  # as a rule it is about to exit: so that we can say how
                await self._child.until(lambda: self._child.has_exited, _LAST_WORDS_S)
                return None
            if self._child.has_exited:
                # something it left behind may hold the pipe open
                if not await self._child.until(self._has_news, _LAST_WORDS_S):
                    return None
            else:
                await self._child.until(lambda: self._has_news() or self._child.has_exited)
        line = self._lines.popleft()
        was_full = self._waiting > _WAITING
        self._waiting -= len(line)
        if was_full and self._waiting <= _WAITING:
            self._child.stdout.resume()
        return line

    def _has_news(self) -> bool:
        return bool(self._lines) or self._is_too_long or self._child.stdout.is_closed

    def _take(self, data: bytes) -> None:
        """Standard output as it comes."""
        if self._is_deaf:
            return
        *lines, rest = data.split(b"\n")
        for piece in lines:
            line = bytes(self._part + piece).strip()
            self._part.clear()
            if len(line) > self._limit:
                self._is_too_long = True
            elif line:
                self._lines.append(line)
                self._waiting += len(line)
        self._part += rest
        if len(self._part) > self._limit:
            self._is_too_long = True
        if self._is_too_long:
            self._part.clear()
            self._is_deaf = True
        elif self._waiting > _WAITING:
            self._child.stdout.pause()

    async def _end(self) -> None:
        """Ask it to end, by the end of its input, and then see to it."""
        self._is_deaf = True
        self._child.stdout.resume()
        self._stdin.close()
        try:
            if not self._is_too_long:
                await self._child.until(lambda: self._child.has_exited, _FAREWELL_S)
        finally:
            await self._child.end()

    @contextlib.asynccontextmanager
    async def held(self, process: subprocess.Popen[bytes], watch: Watch) -> AsyncIterator[None]:
        """See to its end."""
        assert process.stdin is not None
        try:
            with watch.process(process.pid):
                try:
                    await self._stdin.connect(process.stdin)
                    yield
                finally:
                    await self._end()
        finally:
            await self._child.end()  # also where `watch.process` itself failed
            self._child.close()


@contextlib.asynccontextmanager
async def begun(command: Command, watch: Watch) -> AsyncIterator[Program]:
    """A program while it is needed; nothing of it is left afterwards.

    Raises:
        ToolError: it could not be begun.
    """
    process = spawn(command, watch.lock_fd, subprocess.PIPE)
    program = Program(process, command, watch)
    async with program.held(process, watch):
        yield program


class _Sink(asyncio.BaseProtocol):
    """The standard input of a program."""

    def __init__(self) -> None:
        self.is_lost = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.WriteTransport | None = None

    async def connect(self, pipe: IO[bytes]) -> None:
        """Begin to write to a pipe."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_write_pipe(lambda: self, pipe)

    async def write(self, data: bytes) -> None:
        """Write; returns when not too much waits to be read."""
        assert self._transport is not None
        self._transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        """The end of its input; what it has not read is dropped."""
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self.is_lost = True
        self._writable.set()
