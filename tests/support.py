"""A project on disk and the installed command, for tests that see the product as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.forking import forks, must_be_fresh

COMMAND = [sys.executable, "-m", "aiworkflow"]
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON object and nothing else."""
        return json.loads(self.out)


class Project:
    """A project in a folder of its own."""

    def __init__(self, root: Path, *, git: bool = True) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(root / ".home"),
            "USER": "tester",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
        }
        for name in ("COVERAGE_PROCESS_START", "COVERAGE_FILE"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        (root / ".home").mkdir(exist_ok=True)
        if git:
            self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
        return subprocess.run(
            ["git", *identity, *words],
            cwd=self.root,
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def write(self, path: str, text: str, *, executable: bool = False) -> Path:
        """Write a file; `path` is relative to the project."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        if executable:
            target.chmod(0o755)
        return target

    def workflow(self, body: str, *, name: str = "flow", head: str = "", **tools: str) -> str:
        """Write a bundle `bundles/<name>`; `head` is more frontmatter; tools by name (Python)."""
        text = f"---\nname: {name}\ndescription: Test.\n{head}---\n\n# Test\n\n{body}"
        self.write(f"bundles/{name}/workflow.md", text)
        for tool, code in tools.items():
            self.write(f"bundles/{name}/tools/{tool}.py", code)
        return f"bundles/{name}"

    def run(self, *words: str, stdin: str = "", timeout: float = 60, **env: str) -> Done:
        """Run the command."""
        given = {**self.env, **env}
        if not must_be_fresh(words, given):
            return Done(*forks().run(words, self.root, given, stdin, timeout))
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.root,
            env=given,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start the command in the background, in a session of its own."""
        return subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.root,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def script(id_: str, code: str, settings: str = "", level: int = 2) -> str:
    """A section with a bash step."""
    block = f"```yaml step\nid: {id_}\n{settings}```\n\n" if settings else ""
    info = "bash step" if settings else f"bash step id={id_}"
    return f"{'#' * level} Step {id_}\n\n{block}```{info}\n{code}\n```\n\n"


def group(id_: str, settings: str, *children: str, level: int = 2) -> str:
    """A section with child steps."""
    return f"{'#' * level} Group {id_}\n\n```yaml step\nid: {id_}\n{settings}```\n\n" + "".join(
        children
    )
