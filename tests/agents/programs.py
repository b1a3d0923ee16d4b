"""The agents that `make agents` installs: where they are, and how a model makes each of them do things."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.agents.brain import Asked, Turn

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / ".agents/node_modules/.bin", ROOT / ".agents/aider/bin")
PATH = os.pathsep.join([*map(str, FOLDERS), os.environ["PATH"]])
KEY = "sk-planted-secret-key"


@dataclass(frozen=True)
class Program:
    """One of them.

    Attributes:
        path: what its base URL has after the host.
        write: the turn in which its model has it write a file.
        header: where its key arrives.
    """

    name: str
    model: str
    path: str
    write: Callable[[Path, str], Turn]
    header: str = "authorization"

    def script(self, file: Path, text: str, *then: Turn) -> Callable[[Asked], Turn]:
        """Have it write a file, then say this and that."""
        first = self.write(file, text)
        turns = [first, *then]
        said: list[Turn] = []

        def turn(asked: Asked) -> Turn:
            if self.name == "opencode" and not asked.tools:
                return Turn("A title")
            at = (
                len(asked.results) + asked.prompt.count("does not fit")
                if first.calls
                else len(said)
            )
            said.append(turns[min(at, len(turns) - 1)])
            return said[-1]

        return turn


exhaustive = pytest.mark.skipif(
    "EXHAUSTIVE" not in os.environ, reason="takes minutes in all: EXHAUSTIVE=true"
)

PROGRAMS = (
    Program("codex", "m1", "/v1", lambda f, t: Turn("I write.", [("exec_command", {"cmd": f"printf '{t}' > {f.name}"})])),
    Program("gemini", "gemini-2.5-flash", "", lambda f, t: Turn("I write.", [("write_file", {"file_path": str(f), "content": t})]), "x-goog-api-key"),
    Program("copilot", "m1", "/v1", lambda f, t: Turn("I write.", [("create", {"path": str(f), "file_text": t})])),
    Program("opencode", "m1", "/v1", lambda f, t: Turn("I write.", [("write", {"filePath": str(f), "content": t})])),
    Program("aider", "m1", "/v1", lambda f, t: Turn(f"{f.name}\n```\n{t}\n```\n")),
)  # fmt: skip


def asking_for_notes(asked: Asked) -> Turn:
    """A model that calls the tool `notes.add` that it was handed, by whatever name, once."""
    handed = next((name for name in asked.tools if name.endswith("notes_add")), "")
    if not asked.tools:
        return Turn("A title")
    return Turn("Done.") if asked.results else Turn("I note.", [(handed, {"text": "milk"})])


def installed(name: str) -> str:
    """Where a program is. Skips the test without it; where all were installed, that is a failure."""
    found = shutil.which(name, path=os.pathsep.join(map(str, FOLDERS)))
    if found is None:
        reason = f"{name} is not installed: make agents"
        if os.environ.get("AGENTS_INSTALLED"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found
