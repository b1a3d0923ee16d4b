"""Whether events are as they were written: none changed, none gone.

SQLite finds damage to its own structure where it comes across it, but not a changed byte of a value,
nor a page that says it has fewer rows than it had. The last event of a stream has no successor that
would miss it: its id may have become that of another place, which `check_next` sees, or its page may
not count it any more, which only a look at every page finds (`check_pages`).
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING
from zlib import crc32

from aiworkflow.journal.contract import Record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any  # noqa: TID251  rows of a table


def records_of(rows: Sequence[tuple[Any, ...]], after: int) -> list[Record]:
    """The events of one stream, in order.

    Args:
        rows: seq, payload and CRC of each; None for one that was written before there were any.
        after: the seq before the first.

    Raises:
        sqlite3.DatabaseError: one is damaged or missing.
    """
    found = []
    for seq, payload, crc in rows:
        after += 1
        if seq != after:
            raise _damaged(f"event {after} of a run is missing")
        if not isinstance(payload, bytes) or crc not in {None, crc32(payload, seq)}:
            raise _damaged(f"event {seq} of a run is not as it was written")
        found.append(Record(seq, payload))
    return found


def check_next(rows: Sequence[tuple[Any, ...]]) -> None:
    """What comes after a stream's last event is nothing, or the first of another.

    Args:
        rows: seq, and how many streams have the number, of the first event after it.

    Raises:
        sqlite3.DatabaseError: an event is where none can be.
    """
    if rows and rows != [(1, 1)]:
        raise _damaged("an event is not at its place")


def check_pages(db: sqlite3.Connection, largest: int) -> None:
    """Look at every page of a file of up to so many bytes: about a millisecond for each megabyte.

    Raises:
        sqlite3.DatabaseError: its structure is damaged.
    """
    ((size,),) = db.execute(
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    )
    if size > largest:
        return
    for (found,) in db.execute("PRAGMA quick_check(1)").fetchall():
        if found != "ok":
            raise _damaged(str(found).splitlines()[-1])


def _damaged(text: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
