"""The built-ins `file` and `git` know their own way back, through the command."""

from __future__ import annotations

import pytest

from tests.support import Project, script

FAIL = script("z", "exit 1")
FILES = 'allow: {paths: ["**"]}\non_error: rollback\n'
GIT = "allow: {write: [git.branch, git.commit, git.worktree], paths: [trees/**]}\non_error: rollback\n"


def call(id_: str, uses: str, arguments: str, more: str = "") -> str:
    return (
        f"## Step {id_}\n\n```yaml step\nid: {id_}\nuses: {uses}\nwith: {arguments}\n{more}```\n\n"
    )


@pytest.fixture
def repo(project: Project) -> Project:
    project.write(".gitignore", "bundles/\n.home/\n.aiworkflow/\n")
    project.write("a.txt", "one\n")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "start")
    for name, value in (("user.name", "T"), ("user.email", "t@example.org")):
        project.git("config", name, value)
    return project


def test_files_are_restored_and_new_ones_removed(project: Project) -> None:
    project.write("old.txt", "before\n")
    steps = call("a", "file.write", '{path: old.txt, content: "after\\n"}')
    steps += call("b", "file.write", "{path: deep/new.txt, content: x}")
    steps += call("c", "file.write", '{path: old.txt, content: "again\\n"}')
    project.workflow(steps + FAIL, head=FILES)
    done = project.run("run", "flow", "--json")
    assert done.json["status"] == "rolled_back", done.err
    assert (project.root / "old.txt").read_text() == "before\n"
    assert not (project.root / "deep/new.txt").exists()


def test_a_file_that_was_changed_since_is_left_as_it_is(project: Project) -> None:
    steps = call("a", "file.write", "{path: a.txt, content: ours}")
    project.workflow(steps + script("b", "echo theirs > a.txt; exit 1"), head=FILES)
    done = project.run("run", "flow", "--json", timeout=120)
    assert done.json["status"] == "failed"
    assert done.json["standing"][0] == "a"
    assert (project.root / "a.txt").read_text() == "theirs\n"


def test_files_are_restored_days_later(project: Project) -> None:
    project.workflow(call("a", "file.write", "{path: a.txt, content: x}"), head=FILES)
    project.run("run", "flow")
    assert project.run("runs", "undo", "last").code == 0
    assert not (project.root / "a.txt").exists()


def test_large_and_binary_content_too(project: Project) -> None:
    content = bytes(range(256)) * 400
    (project.root / "a.bin").write_bytes(content)
    project.workflow(call("a", "file.write", "{path: a.bin, content: x}") + FAIL, head=FILES)
    assert project.run("run", "flow", "--json").json["status"] == "rolled_back"
    assert (project.root / "a.bin").read_bytes() == content


def test_a_commit_is_taken_back_and_its_changes_are_not_lost(repo: Project) -> None:
    head = repo.git("rev-parse", "HEAD")
    repo.write("a.txt", "two\n")
    repo.workflow(call("a", "git.commit", "{message: change}") + FAIL, head=GIT)
    done = repo.run("run", "flow", "--json")
    assert done.json["status"] == "rolled_back", done.err
    assert repo.git("rev-parse", "HEAD") == head
    assert (repo.root / "a.txt").read_text() == "two\n"
    assert " M a.txt" in repo.git("status", "--porcelain")


def test_the_first_commit_of_all_is_taken_back(project: Project) -> None:
    for name, value in (("user.name", "T"), ("user.email", "t@example.org")):
        project.git("config", name, value)
    project.write("a.txt", "one\n")
    project.workflow(call("a", "git.commit", "{message: first}") + FAIL, head=GIT)
    done = project.run("run", "flow", "--json")
    assert done.json["status"] == "rolled_back", done.err
    files = done.json["steps"]["a"]["output"]["files"]
    assert not [row for row in files if "state" in row["path"]]  # the journal is among them not
    assert (project.root / "a.txt").read_text() == "one\n"
    assert "?? a.txt" in project.git("status", "--porcelain")
    assert project.git("branch", "--list") == ""


def test_a_commit_that_others_built_on_is_left_as_it_is(repo: Project) -> None:
    repo.write("a.txt", "two\n")
    more = script("b", "git commit -q --allow-empty -m theirs; exit 1")
    repo.workflow(call("a", "git.commit", "{message: change}") + more, head=GIT)
    done = repo.run("run", "flow", "--json", timeout=120)
    assert done.json["status"] == "failed"
    assert "a" in done.json["standing"]
    assert repo.git("log", "--format=%s").split() == ["theirs", "change", "start"]


@pytest.mark.parametrize("switch", ["true", "false"])
def test_a_branch_is_taken_back(repo: Project, switch: str) -> None:
    repo.workflow(call("a", "git.branch", f"{{name: topic, switch: {switch}}}") + FAIL, head=GIT)
    done = repo.run("run", "flow", "--json")
    assert done.json["status"] == "rolled_back", done.err
    assert repo.git("branch", "--format=%(refname:short)").split() == ["main"]
    assert repo.git("branch", "--show-current").strip() == "main"


def test_branch_and_commit_together_go_back_in_order(repo: Project) -> None:
    repo.write("a.txt", "two\n")
    steps = call("a", "git.branch", "{name: topic, switch: true}")
    steps += call("b", "git.commit", "{message: change}")
    repo.workflow(steps + FAIL, head=GIT)
    assert repo.run("run", "flow", "--json").json["status"] == "rolled_back"
    assert repo.git("branch", "--format=%(refname:short)").split() == ["main"]
    assert (repo.root / "a.txt").read_text() == "two\n"


def test_a_worktree_is_taken_back_with_its_branch(repo: Project) -> None:
    repo.workflow(call("a", "git.worktree", "{path: trees/x, branch: topic}") + FAIL, head=GIT)
    done = repo.run("run", "flow", "--json")
    assert done.json["status"] == "rolled_back", done.err
    assert not (repo.root / "trees/x").exists()
    assert repo.git("branch", "--format=%(refname:short)").split() == ["main"]


def test_the_way_back_is_no_operation_of_its_own(project: Project) -> None:
    project.workflow(call("a", "file.restore", "{path: a, written: b}"), head=FILES)
    done = project.run("run", "flow")
    assert done.code == 2
    assert "`file` has no operation `restore`" in done.err
