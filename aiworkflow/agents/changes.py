"""Which files of a git working tree have changed while an agent was at work in it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from aiworkflow.gitcall import ALONE, SAFE, git_environ
from aiworkflow.tools.paths import is_hidden

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MOST_S: Final = 60.0
_DATABASES: Final = (".db", ".sqlite", ".sqlite3")  # a journal may have another place
_MOST_BYTES: Final = (
    100_000_000  # of files that are looked into; of larger ones size and time count
)


def snapshot(cwd: Path, environ: Mapping[str, str]) -> dict[str, str] | None:
    """Path, relative to `cwd`, of each file that differs from the last commit → what it is like.

    None where `cwd` is in no git working tree. Files that git ignores are not looked at, and our own
    never: to open and close a database that this process has open would end its locks on it.
    """
    status = ("status", "--porcelain=v1", "-z", "-uall", "--no-renames", ".")
    try:
        done = _git(cwd, environ, *status)
        inside = _git(cwd, environ, "rev-parse", "--show-prefix")
        head = _git(cwd, environ, "rev-parse", "--verify", "--quiet", "HEAD")
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode or inside.returncode:
        return None
    prefix = os.fsdecode(inside.stdout).rstrip("\n")
    found = {"": head.stdout.decode("ascii", "replace").strip()}
    for entry in os.fsdecode(done.stdout).split("\0"):
        path = entry[3:]
        if path.startswith(prefix) and path and not _is_ours(path):
            inner = path.removeprefix(prefix)
            found[inner] = f"{entry[:2]} {_digest(cwd / inner)}"
    return found


def changed(
    cwd: Path,
    before: Mapping[str, str] | None,
    after: Mapping[str, str] | None,
    environ: Mapping[str, str],
    leaves: Sequence[str] = (),
) -> tuple[str, ...]:
    """The files that changed between two snapshots, commits made meanwhile included."""
    if before is None or after is None:
        return ()
    names = {name for name in {*before, *after} if name and before.get(name) != after.get(name)}
    if before[""] != after[""]:
        names |= _committed(cwd, before[""], after[""], environ)
    return tuple(
        sorted(
            name
            for name in names
            if not (is_hidden(PurePosixPath(name)) or any(fnmatchcase(name, one) for one in leaves))
        )
    )


def _committed(cwd: Path, old: str, new: str, environ: Mapping[str, str]) -> set[str]:
    empty = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    plain = ("--no-ext-diff", "--no-textconv", "--no-renames")
    words = ("diff", *plain, "--name-only", "--relative", "-z", old or empty, new or empty, "--")
    try:
        done = _git(cwd, environ, *words)
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return {name for name in os.fsdecode(done.stdout).split("\0") if name}


def _git(cwd: Path, environ: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[bytes]:
    """Ask git: an agent may have written its settings, and what those name is not begun by us."""
    return subprocess.run(
        ["git", *SAFE, *words],
        cwd=cwd,
        env={**git_environ(environ), **ALONE},
        capture_output=True,
        check=False,
        timeout=_MOST_S,
    )


def _is_ours(path: str) -> bool:
    return "/.aiworkflow/state/" in f"/{path}".casefold()


def _digest(path: Path) -> str:
    try:
        about = path.lstat()
        if path.is_symlink():
            return f"link {path.readlink()}"
        is_database = path.suffix in _DATABASES
        if not path.is_file() or is_database or about.st_size > _MOST_BYTES:
            return f"{about.st_size} {about.st_mtime_ns}"
        with path.open("rb") as file:
            return f"{about.st_mode:o} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return "gone"
