"""`aiworkflow serve` as a process of its own, started, ended and killed at will; it keeps its port."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.api_server import until
from tests.support import COMMAND, Project


class Served:
    """A project's server. Its log is a file beside the project."""

    def __init__(self, project: Project, *words: str) -> None:
        self.project, self.words = project, words
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        self.starts += 1
        with self._file.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--log", "json", "--port", port, *self.words],
                cwd=self.project.root,
                env=self.project.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        until(lambda: self.said("listening") or self._is_gone(), 60)
        assert not self._is_gone(), self.log
        self.url = next(one["url"] for one in self.log if one["message"] == "listening")

    @property
    def _file(self) -> Path:
        return self.project.root.parent / f"serve-{self.starts}.log"

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it has said since its last start."""
        whole = self._file.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def said(self, message: str) -> bool:
        return any(one["message"] == message for one in self.log)

    def _is_gone(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def end(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.process = None
        return code


@contextlib.contextmanager
def serve(project: Project, *words: str) -> Iterator[Served]:
    """A server while the block lasts."""
    server = Served(project, *words)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None:
            server.end()
