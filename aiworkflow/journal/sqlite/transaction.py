"""One transaction of several appends: each is checked whole before it writes anything.

So a refusal leaves nothing behind and needs no savepoint, and the others of the transaction go on.
Events and outcomes are held back and written together at the end; what a later append of the same
transaction must see of an earlier one is kept in `_streams` and `_outcomes`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Final
from zlib import crc32

from aiworkflow.journal.contract import (
    Append,
    Appended,
    Closed,
    Conflict,
    Fenced,
    Moved,
    RegisterWrite,
    Require,
    RunRow,
    StreamState,
    UnknownRun,
)
from aiworkflow.journal.sqlite.queries import SQL
from aiworkflow.journal.sqlite.whole import records_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from aiworkflow.clock import Clock

_FIND_STREAM: Final = SQL["find_stream"]
_FIND_BLOB: Final = SQL["find_blob"]
_FIND_OUTCOME: Final = SQL["find_outcome"]
_ADD_EVENT: Final = SQL["add_event"]
_ADD_OUTCOME: Final = SQL["add_outcome"]
_NO_LIMIT: Final = -1
_FEW: Final = 4  # for fewer, a query each is as fast
_RUN_ROW: Final = attrgetter(*(field.name for field in fields(RunRow)))


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
        db: a cursor, since a connection makes a new one for each statement.
        clock: says when, for the outcomes that are kept.
    """

    def __init__(self, db: sqlite3.Cursor, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._streams: dict[str, _Stream] = {}
        self._new_runs: set[str] = set()
        self._blobs: dict[str, int] = {}
        self._outcomes: dict[tuple[int, str], Appended] = {}
        self._new_events: list[tuple[int, int, str | None, bytearray, int]] = []
        self._new_outcomes: list[tuple[int, str, int, int]] = []
        self._new_uses: list[tuple[int, int]] = []

    def look_up(self, runs: Sequence[str]) -> None:
        """Find the streams of several appends with one query."""
        if len(runs) < _FEW:
            return
        self._new_runs.update(runs)
        for run, *row in self._db.execute(SQL["find_streams"], (json.dumps(runs),)).fetchall():
            number, epoch, driver, tail = row
            self._streams[run] = _Stream(number, epoch, driver, tail or 0)
            self._new_runs.discard(run)

    def add(self, append: Append) -> Appended:
        """Check an append, then write it, but for what `finish` writes.

        Raises:
            UnknownRun, Fenced, Moved, Closed, Conflict: nothing of it was written.
        """
        stream = self._find(append.run)
        if stream is None:
            if append.epoch != 1 or append.after != 0:
                raise UnknownRun(append.run)
        else:
            if append.after != stream.tail or not append.events:  # else it cannot have been made
                known = self._known(append, stream)
                if known is not None:
                    return known
            self._check_driver(append, stream)
        for wanted in append.requires:
            self._check_open(wanted)
        if append.registers:
            self._check_versions(append.registers)
        return self._write(append, stream or self._create(append))

    def outcome(self, append: Append) -> Appended | None:
        """The outcome of an append that was made before, if it was."""
        stream = self._find(append.run)
        return None if stream is None else self._known(append, stream)

    def finish(self) -> None:
        """Write what was held back."""
        self._write_events()
        if self._new_uses:
            self._db.executemany(SQL["use_blob"], self._new_uses)
        if self._new_outcomes:
            now = int(self._clock.now().timestamp())
            self._db.executemany(_ADD_OUTCOME, [(*row, now) for row in self._new_outcomes])

    def put(self, writes: Sequence[RegisterWrite]) -> None:
        """Write registers that belong to no append. Raises Conflict: nothing was written."""
        self._check_versions(writes)
        for write in writes:
            self._put(write)

    def forget(self, seen: StreamState) -> None:
        """Remove a run that is as it was seen, or is not there. Raises Moved: it is another."""
        stream = self._find(seen.run)
        if stream is None:
            return
        if (stream.epoch, stream.tail, stream.driver) != (seen.epoch, seen.tail, seen.driver):
            raise Moved(seen.run, ())
        number = (stream.number,)
        self._db.execute(SQL["forget_run"], (seen.run,))
        for (blob,) in self._db.execute(SQL["blobs_of_stream"], number).fetchall():
            self._db.execute(SQL["forget_use"], (blob, stream.number))
            self._db.execute(SQL["forget_blob"], (blob,))
        for query in ("forget_events", "forget_appends", "forget_stream"):
            self._db.execute(SQL[query], number)

    # -- checks -----------------------------------------------------------------------------------

    def _find(self, run: str) -> _Stream | None:
        stream = self._streams.get(run)
        if stream is None and run not in self._new_runs:
            row = self._db.execute(_FIND_STREAM, (run,)).fetchone()
            if row is None:
                return None
            number, epoch, driver, tail = row
            stream = self._streams[run] = _Stream(number, epoch, driver, tail or 0)
        return stream

    def _known(self, append: Append, stream: _Stream) -> Appended | None:
        """The outcome of an append that was made before."""
        if append.after is not None and append.events:  # it is found where it says
            after = append.after
            if after >= stream.tail:
                return None
            self._write_events()
            row = self._db.execute(SQL["find_append"], (stream.number, after + 1)).fetchone()
            is_same = row is not None and row[0] == append.id
            return Appended(after + 1, after + len(append.events)) if is_same else None
        key = (stream.number, append.id)
        if key in self._outcomes:
            return self._outcomes[key]
        row = self._db.execute(_FIND_OUTCOME, key).fetchone()
        return None if row is None else Appended(*row)

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
            raise Moved(append.run, records_of(rows, append.after))

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
        driver = None if append.releases else append.driver
        self._db.execute(SQL["add_stream"], (append.run, append.epoch, driver))
        number = self._db.lastrowid
        assert number is not None
        stream = self._streams[append.run] = _Stream(number, 1, driver, 0)
        return stream

    def _write(self, append: Append, stream: _Stream) -> Appended:
        number, first = stream.number, stream.tail + 1
        is_placed = append.after is not None and bool(append.events)
        id_ = append.id if is_placed else None
        for payload in append.events:
            stream.tail += 1
            crc = crc32(payload, stream.tail)
            # bytes are taken to a search for an adapter before they are bound
            self._new_events.append((number, stream.tail, id_, bytearray(payload), crc))
            id_ = None
        outcome = Appended(first, stream.tail)
        if not is_placed:
            self._outcomes[number, append.id] = outcome
            self._new_outcomes.append((number, append.id, first, stream.tail))
        if append.releases and stream.driver is not None:
            stream.driver = None
            self._db.execute(SQL["release_stream"], (number,))
        for write in append.registers:
            self._put(write)
        if append.row is not None:
            self._db.execute(SQL["put_run"], _RUN_ROW(append.row))
        for digest in append.blobs:
            self._new_uses.append((self._blob(digest), number))
        return outcome

    def _blob(self, digest: str) -> int:
        """The number of a blob; the runs of a bundle have its files in common."""
        number = self._blobs.get(digest)
        if number is None:
            row = self._db.execute(_FIND_BLOB, (digest,)).fetchone()
            if row is None:
                self._db.execute(SQL["add_blob"], (digest,))
                number = self._db.lastrowid
            else:
                number = row[0]
            assert number is not None
            self._blobs[digest] = number
        return number

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
