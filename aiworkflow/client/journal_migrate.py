"""Moving a journal to another store: copied page by page, compared, and only then given its id.

What is copied stays when the move is broken off: the same command goes on with it. Until the end the
target bears a mark that says whose copy it is, and no other journal is copied into it.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from aiworkflow.client.journals import open_existing, refuse_driven
from aiworkflow.errors import UsageError
from aiworkflow.journal import RegisterWrite, open_journal
from aiworkflow.journal.copying import COPY, Counts, all_registers, compare, copy_journal
from aiworkflow.journal.open import as_setting, place_shown
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.client.project import Project
    from aiworkflow.journal import Journal

_OF: Final = "of"


@record
class Migrated:
    """A move that is done: from where, to where, which journal, and how much it holds.

    Attributes:
        setting: what `journal` in config.yaml is to say from now on.
    """

    source: str
    target: str
    setting: str
    id: str
    counts: Counts


def migrate(
    project: Project, source: str, target: str, copied: Callable[[int], None] | None = None
) -> Migrated:
    """Copy a journal to another place, which has it when this returns.

    Args:
        source, target: journals as the setting names them; the target must be empty, or have a part
            of the source from an earlier call.

    Raises:
        UsageError: there is no such journal, or the target has another.
        Held: a run is being driven. CopyDiffers, JournalUnavailable: give the same command again.
    """
    state = project.folders.state
    places = [place_shown(one, state) for one in (source, target)]
    for one in (source, target):
        if one == "memory":
            raise UsageError("a journal in memory cannot be moved", hint="name one that is kept")
    if places[0] == places[1]:
        raise UsageError(
            f"both are the journal in {places[0]}", hint="name another place to move it to"
        )
    old = open_existing(project, source)
    try:
        refuse_driven(project, old)
        new = open_journal(target, state, clock=project.clock, ids=project.ids)
        try:
            _claim(old, new, places[1])
            asyncio.run(copy_journal(old, new, project.ids, copied))
            counts = compare(old, new)
            refuse_driven(project, old)
            new.become(old.id)
            new.put([RegisterWrite(COPY, _OF, None)])
        finally:
            new.close()
        return Migrated(places[0], places[1], as_setting(target, state), old.id, counts)
    finally:
        old.close()


def _claim(old: Journal, new: Journal, place: str) -> None:
    """The target is empty, or has a part of this journal. Raises UsageError."""
    mark = new.register(COPY, _OF)
    if mark is not None and json.loads(mark.value)["journal"] == old.id:
        return
    another = "name a new folder, or a schema of its own: postgresql://…?schema=name"
    if mark is None and new.id == old.id:
        raise UsageError(
            f"{place} has a copy of this journal already, as it was when that was made",
            hint=f"use it, with `journal` in .aiworkflow/config.yaml; or for a new copy {another}",
        )
    if mark is not None or new.streams(limit=1) or next(all_registers(new), None) is not None:
        raise UsageError(f"the journal in {place} is not empty", hint=another)
    new.put([RegisterWrite(COPY, _OF, json.dumps({"journal": old.id}))])
