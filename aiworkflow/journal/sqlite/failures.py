"""What SQLite reports → what the user reads; and which reports only mean: try again.

Another process that writes at the same moment is the ordinary case, and short. SQLite's own waiting
sleeps up to 100 ms at a time, so ours is used instead: short steps with some chance in them.
"""

from __future__ import annotations

import os
import sqlite3
import time
from typing import TYPE_CHECKING, Final, TypeVar

from aiworkflow.journal.contract import JournalUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

PATIENCE_S: Final = 30.0
_FIRST_WAIT_S: Final = 0.0005
_LONGEST_WAIT_S: Final = 0.02


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way, so that trying again helps."""
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def wait_s(tries: int) -> float:
    """How long to wait before the next try, in seconds, after `tries` that failed."""
    longest: float = min(_FIRST_WAIT_S * 1.5 ** min(tries, 20), _LONGEST_WAIT_S)
    return longest * (0.5 + os.urandom(1)[0] / 256)  # loading `random` takes longer than a commit


def patiently(work: Callable[[], T]) -> T:
    """Do something that another writer may be in the way of; again until it is not."""
    began = time.monotonic()
    tries = 0
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() - began > PATIENCE_S:
                raise
        time.sleep(wait_s(tries))
        tries += 1


def unavailable(error: sqlite3.Error, path: Path) -> JournalUnavailable:
    """The error to raise for a failure of SQLite: what happened, and the way out."""
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return JournalUnavailable(
            f"no space left for the journal {path}",
            hint="free some space, then go on with `aiworkflow runs resume RUN`; nothing was lost",
        )
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_IOERR:
        return JournalUnavailable(
            f"the disk failed under the journal {path}: {error}",
            hint="look at the disk and its limits, then go on with `aiworkflow runs resume RUN`",
        )
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return JournalUnavailable(
            f"the journal {path} cannot be written: {error}",
            hint="make the file and its folder writable for you, "
            "or set `journal: sqlite:///folder` in .aiworkflow/config.yaml",
        )
    if is_busy(error):
        return JournalUnavailable(
            f"another process has kept the journal {path} locked for {PATIENCE_S:g} seconds",
            hint="end the process that hangs: aiworkflow doctor",
        )
    return JournalUnavailable(f"the journal {path} failed: {error}", hint="see `aiworkflow doctor`")


def damaged(path: Path, detail: str) -> JournalUnavailable:
    """The error for a file that is no whole journal."""
    return JournalUnavailable(
        f"the journal {path} is damaged: {detail}",
        hint=f"restore {path} from a backup, or move it away to begin a new journal",
    )


def _code(error: sqlite3.Error) -> int:
    """The primary code; 0 for errors of the binding itself, which have none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
