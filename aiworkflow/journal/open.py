"""A setting → a journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from aiworkflow.clock import Clock, Ids
    from aiworkflow.journal.contract import Journal


def open_journal(where: str, state: Path, *, clock: Clock, ids: Ids) -> Journal:
    """The journal that a setting names.

    Args:
        where: `sqlite` (in the project's state folder), `sqlite:///folder`, or `memory`.
        state: the project's state folder.

    Raises:
        UsageError: there is no such kind of journal, or not yet.
        JournalUnavailable: it cannot be opened.
    """
    if where == "sqlite" or where.startswith("sqlite://"):
        from aiworkflow.journal.sqlite import SqliteJournal

        folder = state if where == "sqlite" else Path(where.removeprefix("sqlite://"))
        return SqliteJournal(folder, clock=clock, ids=ids)
    if where == "memory":
        from aiworkflow.journal.memory import MemoryJournal

        return MemoryJournal(clock=clock, ids=ids)
    if where.startswith(("postgresql://", "postgres://")):
        raise UsageError(
            "a journal in PostgreSQL is not built yet",
            hint="use `journal: sqlite`, or `sqlite:///folder` on a local disk",
        )
    raise UsageError(f"there is no journal `{where}`", hint="use `sqlite` or `sqlite:///folder`")
