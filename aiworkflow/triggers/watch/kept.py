"""What the journal keeps of a watch: its files as they were, and the batch that is on its way.

The files are registers of their own, one for each folder, so that a batch writes what it changed and
no more. The head of a watch is compared and set with each batch: of two servers that look at the same
folder, one writes the batch down, and the other sees that it is written. A batch stands in the head
until its run is durable; after a crash it is started again, as the same occurrence.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import field
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.journal import RegisterWrite
from aiworkflow.jsontext import compact
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal, Register
    from aiworkflow.triggers.watch.tree import Files, Stamp

WATCH: Final = "watch"
"""The space of heads; keys are made of what the watch looks at and the place of its folder."""

WATCHED: Final = "watched"
"""The space of files: `KEY/folder`, each with the names of its files and what is known of them."""

_MOST_RUNS: Final = 50
_PAGE: Final = 500


@record
class Batch:
    """Changes that a run is to be started for.

    Attributes:
        key: of the occurrence.
        at: when it was closed, seconds since the epoch.
    """

    key: str
    at: float
    data: Mapping[str, Json]


@record
class Head:
    """Where a watch stands.

    Attributes:
        name, place: whose it is; the name goes into the keys of its batches, and stays when it is
            carried over to a watch that goes by another.
        options: digest of what it looks at.
        number: of the last batch.
        pending: the batch on its way.
        runs: those that it started last, the newest at the end.
    """

    name: str
    place: str
    options: str
    number: int = 0
    pending: Batch | None = None
    runs: tuple[str, ...] = field(default=())


class Kept:
    """What is kept of one watch in one place.

    Args:
        name: what it goes by: `Armed.key`.
        place: of the project's folder: the machine, and the path there.
    """

    def __init__(self, journal: Journal, name: str, place: str) -> None:
        self._journal = journal
        self._name, self._place = name, place
        self.key = hashlib.sha256(f"{name}\0{place}".encode()).hexdigest()[:20]

    def head(self) -> tuple[Head | None, int]:
        """The head and its version; None and 0 where nothing is known."""
        found = self._journal.register(WATCH, self.key)
        if found is None:
            return None, 0
        return _read_head(found.value), found.version

    def files(self) -> Files:
        """All files as they were."""
        found: Files = {}
        for row in _pages(self._journal, WATCHED, f"{self.key}/"):
            found.update(_read_row(row.key[len(self.key) + 1 :], row.value))
        return found

    def take_over(self, key: str) -> None:
        """Go on from what is kept under another key, and is kept there no more.

        Raises:
            Conflict: somebody else does so, too.
            JournalUnavailable: nothing was moved.
        """
        head = self._journal.register(WATCH, key)
        if head is None:
            return
        writes = [
            RegisterWrite(WATCH, self.key, head.value, expect=0),
            RegisterWrite(WATCH, key, None, expect=head.version),
        ]
        for row in _pages(self._journal, WATCHED, f"{key}/"):
            writes.append(RegisterWrite(WATCHED, self.key + row.key[len(key) :], row.value))
            writes.append(RegisterWrite(WATCHED, row.key, None))
        self._journal.put(writes)

    def stamp_of(self, paths: Iterable[str]) -> dict[str, Stamp | None]:
        """Some files as they were; None for those that were not there."""
        rows: dict[str, Files] = {}
        found: dict[str, Stamp | None] = {}
        for path in paths:
            folder = path.rpartition("/")[0]
            if folder not in rows:
                rows[folder] = self._row(folder)
            found[path] = rows[folder].get(path)
        return found

    def write(self, head: Head, version: int, changed: Mapping[str, Stamp | None]) -> None:
        """Write the head, and files that are different now; None for those that are gone.

        Raises:
            Conflict: somebody else has written the head since.
            JournalUnavailable: nothing was written.
        """
        rows: dict[str, Files] = {}
        for path, stamp in changed.items():
            folder = path.rpartition("/")[0]
            if folder not in rows:
                rows[folder] = self._row(folder)
            if stamp is None:
                rows[folder].pop(path, None)
            else:
                rows[folder][path] = stamp
        writes = [RegisterWrite(WATCH, self.key, _head_json(head), expect=version)]
        for folder, files in rows.items():
            value = compact({path.rpartition("/")[2]: stamp for path, stamp in files.items()})
            key = f"{self.key}/{folder}"
            writes.append(RegisterWrite(WATCHED, key, value if files else None))
        self._journal.put(writes)

    def forget(self) -> None:
        """Remove all of it."""
        while page := self._journal.registers(WATCHED, f"{self.key}/", limit=_PAGE):
            self._journal.put([RegisterWrite(WATCHED, row.key, None) for row in page])
        self._journal.put([RegisterWrite(WATCH, self.key, None)])

    def _row(self, folder: str) -> Files:
        found = self._journal.register(WATCHED, f"{self.key}/{folder}")
        return {} if found is None else _read_row(folder, found.value)


def heads_of(journal: Journal, bundle: str, place: str) -> dict[str, Head]:
    """What is kept of the watches of a bundle in a place, by its key; also of those it has no more."""
    found = {row.key: _read_head(row.value) for row in _pages(journal, WATCH, "")}
    name = f"{bundle}/watch"
    return {
        key: head
        for key, head in found.items()
        if head.place == place
        and (head.name == name or head.name.startswith((f"{name} ", f"{name}.")))
    }


def _pages(journal: Journal, space: str, prefix: str) -> Iterator[Register]:
    after = ""
    while page := journal.registers(space, prefix, after=after, limit=_PAGE):
        yield from page
        after = page[-1].key


def _read_head(value: str) -> Head:
    about = json.loads(value)
    pending = about.pop("pending", None)
    about["runs"] = tuple(about.get("runs", ()))
    return Head(**about, pending=Batch(**pending) if pending else None)


def started(head: Head, run: str) -> Head:
    """The head when the batch that was on its way is durable; "" for one that gets no run."""
    runs = (*head.runs, run)[-_MOST_RUNS:] if run else head.runs
    return Head(head.name, head.place, head.options, head.number, None, runs)


def _read_row(folder: str, value: str) -> Files:
    front = f"{folder}/" if folder else ""
    return {front + name: cast("Stamp", tuple(stamp)) for name, stamp in json.loads(value).items()}


def _head_json(head: Head) -> str:
    about: dict[str, object] = {
        "name": head.name,
        "place": head.place,
        "options": head.options,
        "number": head.number,
        "runs": list(head.runs),
    }
    if head.pending is not None:
        pending = head.pending
        about["pending"] = {"key": pending.key, "at": pending.at, "data": dict(pending.data)}
    return compact(about)
