"""A child process: begun in a session of its own, watched while it lives, and ended with all it began.

Theory. A child leads its own process group, and the group ends with the child: whatever the child
leaves behind is killed, so that a step that has ended does nothing more. The leader is not reaped
until that is done, since a process that is not reaped keeps its number: the signal to the group can
never reach a stranger that was given the number in between.

What can happen, and what follows:

    the leader exits                 wait for its pipes; a process in the background that keeps one
                                     open and is silent is not waited for
    time is up                       SIGTERM to the group, grace, SIGKILL; `timeout`, in doubt
    too much on standard output      the same; `limit`, in doubt
    the caller is cancelled          the same; a second cancellation skips the grace
    a signal from elsewhere          `exit`, in doubt

A process that leaves the group (`setsid`) is ended too where the child is broken off (`offspring.py`).
Where the child ends by itself it stays: a daemon that a script begins on purpose is made that way. It
inherits the driver's lock, by which whoever takes the run over finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, BinaryIO

from aiworkflow.records import record
from aiworkflow.steady import one_line
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.environment import check_text
from aiworkflow.tools.offspring import Offspring, group_lives
from aiworkflow.tools.pipes import Log, Pipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aiworkflow.tools.bounds import Bounds
    from aiworkflow.tools.contract import Watch

GRACE_S = 0.5  # from SIGTERM to SIGKILL: what is broken off is to be over within a second
_QUIET_S = 2.0  # silence after which a pipe held open by a process in the background is given up
_PATIENCE_S = 10.0  # longest wait for pipes that still speak after the leader's end
_GONE_S = 1.0  # longest wait for killed processes to be gone


@record
class Command:
    """A program to run.

    Attributes:
        argv: program and arguments; never seen by a shell.
        env: the whole environment.
        name: how messages call it, for example "the script" or "tool `github`".
        timeout_s: seconds it may take, or None.
        output_limit: most bytes of standard output.
        log_limit: most bytes of standard error that are handed on; the rest is dropped.
        stdin: file that standard input reads from; None for an empty one.
        take: gets standard output as it comes; it is then not kept.
        grace_s: seconds from SIGTERM to SIGKILL.
        bounds: `timeout_s` stands still with them while a person is asked; None for never.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    name: str
    timeout_s: float | None = None
    output_limit: int = 10_000_000
    log_limit: int = 10_000_000
    stdin: Path | None = None
    take: Callable[[bytes], None] | None = None
    grace_s: float = GRACE_S
    bounds: Bounds | None = None


@record
class Finished:
    """How a process ended: exit code (negative: the signal that killed it), output, end of its log."""

    exit_code: int
    stdout: bytes
    tail: str


async def run(command: Command, watch: Watch) -> Finished:
    """Run a program to its end; nothing of it is left when this returns or raises.

    Raises:
        ToolError: `not_found`, `limit`, `timeout`, `input` or `output`; an exit code is no error here.
        asyncio.CancelledError: after the process and all it began have ended.
    """
    child = Child(spawn(command, watch.lock_fd), command, watch)
    try:
        with watch.process(child.pid):
            try:
                await child.end_by_itself()
            finally:
                await child.end()
    finally:
        await child.end()  # also where `process` itself failed
        child.close()
    return child.finished()


def succeed(finished: Finished, name: str) -> bytes:
    """Standard output of a process that ended with 0.

    Raises:
        ToolError: `exit`; its message ends with the last line of standard error.
    """
    code = finished.exit_code
    if code == 0:
        return finished.stdout
    last = _last_line(finished.tail)
    because = f": {last}" if last else ""
    if code > 0:
        raise ToolError("exit", f"{name} ended with exit code {code}{because}", process_exit=code)
    raise ToolError(
        "exit",
        f"{name} was killed by {signal_name(-code)}{because}",
        process_exit=128 - code,
        in_doubt=True,
        hint="look for what ended it: the system under memory pressure, or a person",
    )


