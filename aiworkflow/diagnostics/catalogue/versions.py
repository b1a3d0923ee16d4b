"""AW95x: versions of the format."""

from __future__ import annotations

from aiworkflow.diagnostics.rule import Rule

RULES = (
    Rule(
        "AW951", "newer-format", "a workflow in a newer format",
        "A reader that guesses at settings it does not know would run something else than what is "
        "written.",
        "format: 2\n", "format: 1\n",
    ),
)  # fmt: skip
