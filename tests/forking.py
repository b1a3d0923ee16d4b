"""Runs the command as a process of its own, without paying for its imports each time.

A server process has imported what most commands need, and forks for each one: the child gets its own
arguments, folder, environment and files, runs the same `main` as `python -m aiworkflow`, and ends. What
depends on how an interpreter starts (variables such as `PYTHONPATH`) runs as a fresh one; so does
everything under `FRESH=true`.

Run as a script, this file is the server: requests come over the socket with the given number.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
_MODULES = (
    "asyncio",
    "typer",
    "sqlite3",
    "yaml",
    "jinja2",
    "markdown_it",
    "hashlib",
    "tempfile",
    "shutil",
    "subprocess",
    "aiworkflow.app",
    "aiworkflow.__main__",
    "aiworkflow.cli.main",
    "aiworkflow.cli.run",
    "aiworkflow.cli.runs",
    "aiworkflow.cli.bundle",
    "aiworkflow.cli.running",
    "aiworkflow.cli.show",
    "aiworkflow.client.client",
    "aiworkflow.client.views",
    "aiworkflow.runtime.local",
    "aiworkflow.journal.sqlite.store",
    "aiworkflow.steps.script",
    "aiworkflow.steps.tool",
    "aiworkflow.plan.compile",
    "aiworkflow.observe.record",
    # what fewer commands need, but takes long: tools' servers, agents, schemas, journals, triggers
    "anyio._backends._asyncio",
    "calendar",
    "cryptography.x509",
    "csv",
    "email.message",
    "fractions",
    "httpcore2",
    "httpx2",
    "jsonschema",
    "mcp.client.stdio",
    "mcp.client.streamable_http",
    "psycopg",
    "queue",
    "sysconfig",
    "truststore",
    "zipfile",
    "zoneinfo",
    "aiworkflow.agents.api.agent",
    "aiworkflow.agents.figures",
    "aiworkflow.agents.open",
    "aiworkflow.client.agreeing",
    "aiworkflow.client.batch",
    "aiworkflow.client.journals",
    "aiworkflow.cli.batch",
    "aiworkflow.cli.bounding",
    "aiworkflow.cli.journal",
    "aiworkflow.cli.keeping",
    "aiworkflow.cli.live",
    "aiworkflow.cli.schedule",
    "aiworkflow.cli.steering",
    "aiworkflow.journal.postgres.store",
    "aiworkflow.runtime.mask",
    "aiworkflow.steps.agent",
    "aiworkflow.steps.mcp",
    "aiworkflow.tools.mcp.connection",
    "aiworkflow.tools.resident",
    "aiworkflow.triggers.here",
)


class Forks:
    """A server that forks, for one process of tests."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, str(Path(__file__)), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        self._lock = threading.Lock()

    def run(
        self,
        words: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdin: str,
        timeout: float,
        script: Path | None = None,
    ) -> tuple[int, str, str]:
        """Exit code, output and errors of a command.

        Args:
            script: what is run with these words instead of the command.

        Raises:
            subprocess.TimeoutExpired: it was killed.
        """
        reads: list[int] = []
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        given = [theirs.fileno()]
        for number in range(3):
            read, write = os.pipe()
            reads.append(write if number == 0 else read)
            given.append(read if number == 0 else write)
        about = {"words": [*words], "cwd": str(cwd), "env": {**env}}
        request = json.dumps({**about, "script": script and str(script)}).encode()
        with self._lock:
            socket.send_fds(self._socket, [struct.pack("I", len(request))], given)
            for at in range(0, len(request), 60_000):
                self._socket.send(request[at : at + 60_000])
        for fd in given[1:]:
            os.close(fd)
        theirs.close()
        with mine:
            (pid,) = struct.unpack("i", mine.recv(4, socket.MSG_WAITALL))
            files = [os.fdopen(reads[0], "w"), os.fdopen(reads[1]), os.fdopen(reads[2])]
            texts = ["", "", ""]

            def feed() -> None:
                with contextlib.suppress(BrokenPipeError), files[0]:
                    files[0].write(stdin)

            def drain(number: int) -> None:
                with files[number]:
                    texts[number] = files[number].read()

            threads = [threading.Thread(target=feed, daemon=True)]
            threads += [
                threading.Thread(target=drain, args=(number,), daemon=True) for number in (1, 2)
            ]
            for thread in threads:
                thread.start()
            ends = time.monotonic() + timeout
            mine.settimeout(timeout)
            status = -1
            try:
                (status,) = struct.unpack("i", mine.recv(4, socket.MSG_WAITALL))
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                ends = time.monotonic()
            # who it has left behind may hold its output open
            for thread in threads:
                thread.join(max(5, ends - time.monotonic()))
            if status == -1 or any(thread.is_alive() for thread in threads):
                raise subprocess.TimeoutExpired([*words], timeout, texts[1], texts[2])
        return os.waitstatus_to_exitcode(status), texts[1], texts[2]


