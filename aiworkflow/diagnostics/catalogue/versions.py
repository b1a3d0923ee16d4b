"""AW9xx: what this version cannot do yet, and versions of the format."""

from __future__ import annotations

from aiworkflow.diagnostics.rule import Rule

RULES = (
    Rule(
        "AW901", "not-built-yet", "a setting that this version cannot execute",
        "The setting is part of the format and checked, but a run that passed it over would do "
        "something else than is written. So `run` refuses it before anything starts.",
        "sandbox: container\n", "timeout: 5m\n",
    ),
    Rule(
        "AW951", "newer-format", "a workflow in a newer format",
        "A reader that guesses at settings it does not know would run something else than what is "
        "written.",
        "format: 2\n", "format: 1\n",
    ),
)  # fmt: skip
