"""What changed in a working tree, whoever says what."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aiworkflow.agents.changes import changed, snapshot

ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "b.txt", "sub/c.txt"):
        (tmp_path / name).write_text("one")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")


def after(cwd: Path, act: object = None, **more: object) -> tuple[str, ...]:
    before = snapshot(cwd, ENV)
    assert callable(act)
    act()
    return changed(cwd, before, snapshot(cwd, ENV), ENV, **more)  # type: ignore[arg-type]


def test_nothing_is_nothing(tree: Path) -> None:
    assert after(tree, lambda: None) == ()


def test_new_changed_and_removed_files(tree: Path) -> None:
    def act() -> None:
        (tree / "a.txt").write_text("two")
        (tree / "b.txt").unlink()
        (tree / "sub/neu ü.txt").write_text("new")

    assert after(tree, act) == ("a.txt", "b.txt", "sub/neu ü.txt")


def test_what_was_dirty_before_counts_only_when_it_changes_again(tree: Path) -> None:
    (tree / "a.txt").write_text("two")
    (tree / "new.txt").write_text("new")
    assert after(tree, lambda: None) == ()
    assert after(tree, lambda: (tree / "a.txt").write_text("three")) == ("a.txt",)
    assert after(tree, lambda: (tree / "new.txt").chmod(0o755)) == ("new.txt",)
    assert after(tree, lambda: git(tree, "checkout", "-q", "a.txt")) == ("a.txt",)


def test_what_was_committed_meanwhile_counts(tree: Path) -> None:
    def act() -> None:
        (tree / "a.txt").write_text("two")
        commit(tree)

    assert after(tree, act) == ("a.txt",)


def test_paths_are_those_of_the_folder(tree: Path) -> None:
    def act() -> None:
        (tree / "a.txt").write_text("two")
        (tree / "sub/c.txt").write_text("two")

    assert after(tree / "sub", act) == ("c.txt",)


def test_our_own_state_and_what_is_left_behind_do_not_count(tree: Path) -> None:
    def act() -> None:
        (tree / ".aiworkflow/state").mkdir(parents=True)
        (tree / ".aiworkflow/state/runs.db").write_text("x")
        (tree / ".aider.tags").write_text("x")

    assert after(tree, act, leaves=(".aider*",)) == ()


def test_the_first_commit_counts(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")

    def act() -> None:
        (tmp_path / "a.txt").write_text("x")
        commit(tmp_path)

    assert after(tmp_path, act) == ("a.txt",)


def test_without_git_nothing_is_known(tmp_path: Path) -> None:
    assert snapshot(tmp_path, ENV) is None
    assert changed(tmp_path, None, None, ENV) == ()


@pytest.mark.parametrize("name", ["sub/.aiworkflow/state/journal", "kept/runs.db"])
def test_a_journal_that_is_open_keeps_its_locks(tree: Path, name: str) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert snapshot(tree, ENV) is not None
        code = (
            "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        )
        other = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True)
    assert b"BlockingIOError" in other.stderr


def test_what_git_is_told_to_begin_by_its_settings_is_not_begun(tree: Path) -> None:
    monitor = tree / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tree}/sub/begun\n")
    monitor.chmod(0o755)
    git(tree, "config", "core.fsmonitor", str(monitor))
    assert snapshot(tree, ENV) is not None
    assert not (tree / "sub/begun").exists()
