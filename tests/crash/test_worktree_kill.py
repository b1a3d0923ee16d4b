"""Killed before or after any commit of the journal, a run in a worktree and a sweep end as undisturbed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.box import KILL_AT
from tests.e2e.test_sweep import Fleet
from tests.support import Project, group, script

ALL = os.environ.get("EXHAUSTIVE") == "true"
MOMENTS = ("before", "after")
POINTS = range(1, 15) if ALL else (2, 5, 8, 10)
AGAIN = "effect: idempotent\n"  # what was under way is done again; nothing in it is so by itself
HEAD = 'workspace: worktree\nallow: {paths: ["**"]}\noutputs: {found: "{{ steps.look.output }}"}\n'
BODY = (
    script("first", "echo first >> log\nrm gone", AGAIN)
    + script(
        "commit", "git -c user.name=T -c user.email=t@x commit -qam kept\necho more >> log", AGAIN
    )
    + group(
        "rounds",
        "until: round >= 2\nmax_rounds: 3\n",
        script("draft", "echo draft >> log\nchmod u+x run", AGAIN, level=3),
    )
    + "## Call\n\n```yaml step\nid: call\nworkflow: ../inner\n```\n\n"
    + script("fails", "echo lost >> log\necho lost > lost\nexit 1", AGAIN + "on_error: continue\n")
    + script("look", "cat log\nls\ntest -x run && echo x\ngit log --format=%s", AGAIN)
)
INNER = script("one", "echo one >> log", AGAIN) + script("two", "echo two >> log", AGAIN)


def killed_at(project: Project, number: int, moment: str, *words: str) -> int:
    command = [sys.executable, str(KILL_AT), str(number), moment, *words]
    done = subprocess.run(
        command, cwd=project.root, env=project.env, capture_output=True, text=True, timeout=120
    )
    found = re.search(r"commits: (\d+)", done.stderr)
    return int(found[1]) if found is not None else 0


def new_project(folder: Path) -> Project:
    project = Project(folder)
    for name in ("log", "gone", "run"):
        project.write(name, "")
    project.write(".gitignore", "/.home/\n/.aiworkflow/\n/bundles/\n")
    project.git("add", ".")
    project.git("commit", "-qm", "first")
    project.workflow(INNER, name="inner", head='allow: {paths: ["**"]}\n')
    project.workflow(BODY, head=HEAD)
    return project


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> str:
    done = new_project(tmp_path_factory.mktemp("calm") / "p").run("run", "flow", "--json")
    assert done.code == 0, done.err
    found = str(done.json["outputs"]["found"])
    expected = "first more draft draft one two lost log lost run x kept first"
    assert found.split() == expected.split()
    return found


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", POINTS)
def test_a_run_in_a_worktree(tmp_path: Path, calm: str, number: int, moment: str) -> None:
    project = new_project(tmp_path / "p")
    if killed_at(project, number, moment, "run", "flow"):
        return  # it has fewer commits
    done = project.run("runs", "resume", "last", "--json")
    if "there are no runs" in done.out:
        done = project.run("run", "flow", "--json")
    if "has succeeded" in done.out:
        done = project.run("runs", "show", "last", "--json")
    assert done.code == 0, done.err + done.out
    assert done.json["outputs"]["found"] == calm
    assert (project.root / "log").read_text() == ""


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", POINTS if ALL else (1, 4, 7, 10))
def test_a_sweep(tmp_path: Path, number: int, moment: str) -> None:
    fleet = Fleet(tmp_path, 2)
    fleet.project.workflow(
        script("first", "echo two >> a.txt", AGAIN)
        + script("second", "echo three >> a.txt", AGAIN),
        head='allow: {paths: ["**"]}\n',
    )
    words = ("sweep", "flow", "--all", "--max-parallel", "1", "--branch", "b")
    if killed_at(fleet.project, number, moment, *words):
        return
    known = fleet.run("sweep", "list", "--json").json["sweeps"]
    found = fleet.sweep("show", "last") if known else fleet.sweep(*words[1:])
    if found["status"] != "succeeded":
        found = fleet.sweep("resume", "last")
    assert found["status"] == "succeeded"
    for name in fleet.names:
        assert fleet.git(name, "show", "b:a.txt").split() == ["one", "two", "three"]
        assert fleet.git(name, "rev-list", "--count", "main..b") == "1"
    runs = fleet.run("runs", "list", "--json").json["runs"]
    assert [one["status"] for one in runs] == ["succeeded", "succeeded"]
