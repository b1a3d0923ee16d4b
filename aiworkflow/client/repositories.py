"""Repositories that runs act in, other than the project's own: where they are, and their commits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError
from aiworkflow.runtime.gitwords import Git, GitFailed
from aiworkflow.runtime.given import Elsewhere
from aiworkflow.runtime.workspace import Revision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.runtime.given import NewRun


_REMOTE = "refs/remotes/origin"
_ROW = "--format=%(refname) %(objectname) %(symref) %(HEAD)"  # "*" for the branch that HEAD names


def acting_in(new: NewRun, root: str | Path, environ: Mapping[str, str]) -> NewRun:
    """The same run in another repository, at its HEAD.

    Raises:
        UsageError: there is no repository with a commit.
    """
    folder = Path(root).absolute()
    commit = head_of(folder, environ)
    name = folder.name.removesuffix(".git")
    return dataclasses.replace(new, revision=Revision(commit), elsewhere=Elsewhere(folder, name))


def head_of(folder: Path, environ: Mapping[str, str], branch: str = "") -> str:
    """The commit of a branch of a repository; of the one it is cloned for, without a name.

    That is the default branch of where it was cloned from, as far as it is here; else what HEAD names.

    Raises:
        UsageError: there is no repository, or no such branch, or no commit on it.
    """
    git = Git(folder, environ)
    # a folder within another repository is not that one
    here = {"GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)}
    try:
        code, out, _ = git.ask("for-each-ref", _ROW, "refs/heads", _REMOTE, env=here)
        if code and (asked := git.ask("rev-parse", "--git-dir", env=here))[0]:
            raise no_repository(folder, asked[2], "give the topmost folder of a git repository")
        rows = [line.split(" ") for line in out.decode("utf-8", "replace").splitlines()]
        commit = _named([] if code else rows, branch, is_bare=not (folder / ".git").exists())
        commit = commit or (None if branch else git.commit_of("HEAD"))
        if commit is not None:
            return commit
    except GitFailed as error:
        raise UsageError(
            f"there is no repository `{folder}`", hint="give the folder of a git repository"
        ) from error
    what = f"branch `{branch}`" if branch else "commit"
    raise UsageError(f"the repository `{folder}` has no {what}", hint="look at: git branch --all")


def no_repository(folder: Path, said: str, hint: str) -> UsageError:
    """Why git found no repository in a folder, by what it said; `hint` where there is none."""
    if "dubious ownership" in said:
        return UsageError(
            f"the repository `{folder}` belongs to another user, and git does not trust it",
            hint=f"if you do: git config --global --add safe.directory '{folder}'",
        )
    return UsageError(f"`{folder}` is no git repository", hint=hint)


def _named(rows: Sequence[Sequence[str]], branch: str, *, is_bare: bool) -> str | None:
    """The commit of a branch; without a name, of the default branch of where it was cloned from.

    Where that is not known, of the branch that HEAD names. A clone's own branch counts first, a
    mirror's only if nothing else is there: what it has fetched is newer.

    Args:
        rows: the branches, as `_ROW` has them.
    """
    of_head = [] if branch else [row[1] for row in rows if row[3] == "*"]
    if not branch:
        default = next((row[2] for row in rows if row[0] == f"{_REMOTE}/HEAD"), "")
        branch = default.removeprefix(f"{_REMOTE}/")
    known = {row[0]: row[1] for row in rows}
    found = [known.get(f"refs/heads/{branch}"), known.get(f"{_REMOTE}/{branch}")]
    return next((one for one in [*(reversed(found) if is_bare else found), *of_head] if one), None)
