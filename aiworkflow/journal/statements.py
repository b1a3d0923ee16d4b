"""Files of SQL statements with names, so that each store has its SQL in one place, written out."""

from __future__ import annotations


def read_queries(text: str) -> dict[str, str]:
    """Statements by name: a line `-- name: …` begins one, a blank line or the end ends it."""
    found = {}
    for part in text.split("\n-- name: ")[1:]:
        name, _, rest = part.partition("\n")
        found[name.strip()] = rest.split("\n\n", 1)[0].strip()
    return found
