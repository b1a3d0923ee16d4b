"""Git operations on real repositories, kind and hostile ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from aiworkflow.tools.contract import ToolError


@pytest.fixture
def repo(place) -> Path:
    git(place.project, "init", "-q", "-b", "main")
    (place.root / ".gitconfig").write_text("[user]\n\tname = Ann Ön\n\temail = ann@example.com\n")
    place.env["HOME"] = str(place.root)
    (place.project / "a.txt").write_text("one\ntwo\n")
    commit(place, "first\n\nwith a body\nof two lines")
    return place.project


def git(folder: Path, *words: str, home: Path | None = None) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(home or folder), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *words], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout


def commit(place, message: str) -> None:
    git(place.project, "add", "-A", home=place.root)
    git(place.project, "commit", "-q", "-m", message, home=place.root)


def refused(place, *arguments, **more) -> ToolError:
    with pytest.raises(ToolError) as failed:
        place.call(*arguments, **more)
    return failed.value


def test_log(place, repo):
    git(repo, "mv", "a.txt", "b ü\n.txt")
    (repo / "c").write_text("x")
    commit(place, "second: 'quoted' \x01 $(x)")
    git(repo, "commit", "-q", "--allow-empty", "-m", "empty", home=place.root)
    found = place.call("git.log")
    assert [row["subject"] for row in found] == ["empty", "second: 'quoted' \x01 $(x)", "first"]
    assert [row["files"] for row in found] == [[], ["b ü\n.txt", "c"], ["a.txt"]]
    assert found[2]["body"] == "with a body\nof two lines"
    assert (found[0]["author"], found[0]["email"]) == ("Ann Ön", "ann@example.com")
    assert found[0]["commit"] == git(repo, "rev-parse", "HEAD").strip()
    assert found[0]["date"][4] == "-"
    assert len(place.call("git.log", {"max": 1})) == 1
    assert [row["subject"] for row in place.call("git.log", {"ref": "HEAD~2"})] == ["first"]
    assert [row["subject"] for row in place.call("git.log", {"paths": ["c"]})] == [
        found[1]["subject"]
    ]
    assert place.call("git.log", {"author": "nobody"}) == []


def test_diff(place, repo):
    first = git(repo, "rev-parse", "HEAD").strip()
    (repo / "a.txt").write_text("one\n2\nthree\n")
    (repo / "bin").write_bytes(bytes(range(256)))
    git(repo, "add", "bin")
    found = place.call("git.diff")
    assert found["files"] == [{"path": "a.txt", "status": "modified", "added": 2, "deleted": 1}]
    assert "-two\n+2\n+three\n" in found["text"]
    staged = place.call("git.diff", {"staged": True})
    assert staged["files"] == [{"path": "bin", "status": "added", "added": None, "deleted": None}]
    git(repo, "mv", "bin", "moved")
    commit(place, "second")
    assert place.call("git.diff") == {"text": "", "files": []}
    both = place.call("git.diff", {"base": first, "head": "main"})
    assert {row["path"] for row in both["files"]} == {"a.txt", "moved"}
    only = place.call("git.diff", {"base": first, "paths": ["m*"], "context": 0})
    assert [row["path"] for row in only["files"]] == ["moved"]


def test_diff_names_both_paths_of_what_was_renamed(place, repo):
    git(repo, "mv", "a.txt", "b\t:x")
    found = place.call("git.diff", {"staged": True})
    assert found["files"] == [
        {"path": "b\t:x", "status": "renamed", "added": 0, "deleted": 0, "from": "a.txt"}
    ]


def test_diff_shows_what_the_head_changed_since_it_left(place, repo):
    git(repo, "switch", "-q", "-c", "topic")
    (repo / "topic").write_text("x")
    commit(place, "on topic")
    git(repo, "switch", "-q", "main")
    (repo / "main").write_text("x")
    commit(place, "on main")
    found = place.call("git.diff", {"base": "main", "head": "topic"})
    assert [row["path"] for row in found["files"]] == ["topic"]


def test_status(place, repo):
    assert place.call("git.status") == []
    (repo / "a.txt").write_text("changed")
    (repo / "new ü").write_text("x")
    (repo / "staged").write_text("x")
    git(repo, "add", "staged")
    assert place.call("git.status") == [
        {"path": "a.txt", "status": "modified", "staged": False},
        {"path": "staged", "status": "added", "staged": True},
        {"path": "new ü", "status": "untracked", "staged": False},
    ]
    assert [row["path"] for row in place.call("git.status", {"paths": ["a.*"]})] == ["a.txt"]
    (repo / "a.txt").unlink()
    assert place.call("git.status", {"paths": "a.txt"})[0]["status"] == "deleted"


def test_status_of_a_conflict(place, repo):
    git(repo, "switch", "-q", "-c", "topic")
    (repo / "a.txt").write_text("topic\n")
    commit(place, "topic")
    git(repo, "switch", "-q", "main")
    (repo / "a.txt").write_text("main\n")
    commit(place, "main")
    with pytest.raises(subprocess.CalledProcessError):
        git(repo, "merge", "-q", "topic", home=place.root)
    assert place.call("git.status") == [{"path": "a.txt", "status": "conflicted", "staged": False}]


def test_branch(place, repo):
    head = git(repo, "rev-parse", "HEAD").strip()
    assert place.call("git.branch", {"name": "topic/a"}) == {
        "name": "topic/a", "commit": head, "current": False,
    }  # fmt: skip
    assert place.call("git.branch", {"name": "now", "start": "topic/a", "switch": True})["current"]
    assert place.call("git.branch") == [
        {"name": "main", "commit": head, "current": False, "upstream": None},
        {"name": "now", "commit": head, "current": True, "upstream": None},
        {"name": "topic/a", "commit": head, "current": False, "upstream": None},
    ]
    assert refused(place, "git.branch", {"name": "topic/a"}).kind == "exit"
    assert refused(place, "git.branch", {"name": "a..b"}).kind == "exit"


def test_commit(place, repo):
    (repo / "a.txt").write_text("new\n")
    (repo / "b").write_text("x")
    (repo / "c").write_text("x")
    found = place.call("git.commit", {"message": "--amend $(x)\n\nbody", "paths": ["a.txt", "b"]})
    assert found["branch"] == "main"
    assert {row["path"]: row["status"] for row in found["files"]} == {
        "a.txt": "modified",
        "b": "added",
    }
    assert found["commit"] == git(repo, "rev-parse", "HEAD").strip()
    assert git(repo, "log", "-1", "--format=%B").strip() == "--amend $(x)\n\nbody"
    assert git(repo, "rev-list", "--count", "HEAD").strip() == "2"
    assert git(repo, "status", "--porcelain") == "?? c\n"
    rest = place.call("git.commit", {"message": "rest", "author": "Bo <bo@example.com>"})
    assert [row["path"] for row in rest["files"]] == ["c"]
    assert git(repo, "log", "-1", "--format=%an %ae").strip() == "Bo bo@example.com"
    assert place.call("git.commit", {"message": "nothing"}) == {
        "commit": None, "branch": "main", "files": [],
    }  # fmt: skip
    assert refused(place, "git.commit", {"message": " "}).kind == "input"
    assert refused(place, "git.commit", {"message": "x", "author": "Bo"}).kind == "input"


def test_a_commit_of_some_paths_leaves_what_else_is_staged(place, repo):
    (repo / "b").write_text("x")
    (repo / "c").write_text("x")
    git(repo, "add", "c")
    found = place.call("git.commit", {"message": "only b", "paths": "b"})
    assert [row["path"] for row in found["files"]] == ["b"]
    assert git(repo, "status", "--porcelain") == "A  c\n"


def test_the_first_commit_of_all(place):
    git(place.project, "init", "-q", "-b", "main")
    (place.root / ".gitconfig").write_text("[user]\n\tname = A\n\temail = a@example.com\n")
    assert place.call("git.commit", {"message": "nothing"})["commit"] is None
    error = refused(place, "git.worktree", {"path": "x"}, paths=("**",))
    assert error.message == "`git.worktree` found no commit `HEAD` in this repository"
    (place.project / "a").write_text("x")
    found = place.call("git.commit", {"message": "first"})
    assert found["commit"] == git(place.project, "rev-parse", "HEAD").strip()


def test_our_state_and_other_working_trees_are_never_committed(place, repo):
    """A journal in a commit would be pushed, and a working tree become a broken submodule."""
    state = repo / ".aiworkflow" / "state"
    state.mkdir(parents=True)
    (state / "journal.db").write_text("what every run did")
    (repo / ".aiworkflow" / "config.yaml").write_text("")
    place.call("git.worktree", {"path": "trees/x", "branch": "x"}, paths=("**",))
    (repo / "b").write_text("x")
    rows = place.call("git.status")
    assert {row["path"] for row in rows} == {".aiworkflow/config.yaml", "b"}
    found = place.call("git.commit", {"message": "all"})
    assert [row["path"] for row in found["files"]] == [".aiworkflow/config.yaml", "b"]
    (repo / "c").write_text("x")
    found = place.call("git.commit", {"message": "by name", "paths": ["**"]})
    assert [row["path"] for row in found["files"]] == ["c"]
    (repo / "trees" / "x" / "d").write_text("x")
    found = place.call("git.commit", {"message": "there"}, cwd=repo / "trees" / "x")
    assert (found["branch"], [row["path"] for row in found["files"]]) == ("x", ["d"])
    assert place.call("git.status", cwd=repo / "trees" / "x") == []


def test_marks_of_a_merge_are_not_committed(place, repo):
    place.call("git.branch", {"name": "x", "switch": True})
    (repo / "a.txt").write_text("theirs\n")
    commit(place, "theirs")
    git(repo, "switch", "-q", "main")
    (repo / "a.txt").write_text("ours\n")
    commit(place, "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(repo, "merge", "-q", "x", home=place.root)
    error = refused(place, "git.commit", {"message": "merged"})
    assert (error.kind, "there are conflicts of a merge" in error.message) == ("conflict", True)
    assert "UU a.txt" in git(repo, "status", "--porcelain")
    (repo / "a.txt").write_text("both  \n")
    assert place.call("git.commit", {"message": "merged"})["commit"] is not None
    assert git(repo, "rev-list", "--count", "HEAD").strip() == "4"


def test_what_git_says_is_wrong_is_said(place, repo):
    (repo / ".git" / "index.lock").write_text("")
    (repo / "b").write_text("x")
    error = refused(place, "git.commit", {"message": "x"})
    assert "index.lock': File exists" in error.message


def test_worktree(place, repo):
    allowed = {"paths": ("trees/**",)}
    made = place.call("git.worktree", {"path": "trees/x", "branch": "x"}, **allowed)
    assert made == {
        "path": "trees/x", "commit": git(repo, "rev-parse", "HEAD").strip(), "branch": "x",
    }  # fmt: skip
    assert (repo / "trees" / "x" / "a.txt").exists()
    place.call("git.worktree", {"path": "trees/y", "ref": "HEAD"}, **allowed)
    place.call("git.worktree", {"path": "trees/x", "remove": True}, **allowed)
    assert sorted(os.listdir(repo / "trees")) == ["y"]
    assert refused(place, "git.worktree", {"path": "trees/z"}).kind == "permission"
    assert refused(place, "git.worktree", {"path": "../z"}, **allowed).kind == "permission"


BAD_REFS = ["--output=hacked", "-x", "", "a b", "a\nb", "HEAD\0x"]


@pytest.mark.parametrize("ref", BAD_REFS)
@pytest.mark.parametrize(
    ("uses", "name"),
    [("git.diff", "base"), ("git.log", "ref"), ("git.branch", "name"), ("git.branch", "start"),
     ("git.worktree", "ref")],
)  # fmt: skip
def test_a_ref_can_be_no_option(place, repo, uses, name, ref):
    arguments = {"name": "n"} if uses == "git.branch" else {"path": "w"} if "tree" in uses else {}
    error = refused(place, uses, {**arguments, name: ref}, paths=("**",))
    assert error.kind == "input"
    assert sorted(os.listdir(repo)) == [".git", "a.txt"]


def test_a_path_can_be_no_option_and_no_magic(place, repo):
    (repo / "--output=hacked").write_text("x")
    (repo / ":!a.txt").write_text("x")
    found = place.call("git.status", {"paths": ["--output=hacked", ":!a.txt"]})
    assert [row["path"] for row in found] == ["--output=hacked", ":!a.txt"]
    assert not (repo / "hacked").exists()
    assert refused(place, "git.log", {"paths": ["../../etc"]}).kind == "exit"


def test_an_option_of_the_log_is_one_word(place, repo):
    place.call("git.log", {"since": "x --output=hacked", "author": "$(touch hacked)"})
    assert not (repo / "hacked").exists()


def test_nothing_that_a_repository_chooses_is_run(place, repo):
    mark = place.root / "mark"
    trap = place.root / "trap.sh"
    trap.write_text(f"#!/bin/sh\necho $0 >> {mark}\ncat\n")
    trap.chmod(0o755)
    (repo / "hooks").mkdir()
    for hook in ("pre-commit", "commit-msg", "post-commit", "post-checkout", "prepare-commit-msg"):
        (repo / "hooks" / hook).write_text(trap.read_text())
        (repo / "hooks" / hook).chmod(0o755)
    (repo / ".gitattributes").write_text("*.txt diff=evil\n")
    for setting in (
        "core.hooksPath=hooks", f"core.fsmonitor={trap}", f"diff.external={trap}", f"core.pager={trap}",
        f"diff.evil.command={trap}", f"diff.evil.textconv={trap}", f"gpg.program={trap}",
        "commit.gpgSign=true", "log.showSignature=true", f"core.editor={trap}", f"pager.log={trap}",
    ):  # fmt: skip
        git(repo, "config", *setting.split("=", 1))
    (repo / "a.txt").write_text("changed\n")
    place.call("git.status")
    assert place.call("git.diff", {"paths": ["a.txt"]})["files"]
    assert place.call("git.commit", {"message": "x"})["commit"]
    place.call("git.log")
    place.call("git.branch", {"name": "x", "switch": True})
    place.call("git.worktree", {"path": "w"}, paths=("w",))
    assert not mark.exists(), mark.read_text()


def test_outside_of_a_repository(place):
    place.env["GIT_CEILING_DIRECTORIES"] = str(place.root)
    error = refused(place, "git.status")
    assert (error.kind, "not a git repository" in error.message) == ("exit", True)
    assert refused(place, "git.push").kind == "not_found"


def test_an_empty_repository(place):
    git(place.project, "init", "-q")
    assert place.call("git.status") == []
    assert place.call("git.branch") == []
    assert refused(place, "git.log").kind == "exit"


def test_much_output_is_refused(place, repo):
    (repo / "a.txt").write_text("x" * 5000)
    assert refused(place, "git.diff", output_limit=1000).kind == "limit"
