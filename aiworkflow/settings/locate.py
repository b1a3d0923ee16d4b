"""Where the project is: its root decides which config is read and where runs are kept.

State belongs to the project's root, never to a worktree of it, so that two worktrees of one
repository share their runs. The root is found by looking at `.git` files, without starting git:
this is on the way of every command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_DIRECTORY = ".aiworkflow"
CONFIG_FILE = "config.yaml"
_LARGEST_POINTER = 4096  # bytes of a `.git` file or `commondir`; git writes one line


@record
class Location:
    """The project that a directory belongs to.

    Attributes:
        root: the project's root; state and config live in its `.aiworkflow/`.
        worktree: the directory of the working tree that was asked about; `root` unless it is a
            linked worktree.
        by: what told: `git`, `.aiworkflow` or `directory`.
    """

    root: Path
    worktree: Path
    by: str

    @property
    def state(self) -> Path:
        """The directory of state and config."""
        return self.root / STATE_DIRECTORY

    @property
    def config(self) -> Path:
        """The project's config.yaml, whether or not it exists."""
        return self.state / CONFIG_FILE


def locate(start: Path) -> Location:
    """Find the project of a directory or file.

    Git's repository wins: a linked worktree or one of its folders belongs to the main working tree.
    Without git it is the nearest parent with `.aiworkflow/`, else the directory itself.
    """
    # one name for it: `--project ..`, a link and the folder itself are the same project, whose
    # bundles are called by their paths from here
    start = start.resolve()
    if not start.is_dir():
        start = start.parent
    parents = (start, *start.parents)
    for parent in parents:
        git = parent / ".git"
        if git.exists():
            return Location(_main_tree(parent, git), parent, "git")
    for parent in parents:
        if (parent / STATE_DIRECTORY).is_dir():
            return Location(parent, parent, ".aiworkflow")
    return Location(start, start, "directory")


def user_config(environ: Mapping[str, str]) -> Path:
    """The user's own config.yaml, whether or not it exists."""
    base = environ.get("XDG_CONFIG_HOME") or ""
    directory = Path(base) if base.startswith("/") else Path(environ.get("HOME", "~"), ".config")
    return directory.expanduser() / "aiworkflow" / CONFIG_FILE


def _main_tree(tree: Path, git: Path) -> Path:
    """The main working tree of the repository that `tree` is a working tree of."""
    if git.is_dir():
        return tree
    pointed = _read_line(git)
    if pointed is None or not pointed.startswith("gitdir:"):
        return tree
    directory = (tree / pointed.removeprefix("gitdir:").strip()).resolve()
    common = _read_line(directory / "commondir")
    if common is None:  # a submodule, or `git init --separate-git-dir`: the tree is its own
        return tree
    shared = (directory / common).resolve()
    # The common directory of a bare repository has no working tree; then its own folder serves.
    return shared.parent if shared.name == ".git" else shared


def _read_line(path: Path) -> str | None:
    """The only line of a small file of git's; None where it cannot be read as such."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_POINTER).decode().strip()
    except (OSError, UnicodeDecodeError):
        return None
