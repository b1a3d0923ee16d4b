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
import signal
import subprocess
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

from aiworkflow.agents.contract import AgentError
from aiworkflow.tools.pipes import Log, Pipe
from aiworkflow.tools.process import _lives, _signal_name, _watch_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.agents.contract import Surroundings

MOST_LINE: Final = 16_000_000  # bytes
MOST_ALL: Final = 100_000_000  # bytes
MOST_LOG: Final = 10_000_000  # bytes
_MOST_NONSENSE: Final = 20  # lines that are no JSON
_GONE_S: Final = 1.0
_LAST_WORDS_S: Final = 0.5  # after its exit, for what is still in the pipe


class _Output(Pipe):
    """Standard output; its end ends the lines."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        file: IO[bytes],
        take: Callable[[bytes], None],
        news: asyncio.Event,
        lines: asyncio.Queue[bytes | None],
    ) -> None:
        self._lines = lines
        super().__init__(loop, file, take, news)

    def close(self) -> None:
        """Read no more; safe to call twice."""
        super().close()
        self._lines.put_nowait(None)


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
        self._began = self._spawn(argv, cwd, env)
        began = self._began
        assert began.stdin is not None
        assert began.stdout is not None
        assert began.stderr is not None
        os.set_blocking(began.stdin.fileno(), False)
        self._stdin = began.stdin
        self._unsent = bytearray()
        self._is_sending = False
        self._news = asyncio.Event()
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._rest = bytearray()
        self._received = 0
        self._nonsense: list[str] = []
        self._answers = 0
        self._exited = False
        self._log = Log(around.log, MOST_LOG)
        self._pipes = (
            _Output(self._loop, began.stdout, self._take, self._news, self._lines),
            Pipe(self._loop, began.stderr, self._log.take, self._news),
        )
        self._exit_fd = _watch_exit(self._loop, began, self._note_exit)
        self._is_over = False
        self._noted = around.process(began.pid)
        self._noted.__enter__()

    def _spawn(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        lock = self._around.lock_fd
        try:
            return subprocess.Popen(
                list(argv),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=dict(env),
                pass_fds=() if lock is None else (lock,),
                start_new_session=True,
            )
        except FileNotFoundError:
            raise AgentError("not_found", f"`{argv[0]}` is not there") from None
        except (OSError, ValueError) as error:
            text = f"`{argv[0]}` cannot be started: {error}"
            raise AgentError("unavailable", text) from None

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
        while (line := await self._lines.get()) is not None:
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
                    self._news.set()
                return cast("dict[str, Any]", found)
            self._note_nonsense(text)
        return None

    async def close(self) -> None:
        """Nothing to do: the program ends with `end`."""

    async def rest(self) -> None:
        """Wait for the answer to what is under way."""
        before = self._answers
        await self._until(lambda: self._exited or self._answers > before, None)

    def log(self, text: str) -> None:
        """Put something into the task's log."""
        self._around.log(text)

    def give_up(self, problem: AgentError) -> None:
        """End the conversation: whoever waits for an answer gets none."""
        if self.problem is None:
            self.problem = problem
        self._lines.put_nowait(None)

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
            self._lines.put_nowait(bytes(self._rest) + whole[0])
            for line in whole[1:]:
                self._lines.put_nowait(line)
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
        await self._until(lambda: self._exited and self._are_closed(), _GONE_S)
        if self._nonsense and not self.has_spoken:
            return self._said_nonsense()
        last = next((one for one in reversed(self._log.tail.splitlines()) if one.strip()), "")
        because = f": {last.strip()[:300]}" if last else ""
        kind = "cut_off" if self.has_spoken else "unavailable"
        if not self._exited:
            return AgentError(kind, f"`{self.name}` closed its output{because}")
        look = os.WEXITED | os.WNOWAIT | os.WNOHANG
        code = os.waitid(os.P_PID, self._began.pid, look)  # noqa: ASYNC222  it does not block
        if code is not None and code.si_code != os.CLD_EXITED:
            return AgentError(kind, f"`{self.name}` was killed by {_signal_name(code.si_status)}")
        number = code.si_status if code is not None else 0
        return AgentError(kind, f"`{self.name}` ended with exit code {number}{because}")

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
        cancelled = False
        while not self._is_over:
            try:
                await self._end(0.0 if cancelled else patience_s, 0.0 if cancelled else 0.3)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _end(self, patience_s: float, grace_s: float) -> None:
        self._close_input()
        if patience_s:
            await self._until(lambda: self._exited, patience_s)
        if not self._exited:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)
            await self._until(lambda: self._exited, grace_s)
        self._signal(signal.SIGKILL)
        await self._until(lambda: self._exited, None)
        await self._until(self._are_closed, 0.2)
        await self._until_gone()
        self._began.wait()  # does not block: it has exited
        if self._exit_fd is not None:
            os.close(self._exit_fd)
            self._exit_fd = None
        for pipe in self._pipes:
            pipe.close()
        self._log.close()
        self._is_over = True
        self._noted.__exit__(None, None, None)

    async def _until_gone(self) -> None:
        """Wait for killed members of the group; the system takes a moment to remove them."""
        give_up = self._loop.time() + _GONE_S
        pause = 0.001
        while _lives(self._began.pid) and self._loop.time() < give_up:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)

    def _close_input(self) -> None:
        if not self._stdin.closed:
            if self._is_sending:
                self._is_sending = False
                self._loop.remove_writer(self._stdin.fileno())
            with contextlib.suppress(OSError):
                self._stdin.close()

    def _are_closed(self) -> bool:
        return all(pipe.is_closed for pipe in self._pipes)

    async def _until(self, done: Callable[[], bool], within_s: float | None) -> bool:
        """Wait for something to become true; whether it did in time."""
        try:
            async with asyncio.timeout(within_s):
                while not done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return done()
        return True

    def _note_exit(self) -> None:
        self._exited = True
        if self._exit_fd is not None:
            self._loop.remove_reader(self._exit_fd)
        # what it has left behind may hold its output open; it does not speak for it
        self._loop.call_later(_LAST_WORDS_S, self._lines.put_nowait, None)
        self._news.set()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._began.pid, number)
