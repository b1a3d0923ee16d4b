"""The files that a watch means as they are now, and what has changed between two looks.

What is known of a file is when it was written, how long it is and which file it is (its inode). A file
that is gone and another that is new are one that moved when all three are the same. A file that was
written under another name and then moved over an older one (so editors save) is the older one,
modified: only what there is at the end of a batch counts, not how it came to be.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, TypeAlias

from aiworkflow.records import record
from aiworkflow.triggers.watch.patterns import Ignored, Patterns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from aiworkflow.engine.carried import Json

Stamp: TypeAlias = "tuple[int, int, int]"
"""Nanoseconds since the epoch of the last writing, bytes, inode."""

Files: TypeAlias = "dict[str, Stamp]"
"""Files by their paths within the project."""

_DEEPEST: Final = 60


@record
class Change:
    """What became of a file: `created`, `modified`, `deleted`, or `moved` from another path."""

    path: str
    change: str
    came_from: str = ""

    def to_json(self) -> dict[str, Json]:
        """As an item of `trigger.changes`."""
        shown: dict[str, Json] = {"path": self.path, "change": self.change}
        return {**shown, "from": self.came_from} if self.came_from else shown


class Tree:
    """The files of a project that a watch means.

    Args:
        root: the project.
    """

    def __init__(self, root: Path, patterns: Patterns, *, gitignore: bool = True) -> None:
        self.root = root
        self.patterns = patterns
        self._gitignore = gitignore
        self._ignored = self._read_rules()

    def forget_rules(self) -> None:
        """Read the rules of `.gitignore` files anew."""
        self._ignored = self._read_rules()

    def has_other_rules(self, *, everywhere: bool) -> bool:
        """Whether files of rules have changed since they were read.

        Args:
            everywhere: also those below what is watched, of which the system tells where it does.
        """
        return self._ignored.is_stale(None if everywhere else self.patterns.roots)

    def _read_rules(self) -> Ignored:
        return Ignored(self.root, self.patterns, gitignore=self._gitignore)

    def means(self, path: str) -> bool:
        """Whether a file belongs to it."""
        return _is_text(path) and self.patterns.means(path) and not self._ignored.file(path)

    def all(self) -> Files:
        """All files."""
        found: Files = {}
        for root in self.patterns.roots:
            found.update(self.below(root))
        return found

    def below(self, path: str) -> Files:
        """A file, or the files of a folder; nothing where there is neither."""
        try:
            about = (self.root / path).lstat()
        except OSError:
            return {}
        if stat.S_ISDIR(about.st_mode):
            if self._ignored.folder(path):
                return {}
            return dict(self._walk(path, path.count("/")))
        stamp = _stamp(about)
        return {path: stamp} if stamp is not None and self.means(path) else {}

    def is_there(self, path: str) -> bool:
        """Whether there is such a file, ignored or not."""
        try:
            return _stamp((self.root / path).lstat()) is not None
        except OSError:
            return False

    def _walk(self, folder: str, depth: int) -> Iterator[tuple[str, Stamp]]:
        if depth > _DEEPEST:
            return
        try:
            entries = list(os.scandir(self.root / folder))
        except OSError:
            return  # it has gone meanwhile, or nobody may read it
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    if self.patterns.leads_to(path) and not self._ignored.folder(path):
                        yield from self._walk(path, depth + 1)
                elif self.means(path):
                    stamp = _stamp(entry.stat(follow_symlinks=False))
                    if stamp is not None:
                        yield path, stamp
            except OSError:
                continue  # it has gone meanwhile


def _is_text(name: str) -> bool:
    """Whether a name can be told to a run; file systems know others too."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stamp(about: os.stat_result) -> Stamp | None:
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISLNK(about.st_mode)):
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


def differences(
    before: Mapping[str, Stamp], now: Mapping[str, Stamp], paths: Iterable[str]
) -> list[Change]:
    """What became of some files, in order of their paths.

    Args:
        paths: those that may differ.
    """
    created, deleted, found = {}, {}, []
    for path in paths:
        old, new = before.get(path), now.get(path)
        if old is None and new is not None:
            created[path] = new
        elif old is not None and new is None:
            deleted[path] = old
        elif old != new:
            found.append(Change(path, "modified"))
    gone = {stamp: path for path, stamp in sorted(deleted.items(), reverse=True)}
    for path, stamp in sorted(created.items()):
        source = gone.pop(stamp, None)
        if source is None:
            found.append(Change(path, "created"))
        else:
            del deleted[source]
            found.append(Change(path, "moved", source))
    found += [Change(path, "deleted") for path in deleted]
    return sorted(found, key=lambda one: one.path)
