"""Runs that were imported: history of another project, until somebody adopts them.

An imported run is shown, compared and forked like any other. To go on with it would do its effects from
two places, so it is refused until a person says that the other place is done with it (`--adopt`); and
it is refused even then when a process drove the run at the moment it was exported.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.engine import RunState, decode
from aiworkflow.engine import events as ev
from aiworkflow.errors import UsageError
from aiworkflow.journal import Append, RegisterWrite
from aiworkflow.journal.paging import records_after
from aiworkflow.runtime.values import Values
from aiworkflow.runtime.waits import wait_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.journal import Journal

IMPORTED: Final = "imported"
"""The space of registers of runs that were imported and not adopted; keys are runs."""


def is_imported(journal: Journal, run: str) -> bool:
    """Whether a run is history of another project."""
    return journal.register(IMPORTED, run) is not None


def imported_note(run: str, root: str, journal: str, *, held: bool) -> RegisterWrite:
    """The row that says so.

    Args:
        root: the run that it was called by, through however many; itself if nobody called it.
        journal: id of the journal that it comes from.
        held: whether a process drove it when it was exported.
    """
    value = {"root": root, "journal": journal, "held": held}
    return RegisterWrite(IMPORTED, run, json.dumps(value), expect=0)


def refuse_imported(journal: Journal, run: str) -> None:
    """Leave alone what another project may still go on with.

    Raises:
        UsageError: the run was imported and not adopted.
    """
    if is_imported(journal, run):
        raise UsageError(
            f"run {run} was imported: it belongs to the project that it comes from",
            hint=f"fork it: aiworkflow runs fork {run} --from STEP; or, when that project is done with "
            f"it: aiworkflow runs resume {run} --adopt, or runs undo {run} --adopt",
        )


def adopt(journal: Journal, run: str, append_id: str) -> None:
    """Make an imported run, and the runs that it called, this project's own.

    Raises:
        UsageError: it was not imported, or a process drove it when it was exported.
    """
    found = journal.register(IMPORTED, run)
    if found is None:
        raise UsageError(f"run {run} is this project's own", hint="leave out --adopt")
    about = json.loads(found.value)
    if about["held"]:
        raise UsageError(
            f"run {run} was being driven when it was exported, and may still be",
            hint="let it end or wait there, and export it again; or fork it here",
        )
    family = [
        row for row in journal.registers(IMPORTED) if json.loads(row.value)["root"] == about["root"]
    ]
    writes = [RegisterWrite(IMPORTED, row.key, None, expect=row.version) for row in family]
    for row in family:
        writes += _open_waits(journal, row.key)
    journal.append_now(Append(append_id, run, registers=writes))


def _open_waits(journal: Journal, run: str) -> Iterator[RegisterWrite]:
    """The rows that let people answer what the run waits for."""
    state = RunState()
    opened: dict[str, tuple[int, ev.Opened]] = {}
    for record in records_after(journal, run):
        event = decode(record.payload)
        state.apply(event)
        if isinstance(event, ev.Opened):
            opened[event.path] = (record.seq, event)
    if state.finished is not None:
        return
    values = Values(journal, run, inline_bytes=0)
    for path, (seq, event) in opened.items():
        instance = state.instances[path]
        if instance.waits == event.kind:
            row, *others = wait_rows(f"{run}/{path}", seq, event, values)
            told = {**json.loads(cast("str", row.value)), "voters": list(instance.votes)}
            yield RegisterWrite(row.space, row.key, json.dumps(told), expires=row.expires)
            yield from others
