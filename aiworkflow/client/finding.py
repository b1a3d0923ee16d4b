"""Finding runs: by their ids, by what people type for them, and by what called them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError
from aiworkflow.journal import UnknownRun, mark_of_journal, mark_of_run

if TYPE_CHECKING:
    from aiworkflow.journal import Journal


def find_run(journal: Journal, run: str) -> str:
    """The full id of a run given by its id, the beginning or end of it, or `last`.

    Raises:
        UsageError: several runs, or none, go by it.
    """
    if run == "last":
        page = journal.runs(limit=100)
        roots = [row.run for row in page.runs if row.trigger != "workflow"]
        if not roots:
            raise UsageError(
                "there are no runs in this project yet",
                hint="start one with `aiworkflow bundle run BUNDLE`",
            )
        return roots[0]
    found = journal.find(run)
    if run in found or len(found) == 1:
        return run if run in found else found[0]
    if found:
        raise UsageError(
            f"several runs begin with `{run}`: {', '.join(found)}",
            hint="give more of the id",
        )
    try:
        return journal.run(run).run
    except UnknownRun as error:
        if mark_of_run(run) not in {"", mark_of_journal(journal.id)}:
            error.hint = "by its id it is of another journal; see `journal` in config.yaml"
        raise


def root_of(journal: Journal, run: str) -> str:
    """The run that a run was called by, through however many; a run that nobody called itself."""
    found = run
    while journal.run(found).trigger == "workflow":
        first = json.loads(journal.record(found, 1).payload)
        found = first["trigger"]["run"]
    return found
