"""A backup: a journal in files, `journal.db` and `blobs/`, with a manifest that tells it is whole.

That form is the same whatever kind of journal it is made of, so that a backup of one kind can be
restored to another. It is built in the project's state folder and gets its name when it is whole.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aiworkflow.client.journals import open_existing, own_journal
from aiworkflow.client.portable import own_file
from aiworkflow.errors import UnavailableError, UsageError
from aiworkflow.journal import JournalUnavailable
from aiworkflow.journal.copying import Counts, all_streams, copy_journal, fingerprint
from aiworkflow.journal.open import is_postgres, journal_folder, place_shown
from aiworkflow.journal.sqlite import SqliteJournal
from aiworkflow.journal.sqlite.files import copy_database
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiworkflow.client.project import Project
    from aiworkflow.journal.copying import Fingerprint

MANIFEST: Final = "backup.json"
DATABASE: Final = "journal.db"
FORM: Final = 1
_ARCHIVES: Final = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz"}
_OTHERS: Final = (".zip", ".7z", ".gz", ".bz2", ".xz", ".zst")


@record
class Backup:
    """A backup that was made.

    Attributes:
        path: the folder or file.
        journal: the id of the journal.
        made: when, ISO 8601 in UTC.
    """

    path: Path
    journal: str
    made: str
    counts: Counts


def back_up(project: Project, target: Path, copied: Callable[[int], None] | None = None) -> Backup:
    """Copy the project's journal as it is now; runs may go on meanwhile.

    Args:
        target: a file whose name ends in `.tar`, `.tar.gz` or `.tgz`, or a folder; must not be there.

    Raises:
        UsageError: the target is there already or ends as another kind of file; there is no journal.
        UnavailableError: it cannot be written. JournalUnavailable: the journal is not whole.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(
            f"`{target}` is there already", hint="name a new file or folder for each backup"
        )
    other = next((end for end in _OTHERS if target.name.endswith(end)), None)
    if other is not None and not target.name.endswith(tuple(_ARCHIVES)):
        raise UsageError(
            f"a backup is no {other} file, and `{target}` would be a folder",
            hint="let its name end in .tar.gz, .tgz or .tar, or name a folder",
        )
    where = own_journal(project)
    made = project.clock.now().isoformat(timespec="seconds")
    with building(project, "backup") as folder:
        open_existing(project, where).close()  # says that there is none
        try:
            if is_postgres(where):
                _copy_pages(project, where, folder, copied)
            else:
                _copy_files(project, where, folder)
            id_, print_ = _read(project, folder)
        except JournalUnavailable:
            _refuse_damaged(project, where)  # a copy is as what it was copied from
            raise
        about = {
            "form": FORM,
            "journal": id_,
            "of": place_shown(where, project.folders.state),
            "made": made,
            "digest": print_.digest,
            "runs": print_.counts.runs,
            "events": print_.counts.events,
            "registers": print_.counts.registers,
            "blobs": print_.counts.blobs,
        }
        (folder / MANIFEST).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        try:
            _give_name(folder, target)
        except OSError as error:
            raise UnavailableError(
                f"the backup {target} cannot be written: {error.strerror}",
                hint="name a place that you may write to, with enough space",
            ) from error
    return Backup(target, id_, made, print_.counts)


def _read(project: Project, folder: Path) -> tuple[str, Fingerprint]:
    journal = SqliteJournal(folder, clock=project.clock, ids=project.ids)
    try:
        return journal.id, fingerprint(journal)
    finally:
        journal.close()


def _refuse_damaged(project: Project, where: str) -> None:
    """Say of the journal itself that it is damaged, where it is. Raises JournalUnavailable."""
    source = open_existing(project, where)
    try:
        problems = [one for one in source.health().problems if not one.startswith("blob ")]
    finally:
        source.close()
    if problems:
        raise JournalUnavailable(
            problems[0], hint="restore an earlier backup: aiworkflow journal restore FROM --force"
        )


def _copy_pages(
    project: Project, where: str, folder: Path, copied: Callable[[int], None] | None
) -> None:
    """Of a server: page by page, all as it was at one moment."""
    source = open_existing(project, where)
    journal = SqliteJournal(folder, clock=project.clock, ids=project.ids)
    try:
        asyncio.run(copy_journal(source, journal, project.ids, copied))
        journal.become(source.id)
    finally:
        journal.close()
        source.close()


def _copy_files(project: Project, where: str, folder: Path) -> None:
    """Of files: the database at one moment, then the blobs it refers to, which never change."""
    source = open_existing(project, where)
    try:
        copy_database(journal_folder(where, project.folders.state) / DATABASE, folder / DATABASE)
        journal = SqliteJournal(folder, clock=project.clock, ids=project.ids)
        try:
            for state in all_streams(journal):
                for digest in journal.uses(state.run):
                    if digest not in journal.blobs:
                        journal.blobs.put(source.blobs.get(digest))
        finally:
            journal.close()
    finally:
        source.close()


def _give_name(folder: Path, target: Path) -> None:
    """Bring what is built to where it was asked for, for this user alone; it appears there whole.

    Raises:
        OSError: it cannot be written there.
    """
    for name in (MANIFEST, DATABASE):
        (folder / name).chmod(0o600)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    mode = next((mode for ending, mode in _ARCHIVES.items() if target.name.endswith(ending)), None)
    try:
        if mode is not None:
            part.unlink(missing_ok=True)
            with (
                own_file(part) as file,
                tarfile.open(fileobj=file, mode=mode) as archive,  # type: ignore[call-overload]
            ):
                for name in (MANIFEST, DATABASE, "blobs"):
                    if (folder / name).exists():
                        archive.add(folder / name, name)
        else:
            shutil.copytree(folder, part)
        _sync(part)
        if target.is_dir():
            target.rmdir()  # it is empty
        part.rename(target)
        _sync_one(target.parent)
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    for one in [*path.rglob("*"), path]:
        _sync_one(one)


def _sync_one(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def building(project: Project, what: str) -> Iterator[Path]:
    """A folder in the project's state to build something in; it is gone afterwards.

    What a process left that was killed is removed first.
    """
    state = project.folders.state
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in state.glob(".building-*"):
        number = left.name.rpartition("-")[2]
        if not number.isdigit() or not _is_running(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    folder = state / f".building-{what}-{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
