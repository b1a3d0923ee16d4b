"""Whole journal files: copied while others write, put in the place of another, moved aside."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.disk import sync_folder
from aiworkflow.journal.sqlite.connect import connect
from aiworkflow.journal.sqlite.failures import PATIENCE_S, unavailable

if TYPE_CHECKING:
    from pathlib import Path

_ALL_PAGES: Final = -1
_BESIDE: Final = ("", "-wal", "-shm")


def copy_database(source: Path, target: Path, *, is_still: bool = False) -> None:
    """Copy a database as it is at one moment, also while others write to it.

    A target that is there is replaced in one transaction: others have the old or the new one, whole.

    Args:
        is_still: nobody writes to the source, and nothing may be left beside it.

    Raises:
        JournalUnavailable: one of them cannot be used, or is locked all the time.
    """
    began = time.monotonic()

    def look_at_the_time(status: int, remaining: int, total: int) -> None:
        del remaining, total
        is_kept_out = status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        if is_kept_out and time.monotonic() - began > PATIENCE_S:
            raise sqlite3.OperationalError("another process has kept it locked all the time")

    try:
        with closing(_reader(source, is_still=is_still)) as from_, closing(connect(target)) as to:
            to.execute("PRAGMA synchronous=FULL")
            from_.backup(to, pages=_ALL_PAGES, progress=look_at_the_time, sleep=0.02)
        sync_folder(target.parent)
    except sqlite3.Error as error:
        raise unavailable(error, source) from error


def put_database(source: Path, target: Path) -> None:
    """Copy a database that nobody writes to, to where there is none; it appears there whole.

    Raises:
        JournalUnavailable: it cannot be written.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        copy_database(source, part, is_still=True)
        part.chmod(0o600)
        part.rename(target)
        sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _reader(path: Path, *, is_still: bool) -> sqlite3.Connection:
    """A connection; one to a file at rest leaves nothing beside it, since that may be in a backup."""
    if not is_still or path.with_name(f"{path.name}-wal").exists():
        return connect(path)
    quoted = path.absolute().as_uri()
    return sqlite3.connect(f"{quoted}?immutable=1", uri=True, timeout=0, isolation_level=None)


def move_aside(path: Path, folder: Path) -> None:
    """Move a database that is not sound, with what belongs to it, into a folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for ending in _BESIDE:
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(folder / part.name)
    sync_folder(folder)
    sync_folder(path.parent)


def link_blobs(blobs: Path, folder: Path) -> None:
    """The same blobs in another folder too; none of the two is changed by what becomes of the other."""
    for path in sorted(blobs.glob("??/*")):
        if path.name.startswith("."):
            continue
        place = folder / path.parent.name / path.name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not place.exists():
            os.link(path, place)
