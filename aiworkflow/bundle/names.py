"""Names that authors give: ids of steps, inputs, state, items."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

FORM: Final = r"[^\W\d]\w*"
WORDS: Final = "a letter or `_`, then letters, digits and `_`"
PUBLISHED_FORM: Final = r"[^\x00-@\[-^`{-\x7f][^\x00-/:-@\[-^`{-\x7f]*"
"""The same for JSON Schema, in signs that every engine of patterns knows: of other than ASCII all
is let through, since not every engine can tell letters."""
_FORM = re.compile(FORM)
_LONGEST = 100  # of a name; longer ones are pasted text

KEYWORDS: Final = frozenset(
    [
        "and",
        "or",
        "not",
        "in",
        "is",
        "if",
        "elif",
        "else",
        "endif",
        "for",
        "endfor",
        "include",
        "raw",
        "endraw",
        "true",
        "false",
        "none",
        "True",
        "False",
        "None",
    ]
)
"""Words of expressions: a name that is one of them could not be read."""

ROOTS: Final = frozenset(
    [
        "inputs",
        "steps",
        "state",
        "item",
        "index",
        "round",
        "trigger",
        "run",
        "env",
        "secrets",
        "error",
        "output",
        "loop",
    ]
)
"""First names of expressions: an item called so would hide them."""


def problem_with_name(name: str) -> str | None:
    """Why a text cannot be a name, as the end of the sentence "`x` …"; None where it can."""
    if len(name) > _LONGEST:
        return f"has more than {_LONGEST} characters"
    composed = name if name.isascii() else unicodedata.normalize("NFC", name)
    if not _FORM.fullmatch(composed):
        return f"is no name: {WORDS}"
    if name in KEYWORDS:
        return "is a word of expressions"
    if composed != name:
        return f"is not in Unicode's composed form (NFC); `{composed}` is"
    return None
