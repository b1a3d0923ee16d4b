"""A git worktree of a run's own: made at a commit, read as a tree, and set back to one.

What a folder holds is known as a *standing*: the tree of its files, the commit that HEAD names and the
branch it is on. The tree is taken with an index of our own, so that what steps have put into the real
one stays theirs. Files that git ignores belong to no tree: they are neither kept nor cleared away.

All here blocks; whoever is in an event loop calls it in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import disk_failed
from aiworkflow.gitcall import gist
from aiworkflow.records import record
from aiworkflow.runtime.gitwords import Git, GitFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_READY: Final = "aiworkflow-ready"  # in the worktree's part of the repository: it was made whole
_INDEX: Final = "aiworkflow-index"
_PRINTED: Final = "aiworkflow-printed"
_LEFT_LOCKED: Final = ("index.lock", f"{_INDEX}.lock", "HEAD.lock")
_LEFT_HALF: Final = ("rebase-merge", "rebase-apply", "sequencer")
_NONE: Final = "0" * 40
_HEADS: Final = "refs/heads/"


@record
class Standing:
    """What a worktree holds.

    Attributes:
        tree: of all files that git does not ignore.
        head: the commit.
        branch: that HEAD names; "" for none.
    """

    tree: str
    head: str
    branch: str = ""


@record
class Step:
    """From one standing to the next, as it can be done anew elsewhere.

    Attributes:
        patch: of the trees; None where it is not kept.
        why: it is not.
        commits: a git bundle of new commits; empty where there are none.
    """

    before: Standing
    after: Standing
    patch: bytes | None
    commits: bytes = b""
    why: str = ""


class Unknown(GitFailed):
    """Git does not know that tree or commit here any more."""


class Worktree:
    """A worktree of a repository, in a folder of its own.

    Args:
        folder: where it is, or will be.
        repository: the repository that it belongs to: a working tree, or bare.
        start: the commit that it begins at.
        environ: the operating system's environment.

    Attributes:
        standing: what the folder is known to hold; None where nobody knows.
        door: held by whoever changes or reads it as a whole.
        at_work: how many steps are under way in it.
    """

    def __init__(
        self, folder: Path, repository: Path, start: str, environ: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.standing: Standing | None = None
        self.door = asyncio.Lock()
        self.at_work = 0
        self._start = start
        self._beginning: Standing | None = None
        self._repository = Git(repository, environ)
        self._git = Git(folder, environ)

    # -- being there ------------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether it was made whole, and is still there."""
        inner = self._inner
        return inner is not None and (inner / _READY).exists()

    def make(self) -> None:
        """Make it, at its start, unless it is there.

        Raises:
            GitFailed: the repository has no such commit, or git says no. DiskFailed.
        """
        if self.exists:
            return
        self.remove()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        ignored = self.folder.parent / ".gitignore"
        if not ignored.exists():  # nobody shall commit worktrees by accident
            ignored.write_text("*\n")
        inner = self._register(Path(self._common))
        code, _, said = self._git.ask("reset", "--hard", "--quiet")
        if code:
            self.remove()
            if self._repository.commit_of(self._start) is None:
                raise GitFailed(
                    f"the repository `{self._repository.folder}` has no commit {self._start[:12]}, "
                    "at which the run began",
                    hint="fetch it there, then go on with: aiworkflow runs resume RUN",
                )
            raise GitFailed(f"git cannot make the worktree `{self.folder}`: {gist(said)}")
        (inner / _READY).touch()
        self.standing = self.beginning()

    def _register(self, common: Path) -> Path:
        """Make it known to the repository; its part of the repository's folder.

        Written by us, and put in place whole: while `git worktree add` writes it, other git commands in
        the same repository fail, those of steps of other runs among them.
        """
        if (common / "reftable").is_dir():  # its worktrees hold more than is known here
            words = ("worktree", "add", "--force", "--force", "--detach", "--no-checkout")
            self._repository.get(*words, "--quiet", "--", str(self.folder), self._start)
            inner = self._inner
            if inner is None:
                raise GitFailed(f"git made no worktree at `{self.folder}`")
            return inner
        inner = common / "worktrees" / self.folder.name
        building = common / f"aiworkflow-{self.folder.name}"
        try:
            # of one that was broken off; what is out of sight already is nobody's
            for left in (inner, building, *common.glob("aiworkflow-gone-*")):
                shutil.rmtree(left, ignore_errors=True)
            building.mkdir()
            (building / "HEAD").write_text(f"{self._start}\n")
            (building / "commondir").write_text("../..\n")
            (building / "gitdir").write_text(f"{self.folder / '.git'}\n")
            self.folder.mkdir()
            (self.folder / ".git").write_text(f"gitdir: {inner}\n")
            inner.parent.mkdir(exist_ok=True)
            building.rename(inner)
        except OSError as error:
            failed = disk_failed(error, f"cannot make the worktree `{self.folder}`")
            raise failed or GitFailed(
                f"cannot make the worktree `{self.folder}`: {error.strerror}"
            ) from error
        return inner

    @property
    def _common(self) -> str:
        """The folder that all worktrees of the repository share."""
        folder = self._repository.folder
        for found in (folder / ".git", folder):
            if (found / "HEAD").is_file() and (found / "objects").is_dir():
                return str(found.resolve())
        found_by_git = self._repository.text("rev-parse", "--git-common-dir")
        return str(Path(folder, found_by_git).resolve())

    def beginning(self) -> Standing:
        """What it holds at its start.

        Raises:
            GitFailed: the repository has no such commit.
        """
        if self._beginning is None:
            tree = self._repository.text("rev-parse", f"{self._start}^{{tree}}")
            self._beginning = Standing(tree, self._start)
        return self._beginning

    def remove(self) -> None:
        """Take it away, with all that is in it."""
        self.standing = None
        inner = self._inner
        if inner is not None and inner.parent.name == "worktrees":
            gone = inner.parent.parent / f"aiworkflow-gone-{inner.name}"
            with contextlib.suppress(OSError):  # out of sight at once, and not piece by piece
                shutil.rmtree(gone, ignore_errors=True)
                inner.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _inner(self) -> Path | None:
        """Its part of the repository's folder: where its HEAD and index are."""
        try:
            pointer = (self.folder / ".git").read_text("utf-8", "surrogateescape")
        except OSError:
            return None
        found = Path(pointer.removeprefix("gitdir:").strip())
        try:  # a step may have written anything there
            is_ours = (found / "gitdir").read_text("utf-8").strip() == str(self.folder / ".git")
        except (OSError, ValueError):
            return None
        return found if is_ours and (found / "HEAD").exists() else None

    # -- reading ----------------------------------------------------------------------------------

    def look(self) -> Standing:
        """What it holds now.

        Raises:
            GitFailed: it is no working tree any more. DiskFailed.
        """
        head, branch = self._head()
        self.standing = Standing(self._tree(), head, branch)
        return self.standing

    def step(self, before: Standing, after: Standing, limit: int) -> Step | None:
        """What leads from one standing to another; None where that is larger than the limit."""
        patch: bytes | None = b""
        if before.tree != after.tree:
            plain = ("--no-ext-diff", "--no-textconv", "--no-renames", "--full-index", "--binary")
            words = ("diff-tree", "-r", "-p", *plain, before.tree, after.tree, "--")
            patch = self._limited(limit, words)
        commits: bytes | None = b""
        if before.head != after.head:
            new = ("bundle", "create", "--quiet", "-", "HEAD", f"^{before.head}")
            with contextlib.suppress(GitFailed):  # it refuses where nothing is new
                commits = self._limited(limit, new)
        if patch is None or commits is None:
            return None
        return Step(before, after, patch, commits)

    def _limited(self, limit: int, words: Sequence[str]) -> bytes | None:
        """What git prints, by way of a file; None where that is larger than the limit."""
        inner = self._inner
        assert inner is not None
        file = inner / _PRINTED
        try:
            with file.open("w+b") as into:
                self._git.into(into, *words)
                if into.seek(0, 2) > limit:
                    return None
                into.seek(0)
                return into.read()
        finally:
            file.unlink(missing_ok=True)

    def _head(self) -> tuple[str, str]:
        inner = self._inner
        if inner is None:
            raise GitFailed(f"`{self.folder}` is no worktree any more")
        line = (inner / "HEAD").read_text("utf-8").strip()
        name = line.removeprefix("ref:").strip()
        if name == line:
            return line, ""
        return self._git.text("rev-parse", "--verify", "HEAD"), name.removeprefix(_HEADS)

    def _tree(self) -> str:
        env = self._own_index()
        self._git.get("add", "--all", "--", ".", env=env)
        return self._git.text("write-tree", env=env)

    def _own_index(self) -> Mapping[str, str]:
        inner = self._inner
        if inner is None:
            raise GitFailed(f"`{self.folder}` is no worktree any more")
        own = inner / _INDEX
        if not own.exists():
            with contextlib.suppress(
                FileNotFoundError
            ):  # what is known of files saves reading them
                shutil.copy2(inner / "index", own)
        return {"GIT_INDEX_FILE": str(own)}

    # -- setting back -----------------------------------------------------------------------------

    def set_back(self, to: Standing) -> None:
        """Give it the content of a standing, whatever it holds now; it is made anew if need be.

        Raises:
            Unknown: git does not know that standing; see `replay`.
            GitFailed: that cannot be done here. DiskFailed.
        """
        if self.exists:
            try:
                self._clear_locks()
                self._set(to)
            except (GitFailed, OSError):
                self.remove()
            else:
                return
        self.make()
        if self.standing != to:
            try:
                self._set(to)
            except GitFailed as error:
                raise Unknown(error.message) from error

    def _clear_locks(self) -> None:
        inner = self._inner
        assert inner is not None
        for name in _LEFT_LOCKED:  # whoever held them has been ended
            (inner / name).unlink(missing_ok=True)
        for name in _LEFT_HALF:
            shutil.rmtree(inner / name, ignore_errors=True)

    def _set(self, to: Standing) -> None:
        self.standing = None
        self._tree()  # all that is there is known, so that it can be taken away
        self._git.get("read-tree", "--reset", "-u", to.tree, env=self._own_index())
        is_free = bool(to.branch) and self._may_have(to)
        self._git.get("update-ref", "--no-deref", "HEAD", to.head)
        if is_free:
            self._git.get("update-ref", f"{_HEADS}{to.branch}", to.head)
            self._git.get("symbolic-ref", "HEAD", f"{_HEADS}{to.branch}")
        self._git.get("reset", "--quiet")
        self.standing = to

    def _may_have(self, to: Standing) -> bool:
        """Whether a branch is this run's own: nobody else has it, and nobody has gone on with it.

        If not, HEAD names the commit itself.
        """
        words = ("for-each-ref", "--format=%(objectname) %(worktreepath)")
        found = self._git.text(*words, f"{_HEADS}{to.branch}")
        commit, _, where = found.partition(" ")
        if where:
            return Path(where).resolve() == self.folder.resolve()
        return commit in {"", to.head}

    def replay(self, way: Sequence[Step], to: Standing) -> None:
        """Come to a standing by the steps that lead there from the start.

        Raises:
            GitFailed: they do not. DiskFailed.
        """
        self.remove()
        self.make()
        env = self._own_index()
        for one in way:
            if one.commits:
                self._git.get("bundle", "unbundle", "/dev/stdin", given=one.commits)
            self._git.get("read-tree", "--reset", one.before.tree, env=env)
            if one.patch:
                words = ("apply", "--cached", "--binary", "--whitespace=nowarn", "-")
                self._git.get(*words, given=one.patch, env=env)
            if self._git.text("write-tree", env=env) != one.after.tree:
                raise GitFailed("the recorded changes of the run lead to another tree")
        self._git.get("read-tree", "HEAD", env=env)
        self._set(to)

    # -- what is left in the end ------------------------------------------------------------------

    def beginning_of(self, standing: Standing) -> Standing:
        """What it held at its start, on the branch of a standing."""
        start = self.beginning()
        return Standing(start.tree, start.head, standing.branch)

    def knows(self, standing: Standing) -> bool:
        """Whether the repository has its tree and commit."""
        asked = f"{standing.tree}\n{standing.head}\n".encode()
        out = self._repository.get("cat-file", "--batch-check", given=asked)
        return b"missing" not in out

    def is_spent(self, last: Standing) -> bool:
        """Whether nothing is lost with it: no change without a commit, no commit without a name."""
        if last.tree != self._tree_of(last.head):
            return False
        if last.head == self._start:
            return True
        words = ("for-each-ref", "--count=1", "--format=%(refname)", "--contains", last.head)
        return bool(self._repository.text(*words))

    def publish(
        self, last: Standing, branch: str, message: str, author: tuple[str, str], at: float
    ) -> str | None:
        """Have a branch name what came of it, committed as far as it is not; None for no change.

        The same again makes the same commit.

        Raises:
            GitFailed: the branch names something else. DiskFailed.
        """
        commit = last.head
        git = self._repository
        if last.tree != self._tree_of(last.head):
            name, email = author
            who = {"NAME": name, "EMAIL": email, "DATE": f"@{int(at)} +0000"}
            env = {f"GIT_{role}_{key}": who[key] for role in ("AUTHOR", "COMMITTER") for key in who}
            words = ("commit-tree", last.tree, "-p", last.head, "-m", message)
            commit = git.text(*words, env=env)
        if commit == self._start:
            return None
        ref = f"{_HEADS}{branch}"
        if git.ask("update-ref", ref, commit, _NONE)[0] == 0:
            return commit
        known = git.commit_of(ref)
        its_own = {commit, last.head} if last.branch == branch else {commit}
        if known is not None and known not in its_own:
            raise GitFailed(
                f"the branch `{branch}` of `{git.folder}` names another commit already",
                hint=f"look at it: git log {branch}",
            )
        git.get("update-ref", ref, commit)
        return commit

    def _tree_of(self, commit: str) -> str:
        if commit == self._start:
            return self.beginning().tree
        return self._repository.text("rev-parse", f"{commit}^{{tree}}")


def remove_branch(git: Git, branch: str, commit: str) -> None:
    """Remove a branch that names a commit; nothing where it is gone.

    Raises:
        GitFailed: it names something else by now, or a working tree is on it.
    """
    words = ("for-each-ref", "--format=%(objectname) %(worktreepath)", f"{_HEADS}{branch}")
    found, _, where = git.text(*words).partition(" ")
    if not found:
        return
    if where:
        raise GitFailed(f"the branch `{branch}` stays: it is checked out in `{where}`")
    if found != commit:
        raise GitFailed(f"the branch `{branch}` stays: somebody has committed more to it")
    git.get("update-ref", "-d", f"{_HEADS}{branch}", commit)
