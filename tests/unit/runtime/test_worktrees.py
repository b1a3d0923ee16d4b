"""A worktree of a run's own: seen as a tree, set back, and made anew from what was recorded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from aiworkflow.runtime.gitwords import GitFailed
from aiworkflow.runtime.worktrees import Standing, Step, Unknown, Worktree
from tests.support import Project

LARGE = 1_000_000


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "p")
    project.write("a.txt", "one\n")
    project.write("gone.txt", "soon\n")
    project.write("run.sh", "true\n")
    project.write(".gitignore", "/.home/\n*.log\n")
    project.git("add", ".")
    project.git("commit", "-qm", "first")
    return project


def made(project: Project, name: str = "w") -> Worktree:
    start = project.git("rev-parse", "HEAD").strip()
    found = Worktree(project.root.parent / "trees" / name, project.root, start, os.environ)
    found.make()
    return found


def change(tree: Worktree) -> None:
    (tree.folder / "a.txt").write_text("two\n")
    (tree.folder / "gone.txt").unlink()
    (tree.folder / "run.sh").chmod(0o755)
    (tree.folder / "new").mkdir()
    (tree.folder / "new" / "b.bin").write_bytes(bytes(range(256)) * 10)
    (tree.folder / "link").symlink_to("a.txt")


def content(folder: Path) -> dict[str, object]:
    return {
        str(one.relative_to(folder)): one.readlink()
        if one.is_symlink()
        else (one.read_bytes(), one.stat().st_mode & 0o100)
        for one in folder.rglob("*")
        if (one.is_file() or one.is_symlink()) and ".git" not in one.parts
    }


def steps(tree: Worktree, before: Standing) -> tuple[Standing, Step]:
    after = tree.look()
    step = tree.step(before, after, LARGE)
    assert step is not None
    return after, step


def test_what_changed_is_done_anew_in_another_clone(project: Project, tmp_path: Path) -> None:
    tree = made(project)
    start = tree.beginning()
    change(tree)
    after, step = steps(tree, start)
    there = content(tree.folder)
    other = Project(tmp_path / "other", git=False)
    shutil.rmtree(other.root)
    project.git("clone", "-q", "--no-local", str(project.root), str(other.root))
    again = made(other, "again")
    with pytest.raises(Unknown):
        again.set_back(after)
    again.replay([step], after)
    assert content(again.folder) == there
    assert again.look() == after


def test_it_is_set_back_whatever_it_holds(project: Project) -> None:
    tree = made(project)
    change(tree)
    after = tree.look()
    there = content(tree.folder)
    shutil.rmtree(tree.folder / "new")
    (tree.folder / "half").write_text("written")
    (tree.folder / "kept.log").write_text("ignored")
    tree.set_back(after)
    assert content(tree.folder) == {**there, "kept.log": (b"ignored", 0)}
    tree.set_back(tree.beginning())
    assert (tree.folder / "a.txt").read_text() == "one\n"
    assert not (tree.folder / "half").exists()


def test_locks_and_a_broken_folder_are_no_obstacle(project: Project) -> None:
    tree = made(project)
    change(tree)
    after = tree.look()
    there = content(tree.folder)
    inner = project.root / ".git" / "worktrees" / "w"
    for name in ("index.lock", "HEAD.lock", "aiworkflow-index.lock"):
        (inner / name).touch()
    tree.set_back(after)
    assert content(tree.folder) == there
    (tree.folder / ".git").unlink()
    tree.set_back(after)
    assert content(tree.folder) == there
    shutil.rmtree(tree.folder)
    tree.set_back(after)
    assert content(tree.folder) == there


def test_what_was_broken_off_while_it_was_made_is_no_obstacle(project: Project) -> None:
    tree = made(project)
    inner = project.root / ".git" / "worktrees" / "w"
    (inner / "aiworkflow-ready").unlink()
    (inner / "locked").write_text("initializing")
    (tree.folder / ".git").unlink()
    gone = (
        project.root / ".git" / "aiworkflow-gone-other"
    )  # whoever removed it was killed on the way
    gone.mkdir()
    (gone / "index").touch()
    assert not tree.exists
    tree.make()
    assert tree.look() == tree.beginning()
    assert not gone.exists()


def test_commits_and_branches_of_steps_are_kept(project: Project, tmp_path: Path) -> None:
    tree = made(project)
    start = tree.beginning()
    inside = Project(tree.folder, git=False)
    inside.git("switch", "-q", "-c", "fix")
    inside.write("a.txt", "fixed\n")
    inside.git("commit", "-qam", "fix it")
    after, step = steps(tree, start)
    assert (after.branch, after.head != start.head) == ("fix", True)
    clone = tmp_path / "c"
    project.git(
        "clone",
        "-q",
        "--no-local",
        "--single-branch",
        "--branch",
        "main",
        str(project.root),
        str(clone),
    )
    other = Worktree(tmp_path / "trees" / "o", clone, start.head, os.environ)
    other.replay([step], after)
    assert (
        Project(other.folder, git=False).git("log", "-1", "--format=%s %D").strip()
        == "fix it HEAD -> fix"
    )
    inside.write("a.txt", "fixed again\n")
    inside.git("commit", "-qam", "half done")
    tree.set_back(after)
    assert inside.git("rev-parse", "fix").strip() == after.head


def test_a_branch_that_somebody_has_gone_on_with_is_left_alone(project: Project) -> None:
    tree = made(project)
    inside = Project(tree.folder, git=False)
    inside.git("switch", "-q", "-c", "fix")
    inside.git("commit", "-q", "--allow-empty", "-m", "fix it")
    last = tree.look()
    tree.remove()
    project.git("switch", "-q", "fix")
    tree.set_back(last)
    assert tree.look() == Standing(last.tree, last.head)  # who has it, has it
    tree.remove()
    project.git("commit", "-q", "--allow-empty", "-m", "more")
    more = project.git("rev-parse", "HEAD")
    project.git("switch", "-q", "main")
    tree.set_back(last)
    assert project.git("rev-parse", "fix") == more
    assert tree.look().head == last.head


def test_what_a_pointer_says_is_not_removed(project: Project, tmp_path: Path) -> None:
    tree = made(project)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "HEAD").write_text("x")
    (tree.folder / ".git").write_text(f"gitdir: {precious}\n")
    tree.remove()
    assert (precious / "HEAD").exists()
    assert not tree.folder.exists()


def test_a_commit_that_is_not_there_is_said(project: Project, tmp_path: Path) -> None:
    tree = Worktree(tmp_path / "t", project.root, "1" * 40, os.environ)
    with pytest.raises(GitFailed, match="has no commit 111111111111") as failed:
        tree.make()
    assert "fetch it" in str(failed.value.hint)


def test_published_twice_it_is_one_commit(project: Project) -> None:
    tree = made(project)
    assert tree.publish(tree.beginning(), "b", "m", ("N", "n@x"), 5.5) is None
    change(tree)
    last = tree.look()
    assert not tree.is_spent(last)
    first = tree.publish(last, "b", "m", ("N", "n@x"), 5.5)
    assert tree.publish(last, "b", "m", ("N", "n@x"), 5.5) == first
    assert project.git("log", "-1", "--format=%H %an %ae %s", "b").split() == [
        first,
        "N",
        "n@x",
        "m",
    ]
    project.git("branch", "-f", "b", "HEAD")
    project.git("commit", "--allow-empty", "-qm", "other")
    project.git("branch", "-f", "b", "HEAD")
    with pytest.raises(GitFailed, match="names another commit"):
        tree.publish(last, "b", "m", ("N", "n@x"), 5.5)


def test_a_branch_of_somebody_else_is_never_moved(project: Project) -> None:
    tree = made(project)
    change(tree)
    with pytest.raises(GitFailed, match="names another commit"):
        tree.publish(tree.look(), "main", "m", ("N", "n@x"), 5.5)
    assert project.git("status", "-s") == ""


def test_changes_larger_than_the_limit_are_none(project: Project) -> None:
    tree = made(project)
    (tree.folder / "big").write_text("x\n" * 1000)
    assert tree.step(tree.beginning(), tree.look(), 100) is None
