"""Whether events are as they were written: none changed, none gone from between.

SQLite finds damage to its own structure, but not a changed byte of a value.
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


def _damaged(text: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
