"""Taking back some steps of a run, so that it can go on by another plan; the rest of it stands still.

As a roll-back: the last first, one after the other, each with its intent, its key and a retry; a doubt
waits for a person. But nothing is closed by it: waits stay open, and what was done stays done. When one
cannot be taken back, the run ends there and says so; nothing else has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Failure
from aiworkflow.engine.ends import cancel_text
from aiworkflow.engine.instance import CANCELLED, FAILED, RUNNING, UNDER_WAY, WAITING
from aiworkflow.engine.recover import recover, take_up_wait
from aiworkflow.engine.undo import begin_undo

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from aiworkflow.engine.desk import Desk


def take_up(desk: Desk, running: AbstractSet[str]) -> None:
    """What the last driver left of it."""
    root = desk.state.root
    assert root is not None
    for path in desk.state.taking or ():
        undo = desk.state.instances[path].undo
        for found in (undo, undo.check if undo is not None else None):
            if found is None:
                continue
            if found.status == WAITING:
                take_up_wait(desk, found)
            elif found.path in running and found.status == RUNNING:
                desk.running.add(found.path)
            else:
                recover(desk, found)
    desk.agenda.append(root)


def take_back_next(desk: Desk) -> None:
    """Take back the next step; when none is left, the run is quiet, or over."""
    entries = [desk.state.instances[path] for path in desk.state.taking or ()]
    for entry in sorted(entries, key=lambda one: one.done_seq, reverse=True):
        if entry.undo is not None and entry.undo.status in UNDER_WAY:
            return
        if not entry.undone:
            begin_undo(desk, entry)
            return
    failed = tuple(entry.path for entry in entries if entry.undone != "done")
    if failed:
        listed = ", ".join(f"`{path}`" for path in failed)
        error = Failure("undo", f"could not be taken back: {listed}", step=failed[0])
        desk.emit(ev.RunFinished(desk.now, FAILED, None, error, failed))
    elif desk.is_cancelled:
        error = Failure("cancelled", cancel_text(desk))
        desk.emit(ev.RunFinished(desk.now, CANCELLED, None, error))
    else:
        desk.is_quiet = True
