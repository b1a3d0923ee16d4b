"""The statements of queries.sql, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_queries(text: str) -> dict[str, str]:
    """Statements by name: a line `-- name: …` begins one, a blank line or the end ends it."""
    found = {}
    for part in text.split("\n-- name: ")[1:]:
        name, _, rest = part.partition("\n")
        found[name.strip()] = rest.split("\n\n", 1)[0].strip()
    return found


SQL: Final[Mapping[str, str]] = read_queries(
    (Path(__file__).parent / "queries.sql").read_text(encoding="utf-8")
)
