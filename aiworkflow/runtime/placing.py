"""Where runs may be driven: `runs_on` of a workflow names labels, which a worker must have to take it.

A run that asks for labels has a register that names them, from its start to its end, so that it is
found by the right worker after each of its waits too. People may go on with it anywhere.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import UsageError
from aiworkflow.journal import RegisterWrite

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiworkflow.journal import Journal
    from aiworkflow.plan.graph import Plan

NEEDS: Final = "needs"
"""The space of registers; keys are runs."""


def needs(run: str, plan: Plan) -> list[RegisterWrite]:
    """What to write with the first append of a run."""
    if not plan.runs_on:
        return []
    return [RegisterWrite(NEEDS, run, json.dumps(list(plan.runs_on)))]


def needs_no_more(run: str, plan: Plan) -> list[RegisterWrite]:
    """What to write with the append that ends it."""
    return [RegisterWrite(NEEDS, run, None)] if plan.runs_on else []


def all_needs(journal: Journal) -> Mapping[str, frozenset[str]]:
    """The runs that ask for labels, with these."""
    return {row.key: frozenset(json.loads(row.value)) for row in journal.registers(NEEDS)}


def refuse_elsewhere(plan: Plan, labels: Collection[str]) -> None:
    """Refuse to start a run on a machine that has not what it asks for.

    Raises:
        UsageError: it has not.
    """
    missing = [label for label in plan.runs_on if label not in labels]
    if missing:
        words = ", ".join(f"`{label}`" for label in missing)
        raise UsageError(
            f"`{plan.name}` runs on machines with {words} (`runs_on`), which this one has not",
            hint="if it has: `workers: {labels: [" + ", ".join(missing) + "]}` in config.yaml; "
            "else leave it to a worker that has: aiworkflow worker --labels " + ",".join(missing),
        )
