"""Opening the journal: make its schema, bring it to this format, or say why it cannot be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.contract import JournalUnavailable
from aiworkflow.journal.postgres.failures import DENIED, UNDEFINED_TABLE, Lost, Refused, unavailable
from aiworkflow.journal.postgres.line import Line

if TYPE_CHECKING:
    from aiworkflow.clock import Ids
    from aiworkflow.journal.postgres.address import Address

FORMAT: Final = 3
MIGRATIONS: Final = Path(__file__).parent / "migrations"
_OLDEST_SERVER: Final = 140000
_OPENING_S: Final = 3.0  # a server that restarts is waited for, one that is not there is not
_COMMENT: Final = re.compile(r"^\s*-- .*$", re.MULTILINE)


def open_line(address: Address, *, ids: Ids, patience_s: float = _OPENING_S) -> tuple[Line, str]:
    """A line to the journal at an address, made if there is none; and the journal's id.

    Raises:
        JournalUnavailable: the server does not answer or refuses, or the journal is a newer one.
    """
    line = Line(address, lambda: f"aiworkflow {ids.token()}")
    try:
        found, id_ = _look(line, patience_s)
        if found < FORMAT:
            line.patiently(lambda: migrate(line, FORMAT, ids.token()), patience_s)
            found, id_ = _look(line, patience_s)
    except (Lost, Refused) as error:
        line.close()
        raise unavailable(error, address) from error
    except BaseException:
        line.close()
        raise
    if found > FORMAT:
        line.close()
        raise JournalUnavailable(
            f"the journal {address.shown} needs a newer aiworkflow "
            f"(its format is {found}, not {FORMAT})",
            hint="update aiworkflow",
        )
    return line, id_


def exists(address: Address, *, ids: Ids) -> bool:
    """Whether there is a journal.

    Raises:
        JournalUnavailable: the server does not answer, or there is none that the user may see, nor may
            the user make one.
    """
    line = Line(address, lambda: f"aiworkflow {ids.token()}")
    try:
        if _look(line, 0.0)[0] > 0:
            return True
        ((may_make,),) = line.patiently(lambda: line.ask("may_make", address.schema), 0.0)
    except (Lost, Refused) as error:
        raise unavailable(error, address) from error
    finally:
        line.close()
    if not may_make:
        denied = Refused(DENIED, f"permission denied for schema {address.schema}")
        raise unavailable(denied, address)
    return False


def _look(line: Line, patience_s: float) -> tuple[int, str]:
    """The format of what is there, 0 for nothing, and its id."""
    try:
        ((found, id_),) = line.patiently(lambda: line.ask("about"), patience_s)
    except Refused as error:
        if error.state == UNDEFINED_TABLE:
            return 0, ""
        raise
    return found or 0, id_ or ""


def migrate(line: Line, wanted: int, id_: str, *, folder: Path = MIGRATIONS) -> list[tuple[()]]:
    """Bring a journal to a format, from none too; all of it or nothing.

    Another process may do the same at this moment: one comes after the other and finds it done.
    """
    line.run("BEGIN")
    try:
        line.ask("lock_migration", line.address.schema)
        found = _prepare_schema(line)
        for number in range(found + 1, wanted + 1):
            text = (folder / f"{number:04}.sql").read_text(encoding="utf-8")
            for statement in re.split(r"^--$", text, flags=re.MULTILINE):
                line.run(_COMMENT.sub("", statement))
            line.ask("add_format", number)
        if found == 0:
            line.ask("set_journal_id", id_)
        line.run("COMMIT")
    except Refused:
        line.run("ROLLBACK")
        raise
    return []


def _prepare_schema(line: Line) -> int:
    """There is a schema in a database that can hold a journal; the format that is in it."""
    schema = line.address.schema
    ((version, encoding, has_schema, has_journal),) = line.ask("server", schema)
    if version < _OLDEST_SERVER:
        raise JournalUnavailable(
            f"the journal {line.address.shown} is on PostgreSQL {version // 10000}",
            hint="use PostgreSQL 14 or newer",
        )
    if encoding != "UTF8":
        raise JournalUnavailable(
            f"the database of the journal {line.address.shown} has the encoding {encoding}",
            hint="make one with: createdb --encoding UTF8 --template template0 NAME",
        )
    if not has_schema:
        line.run(f'CREATE SCHEMA "{schema}"')
    if not has_journal:
        return 0
    ((found, _),) = line.ask("about")
    return int(found or 0)