class Child:
    """A process that has begun. Used once.

    Args:
        take: gets standard output as it comes, instead of it being kept.
    """

    def __init__(
        self,
        began: subprocess.Popen[bytes],
        command: Command,
        watch: Watch,
        take: Callable[[bytes], None] | None = None,
    ) -> None:
        self._process = began
        self._command = command
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._exited = False
        self._reaped = False
        self._is_broken_off = False
        self._escaped = Offspring(began.pid, command.env)
        self._stdout = bytearray()
        self._written = 0
        self._too_much = False
        self._log = Log(watch.log, command.log_limit)
        assert began.stdout is not None
        assert began.stderr is not None
        self._pipes = (
            Pipe(self._loop, began.stdout, take or self._take, self._news),
            Pipe(self._loop, began.stderr, self._log.take, self._news),
        )
        self._exit_fd = _watch_exit(self._loop, began, self._note_exit)

    @property
    def pid(self) -> int:
        """Of the leader, and of its process group."""
        return self._process.pid

    @property
    def stdout(self) -> Pipe:
        """Standard output."""
        return self._pipes[0]

    @property
    def has_exited(self) -> bool:
        """Whether the leader has; what it began may live."""
        return self._exited

    @property
    def has_been_read(self) -> bool:
        """Whether both its pipes have come to their end."""
        return self._all_read()

    @property
    def exit_code(self) -> int | None:
        """Of a leader that has exited and is not reaped; negative: the signal that killed it."""
        if not (self._exited and hasattr(os, "waitid")) or self._reaped:
            return self._process.returncode
        with contextlib.suppress(ChildProcessError):
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        return None

    @property
    def tail(self) -> str:
        """The last line of its log that says something."""
        return _last_line(self._log.tail)

    async def until(self, done: Callable[[], bool], within_s: float | None = None) -> bool:
        """Wait until something is so that a pipe or the exit brings about; whether it is in time."""
        return await self._until(done, within_s)

    def ring(self) -> None:
        """Something else has happened that somebody may wait for with `until`."""
        self._news.set()

    async def end_by_itself(self) -> None:
        """Wait for the end that the program itself comes to, within its bounds."""
        self._is_broken_off = True
        await self._come_to_an_end()
        self._is_broken_off = False

    async def _come_to_an_end(self) -> None:
        command = self._command
        within = command.timeout_s, command.bounds
        if not await self._until(lambda: self._exited or self._too_much, *within):
            raise ToolError(
                "timeout",
                f"{command.name} did not end within {_seconds(command.timeout_s)}",
                in_doubt=True,
                hint="give it more time with `timeout`, or make it do less",
            )
        await self._drain()
        if self._too_much:
            raise ToolError(
                "limit",
                f"{command.name} wrote more than {command.output_limit} bytes to standard output",
                in_doubt=not self._exited,
                hint="write large results to a file, or raise `limits: output` in config.yaml",
            )

    async def _drain(self) -> None:
        """After the leader's end: read what is still to come."""
        give_up = self._loop.time() + _PATIENCE_S
        while not (self._too_much or self._all_read()):
            before = self._received()
            if not await self._until(self._all_read, _QUIET_S) and before == self._received():
                self._log.note(
                    "a process left in the background held the output open; it was ended"
                )
                return
            if self._loop.time() > give_up:
                raise ToolError(
                    "output",
                    f"{self._command.name} ended, but something it left in the background went on"
                    " writing its output",
                    hint="`wait` for processes in the background before the end",
                )

    async def end(self) -> None:
        """End what is left, however often the caller is cancelled meanwhile; reap."""
        cancelled = False
        while not self._reaped:
            try:
                await self._end(grace_s=0.0 if cancelled else self._command.grace_s)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _end(self, grace_s: float) -> None:
        if not self._exited:
            self._is_broken_off = True
            self._escaped.look()
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process sees SIGTERM only when it goes on
            await self._until(lambda: self._exited and self._all_read(), grace_s)
        if self._is_broken_off:
            self._escaped.look()
        self._signal(signal.SIGKILL)
        await self._until(lambda: self._exited, None)
        self._process.wait()  # does not block: it has exited
        await self._until(self._all_read, _GONE_S / 2)
        await self._until_gone()
        self._reaped = True

    async def _until_gone(self) -> None:
        """Wait for killed members of the group; the system takes a moment to remove them."""
        give_up = self._loop.time() + _GONE_S
        pause = 0.001
        while self._end_escaped() or group_lives(self._process.pid):
            if self._loop.time() > give_up:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)

    def _end_escaped(self) -> bool:
        """Kill what left the group; whether any of it lived, and a further look is due."""
        if not (self._is_broken_off and self._escaped.look()):
            return False
        self._escaped.signal(signal.SIGKILL)
        return True

    def close(self) -> None:
        """Let go of the pipes; safe to call at any point."""
        if self._exit_fd is not None:
            self._loop.remove_reader(self._exit_fd)
            os.close(self._exit_fd)
            self._exit_fd = None
        for pipe in self._pipes:
            pipe.close()
        self._log.close()

    def finished(self) -> Finished:
        """How it ended."""
        return Finished(self._process.returncode, bytes(self._stdout), self._log.tail)

    async def _until(
        self, done: Callable[[], bool], within_s: float | None, bounds: Bounds | None = None
    ) -> bool:
        """Wait for something to become true; whether it did in time."""
        try:
            async with asyncio.timeout(within_s) if bounds is None else bounds.within(within_s):
                while not done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return done()
        return True

    def _all_read(self) -> bool:
        return all(pipe.is_closed for pipe in self._pipes)

    def _received(self) -> int:
        return sum(pipe.received for pipe in self._pipes)

    def _note_exit(self) -> None:
        self._exited = True
        if self._exit_fd is not None:
            self._loop.remove_reader(self._exit_fd)
        self._news.set()

    def _take(self, data: bytes) -> None:
        self._written += len(data)
        if self._written > self._command.output_limit:
            self._too_much = True
        elif self._command.take is not None:
            self._command.take(data)
        else:
            self._stdout += data

    def _signal(self, number: signal.Signals) -> None:
        # PermissionError: macOS says so of a group in which only zombies are left
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
        self._escaped.signal(number)


