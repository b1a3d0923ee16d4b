"""A project as it was in a git revision: its commit, its files laid out for a while."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.runtime.gitwords import Git


def commit_of(git: Git, revision: str) -> str:
    """The commit that a revision stands for.

    Raises:
        UsageError: there is no such revision. GitFailed: git cannot be run, or does not answer.
    """
    if revision.startswith("-") or not revision.isprintable():
        raise UsageError(
            f"`{revision}` is no name of a revision", hint="give a branch, a tag or a commit"
        )
    commit = git.commit_of(revision)
    if commit is None:
        raise UsageError(
            f"there is no revision `{revision}` in this repository",
            hint="give a branch, a tag or a commit",
        )
    return commit


@contextlib.contextmanager
def laid_out(git: Git, revision: str) -> Iterator[Path]:
    """All files of a revision in a folder, as long as it is used.

    Raises:
        UsageError: there is no such revision, or it cannot be laid out. GitFailed: git said no.
    """
    import tarfile
    import tempfile

    def within(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        """Links that lead out of the repository are left out: nothing is read by way of them."""
        try:
            return tarfile.data_filter(member, folder)
        except (tarfile.AbsoluteLinkError, tarfile.LinkOutsideDestinationError):
            return None

    archive = git.get("archive", "--format=tar", f"{commit_of(git, revision)}^{{tree}}")
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder).resolve()
        try:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(found, filter=within)  # noqa: S202  each is looked at
        except tarfile.TarError as error:
            raise UsageError(
                f"the files of `{revision}` cannot be laid out: {error}",
                hint="look at them with `git show`; no path may lead out of the repository",
            ) from error
        yield found
