"""A project as it was in a git revision: its commit, its files laid out for a while."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def commit_of(root: Path, revision: str) -> str:
    """The commit that a git revision stands for.

    Raises:
        UsageError: there is no such revision.
    """
    if revision.startswith("-") or not revision.isprintable():
        raise UsageError(
            f"`{revision}` is no name of a revision", hint="give a branch, a tag or a commit"
        )
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"],
        cwd=root,
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        raise UsageError(
            f"there is no revision `{revision}` in this repository",
            hint="give a branch, a tag or a commit",
        )
    return done.stdout.strip()


@contextlib.contextmanager
def laid_out(root: Path, revision: str) -> Iterator[Path]:
    """All files of a revision in a folder, as long as it is used.

    Raises:
        UsageError: there is no such revision.
    """
    import tarfile
    import tempfile

    done = subprocess.run(
        ["git", "archive", "--format=tar", f"{commit_of(root, revision)}^{{tree}}"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder).resolve()
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            tar.extractall(found, filter="data")
        yield found
