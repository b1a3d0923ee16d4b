"""How the view of a run changes when it goes on with another plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine import in_force, renaming

if TYPE_CHECKING:
    from aiworkflow.engine import events as ev
    from aiworkflow.observe.progress import RunProgress, StepProgress


def apply_replanned(progress: RunProgress, event: ev.Replanned) -> None:
    """What begins again is pending, what is gone is not shown any more; its cost stays."""
    for path in event.dropped:
        _drop(progress, progress.steps[path])
    for path in event.redo:
        found = progress.steps[path]
        if found.round is not None:
            _drop(progress, found)  # there may never be such a round again
            continue
        for step in found.walk():
            if not (step.is_undo or step.tool):  # that it was taken back, or called, is still so
                _begin_again(step)
    for path in event.opened:
        _go_on(progress.steps[path])
    if event.renamed:
        _rename(progress, event)
    assert progress.started is not None
    progress.started = in_force(progress.started, event)
    progress.finished = None
    progress.cancel = None
    progress.standing = ()
    root = progress.root
    root.status = "running"
    root.ended = root.error = root.output = None


def _go_on(step: StepProgress) -> None:
    waits_for_its_turn = step.label.startswith("[")
    step.status = "pending" if step.form == "leaf" or waits_for_its_turn else "running"
    step.ended = step.error = step.output = None


def _begin_again(step: StepProgress) -> None:
    step.status = "pending"
    step.ended = step.error = step.output = step.due = step.undone = step.source = None
    step.waits = ""


def _drop(progress: RunProgress, step: StepProgress) -> None:
    for gone in step.walk():
        del progress.steps[gone.path]
        progress.gone_usd += gone.cost_usd or 0.0
    for holder in progress.steps.values():
        if step in holder.children:
            holder.children.remove(step)
            break


def _rename(progress: RunProgress, event: ev.Replanned) -> None:
    renamed = renaming(event.renamed)
    for step in progress.root.walk():
        step.path = renamed(step.path)
        step.node = event.renamed.get(step.node, step.node)
        for child in step.children:
            child.label = renamed(child.label)
    progress.steps = {step.path: step for step in progress.steps.values()}
