"""Opening the file: make it, bring it to this format, or say why it cannot be used.

Opening one that exists asks a single question of it (its format), since every command of the program
pays for it; what only writing needs is set before the first write.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.contract import LOST_END, RESTORED, JournalUnavailable
from aiworkflow.journal.disk import sync_folder
from aiworkflow.journal.sqlite.failures import damaged, patiently, unavailable
from aiworkflow.journal.sqlite.place import (
    is_disk,
    prepare_folder,
    refuse_network,
)
from aiworkflow.journal.sqlite.queries import SQL
from aiworkflow.journal.sqlite.tail import Tail, is_open_elsewhere

if TYPE_CHECKING:
    from aiworkflow.clock import Clock, Ids

FORMAT: Final = 3
MIGRATIONS: Final = Path(__file__).parent / "migrations"
SCHEMA: Final = Path(__file__).parent / "schema.sql"
_LARGEST_WAL: Final = 64 * 1024 * 1024
_NOT_OVER: Final = '["queued", "running", "waiting"]'
_TOLD_S: Final = 30 * 86_400  # for so long `doctor` tells that something was lost
_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)


def open_database(path: Path, *, clock: Clock, ids: Ids) -> sqlite3.Connection:
    """A connection to the journal at a path, made if there is none.

    Raises:
        JournalUnavailable: damaged, newer, on a network file system, or not to be read or written.
    """
    _prepare_file(path)
    try:
        db = connect(path)
        try:
            found = patiently(lambda: _format(db))
            if found != FORMAT:
                _bring_up(db, path, found, clock=clock, ids=ids)
            _mind_the_end(db, path, clock)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise unavailable(error, path) from error
    return db


def connect(path: Path) -> sqlite3.Connection:
    """A connection that waits for nobody and begins no transaction by itself."""
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)


def prepare_writing(db: sqlite3.Connection) -> None:
    """What a connection needs before its first write: each commit on the disk before it returns."""
    ((mode,),) = db.execute("PRAGMA journal_mode=WAL")
    if mode != "wal":
        raise sqlite3.OperationalError("the file system has no shared memory for its WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(f"PRAGMA journal_size_limit={_LARGEST_WAL}")
    db.execute("PRAGMA wal_autocheckpoint=0")  # see `checkpoint`


def migrate(
    db: sqlite3.Connection, found: int, wanted: int, *, now: float, folder: Path = MIGRATIONS
) -> None:
    """Bring a journal from one format to a newer one; all of it or nothing.

    Args:
        found: the format it has; another process may have changed it meanwhile, which is no error.
        now: seconds since the epoch.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(max(found, _format(db)) + 1, wanted + 1):
            run_script(db, (folder / f"{number:04}.sql").read_text(encoding="utf-8"))
            db.execute(SQL["add_format"], (number, now))
            db.execute(f"PRAGMA user_version={number}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _format(db: sqlite3.Connection) -> int:
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    return found


def _prepare_file(path: Path) -> None:
    """There is a file, empty if need be, that only its owner may read."""
    folder = path.parent
    is_new = not path.exists()
    try:
        if is_new:
            prepare_folder(folder)
        if not is_disk(folder):
            refuse_network(folder)
        if is_new:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            sync_folder(folder)
    except OSError as error:
        raise JournalUnavailable(
            f"cannot make the journal {path}: {error.strerror}",
            hint="make the folder writable for you, "
            "or set `journal: sqlite:///folder` in .aiworkflow/config.yaml",
        ) from error


def _bring_up(db: sqlite3.Connection, path: Path, found: int, *, clock: Clock, ids: Ids) -> None:
    if found > FORMAT:
        raise JournalUnavailable(
            f"the journal {path} needs a newer aiworkflow (its format is {found}, not {FORMAT})",
            hint="update aiworkflow",
        )
    now = clock.now().timestamp()
    if found > 0:
        patiently(lambda: prepare_writing(db))
        patiently(lambda: migrate(db, found, FORMAT, now=now))
        return
    if path.stat().st_size == 0:
        _refuse_remains(path)
    patiently(lambda: prepare_writing(db))
    patiently(lambda: _create(db, path, ids.token(), now))


def _mind_the_end(db: sqlite3.Connection, path: Path, clock: Clock) -> None:
    """Where the end of the WAL is damaged, note it before the next write lies on it."""
    wal = path.with_name(f"{path.name}-wal")
    try:
        with closing(Tail(wal)) as tail:
            is_suspect = tail.may_be_damaged()
    except OSError:  # there is none, as always where nobody else has it open
        return
    if not is_suspect or is_open_elsewhere(path):
        return
    try:
        patiently(lambda: _note_loss(db, path, wal, clock.now().timestamp()))
    except sqlite3.OperationalError as error:
        if (
            error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY
        ):  # else nothing is written over it
            raise


def _note_loss(db: sqlite3.Connection, path: Path, wal: Path, now: float) -> None:
    prepare_writing(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        length = _frames_found(path)
        with closing(Tail(wal)) as tail:
            if length is None or not tail.is_damaged(length):
                return
        said = json.dumps({"at": now})
        db.execute(SQL["doubt_unfinished"], (RESTORED, said, _NOT_OVER))
        db.execute(SQL["put_register"], (LOST_END, "wal", said, now + _TOLD_S))
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    import logging  # it loads much, and this happens seldom

    logging.getLogger(__name__).warning(
        "the end of the journal %s is damaged, and what was written last may be lost: runs that go on "
        "look, or ask, whether a step has been done; a run that had just begun may be gone",
        path,
    )


def _frames_found(path: Path) -> int | None:
    """How many frames of the WAL SQLite takes for right. Nobody may write meanwhile."""
    with closing(connect(path)) as other:
        ((_, length, _),) = other.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return length if length >= 0 else None  # somebody else moves it


def _refuse_remains(path: Path) -> None:
    """An empty file beside what a journal leaves is a journal that lost its content, not a new one."""
    blobs = path.parent / "blobs"
    if blobs.is_dir() and any(blobs.iterdir()):
        raise damaged(path, "it is empty, but blobs of runs are there")


def _create(db: sqlite3.Connection, path: Path, id_: str, now: float) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        if _format(db) == 0:  # else another process was faster
            if db.execute(SQL["count_tables"]).fetchone()[0]:
                raise JournalUnavailable(
                    f"{path} is a SQLite database, but no journal of aiworkflow",
                    hint="set `journal: sqlite:///folder` to a folder of its own",
                )
            run_script(db, SCHEMA.read_text(encoding="utf-8"))
            db.execute(SQL["set_journal_id"], (id_,))
            db.execute(SQL["add_format"], (FORMAT, now))
            db.execute(f"PRAGMA user_version={FORMAT}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def run_script(db: sqlite3.Connection, script: str) -> None:
    """Each statement of a script; `executescript` would commit first. No `;` inside of one."""
    for statement in _COMMENT.sub("", script).split(";"):
        if statement.strip():
            db.execute(statement)
