"""State belongs to the project's root, never to a worktree."""

# ruff: noqa: E501  a case is one line

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from aiworkflow.settings.locate import locate, user_config

if TYPE_CHECKING:
    from pathlib import Path


def git(directory: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments],
        cwd=directory, check=True, capture_output=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1"},
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    git(root, "commit", "-q", "--allow-empty", "-m", "first")
    return root


def test_a_folder_of_a_repository_belongs_to_its_root(repository: Path) -> None:
    deep = repository / "a" / "b"
    deep.mkdir(parents=True)
    found = locate(deep)
    assert (found.root, found.worktree, found.by) == (repository, repository, "git")
    assert found.config == repository / ".aiworkflow" / "config.yaml"


def test_a_linked_worktree_belongs_to_the_main_one(repository: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", "-q", str(tree))
    (tree / "deep").mkdir()
    found = locate(tree / "deep")
    assert found.root == repository.resolve()
    assert found.worktree == tree


def test_a_submodule_is_a_project_of_its_own(repository: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(
        outer,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        "-q",
        str(repository),
        "inner",
    )
    assert locate(outer / "inner").root == outer / "inner"
    assert locate(outer).root == outer


def test_a_worktree_of_a_bare_repository_keeps_its_state_in_the_repository(
    repository: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    git(bare, "worktree", "add", "-q", str(tmp_path / "one"))
    assert locate(tmp_path / "one").root == bare.resolve()


def test_without_git_the_nearest_folder_with_settings_is_the_root(tmp_path: Path) -> None:
    (tmp_path / ".aiworkflow").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    found = locate(tmp_path / "a" / "b")
    assert (found.root, found.by) == (tmp_path, ".aiworkflow")


def test_without_either_it_is_the_directory_itself(tmp_path: Path) -> None:
    file = tmp_path / "x.md"
    file.write_text("x")
    found = locate(file)
    assert (found.root, found.by) == (tmp_path, "directory")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe", b"gitdir: /nowhere/at/all"])
def test_a_broken_git_file_does_no_harm(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".git").write_bytes(content)
    assert locate(tmp_path).root == tmp_path


def test_the_users_config(tmp_path: Path) -> None:
    assert user_config({"HOME": "/home/x"}).as_posix() == "/home/x/.config/aiworkflow/config.yaml"
    assert (
        user_config({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "aiworkflow" / "config.yaml"
    )
    assert (
        user_config({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}).as_posix()
        == "/h/.config/aiworkflow/config.yaml"
    )