def spawn(
    command: Command, lock_fd: int | None, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Begin a process in a session of its own.

    Raises:
        ToolError: `not_found`, `limit`, `input` or `io`.
    """
    argv = [_encoded(word, f"an argument of {command.name}") for word in command.argv]
    env = {
        name.encode(): _encoded(value, f"environment variable `{name}`")
        for name, value in command.env.items()
    }
    try:
        with contextlib.ExitStack() as files:
            given: int | BinaryIO = stdin
            if command.stdin is not None:
                given = files.enter_context(command.stdin.open("rb"))
            return subprocess.Popen(
                argv,
                bufsize=0,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=command.cwd,
                env=env,
                pass_fds=() if lock_fd is None else (lock_fd,),
                start_new_session=True,
            )
    except OSError as error:
        raise _not_started(command, error) from error


def _encoded(text: str, what: str) -> bytes:
    """UTF-8, whatever the locale."""
    check_text(text, what)
    return text.encode()


def _not_started(command: Command, error: OSError) -> ToolError:
    program = command.argv[0]
    if error.errno == errno.E2BIG:
        return ToolError(
            "limit",
            f"{command.name} cannot be started: its arguments and environment are too large",
            hint="hand large values over in files",
        )
    if not command.cwd.is_dir():
        return ToolError("not_found", f"the folder `{command.cwd}` to run in does not exist")
    if error.errno == errno.ENOENT:
        return ToolError(
            "not_found",
            f"{command.name} needs `{program}`, which is not there",
            hint=f"install `{program}` so that it is on the PATH, or say under `interpreters` in"
            " config.yaml what to use instead",
        )
    if error.errno == errno.EACCES:
        return ToolError(
            "not_found", f"`{program}` may not be executed", hint=f"run `chmod +x {program}`"
        )
    if error.errno == errno.ENOEXEC:
        return ToolError(
            "not_found",
            f"`{program}` is not a program",
            hint="begin it with a line such as `#!/usr/bin/env bash`",
        )
    return ToolError("io", f"{command.name} cannot be started: {error.strerror or error}")


def _watch_exit(
    loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes], exited: Callable[[], None]
) -> int | None:
    """Call `exited` on the loop once the process has exited; it is not reaped by this.

    Returns the descriptor that shows it. A descriptor costs no thread; systems without one get a
    thread, which ends with the process.
    """
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # an old kernel, or a sandbox that forbids the call
            fd = os.pidfd_open(process.pid)
            loop.add_reader(fd, exited)
            return fd
    threading.Thread(target=_wait, args=(loop, process, exited), daemon=True).start()
    return None


def _wait(
    loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes], exited: Callable[[], None]
) -> None:
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:  # macOS before Python 3.13
        process.wait()
    with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
        loop.call_soon_threadsafe(exited)


def _last_line(tail: str) -> str:
    """The last line that says something, as one line of plain text."""
    for line in reversed(tail.splitlines()):
        plain = one_line(line)
        if plain and not plain.startswith("… "):
            return plain
    return ""


def signal_name(number: int) -> str:
    """What a signal is called."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _seconds(timeout_s: float | None) -> str:
    return "its time" if timeout_s is None else f"{timeout_s:g} s"
