"""What `Replanned` does to a state: steps begin again, go on, are gone, or have another name.

Places that are gone are forgotten but for the number of their visits: if they ever come back, their
idempotency keys are other ones than before.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from aiworkflow.engine.instance import PENDING, RUNNING, WAITING
from aiworkflow.engine.join import start_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aiworkflow.engine import events as ev
    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.instance import Instance
    from aiworkflow.engine.state import RunState

_NAME = re.compile(r"(?<![^./])[^./\[#]+")


def replan(state: RunState, event: ev.Replanned) -> Instance:
    """Fold that the run goes by another plan."""
    root = state.root
    assert root is not None
    assert root.scope is not None
    assert state.started is not None
    for path in event.dropped:
        _drop(state, state.instances[path], event.at)
    for path in event.redo:
        _redo(state.instances[path], event.at)
    for path in event.opened:
        _go_on(state.instances[path], event.at)
    if event.renamed:
        _rename(state, event.renamed)
    state.started = in_force(state.started, event)
    _restart(state, event)
    state.status = root.status = RUNNING
    if state.finished is not None:  # else a cancel has come meanwhile, and holds
        state.cancelled = None
    state.finished = None
    state.taking, state.on, state.half_way = None, "", False
    return root


def in_force(started: ev.RunStarted, event: ev.Replanned) -> ev.RunStarted:
    """What a run goes by from there on."""
    return dataclasses.replace(
        started,
        plan=event.plan,
        digest=event.digest,
        files=event.files,
        settings=event.settings,
        inputs=event.inputs,
        channels=event.channels,
        commit=event.commit,
        dirty=event.dirty,
        children=event.children,
    )


def renaming(names: Mapping[str, str]) -> Callable[[str], str]:
    """How paths are called when ids of steps in them are other ones."""

    def renamed(path: str) -> str:
        return _NAME.sub(lambda found: names.get(found[0], found[0]), path)

    return renamed


def _below(instance: Instance) -> Iterator[Instance]:
    """An instance and all below and beside it: its undo, check and join."""
    yield instance
    for child in (instance.children or {}).values():
        yield from _below(child)
    for apart in (
        instance.undo,
        instance.check,
        instance.join,
        *instance.calls,
        *instance.former,
    ):
        if apart is not None:
            yield from _below(apart)


def _quiet(instance: Instance, at: float) -> None:
    """Nothing is waited for and reserved here and below any more."""
    for found in _below(instance):
        if found.waits or found.status == WAITING:
            found.over(at)
        found.settled(None, 0.0)


def _redo(instance: Instance, at: float) -> None:
    _quiet(instance, at)
    instance.visit_all()
    if instance.round is not None:
        assert instance.parent is not None
        instance.parent.count = min(instance.parent.count, instance.round - 1)


def _go_on(instance: Instance, at: float) -> None:
    if instance.form == "leaf":  # the same visit, when its turn comes
        if instance.role == "child" and instance.at_rest:
            instance.failures = 0
        _quiet(instance, at)
        instance.status = PENDING
        instance.clear()
        return
    # an item takes its turn as any other, so that no more begin at once than may
    instance.status = RUNNING if instance.index is None else PENDING
    instance.at = at
    instance.clear()
    if instance.join is not None:
        instance.join.visit_again()


def _drop(state: RunState, instance: Instance, at: float) -> None:
    _quiet(instance, at)
    for found in _below(instance):
        if found.mark is not None:
            state.scope(found).let_go(found.mark)
        state.visits[found.path] = found.visit + 1
        state.instances.pop(found.path, None)
    parent = instance.parent
    assert parent is not None
    for key, child in list((parent.children or {}).items()):
        if child is instance and parent.children is not None:
            del parent.children[key]


def _rename(state: RunState, names: Mapping[str, str]) -> None:
    renamed = renaming(names)
    for found in state.instances.values():
        found.path = renamed(found.path)
        found.node = names.get(found.node, found.node)
        if found.children is not None:
            found.children = {
                names.get(key, key) if isinstance(key, str) else key: child
                for key, child in found.children.items()
            }
    state.instances = {found.path: found for found in state.instances.values()}


def _restart(state: RunState, event: ev.Replanned) -> None:
    """Names of the state that begin again, are new, or are gone."""

    def stays(name: str) -> bool:
        return name in event.channels and name not in event.restarted

    def now(values: Mapping[str, Json]) -> dict[str, Json]:
        return {
            name: values[name] if name in values and stays(name) else start_value(reducer, start)
            for name, (reducer, _, start, _) in event.channels.items()
        }

    for found in state.instances.values():
        scope = found.scope
        if scope is None:
            continue
        scope.values = now(scope.values)
        before, count = scope.base
        if scope.writes is not None:
            count = sum(stays(name) for name, _ in scope.writes[:count])
            scope.writes = [write for write in scope.writes if stays(write[0])]
        scope.base = now(before), count
        scope.log = [write for write in scope.log if stays(write.name)]
