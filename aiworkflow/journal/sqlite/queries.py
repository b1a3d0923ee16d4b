"""The statements of queries.sql, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiworkflow.journal.statements import read_queries

if TYPE_CHECKING:
    from collections.abc import Mapping

SQL: Final[Mapping[str, str]] = read_queries(
    (Path(__file__).parent / "queries.sql").read_text(encoding="utf-8")
)
