"""The tables and indexes of a journal's file: all there, as they are made, and nothing that acts alone.

A file can come from elsewhere: a backup, a disk that was repaired. A trigger in it would change what is
written, and a view in the place of a table would keep nothing; SQLite's own check finds neither.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.sqlite.connect import SCHEMA, run_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any  # noqa: TID251  rows of a table

PARTS: Final = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'"
"""Asks for what `schema_problems` looks at. SQLite's own parts stand in no statement."""

_ACTS: Final = frozenset({"trigger", "view"})
_BLANKS: Final = re.compile(r'[\s"]+')


def schema_problems(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """What of a file's parts is not as in a journal; tables and indexes beside them do no harm.

    Args:
        rows: type, name and statement of each part.
    """
    found = {(kind, name): _plain(sql) for kind, name, sql in rows}
    problems = [f"it holds a {kind}, `{name}`" for kind, name in sorted(found) if kind in _ACTS]
    for (kind, name), wanted in _wanted().items():
        if (kind, name) not in found:
            problems.append(f"its {kind} `{name}` is missing")
        elif found[kind, name] != wanted:
            problems.append(f"its {kind} `{name}` is another one")
    return problems


@cache
def _wanted() -> Mapping[tuple[str, str], str]:
    with closing(sqlite3.connect(":memory:")) as db:
        run_script(db, SCHEMA.read_text(encoding="utf-8"))
        return {(kind, name): _plain(sql) for kind, name, sql in db.execute(PARTS)}


def _plain(sql: str | None) -> str:
    """A statement without what a migration may write otherwise: quotes and blanks."""
    return _BLANKS.sub("", sql or "")
