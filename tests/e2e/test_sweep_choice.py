"""Which repositories a sweep takes, how many first, and what it refuses before anything begins."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.sweeping import Fleet, statuses
from tests.support import Project, script

HEAD = 'allow: {paths: ["**"]}\n'


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path, 1)


def swept(fleet: Fleet, entry: str) -> dict[str, str]:
    """What becomes of one repository that repos.yaml lists so."""
    fleet.project.write("repos.yaml", f"repos:\n  - {entry}\n")
    fleet.project.workflow(script("change", "echo two >> a.txt"), head=HEAD)
    done = fleet.run("sweep", "flow", "--all", "--json")
    (one,) = done.json["repositories"]
    return {"status": one["status"], "said": (one["error"] or {}).get("message", "")}


def test_a_folder_within_another_repository_is_not_that_one(fleet: Fleet) -> None:
    project = fleet.project
    project.write("vendor/shop/a.txt", "one\n")
    project.git("add", "vendor")
    project.git("commit", "-qm", "vendor")
    found = swept(fleet, "{path: vendor/shop}")
    assert (found["status"], "is no git repository" in found["said"]) == ("failed", True)
    broken = project.root / "vendor/shop/.git"
    broken.mkdir()
    assert "is no git repository" in swept(fleet, "{path: vendor/shop}")["said"]
    assert project.git("branch", "--list", "aiworkflow/*") == ""


def test_what_is_wrong_with_a_repository_is_said(fleet: Fleet) -> None:
    for name, words in (("empty", ["git", "init", "-q"]), ("plain", ["true"])):
        (fleet.folder / name).mkdir()
        subprocess.run(words, cwd=fleet.folder / name, check=True)
    for entry, text in (
        ("{path: ../fleet/empty}", "has no commit"),
        ("{path: ../fleet/plain}", "is no git repository"),
        ("{path: ../fleet/nothing}", "there is no repository"),
        ("{path: ../fleet/r000, branch: gone}", "has no branch `gone`"),
        (f"{{url: 'file://{fleet.folder}/gone'}}", "does not appear to be a git repository"),
    ):
        found = swept(fleet, entry)
        assert (found["status"], text in found["said"]) == ("failed", True), found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_repository_of_another_user_is_no_missing_one(fleet: Fleet) -> None:
    folder = fleet.folder / "r000"
    os.chown(folder, 65534, 65534)
    os.chown(folder / ".git", 65534, 65534)
    found = swept(fleet, "{path: ../fleet/r000}")
    assert "belongs to another user, and git does not trust it" in found["said"]
    done = fleet.run("repos", "add", str(folder), "--name", "other")
    assert f"git config --global --add safe.directory '{folder}'" in done.err
    fleet.project.git("config", "--global", "--add", "safe.directory", str(folder))
    assert swept(fleet, "{path: ../fleet/r000}")["status"] == "succeeded"


def test_the_branch_of_the_list_is_worked_on_also_in_a_bare_repository(fleet: Fleet) -> None:
    fleet.git("r000", "switch", "-qc", "develop")
    Project(fleet.folder / "r000", git=False).write("a.txt", "developed\n")
    fleet.git("r000", "commit", "-qam", "develop")
    fleet.git("r000", "switch", "-q", "main")
    bare = fleet.folder / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", fleet.folder / "r000", bare], check=True)
    fleet.project.workflow(script("change", "echo two >> a.txt"), head=HEAD)
    lines = "repos:\n  - {path: ../fleet/r000, branch: develop}\n  - {path: ../fleet/bare.git}\n"
    fleet.project.write("repos.yaml", lines.replace("bare.git}", "bare.git, branch: develop}"))
    found = fleet.sweep("flow", "--all")
    assert statuses(found) == ["succeeded", "succeeded"]
    for name in ("r000", "bare.git"):
        assert fleet.git(name, "show", f"{found['branch']}:a.txt") == "developed\ntwo"


def test_so_many_canaries_as_are_asked_for(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 1)
    fleet.project.workflow(script("look", "true"))
    for count, share, first in ((25, "7", 7), (100, "7%", 7), (100, "28%", 28), (10, "5%", 1)):
        lines = [f"  - {{path: ../fleet/x{number}}}\n" for number in range(count)]
        fleet.project.write("repos.yaml", "repos:\n" + "".join(lines))
        found = fleet.sweep("flow", "--all", "--canary", share, "--dry-run")
        assert found["canary"] == first
    url = "  - {url: 'https://git.example.org/till.git'}\n"
    fleet.project.write("repos.yaml", f"repos:\n  - {{path: ../fleet/x}}\n{url}")
    shown = fleet.run("sweep", "flow", "--all", "--dry-run").out
    assert [(line.split()[0], "cloned" in line, "not there" in line) for line in shown.splitlines()[1:3]] == [
        ("x", False, True), ("till", True, False),
    ]  # fmt: skip


def test_what_cannot_be_is_refused_before_anything_begins(fleet: Fleet) -> None:
    project = fleet.project
    project.workflow(script("look", "true"))
    report = fleet.run("sweep", "flow", "--all", "--report", str(fleet.folder))
    assert (report.code, f"cannot write to `{fleet.folder}`: it is a folder" in report.err) == (
        2,
        True,
    )
    project.write(
        "repos.yaml",
        "repos:\n  - {path: ../fleet/r000}\n  - {path: ../fleet/../fleet/r000, name: b}\n",
    )
    twice = fleet.run("sweep", "flow", "--all")
    assert (twice.code, "`r000` and `b` are the same repository" in twice.err) == (2, True)
    project.write("repos.yaml", "repos:\n  - {path: ~nobody-has-this-name/x}\n")
    home = fleet.run("sweep", "flow", "--all")
    assert (home.code, "nobody's home folder is meant by" in home.err) == (2, True)
    project.write("repos.yaml", "repos:\n  - {path: ../fleet/r000}\n")
    project.workflow(script("look", "true"), head="runs_on: [gpu]\n")
    label = fleet.run("sweep", "flow", "--all")
    assert (label.code, "`runs_on`" in label.err or "gpu" in label.err) == (2, True)
    assert fleet.sweep("list") == {"sweeps": []}


def test_a_report_that_cannot_be_written_in_the_end_loses_no_sweep(fleet: Fleet) -> None:
    fleet.project.workflow(script("look", "true"))
    words = ["sweep", "flow", "--all", "--report", "/dev/full"]
    done = fleet.run(*words)
    assert done.code == 2
    assert "cannot write to `/dev/full`: No space left on device" in done.err
    assert "the sweep itself is kept: aiworkflow sweep show" in done.err
    assert fleet.sweep("show", "last")["status"] == "succeeded"


@pytest.mark.parametrize("most", ["1", "3"])
def test_no_more_runs_than_max_parallel_are_going(tmp_path: Path, most: str) -> None:
    fleet = Fleet(tmp_path, 6)
    log = tmp_path / "log"
    fleet.project.workflow(script("look", f"echo + >> {log}; sleep 0.3; echo - >> {log}"))
    fleet.sweep("flow", "--all", "--max-parallel", most)
    at_once = found = 0
    for word in log.read_text().split():
        at_once += 1 if word == "+" else -1
        found = max(found, at_once)
    assert 1 <= found <= int(most)


def test_the_agent_and_the_name_are_those_that_are_said(fleet: Fleet) -> None:
    config = "agents: {one: {echo: {text: I am one}}, two: {echo: {text: I am two}}}\nagent: one\n"
    fleet.project.write(".aiworkflow/config.yaml", config)
    fleet.project.write("repos.yaml", "repos:\n  - {path: ../fleet/r000, name: acme/shop}\n")
    ask = "## Ask\n\n```yaml step\nid: ask\n```\n\nWho are you?\n\n"
    note = script(
        "note",
        'echo "$SAID of $REPO" > a.txt',
        "env: {SAID: '{{ steps.ask.output }}', REPO: '{{ run.repo }}'}\n",
    )
    fleet.project.workflow(ask + note, head=HEAD)
    found = fleet.sweep("flow", "--repo", "acme/shop", "--agent", "two", "--branch", "said")
    assert found["repositories"][0]["repository"] == "acme/shop"
    assert fleet.git("r000", "show", "said:a.txt") == "I am two of acme/shop"


def test_what_it_may_cost_is_agreed_to_first(fleet: Fleet) -> None:
    config = (
        "agents: {paid: {echo: {text: hi}, max_tokens: 4, price: {input: 0, output: 100000}}}\n"
        "budget: {ask_above: 0.01}\n"
    )
    fleet.project.write(".aiworkflow/config.yaml", config)
    ask = "## Ask\n\n```yaml step\nid: ask\nagent: paid\n```\n\nSay something.\n\n"
    fleet.project.workflow(ask)
    refused = fleet.run("sweep", "flow", "--all")
    assert (refused.code, "--yes" in refused.err) == (4, True), refused.err
    assert fleet.sweep("list") == {"sweeps": []}
    assert statuses(fleet.sweep("flow", "--all", "--yes")) == ["succeeded"]


@pytest.mark.parametrize("name", ["HEAD", "@", "@{-1}", "refs/heads/x", "-x", "a b"])
def test_what_git_takes_for_something_else_is_no_branch(tmp_path: Path, name: str) -> None:
    fleet = Fleet(tmp_path, 1)
    fleet.project.workflow(script("change", "echo two > a.txt"), head='allow: {paths: ["**"]}\n')
    done = fleet.run("sweep", "flow", "--all", f"--branch={name}")
    assert done.code == 2
    assert f"`{name}` is no name of a branch" in done.err
    assert fleet.git("r000", "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_working_trees_of_one_repository_are_that_repository(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 1)
    fleet.git("r000", "worktree", "add", "-q", "../linked", "-b", "other")
    fleet.project.write(
        "repos.yaml", "repos:\n  - {path: ../fleet/r000}\n  - {path: ../fleet/linked}\n"
    )
    fleet.project.workflow(script("change", "echo two > a.txt"), head='allow: {paths: ["**"]}\n')
    done = fleet.run("sweep", "flow", "--all")
    assert done.code == 2
    assert "`r000` and `linked` are the same repository" in done.err
    found = fleet.sweep("flow", "--repo", "linked")
    assert statuses(found) == ["succeeded"]
    assert fleet.git("r000", "show", f"{found['branch']}:a.txt") == "two"
