"""A project as it was in a git revision: its commit, its files laid out for a while."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from aiworkflow.client.repositories import no_repository
from aiworkflow.errors import UsageError, disk_failed
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiworkflow.runtime.gitwords import Git

_EXECUTABLE: Final = "100755"
_LINK: Final = "120000"
_SUBMODULE: Final = "160000"
_NO_NAMES: Final = frozenset({"", ".", ".."})  # a tree that somebody has made up may have them
_PIECE_BYTES: Final = 1 << 20


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
        raise _no_revision(git, revision)
    return commit


def _no_revision(git: Git, revision: str) -> UsageError:
    code, _, said = git.ask("rev-parse", "--git-dir")
    if code:
        return no_repository(git.folder, said, "revisions need one: git init, then commit")
    if not git.ask("rev-list", "--all", "--max-count=1")[1]:
        return UsageError(
            f"the repository `{git.folder}` has no commit, and so no revision `{revision}`",
            hint="commit first: git add . && git commit",
        )
    return UsageError(
        f"there is no revision `{revision}` in this repository",
        hint="give a branch, a tag or a commit",
    )


@contextlib.contextmanager
def laid_out(git: Git, revision: str) -> Iterator[Path]:
    """All files of a revision in a folder, as long as it is used; each as it was committed.

    They are read one by one and not as an archive or a checkout: there, what `.gitattributes` says
    would leave files out, write others into them, or run a filter. Links that lead out of the
    repository are left out: nothing is read by way of them.

    Raises:
        UsageError: there is no such revision, or it cannot be laid out.
        GitFailed: git said no. DiskFailed.
    """
    import tempfile

    entries = _entries(git, commit_of(git, revision))
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder).resolve()
        try:
            with tempfile.TemporaryFile() as contents:
                _lay_out(git, found, entries, contents)
        except OSError as error:
            failed = disk_failed(error, f"cannot lay out the files of `{revision}`")
            raise failed or _impossible(revision, error.strerror or str(error)) from error
        except ValueError as error:
            raise _impossible(revision, str(error)) from error
        yield found


@record
class _Entry:
    """A file, link or submodule of a revision; `name` identifies its content."""

    mode: str
    name: str
    path: str


def _entries(git: Git, commit: str) -> list[_Entry]:
    """What a commit has."""
    found = []
    for line in git.get("ls-tree", "-r", "-z", commit).split(b"\0"):
        about, _, path = line.partition(b"\t")
        if path:
            mode, _, name = about.decode("ascii").split(" ")
            found.append(_Entry(mode, name, os.fsdecode(path)))
    return found


def _lay_out(git: Git, folder: Path, entries: Sequence[_Entry], contents: IO[bytes]) -> None:
    """Write the files, and then the links, so that nothing is written by way of one.

    Args:
        contents: an empty file, for what git prints.

    Raises:
        ValueError: a path leads out of the repository, or there is no such content. OSError.
    """
    held = [one for one in entries if one.mode != _SUBMODULE]
    git.into(contents, "cat-file", "--batch", given="".join(f"{x.name}\n" for x in held).encode())
    contents.seek(0)
    links = []
    for one in held:
        if not _NO_NAMES.isdisjoint(one.path.split("/")):
            raise ValueError(f"`{one.path}` leads out of the repository")
        target = folder / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if one.mode == _LINK:
            links.append((target, os.fsdecode(b"".join(_content(contents, one)))))
            continue
        with target.open("xb") as file:
            file.writelines(_content(contents, one))
        target.chmod(0o755 if one.mode == _EXECUTABLE else 0o644)
    for link, to in links:
        link.symlink_to(to)
    for link in [one for one, _ in links if not _stays_within(one, folder)]:
        link.unlink()


def _content(contents: IO[bytes], entry: _Entry) -> Iterator[bytes]:
    """The next content that `git cat-file --batch` has printed, piece by piece."""
    _, kind, *rest = contents.readline().split()
    if kind != b"blob":
        raise ValueError(f"the content of `{entry.path}` is not in this repository")
    left = int(rest[0])
    while left:
        piece = contents.read(min(left, _PIECE_BYTES))
        if not piece:
            raise ValueError(f"git did not print all of `{entry.path}`")
        left -= len(piece)
        yield piece
    contents.read(1)  # the line feed after it


def _stays_within(link: Path, folder: Path) -> bool:
    try:
        return link.resolve().is_relative_to(folder)
    except (OSError, RuntimeError):  # links in a circle
        return False


def _impossible(revision: str, why: str) -> UsageError:
    return UsageError(
        f"the files of `{revision}` cannot be laid out: {why}",
        hint="look at them with `git ls-tree -r`; no path may lead out of the repository",
    )
