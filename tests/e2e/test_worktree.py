"""`workspace: worktree`: a run acts in a worktree of its own, through kills, retries and resumes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import aiworkflow
from tests.support import Project, script

HEAD = 'workspace: worktree\nallow: {paths: ["**"]}\n'


def run(project: Project, *words: str, code: int = 0, **env: str) -> dict[str, Any]:
    done = project.run("run", "flow", "--json", *words, **env)
    assert done.code == code, done.err + done.out
    return done.json


def tree_of(project: Project, id_: str) -> Path | None:
    shown = project.run("runs", "show", id_, "--json").json["worktree"]
    return Path(shown) if shown else None


def untouched(project: Project) -> bool:
    return (project.root / "a.txt").read_text() == "one\n" and project.git("status", "-s") == ""


def test_a_run_acts_in_a_worktree_of_its_own(committed: Project) -> None:
    committed.write("a.txt", "not committed\n")
    committed.workflow(
        script("look", "cat a.txt")
        + script("write", "echo two > a.txt\necho $PWD")
        + "## Read\n\n```yaml step\nid: read\nuses: file.read\nwith: {path: a.txt}\n```\n",
        head=HEAD,
    )
    done = run(committed)
    assert done["steps"]["look"]["output"] == "one"
    assert done["steps"]["read"]["output"] == "two\n"
    where = tree_of(committed, done["run"])
    assert where is not None  # a change that is not committed would be lost
    assert done["steps"]["write"]["output"] == str(where)
    assert (committed.root / "a.txt").read_text() == "not committed\n"
    assert committed.run("journal", "prune", "--keep", "0", "--status", "succeeded").code == 0
    assert not where.exists()
    assert committed.git("worktree", "prune", "-n") == ""


def test_it_is_taken_away_when_nothing_would_be_lost(committed: Project) -> None:
    commit = "git -c user.name=T -c user.email=t@x commit -qam fix"
    committed.workflow(
        script("write", f"git switch -qc fix\necho two > a.txt\n{commit}\n"), head=HEAD
    )
    done = run(committed)
    assert tree_of(committed, done["run"]) is None
    assert committed.git("show", "fix:a.txt") == "two\n"
    assert committed.git("worktree", "list").count("\n") == 1
    committed.workflow(script("look", "cat a.txt > out.log"), head=HEAD)
    assert tree_of(committed, run(committed)["run"]) is None


def test_an_attempt_that_is_done_again_starts_clean(committed: Project) -> None:
    counted = committed.root.parent / "counted"
    body = (
        script("first", "echo first > a.txt")
        + script(
            "second",
            f"test ! -e half\necho half > half\necho x >> {counted}\n[ $(wc -l < {counted}) = 3 ]\n",
            "retry: 3\n",
        )
        + script("third", "ls; cat a.txt")
    )
    committed.workflow(body, head=HEAD)
    done = run(committed)
    assert done["steps"]["second"]["attempts"] == 3
    assert done["steps"]["third"]["output"].split() == ["a.txt", "half", "first"]


def test_a_failed_run_keeps_it_and_goes_on_clean(committed: Project) -> None:
    ok = committed.root.parent / "ok"
    body = (
        script("first", "echo first > a.txt")
        + script("second", f"test ! -e half\necho half > half\ntest -e {ok}")
        + script("last", "ls; echo last > last", "finally: true\n")
    )
    committed.workflow(body, head=HEAD)
    done = run(committed, code=1)
    assert done["steps"]["last"]["output"].split() == ["a.txt", "half"]
    where = tree_of(committed, done["run"])
    assert where is not None
    assert (where / "half").exists()
    ok.touch()
    again = committed.run("runs", "resume", done["run"], "--json")
    assert again.code == 0, again.err
    assert (where / "a.txt").read_text() == "first\n"
    assert untouched(committed)


@pytest.mark.parametrize("lost", ["nothing", "folder", "objects"])
def test_a_killed_run_goes_on_where_it_was(committed: Project, tmp_path: Path, lost: str) -> None:
    going = tmp_path / "going"
    code = f"cat a.txt\nls\necho half > half\nrm bin\nif [ ! -e {going} ]; then touch {going}; sleep 60; fi"
    body = (
        script("first", "echo two > a.txt\nhead -c 3000 /dev/urandom > bin\nchmod 755 bin")
        + script("second", "git -c user.name=T -c user.email=t@x commit -qam second\n")
        + script("third", code, "effect: idempotent\n")
    )
    committed.workflow(body, head=HEAD)
    process = committed.start("run", "flow", "--json")
    until = time.monotonic() + 30
    while not going.exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    root = committed
    where = next((committed.root / ".aiworkflow/state/worktrees").glob("*-*"))
    if lost == "folder":
        shutil.rmtree(where)
    if lost == "objects":  # as on another machine: a clone that has the commits of others only
        other = Project(tmp_path / "other", git=False)
        shutil.rmtree(other.root)
        words = ["git", "clone", "-q", "--no-local", str(committed.root), str(other.root)]
        subprocess.run(words, check=True)
        state = other.root / ".aiworkflow" / "state"
        shutil.copytree(
            committed.root / ".aiworkflow/state", state, ignore=shutil.ignore_patterns("worktrees")
        )
        (other.root / ".home").mkdir()
        root = other
    extra = ["--take-over"] if lost == "objects" else []
    done = root.run("runs", "resume", "last", "--json", *extra)
    assert done.code == 0, done.err
    assert done.json["steps"]["third"]["output"].split() == ["two", "a.txt", "bin"]
    now = tree_of(root, done.json["run"])
    assert now is not None
    assert (
        subprocess.run(
            ["git", "log", "-1", "--format=%s"], cwd=now, check=True, capture_output=True, text=True
        ).stdout
        == "second\n"
    )
    assert sorted(one.name for one in now.iterdir()) == [".git", ".gitignore", "a.txt", "half"]


def test_child_runs_and_parallel_steps_share_it(committed: Project) -> None:
    committed.workflow(
        script("deep", "cat a.txt\necho child > child"),
        name="inner",
        head='allow: {paths: ["**"]}\n',
    )
    together = (
        "## Both\n\n```yaml step\nid: both\nparallel: true\n```\n\n"
        + script("x", "sleep 0.1\necho x > x", level=3)
        + script("y", "echo y > y", level=3)
    )
    committed.workflow(
        script("first", "echo two > a.txt")
        + "## Call\n\n```yaml step\nid: call\nworkflow: ../inner\n```\n\n"
        + together
        + script("look", "cat child x y"),
        head=HEAD,
    )
    done = run(committed)
    assert done["steps"]["look"]["output"].split() == ["child", "x", "y"]
    assert untouched(committed)


def test_without_a_commit_there_is_no_worktree(project: Project) -> None:
    project.workflow(script("look", "ls"), head=HEAD)
    done = project.run("run", "flow")
    assert done.code == 2
    assert "works in a worktree, and" in done.err
    assert "commit something first" in done.err
    assert project.run("run", "flow", "--set", "workspace=here").code == 0
    wrong = project.run("run", "flow", "--set", "workspace=there")
    assert (wrong.code, "`here` or `worktree`" in wrong.err) == (2, True)


def test_a_secret_in_a_file_is_not_kept(committed: Project) -> None:
    head = "workspace: worktree\nallow: {secrets: [TOKEN], paths: ['**']}\n"
    committed.workflow(
        script("leak", "echo $TOKEN > token", "env: {TOKEN: '{{ secrets.TOKEN }}'}\n"), head=head
    )
    done = run(committed, TOKEN="sesame-sesame-42")
    log = committed.run("runs", "log", done["run"], "leak").out
    assert "are not kept in the journal: a file holds the value of a secret" in log
    for file in (committed.root / ".aiworkflow/state").rglob("*"):
        if file.is_file() and "worktrees" not in file.parts:
            assert b"sesame" not in file.read_bytes()


def test_a_fork_begins_with_what_was_there(committed: Project) -> None:
    committed.workflow(
        script("first", "echo two > a.txt") + script("second", "echo more >> a.txt\ncat a.txt"),
        head=HEAD,
    )
    done = run(committed)
    fork = committed.run("runs", "fork", done["run"], "--from", "second", "--json")
    assert fork.code == 0, fork.err
    assert fork.json["steps"]["second"]["output"].split() == ["two", "more"]
    assert tree_of(committed, fork.json["run"]) != tree_of(committed, done["run"])


def test_a_run_acts_in_another_repository(committed: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "elsewhere")
    other.write("b.txt", "there\n")
    other.git("add", "b.txt")
    other.git("commit", "-qm", "b")
    committed.workflow(
        script("look", "cat b.txt\necho changed > b.txt"),
        head="outputs: {repo: '{{ run.repo }}', branch: '{{ run.branch }}'}\n" + HEAD,
    )

    async def start() -> Any:
        async with aiworkflow.connect(committed.root, environ=committed.env) as client:
            started = await client.start("flow", root=other.root)
            return await started.result()

    result = asyncio.run(start())
    assert result.steps["look"].output == "there"
    assert result.outputs == {"repo": "elsewhere", "branch": f"aiworkflow/flow/{result.run}"}
    assert other.git("status", "-s", "-uno") == ""
    where = tree_of(committed, result.run)
    assert where is not None
    assert (where / "b.txt").read_text() == "changed\n"
    assert str(where) in other.git("worktree", "list")


def test_a_triggered_run_acts_at_the_commit_of_the_project(committed: Project) -> None:
    committed.write("a.txt", "not committed\n")
    committed.workflow(
        script("look", "cat a.txt\necho $COMMIT", "env: {COMMIT: '{{ run.commit }}'}\n")
    )

    async def start() -> Any:
        async with aiworkflow.connect(committed.root, environ=committed.env) as client:
            submitted = await client.submit("flow", trigger={"type": "schedule"})
            return await (await client.resume(submitted.run)).result()

    result = asyncio.run(start())
    assert result.steps["look"].output.split() == [
        "one",
        committed.git("rev-parse", "HEAD").strip(),
    ]
    assert tree_of(committed, result.run) is None
    manual = committed.run("run", "flow", "--json").json
    assert manual["steps"]["look"]["output"].startswith("not committed")


def test_many_runs_at_once_have_one_each(committed: Project) -> None:
    code = "test $(cat a.txt) = one\necho $INPUT_N > a.txt\nsleep 0.1\ncat a.txt"
    committed.workflow(
        script("write", code),
        head="inputs: {n: integer}\noutputs: {n: '{{ steps.write.output }}'}\n" + HEAD,
    )
    committed.write("in.jsonl", "".join(f'{{"n": {n}}}\n' for n in range(16)))
    done = committed.run("run", "flow", "--batch", "in.jsonl", "--max-parallel", "8", "--json")
    assert done.code == 0, done.err
    assert [one["outputs"]["n"] for one in done.json["results"]] == [str(n) for n in range(16)]
    assert (committed.root / "a.txt").read_text() == "one\n"


def test_it_is_made_anew_to_be_undone(committed: Project) -> None:
    write = "## Write\n\n```yaml step\nid: write\nuses: file.write\nwith: {path: a.txt, content: two}\n```\n\n"
    keep = "git switch -qc kept\ngit -c user.name=T -c user.email=t@x commit -qam kept"
    seen = committed.root.parent / "seen"
    undo = f"```bash undo\ncat a.txt > {seen}\n```\n\n"
    body = script("first", "true") + undo + write + script("commit", keep)
    committed.workflow(body, head=HEAD.replace("paths", "write: [file.write], paths"))
    done = run(committed)
    assert tree_of(committed, done["run"]) is None
    undone = committed.run("runs", "undo", done["run"], "--json")
    assert (undone.code, undone.json["status"]) == (0, "rolled_back"), undone.err
    assert seen.read_text() == "one\n"  # what was written is taken back first
    assert tree_of(committed, done["run"]) is None
    assert committed.git("show", "kept:a.txt") == "two"
