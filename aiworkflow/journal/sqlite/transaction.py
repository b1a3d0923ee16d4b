"""One transaction of several appends: each is checked whole before it writes anything.

So a refusal leaves nothing behind and needs no savepoint, and the others of the transaction go on.
Events and outcomes are held back and written together at the end; what a later append of the same
transaction must see of an earlier one is kept in `_streams` and `_outcomes`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.contract import (
    Append,
    Appended,
    Closed,
    Conflict,
    Fenced,
    Moved,
    Record,
    RegisterWrite,
    Require,
    UnknownRun,
)
from aiworkflow.journal.sqlite.queries import SQL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_FIND_STREAM: Final = SQL["find_stream"]
_FIND_OUTCOME: Final = SQL["find_outcome"]
_ADD_EVENT: Final = SQL["add_event"]
_ADD_OUTCOME: Final = SQL["add_outcome"]
_NO_LIMIT: Final = -1


@dataclass(slots=True)
class _Stream:
    """A stream as this transaction has left it."""

    number: int
    epoch: int
    driver: str | None
    tail: int


class Transaction:
    """Appends within a write transaction that the caller begins and commits.

    Args:
        now: seconds since the epoch, noted with the outcomes.
    """

    def __init__(self, db: sqlite3.Connection, now: int) -> None:
        self._db = db
        self._now = now
        self._streams: dict[str, _Stream] = {}
        self._outcomes: dict[tuple[int, str], Appended] = {}
        self._new_events: list[tuple[int, int, bytes]] = []
        self._new_outcomes: list[tuple[int, str, int, int, int]] = []

    def add(self, append: Append) -> Appended:
        """Check an append, then write it, but for what `finish` writes.

        Raises:
            UnknownRun, Fenced, Moved, Closed, Conflict: nothing of it was written.
        """
        stream, known = self._find(append)
        if known is not None:
            return known
        if stream is None:
            if append.epoch != 1 or append.after != 0:
                raise UnknownRun(append.run)
        else:
            self._check_driver(append, stream)
        for wanted in append.requires:
            self._check_open(wanted)
        if append.registers:
            self._check_versions(append.registers)
        return self._write(append, stream or self._create(append))

    def finish(self) -> None:
        """Write what was held back."""
        self._write_events()
        if self._new_outcomes:
            self._db.executemany(_ADD_OUTCOME, self._new_outcomes)

    # -- checks -----------------------------------------------------------------------------------

    def _find(self, append: Append) -> tuple[_Stream | None, Appended | None]:
        """The stream, and the outcome if this append was made before."""
        stream = self._streams.get(append.run)
        if stream is None:
            row = self._db.execute(_FIND_STREAM, (append.run, append.id)).fetchone()
            if row is None:
                return None, None
            number, epoch, driver, tail, first, last = row
            stream = self._streams[append.run] = _Stream(number, epoch, driver, tail or 0)
            return stream, None if first is None else Appended(first, last)
        key = (stream.number, append.id)
        row = self._db.execute(_FIND_OUTCOME, key).fetchone()
        return stream, self._outcomes.get(key) if row is None else Appended(*row)

    def _check_driver(self, append: Append, stream: _Stream) -> None:
        if append.epoch is not None:
            is_holder = append.driver is None or append.driver == stream.driver
            if append.epoch != stream.epoch or stream.driver is None or not is_holder:
                raise Fenced(append.run, append.epoch, stream.epoch)
            if append.after is not None and append.after > stream.tail:
                raise Fenced(append.run, append.epoch, stream.epoch)
        if append.after is not None and append.after != stream.tail:
            self._write_events()
            query = (append.run, append.after, _NO_LIMIT)
            rows = self._db.execute(SQL["events"], query).fetchall()
            raise Moved(append.run, [Record(*row) for row in rows])

    def _check_open(self, wanted: Require) -> None:
        row = self._db.execute(SQL["register"], (wanted.space, wanted.key)).fetchone()
        if row is None or (row[2] is not None and row[2] <= wanted.now):
            raise Closed(wanted.space, wanted.key)

    def _check_versions(self, writes: Sequence[RegisterWrite]) -> None:
        """Each expected version, as it will be when the writes before it are made."""
        if all(write.expect is None for write in writes):
            return
        versions: dict[tuple[str, str], int] = {}
        for write in writes:
            key = (write.space, write.key)
            current = versions.get(key)
            if current is None:
                row = self._db.execute(SQL["register"], key).fetchone()
                current = 0 if row is None else row[1]
            if write.expect is not None and write.expect != current:
                raise Conflict(write.space, write.key, write.expect, current)
            versions[key] = 0 if write.value is None else current + 1

    # -- writes -----------------------------------------------------------------------------------

    def _create(self, append: Append) -> _Stream:
        cursor = self._db.execute(SQL["add_stream"], (append.run, append.epoch, append.driver))
        number = cursor.lastrowid
        assert number is not None
        stream = self._streams[append.run] = _Stream(number, 1, append.driver, 0)
        return stream

    def _write(self, append: Append, stream: _Stream) -> Appended:
        number, first = stream.number, stream.tail + 1
        for payload in append.events:
            stream.tail += 1
            self._new_events.append((number, stream.tail, payload))
        outcome = Appended(first, stream.tail)
        self._outcomes[number, append.id] = outcome
        self._new_outcomes.append((number, append.id, first, stream.tail, self._now))
        if append.releases:
            stream.driver = None
            self._db.execute(SQL["release_stream"], (number,))
        for write in append.registers:
            self._put(write)
        if append.row is not None:
            self._db.execute(SQL["put_run"], astuple(append.row))
        for digest in append.blobs:
            self._db.execute(SQL["add_blob"], (digest,))
            self._db.execute(SQL["use_blob"], (digest, number))
        return outcome

    def _put(self, write: RegisterWrite) -> None:
        if write.value is None:
            self._db.execute(SQL["delete_register"], (write.space, write.key))
        else:
            row = (write.space, write.key, write.value, write.expires)
            self._db.execute(SQL["put_register"], row)

    def _write_events(self) -> None:
        if self._new_events:
            self._db.executemany(_ADD_EVENT, self._new_events)
            self._new_events.clear()
