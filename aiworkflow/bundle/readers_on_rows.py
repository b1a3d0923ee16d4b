"""Rows that entries of `on` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.readers import Choice
from aiworkflow.bundle.readers_map import MapOf
from aiworkflow.bundle.readers_value import VALUE
from aiworkflow.bundle.reading import Key, Scope

if TYPE_CHECKING:
    from aiworkflow.bundle.reading import Reader

OVERLAP: Final = Choice(("allow", "skip", "queue", "cancel_old"))


def row(name: str, reader: Reader, doc: str, example: str, required: bool = False) -> Key:
    """A row of a record within the frontmatter."""
    return Key(name, Scope.FRONTMATTER, reader, doc, example, required=required)


INPUTS: Final = row(
    "inputs",
    MapOf(VALUE, "inputs to values"),
    "What the trigger fills the inputs with, checked like input from the command line.",
    '{base: "{{ trigger.body.base }}"}',
)
OVERLAP_ROW: Final = row(
    "overlap", OVERLAP, "What happens while an older run is still going.", "skip"
)
