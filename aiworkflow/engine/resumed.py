"""What begins again: what `RunResumed` and `Repeated` do to a state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.engine.carried import Spent
from aiworkflow.engine.former import keep_visits
from aiworkflow.engine.instance import PENDING, RUNNING

if TYPE_CHECKING:
    from aiworkflow.engine import events as ev
    from aiworkflow.engine.instance import Instance
    from aiworkflow.engine.state import RunState


def resume(state: RunState, event: ev.RunResumed) -> Instance | None:
    """Fold that a driver took the run up again."""
    state.epoch = event.epoch
    if event.turn > state.turn:  # what came before was reported to the calling step
        state.turn, state.spent = event.turn, Spent()
    state.raised.update(event.budget)
    state.restored = state.restored or event.restored
    if event.only:
        _take_back_some(state, event)
        return state.root
    for path in event.reset:
        found = state.instances[path]
        if found.role == "child":  # the same child run goes on
            found.status = PENDING
            found.failures = 0
            found.clear()
        elif found.form == "leaf":
            found.visit_again()
        else:
            found.status = RUNNING
            found.at = event.at  # deadlines count from here
            found.clear()
    for path in event.anew:
        state.instances[path].visit_again()
    if event.undo:
        _take_back(state)
    if event.reset:
        state.status = RUNNING
        state.finished = None
        state.cancelled = None
    return state.root


def _take_back(state: RunState) -> None:
    """All that the run did is to be taken back."""
    root = state.root
    assert root is not None
    state.status = root.status = RUNNING
    root.stopping = "undo"
    root.undoing = (
        False  # a roll-back that ended at a savepoint is no bound to what a person asks for
    )
    for found in list(state.instances.values()):
        _try_again(found)
    root.error = None
    state.finished = None
    state.cancelled = None


def _take_back_some(state: RunState, event: ev.RunResumed) -> None:
    """Some steps are to be taken back; the rest of the run stands still meanwhile."""
    root = state.root
    assert root is not None
    if state.finished is not None:  # else a cancel has come meanwhile, and holds
        state.cancelled = None
    state.taking, state.on = event.only, event.on
    state.status = root.status = RUNNING
    state.finished = None
    for path in event.only:
        _try_again(state.instances[path])


def _try_again(found: Instance) -> None:
    """A person asks: what could not be taken back is tried once more."""
    if found.undone == "failed" and found.undo is not None:
        found.undone = ""
        found.undo.visit_again()


def repeat(state: RunState, event: ev.Repeated) -> Instance:
    """Fold that a group, or some of its children, begin again."""
    found = state.instances[event.path]
    if event.names:
        for name in event.names:
            child = (found.children or {}).get(name)
            if child is not None:
                keep_visits(state, child)
                child.visit_all()
        return found
    failures = found.failures
    found.visit_all()
    if found.is_branch and found.parent is not None:
        found.scope = state.scope(found.parent).fork()
    elif found.mark is not None:
        scope = state.scope(found)
        scope.go_back(found.mark, lambda name, with_: state.reduced(scope, name, with_, {}))
    found.failures = failures
    found.status = RUNNING
    found.at = event.at
    return found
