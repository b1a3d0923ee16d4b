"""What git has of a project's state: nothing, unless somebody committed it, or it came with a clone.

Who may make a link in `.aiworkflow` may have the state elsewhere: on a larger disk, say. A link that
git tracks came with the repository, and then its author chose where on this machine we write and clear
away; such a one is not followed out of the project. To look costs nothing where there is no link.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError
from aiworkflow.journal.open import make_private
from aiworkflow.runtime.gitwords import Git, GitFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from aiworkflow.client.project import Project


def make_state(project: Project) -> None:
    """Make the state folder, for its owner only.

    Raises:
        UsageError: it lies behind a link that came with the repository, out of the project.
    """
    for link in links_out(project):
        if tracked(project, [link]):
            raise UsageError(
                foreign_link(project, link),
                hint=f"remove the link; if you made it: {untrack(project, link)}",
            )
    make_private(project.folders.state)


def links_out(project: Project) -> Iterator[Path]:
    """The links in the project by way of which state would lie out of it."""
    state, root = project.folders.state, project.root.resolve()
    found = [one for one in (state.parent, state) if one.is_symlink()]
    try:
        with os.scandir(state) as entries:
            found += [state / one.name for one in entries if one.is_symlink()]
    except OSError:  # there is none yet, or whoever opens it says why it cannot be read
        pass
    for link in found:
        if not link.resolve().is_relative_to(root):
            yield link


def tracked(project: Project, paths: Iterable[Path]) -> list[str]:
    """Which files at or below these paths git tracks, as their paths from the project's root."""
    root = project.root
    specs = [f":(literal){one.relative_to(root)}" for one in paths if one.is_relative_to(root)]
    if not specs or not (root / ".git").exists():
        return []
    try:
        listed = Git(root, project.environ).get("ls-files", "-z", "--", *specs)
    except GitFailed:  # what lies beyond a link, or no git at all
        return []
    return [os.fsdecode(one) for one in listed.split(b"\0") if one]


def foreign_link(project: Project, link: Path) -> str:
    """What is wrong with a link."""
    name = link.relative_to(project.root)
    return f"the link `{name}` came with the repository, and leads out of it: to {link.resolve()}"


def untrack(project: Project, path: Path) -> str:
    """The command by which git forgets a file or folder, and leaves it there."""
    return f"git rm -r --cached {path.relative_to(project.root)}"
