"""One watch: what it looks at, and how it waits until nothing changes any more.

Theory. What is heard makes paths suspect. When nothing was heard of suspects for the time of
`debounce`, or the first was heard longer than `max_wait` ago, the batch is closed: the suspects are
looked at, and what differs from what was there before is the batch. Where so much was heard that the
system may have kept something back, or a rule of what is ignored has changed, all files are suspect.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.jsontext import compact
from aiworkflow.records import record
from aiworkflow.settings.units import duration
from aiworkflow.triggers.watch.own import LATE_S, Made
from aiworkflow.triggers.watch.patterns import IGNORE_FILE, Patterns
from aiworkflow.triggers.watch.tree import Change, Tree, differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from aiworkflow.engine.carried import Json
    from aiworkflow.triggers.contract import Armed
    from aiworkflow.triggers.watch.tree import Files, Stamp

MOST_LISTED: Final = 20_000
"""Changes that a run is told one by one; of more it is told the number."""

_MOST_HEARD: Final = 50_000  # of more paths it is not remembered which they were
_DEBOUNCE_S: Final = 2.0
_MAX_WAIT_S: Final = 60.0
_EXCLUDES: Final = ".git/info/exclude"


@record
class Suspects:
    """Where something may have changed.

    Attributes:
        heard_at: when something was last heard of a path; seconds since the epoch.
        since: nothing of it happened before this moment.
        late_s: how much earlier than it was heard something may have happened.
        folders: those of the paths that are folders, or were.
        all: whether all files are suspect.
        rules_changed: whether other files may be ignored than were before.
    """

    heard_at: Mapping[str, float]
    folders: frozenset[str]
    all: bool
    rules_changed: bool
    since: float = 0.0
    late_s: float = LATE_S

    def made(self, path: str, now: float) -> Made:
        """When something happened to a path of which nobody says it, as a file that is gone."""
        heard = self.heard_at.get(path)
        return Made(self.since, now) if heard is None else Made(heard - self.late_s, heard)


@record
class Looked:
    """What there is after a look.

    Attributes:
        files: the files that are there, of those that were looked at.
        paths: what was looked at.
        silent: those of them that changed by another rule of what is ignored: no change of a file.
    """

    files: Files
    paths: frozenset[str]
    silent: frozenset[str] = frozenset()


class Watched:
    """A watch that is armed.

    Attributes:
        files: as they were at the end of the last batch.
        tree: those that there are now.
    """

    def __init__(self, armed: Armed, root: Path, most_events: int) -> None:
        options = armed.trigger.options
        self.armed = armed
        paths = cast("list[str]", options["paths"])
        ignore = cast("list[str]", options.get("ignore", []))
        if armed.records:  # a run ends with its record, which would start the next one
            ignore = [*ignore, f"/{PurePosixPath(armed.records)}/"]
        gitignore = bool(options.get("gitignore", True))
        self.debounce_s = duration(options.get("debounce", _DEBOUNCE_S))
        usual = max(_MAX_WAIT_S, self.debounce_s)
        self.max_wait_s = duration(options.get("max_wait", usual))
        self.poll_s = duration(options["poll"]) if "poll" in options else None
        self.is_initial = bool(options.get("initial", False))
        self.options = hashlib.sha256(compact([paths, ignore, gitignore]).encode()).hexdigest()[:20]
        self.tree = Tree(root, Patterns(paths, ignore), gitignore=gitignore)
        self.files: Files = {}
        self.heard_at: dict[str, float] = {}
        self._folders: set[str] = set()
        self._most_events = most_events
        self._count = 0
        self._all = False
        self._rules_changed = False
        self._first: float | None = None
        self._last: float | None = None
        self.polled_at = 0.0
        self._polled: Files | None = None
        self._late_s = LATE_S

    def take_over(self, other: Watched) -> None:
        """Go on as another one that looks at the same files and was armed later."""
        self.armed, self.is_initial, self.poll_s = other.armed, other.is_initial, other.poll_s
        self.debounce_s, self.max_wait_s = other.debounce_s, other.max_wait_s

    # -- hearing ----------------------------------------------------------------------------------

    def hear(self, paths: Mapping[str, bool], now: float, *, count: int = 0) -> None:
        """Something happened to these paths; whether they are folders.

        Args:
            count: of all events that the system told, those of no interest included.
        """
        self._count += count
        if self._count >= self._most_events and not self._all:
            self.suspect_all(now)
        for path, is_folder in paths.items():
            if path.rpartition("/")[2] == IGNORE_FILE or path == _EXCLUDES:
                self._rules_changed = True
                self.suspect_all(now)
            if is_folder:
                if not self.tree.patterns.leads_to(path):
                    continue
                self._folders.add(path)
            elif path not in self.files and not self.tree.means(path):
                continue
            if len(self.heard_at) < _MOST_HEARD or path in self.heard_at:
                self.heard_at[path] = now
            else:
                self._all = True
            self._tick(now)

    def suspect_all(self, now: float) -> None:
        """Something may have happened to any file."""
        self._all = True
        self._tick(now)

    def suspect_rules(self, now: float) -> None:
        """Files of rules have changed: other files may be ignored than were before."""
        if not self._rules_changed:
            self._rules_changed = True
            self.suspect_all(now)

    def polled(self, files: Files, now: float, *, since: float) -> None:
        """So all files are now; what is different from the look before was heard.

        Args:
            since: when that look was.
        """
        before = self.files if self._polled is None else self._polled
        paths = {*before, *files}
        changed = {path: False for path in paths if before.get(path) != files.get(path)}
        if changed and since:
            self._late_s = max(self._late_s, now - since)
        self.hear(changed, now)
        self._polled = files

    def _tick(self, now: float) -> None:
        self._first = now if self._first is None else self._first
        self._last = now

    @property
    def due_at(self) -> float | None:
        """When the batch is closed if nothing more is heard; None for no batch."""
        if self._first is None or self._last is None:
            return None
        return min(self._last + self.debounce_s, self._first + self.max_wait_s)

    # -- looking ----------------------------------------------------------------------------------

    def close_batch(self) -> Suspects:
        """The suspects; what is heard from here on belongs to the next batch."""
        late_s, self._late_s = self._late_s, LATE_S
        found = Suspects(
            self.heard_at,
            frozenset(self._folders),
            self._all,
            self._rules_changed,
            (self._first or 0.0) - late_s,
            late_s,
        )
        self.heard_at, self._folders = {}, set()
        self._count = 0
        self._all = self._rules_changed = False
        self._first = self._last = None
        return found

    def look(self, suspects: Suspects) -> Looked:
        """The suspects as they are now; may take long, and is done in a thread."""
        if suspects.rules_changed:
            return self._look_by_new_rules(suspects)
        if suspects.all:
            files = self.tree.all()
            return Looked(files, frozenset([*files, *self.files]), self._left_out(files))
        found: Files = {}
        paths = set(suspects.heard_at)
        for path in suspects.heard_at:
            found.update(self.tree.below(path))
        for path in suspects.folders:
            paths.update(one for one in self.files if one.startswith(f"{path}/"))
        paths.update(self._came_from(found, paths))
        return Looked(found, frozenset([*paths, *found]))

    def _came_from(self, found: Files, paths: set[str]) -> list[str]:
        """Files that have moved away, of which nothing was heard yet: the system is late with it."""
        new = {stamp for path, stamp in found.items() if path not in self.files}
        if not new:
            return []
        old = [path for path, stamp in self.files.items() if stamp in new and path not in paths]
        return [path for path in old if not self.tree.below(path)]

    def _look_by_new_rules(self, suspects: Suspects) -> Looked:
        """A file that is ignored from now on is not deleted; one that is not any more is not new."""
        self.tree.forget_rules()
        files = self.tree.all()
        come = {path for path in files if path not in self.files and path not in suspects.heard_at}
        return Looked(files, frozenset([*files, *self.files]), self._left_out(files) | come)

    def _left_out(self, files: Files) -> frozenset[str]:
        """Files that were meant, and are ignored now, perhaps since nothing watched."""
        gone = [path for path in self.files if path not in files]
        return frozenset(path for path in gone if self.tree.is_there(path))

    def changes(self, looked: Looked) -> list[Change]:
        """What has changed since the last batch."""
        return differences(self.files, looked.files, looked.paths - looked.silent)

    def settle(self, stamps: Mapping[str, Stamp | None]) -> None:
        """So these files are known from here on; None for those that are gone."""
        for path, stamp in stamps.items():
            if stamp is None:
                self.files.pop(path, None)
            else:
                self.files[path] = stamp


def touched(changes: Iterable[Change]) -> list[str]:
    """The paths that changes are of, both of those that moved."""
    return [path for one in changes for path in (one.path, one.came_from) if path]


def data_of(name: str, changes: list[Change]) -> dict[str, Json]:
    """What `trigger` says of a batch."""
    return {
        "watch": name,
        "changes": [one.to_json() for one in changes[:MOST_LISTED]],
        "count": len(changes),
        "truncated": len(changes) > MOST_LISTED,
    }
