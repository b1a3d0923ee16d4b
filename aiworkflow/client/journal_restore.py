"""Putting a backup in the place of the project's journal.

The backup is unpacked and checked beside the journal, and what it does not know is marked: a run that
was not over may have gone on after the backup was made. Then it takes the journal's place in one
transaction; the old journal is whole in a place of its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import tarfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aiworkflow.client.journal_backup import DATABASE, FORM, MANIFEST, building
from aiworkflow.client.journal_check import CheckedJournal, check_journal
from aiworkflow.client.journals import is_database, open_existing, own_journal, refuse_driven
from aiworkflow.errors import FailedError, UsageError
from aiworkflow.journal import RESTORED, Append, JournalUnavailable, RegisterWrite, UnknownRun
from aiworkflow.journal.blobs import FileBlobs
from aiworkflow.journal.copying import Counts, all_streams, compare, copy_journal, fingerprint
from aiworkflow.journal.open import is_postgres, journal_exists, journal_folder, place_shown
from aiworkflow.journal.sqlite import SqliteJournal
from aiworkflow.journal.sqlite.files import copy_database, link_blobs, move_aside, put_database
from aiworkflow.records import record
from aiworkflow.runtime.lease import OtherDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiworkflow.client.project import Project
    from aiworkflow.journal import Journal

_MEMBER: Final = re.compile(
    rf"blobs|blobs/[0-9a-f]{{2}}|blobs/[0-9a-f]{{2}}/[0-9a-f]{{62}}|{DATABASE}|{MANIFEST}"
)
_OVER: Final = frozenset({"succeeded", "failed", "cancelled", "rolled_back"})


class BackupDamaged(FailedError):
    """A backup is not what was written; nothing was restored."""

    code = "backup-damaged"


@record
class Restored:
    """What was restored.

    Attributes:
        journal: where to.
        id: the journal's id.
        made: when the backup was made, or "" where it does not say.
        open: runs that were not over when it was made.
        aside: where the journal is that was there before, as a setting; None where there was none.
    """

    journal: str
    id: str
    made: str
    counts: Counts
    open: tuple[str, ...]
    aside: str | None


def restore(
    project: Project,
    source: Path,
    *,
    force: bool = False,
    copied: Callable[[int], None] | None = None,
) -> Restored:
    """Put a backup in the place of the project's journal.

    Args:
        source: what `back_up` made, or a folder with the files of a closed journal.
        force: also where a journal with runs is; it is moved aside.

    Raises:
        UsageError: there is no backup, or a journal with runs is in the way.
        Held: a run of it is being driven. BackupDamaged, JournalUnavailable: nothing was changed.
    """
    where = own_journal(project)
    place = place_shown(where, project.folders.state)
    aside: str | None = None
    with building(project, "restore") as folder:
        blobs, made, digest = _unpack(source, folder)
        is_sound = _refuse_in_the_way(project, where, place, force=force)
        with _opened(project, folder, blobs, source) as journal:
            _check(journal, source, digest)
            marked = _mark(project, journal)
            counts = fingerprint(journal).counts
            id_ = journal.id
            if is_postgres(where):
                aside = _to_server(project, where, journal, copied)
            else:
                _copy_blobs(journal, journal_folder(where, project.folders.state))
        if not is_postgres(where):
            target = journal_folder(where, project.folders.state)
            aside = _to_files(project, folder, target, is_sound=is_sound)
    return Restored(place, id_, made, counts, tuple(marked), aside)


def check_backup(project: Project, source: Path) -> CheckedJournal:
    """Look at everything in a backup that is a file.

    Raises:
        UsageError: it is none. BackupDamaged: it cannot be unpacked, or is not what was written.
    """
    with building(project, "check") as folder:
        blobs, _, digest = _unpack(source, folder)
        with _opened(project, folder, blobs, source) as journal:
            checked = check_journal(journal)
            if not checked.findings:
                _check(journal, source, digest)
    return dataclasses.replace(checked, location=str(source))


# -- the backup -----------------------------------------------------------------------------------


def _unpack(source: Path, folder: Path) -> tuple[Path, str, str | None]:
    """The database into a folder of ours; where the blobs are, when it was made, and its digest."""
    if is_database(source):
        source = source.parent
    if source.is_file():
        _extract(source, folder)
        found = folder
    elif (source / DATABASE).is_file():
        copy_database(source / DATABASE, folder / DATABASE, is_still=True)
        found = source
    else:
        raise UsageError(
            f"there is no backup `{source}`", hint="name what `aiworkflow journal backup` made"
        )
    manifest = found / MANIFEST
    if not manifest.exists():
        return found / "blobs", "", None
    try:
        about = json.loads(manifest.read_text(encoding="utf-8"))
        form, made, digest = int(about["form"]), str(about["made"]), str(about["digest"])
    except (ArithmeticError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise BackupDamaged(
            f"the backup {source} is damaged: its {MANIFEST} cannot be read",
            hint="use another backup",
        ) from error
    if form > FORM:
        raise BackupDamaged(
            f"the backup {source} needs a newer aiworkflow", hint="update aiworkflow"
        )
    return found / "blobs", made, digest


def _extract(source: Path, folder: Path) -> None:
    try:
        with _opened_tar(source) as archive:
            for member in archive:
                if not _MEMBER.fullmatch(member.name) or not (member.isfile() or member.isdir()):
                    raise UsageError(
                        f"`{source}` is no backup: it holds `{member.name[:80]}`",
                        hint="name what `aiworkflow journal backup` made",
                    )
                archive.extract(member, folder, filter="data")
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise BackupDamaged(
            f"the backup {source} cannot be unpacked: {error}", hint="use another backup"
        ) from error
    if not (folder / DATABASE).is_file():
        raise UsageError(
            f"`{source}` is no backup: it holds no {DATABASE}",
            hint="name what `aiworkflow journal backup` made",
        )


def _opened_tar(source: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(source)
    except tarfile.ReadError as error:  # whose text has a line for each way that was tried
        raise BackupDamaged(
            f"the backup {source} cannot be unpacked: it does not begin as a tar file does",
            hint="use another backup, or name what `aiworkflow journal backup` made",
        ) from error


@contextmanager
def _opened(project: Project, folder: Path, blobs: Path, source: Path) -> Iterator[SqliteJournal]:
    """The unpacked backup; what is wrong with it is said of the backup, not of our copy."""
    try:
        journal = SqliteJournal(folder, clock=project.clock, ids=project.ids)
        journal.blobs = FileBlobs(blobs)
        try:
            yield journal
        finally:
            journal.close()
    except (JournalUnavailable, BackupDamaged) as error:
        error.message = error.message.replace(str(folder), str(source))
        error.hint = error.hint and error.hint.replace(str(folder), str(source))
        raise


def _check(journal: SqliteJournal, source: Path, digest: str | None) -> None:
    """The backup is what was written. Raises BackupDamaged, JournalUnavailable."""
    problems = journal.health().problems
    if not problems:
        try:
            found = fingerprint(journal, check_blobs=True).digest
        except JournalUnavailable as error:
            problems = (error.message,)
        except (TypeError, ValueError) as error:  # a value of a type that no journal writes there
            problems = (f"a value in it is none of a journal: {error}",)
        else:
            if digest in {found, None}:
                return
            problems = ("it does not hold what was written",)
    raise BackupDamaged(f"the backup {source} is damaged: {problems[0]}", hint="use another backup")


def _mark(project: Project, journal: Journal) -> list[str]:
    """Note which runs may have gone on after the backup, and let go of drivers that are not here."""
    now = project.clock.now().timestamp()
    marked = []
    for state in all_streams(journal):
        if state.driver is not None:
            driver = OtherDriver(project.folders.state / "drivers", state.driver)
            if driver.is_elsewhere:
                epoch = journal.claim(state.run, "restore", instead_of=state.driver).epoch
                journal.append_now(
                    Append(project.ids.token(), state.run, epoch=epoch, releases=True)
                )
        if not _is_over(journal, state.run):
            marked.append(state.run)
    value = json.dumps({"at": now})
    journal.put([RegisterWrite(RESTORED, run, value) for run in marked])
    return marked


def _is_over(journal: Journal, run: str) -> bool:
    try:
        return journal.run(run).status in _OVER
    except UnknownRun:
        return False


# -- its place ------------------------------------------------------------------------------------


def _refuse_in_the_way(project: Project, where: str, place: str, *, force: bool) -> bool:
    """Refuse to overwrite runs unasked; whether what is there can be read."""
    state = project.folders.state
    if not journal_exists(where, state, ids=project.ids):
        return True
    hint = "--force moves it aside, whole, and restores the backup in its place"
    try:
        old = open_existing(project, where)
    except JournalUnavailable as error:
        if force and not is_postgres(where):
            return False
        raise UsageError(f"{error.message}; nothing was restored", hint=hint) from error
    try:
        if any(not text.startswith("blob ") for text in old.health().problems):
            if force:
                return False
            raise UsageError(f"the journal in {place} is damaged; nothing was restored", hint=hint)
        runs = len(old.streams(limit=1))
        if runs and not force:
            raise UsageError(f"the journal in {place} has runs; nothing was restored", hint=hint)
        refuse_driven(project, old, elsewhere=False)
    finally:
        old.close()
    return True


def _copy_blobs(journal: Journal, target: Path) -> None:
    """Add the backup's blobs to those that are there: they have the same names in every journal."""
    blobs = FileBlobs(target / "blobs")
    for state in all_streams(journal):
        for digest in journal.uses(state.run):
            blobs.put(journal.blobs.get(digest))