_forks: tuple[int, Forks] | None = None


def forks() -> Forks:
    """The server of this process of tests."""
    global _forks
    if _forks is None or _forks[0] != os.getpid():
        _forks = (os.getpid(), Forks())
    return _forks[1]


def must_be_fresh(words: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a command depends on how its interpreter starts, or on who has started it."""
    usual = {"PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    if "FRESH" in os.environ or "--show-completion" in words:
        return True
    return any(
        name.startswith(("PYTHON", "LC_", "LD_", "COVERAGE")) or name == "LANG"
        for name, value in env.items()
        if usual.get(name) != value
    )


# -- the server -----------------------------------------------------------------------------------


def _serve(number: int) -> None:
    import importlib

    for name in _MODULES:
        importlib.import_module(name)
    import gc

    gc.freeze()
    server = socket.socket(fileno=number)
    while True:
        header, fds, _, _ = socket.recv_fds(server, 4, 4)
        if not header:
            return
        (size,) = struct.unpack("I", header)
        data = b""
        while len(data) < size:
            data += server.recv(65_536)
        if os.fork() == 0:
            server.close()
            if os.fork():  # nobody waits for who is in between
                os._exit(0)
            _mind(json.loads(data), fds)
        os.wait()
        for fd in fds:
            os.close(fd)


def _mind(request: dict[str, object], fds: Sequence[int]) -> None:
    """Fork the command, and tell how it ended."""
    teller = socket.socket(fileno=fds[0])
    pid = os.fork()
    if pid == 0:
        teller.close()
        _become(request, fds[1:])
    for fd in fds[1:]:
        os.close(fd)
    teller.sendall(struct.pack("i", pid))
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        teller.sendall(struct.pack("i", status))
    os._exit(0)


def _become(request: dict[str, object], fds: Sequence[int]) -> None:
    """Be the command, as a new interpreter would."""
    import random

    for target, fd in enumerate(fds):
        os.dup2(fd, target)
    for fd in fds:
        if fd > 2:
            os.close(fd)
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    os.chdir(str(request["cwd"]))
    random.seed()
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    script = str(request["script"] or ROOT / "aiworkflow" / "__main__.py")
    sys.argv = [script, *request["words"]]  # type: ignore[misc]
    sys.path[0] = str(request["cwd"])
    os._exit(_main(request["script"] and script))


def _main(script: object) -> int:
    import atexit
    import runpy
    import traceback

    from aiworkflow.__main__ import main

    code: object = 0
    try:
        try:
            if script:
                runpy.run_path(str(script), run_name="__main__")
            else:
                main()
        except SystemExit as done:
            code = done.code
        except BaseException:
            traceback.print_exc()
            code = 1
        threading._shutdown()
        atexit._run_exitfuncs()
    finally:
        for file in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                file.flush()
    if isinstance(code, str):
        os.write(2, code.encode())
        return 1
    return code & 0xFF if isinstance(code, int) else 0


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
