"""A setting → a journal."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError
from aiworkflow.journal.contract import JournalUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.journal.contract import Journal
    from aiworkflow.journal.postgres.address import Address

_HINT = "use `sqlite`, `sqlite:///folder` on a local disk, `postgresql://…/database`, or `memory`"
_USER = re.compile(r"(://[^/@\s:]*):[^@\s]*@")


def open_journal(where: str, state: Path, *, clock: Clock, ids: Ids) -> Journal:
    """The journal that a setting names.

    Args:
        where: `sqlite` (in the project's state folder), `sqlite:///folder`, a path of a folder,
            `postgresql://…/database?schema=name`, or `memory`.
        state: the project's state folder.

    Raises:
        UsageError: there is no such kind of journal, or what it needs is not installed.
        JournalUnavailable: it cannot be opened.
    """
    if where == "memory":
        from aiworkflow.journal.memory import MemoryJournal

        return MemoryJournal(clock=clock, ids=ids)
    if is_postgres(where):
        address = _address(where)
        from aiworkflow.journal.postgres import PostgresJournal

        return PostgresJournal(address, ids=ids)
    folder = journal_folder(where, state)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"the journal `{where}` is a file", hint="name the folder for it")
    from aiworkflow.journal.sqlite import SqliteJournal

    return SqliteJournal(folder, clock=clock, ids=ids)


def open_first(
    several: Sequence[str],
    state: Path,
    *,
    clock: Clock,
    ids: Ids,
    fallback: Callable[[str], None] | None = None,
) -> Journal:
    """The first journal of a list; with `fallback` the first of them that answers.

    Never the next one unasked: what is begun there is not in the first when that comes back.

    Args:
        fallback: called with what happened, for each journal that did not answer.

    Raises:
        UsageError, JournalUnavailable: as `open_journal`, for the first, or for the last.
    """
    for number, where in enumerate(several):
        try:
            return open_journal(where, state, clock=clock, ids=ids)
        except JournalUnavailable as error:
            rest = several[number + 1 :]
            if not rest:
                raise
            following = shown(rest[0])
            if fallback is None:
                hint = error.hint or "see `aiworkflow doctor`"
                hint += f"; commands that take --journal-fallback can use {following}"
                raise JournalUnavailable(error.message, hint=hint) from error
            fallback(f"{error.message}; this command uses {following} instead")
    raise UsageError("no journal is named", hint=_HINT)


def make_private(state: Path) -> None:
    """Make a state folder, for its owner only, before anything is put into it; git leaves it alone.

    Where that cannot be, nothing happens: whoever puts something there says why it does not work.
    """
    with suppress(OSError):
        if not state.is_dir():
            state.mkdir(mode=0o700, parents=True)
            (state / ".gitignore").write_text("*\n")  # nobody shall commit it by accident


def journal_folder(where: str, state: Path) -> Path:
    """The folder that a setting for a journal in files names. Raises UsageError as `open_journal`."""
    if where == "sqlite":
        return state
    if where.startswith("sqlite:///") and where != "sqlite:///":
        return Path(where.removeprefix("sqlite://"))
    if "://" not in where and "/" in where:
        return Path(where)
    raise UsageError(f"there is no journal `{shown(where)}`", hint=_HINT)


def journal_exists(where: str, state: Path, *, ids: Ids) -> bool:
    """Whether the journal that a setting names has been made.

    Raises:
        UsageError: there is no such kind of journal. JournalUnavailable: it cannot be looked at.
    """
    if where == "memory":
        return False
    if is_postgres(where):
        address = _address(where)
        from aiworkflow.journal.postgres.connect import exists

        return exists(address, ids=ids)
    return (journal_folder(where, state) / "journal.db").exists()


def is_postgres(where: str) -> bool:
    """Whether a setting names a journal in PostgreSQL."""
    return where.startswith(("postgresql://", "postgres://"))


def shown(where: str) -> str:
    """A setting as it may be printed: without the password that a URL can hold."""
    if is_postgres(where):
        try:
            return _address(where).shown
        except UsageError:
            return where.partition("://")[0] + "://…"
    return _USER.sub(r"\1:***@", where)


def place_shown(where: str, state: Path) -> str:
    """Where the journal that a setting names is, as it may be printed.

    Raises:
        UsageError: there is no such kind of journal.
    """
    if where == "memory" or is_postgres(where):
        return shown(where)
    return str(journal_folder(where, state))


def as_setting(where: str, state: Path) -> str:
    """How config.yaml names the journal that is meant here, with no password.

    A path may be given on the command line only: it depends on the folder that one is in.
    """
    if where == "sqlite" or is_postgres(where):
        return shown(where)
    return f"sqlite://{journal_folder(where, state).resolve()}"


def _address(where: str) -> Address:
    try:
        from aiworkflow.journal.postgres.address import read_address

        return read_address(where)
    except ImportError:
        raise UsageError(
            "a journal in PostgreSQL needs psycopg, which is not installed",
            hint="pip install 'aiworkflow-bundles[postgres]'",
        ) from None
