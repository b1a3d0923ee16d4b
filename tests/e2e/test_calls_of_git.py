"""Whatever is done, git is called with the safe options, and what a repository says does not run."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import pytest

from aiworkflow.gitcall import SAFE
from tests.e2e.sweeping import Fleet
from tests.support import Project, script

HEAD = 'allow: {write: [git.commit], paths: ["**"]}\n'
TOOLS = """## Look

```yaml step
id: look
uses: git.status
```

## Commit

```yaml step
id: commit
uses: git.commit
with: {message: m}
```

"""


def committed(folder: Path) -> Project:
    project = Project(folder)
    for name, value in (("user.name", "T"), ("user.email", "t@example.org")):
        project.git("config", name, value)
    project.workflow(script("change", "echo two > a.txt") + TOOLS, head=HEAD)
    project.git("add", ".")
    project.git("commit", "-qm", "one")
    return project


def watched(folder: Path) -> tuple[dict[str, str], Path]:
    """A git that notes the words of each call, each ended by a zero and a call by an empty word."""
    real, noted = shutil.which("git"), folder / "noted"
    (folder / "bin").mkdir()
    program = folder / "bin" / "git"
    program.write_text(
        f"#!/bin/bash\nprintf '%s\\0' \"$@\" '' >> {shlex.quote(str(noted))}\nexec {real} \"$@\"\n"
    )
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}, noted


def calls(noted: Path) -> list[list[str]]:
    found: list[list[str]] = []
    for call in noted.read_text().split("\0\0"):
        words = call.strip("\0").split("\0")
        if words != [""]:
            found.append(words)
    return found


def test_each_call_of_a_command_is_safe(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 1)
    project = fleet.project
    env, noted = watched(tmp_path)
    project.workflow(script("change", "echo two > a.txt") + TOOLS, head=HEAD)
    project.git("add", ".")
    project.git("commit", "-qm", "one")
    for words, code in (
        (("run", "flow"), 0),
        (("bundle", "diff", "HEAD"), 0),
        (("runs", "fork", "last", "--on", "HEAD", "--from", "change"), 0),
        (("sweep", "flow", "--all"), 0),
        (("sweep", "undo", "last"), None),
    ):
        done = project.run(*words, timeout=120, **env)
        assert code is None or done.code == code, (words, done.err + done.out)
    seen = calls(noted)
    assert {"status", "ls-tree", "cat-file", "commit"} <= {word for words in seen for word in words}
    assert [words for words in seen if tuple(words[: len(SAFE)]) != SAFE] == []


@pytest.mark.parametrize("setting", ["core.fsmonitor", "core.hooksPath", "diff.external"])
def test_what_a_repository_says_does_not_run(tmp_path: Path, setting: str) -> None:
    project = committed(tmp_path / "p")
    ran = tmp_path / "ran"
    hooks = project.write("hooks/any", f"#!/bin/sh\ntouch {ran}\n", executable=True).parent
    for name in ("pre-commit", "post-commit", "post-checkout", "post-index-change"):
        shutil.copy(hooks / "any", hooks / name)
    project.git("config", setting, str(hooks if "Path" in setting else hooks / "any"))
    assert project.run("run", "flow").code == 0
    assert project.run("bundle", "diff", "HEAD").code == 0
    assert not ran.exists()


def test_what_a_hook_sets_does_not_lead_elsewhere(tmp_path: Path) -> None:
    project, other = Project(tmp_path / "p"), Project(tmp_path / "other")
    project.workflow(script("a", "echo one"))
    for one in (project, other):
        one.write("x", str(one.root))
        one.git("add", ".")
        one.git("commit", "-qm", "one")
    done = project.run("run", "flow", "--json", GIT_DIR=str(other.root / ".git"))
    assert done.code == 0, done.err
    shown = project.run("runs", "show", "last", "--json").json
    assert shown["commit"] == project.git("rev-parse", "HEAD").strip()
