"""A setting → a journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from aiworkflow.clock import Clock, Ids
    from aiworkflow.journal.contract import Journal

_HINT = "use `sqlite`, `sqlite:///folder` on a local disk, or `memory`"


def open_journal(where: str, state: Path, *, clock: Clock, ids: Ids) -> Journal:
    """The journal that a setting names.

    Args:
        where: `sqlite` (in the project's state folder), `sqlite:///folder`, a path of a folder,
            or `memory`.
        state: the project's state folder.

    Raises:
        UsageError: there is no such kind of journal, or not yet.
        JournalUnavailable: it cannot be opened.
    """
    if where == "memory":
        from aiworkflow.journal.memory import MemoryJournal

        return MemoryJournal(clock=clock, ids=ids)
    folder = journal_folder(where, state)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"the journal `{where}` is a file", hint="name the folder for it")
    from aiworkflow.journal.sqlite import SqliteJournal

    return SqliteJournal(folder, clock=clock, ids=ids)


def journal_folder(where: str, state: Path) -> Path:
    """The folder that a setting other than `memory` names. Raises UsageError as `open_journal`."""
    if where == "sqlite":
        return state
    if where.startswith("sqlite:///") and where != "sqlite:///":
        return Path(where.removeprefix("sqlite://"))
    if where.startswith(("postgresql://", "postgres://")):
        raise UsageError("a journal in PostgreSQL is not built yet", hint=_HINT)
    if "://" not in where and "/" in where:
        return Path(where)
    raise UsageError(f"there is no journal `{where}`", hint=_HINT)