def _to_files(project: Project, folder: Path, target: Path, *, is_sound: bool) -> str | None:
    """Put the database of a folder in the place of that in the target folder."""
    aside = None
    old = target / DATABASE
    if old.exists() and (old.stat().st_size or not is_sound):
        name = f"before-restore-{project.clock.now():%Y%m%d-%H%M%S}-{project.ids.token()[:4]}"
        aside = target / name
        aside.mkdir(mode=0o700)
        link_blobs(target / "blobs", aside / "blobs")
        if is_sound:
            copy_database(old, aside / DATABASE)
        else:
            move_aside(old, aside)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if old.exists() and is_sound:
        copy_database(folder / DATABASE, old)
    else:
        put_database(folder / DATABASE, old)
    return str(aside) if aside is not None else None


def _to_server(
    project: Project, where: str, journal: Journal, copied: Callable[[int], None] | None
) -> str | None:
    """Copy to a schema of its own, then let the two change their names."""
    from aiworkflow.journal.postgres.address import read_address
    from aiworkflow.journal.postgres.schemas import drop, put_in_place, with_schema
    from aiworkflow.journal.postgres.store import PostgresJournal

    address = read_address(where)
    # beside the other by their names, which have at most 40 characters
    base, token = address.schema[:17], project.ids.token()
    fresh = with_schema(address, f"{base}_new_{token[:12]}")
    target = PostgresJournal(fresh, ids=project.ids)
    try:
        asyncio.run(copy_journal(journal, target, project.ids, copied))
        target.become(journal.id)
        compare(journal, target)
    except BaseException:
        drop(fresh, ids=project.ids)
        raise
    finally:
        target.close()
    name = f"{base}_old_{project.clock.now():%y%m%d%H%M%S}_{token[:4]}"
    return put_in_place(fresh, address, name, ids=project.ids)
