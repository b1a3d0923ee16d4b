"""A project and repositories beside it, for tests of sweeps."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.support import Done, Project


class Fleet:
    """A project, and repositories beside it."""

    def __init__(self, folder: Path, count: int) -> None:
        self.project = Project(folder / "project")
        self.folder = folder / "fleet"
        self.names = [f"r{number:03d}" for number in range(count)]
        self.folder.mkdir()
        config = "[user]\n name = T\n email = t@example.org\n"
        (self.project.root / ".home" / ".gitconfig").write_text(config)
        lines = []
        first = self.folder / self.names[0]
        for name in self.names:
            root = self.folder / name
            if name == self.names[0]:
                project = Project(root)
                project.write("a.txt", "one\n")
                project.write(".gitignore", "/.home/\n")
                project.git("add", ".")
                project.git("commit", "-qm", "first")
            else:
                subprocess.run(["cp", "-r", first, root], check=True)
            lines.append(f"  - {{path: ../fleet/{name}, tags: [python]}}\n")
        self.project.write("repos.yaml", "repos:\n" + "".join(lines))

    def git(self, name: str, *words: str) -> str:
        return Project(self.folder / name, git=False).git(*words).strip()

    def run(self, *words: str, **env: str) -> Done:
        return self.project.run(*words, timeout=300, **env)

    def sweep(self, *words: str, code: int = 0) -> dict[str, Any]:
        done = self.run("sweep", *words, "--json")
        assert done.code == code, done.err + done.out
        found: dict[str, Any] = done.json
        return found


def statuses(found: dict[str, Any]) -> list[str]:
    return [one["status"] for one in found["repositories"]]
