"""What another plan means for a run: per step reuse, redo or undo, and the paths of each. Pure.

`find_changes` says which steps of the plan are changed; here the places of the run are gone through:
what of them begins again, goes on, is gone, has to be taken back first, and what stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import Group, OnError
from aiworkflow.engine.fork import is_below
from aiworkflow.engine.instance import (
    CANCELLED,
    FAILED,
    PENDING,
    SKIPPED,
    SUCCEEDED,
    Instance,
)
from aiworkflow.plan.changes import Done, find_changes
from aiworkflow.plan.graph import ROOT
from aiworkflow.plan.reads import Turns
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.engine.state import RunState
    from aiworkflow.plan.changes import Changes, Version
    from aiworkflow.plan.graph import Node, Plan

REUSE: Final = "reuse"
REDO: Final = "redo"
UNDO_REDO: Final = "undo, redo"
UNDO: Final = "undo"
STANDS: Final = "stands"
NEW: Final = "new"
GOES_ON: Final = "goes on"
TO_DO: Final = "to do"
GONE: Final = "gone"

_LASTING: Final = frozenset({"write", "destructive"})
_ENDED_BADLY: Final = frozenset({FAILED, CANCELLED})


@record
class StepVerdict:
    """What becomes of a step.

    Attributes:
        step: its id, with those of the groups around it.
        verdict: `reuse`, `redo`, `undo, redo`, `undo`, `stands`, `new`, `goes on`, `to do`, `gone`.
        because: why, in a few words; "" where there is nothing to say.
        count: for how many items and rounds that have begun.
        was: what it was called before, or "".
    """

    step: str
    verdict: str
    because: str = ""
    count: int = 0
    was: str = ""


@record
class Replan:
    """What becomes of a run. Paths are those of the run as it is.

    Attributes:
        undo: steps to be taken back first, the last one first; the rest as in `Replanned`.
        steps: for people: each step of the new plan, then those that are gone.
    """

    undo: tuple[str, ...]
    redo: tuple[str, ...]
    opened: tuple[str, ...]
    dropped: tuple[str, ...]
    stands: tuple[str, ...]
    steps: tuple[StepVerdict, ...]


def outlook(state: RunState, old: Version, new: Version) -> tuple[Changes, Replan]:
    """What is changed for a run of the version `old` that goes on with `new`, and what becomes of it.

    What was taken back and would not be done again by itself is, and all that reads it.
    """
    seeds: frozenset[str] = frozenset()
    while True:
        changes = find_changes(old, new, done_so_far(state, seeds))
        found = replan(state, old.plan, new.plan, changes)
        again = (*found.redo, *found.dropped)
        left = [path for path in taken_back(state, old.plan) if not is_below(path, again)]
        more = seeds | {state.instances[path].node for path in left}
        if more == seeds:
            return changes, found
        seeds = more


def done_so_far(state: RunState, undone: frozenset[str] = frozenset()) -> Done:
    """What a run has done, for `find_changes`."""
    begun: set[str] = set()
    unfinished: set[str] = set()
    for found in _steps(state):
        if found.status == PENDING and found.visit == 1:
            continue
        begun.add(found.node)
        if found.status not in {SUCCEEDED, SKIPPED}:
            unfinished.add(found.node)
    return Done(frozenset(begun), undone, frozenset(unfinished))


def taken_back(state: RunState, plan: Plan) -> Iterator[str]:
    """Paths of what was taken back, and has to be done again if the run goes on."""
    for found in _steps(state):
        if found.undone == "done" and not _is_left_alone(found, plan):
            yield found.path


def _is_left_alone(instance: Instance, plan: Plan) -> bool:
    """Whether it is in a group that failed, was taken back, and is done with."""
    holder = instance.parent
    while holder is not None and holder.path:
        if holder.status == FAILED and plan.nodes[holder.node].on_error is OnError.CONTINUE:
            return True
        holder = holder.parent
    return False


def replan(state: RunState, old: Plan, new: Plan, changes: Changes) -> Replan:
    """What becomes of a run of the plan `old` that goes on with `new`."""
    assert state.root is not None
    walk = _Walk(state, old, new, changes)
    walk.through(state.root)
    walk.undo.sort(key=lambda path: state.instances[path].done_seq, reverse=True)
    walk.stands.sort(key=lambda path: state.instances[path].done_seq)
    return Replan(
        tuple(walk.undo),
        tuple(walk.redo),
        tuple(walk.opened),
        tuple(walk.dropped),
        tuple(walk.stands),
        tuple(_verdicts(walk)),
    )


@dataclass(slots=True)
class _Walk:
    state: RunState
    old: Plan
    new: Plan
    changes: Changes
    undo: list[str] = field(default_factory=list)
    redo: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    stands: list[str] = field(default_factory=list)
    fates: dict[str, str] = field(default_factory=dict)  # by path, of what is not reused
    turns: Turns = field(init=False)

    def __post_init__(self) -> None:
        self.turns = Turns(self.new)

    def through(self, holder: Instance, *, behind: bool = False) -> None:
        """What holds others goes on: see what of it does.

        Args:
            behind: whether something that it comes after begins again.
        """
        again = holder.at_rest or bool(holder.stopping)
        is_item = holder.index is not None
        if again or (is_item and behind):
            self.opened.append(holder.path)
            behind = behind or is_item  # it takes its turn again, and all in it does
        if holder.form == "group":
            self._through_group(holder, again=again, behind=behind)
        else:
            in_turn = holder.form == "each" and not holder.forks
            for key in sorted(holder.children or {}, key=int):
                child = (holder.children or {})[key]
                is_open = self._child(child, holder, behind=behind)
                behind = behind or (in_turn and is_open)
        if holder.join is not None and holder.join.status in _ENDED_BADLY:
            self.redo.append(holder.join.path)

    def _through_group(self, holder: Instance, *, again: bool, behind: bool) -> None:
        planned = self._new(holder)
        assert planned is not None
        here: dict[str, Instance] = {}
        for child in list((holder.children or {}).values()):
            name = self.changes.same.get(child.node)
            if name is None:
                again |= self._child(child, holder, behind=behind)
            else:
                here[name] = child
        restless: set[str] = set()
        for name in planned.children:
            child_here = here.get(name)
            if self.new.nodes[name].final:
                continue
            is_behind = behind or not restless.isdisjoint(self.turns.siblings_before(name))
            if child_here is None or child_here.status == PENDING:
                restless.add(name)
            elif self._child(child_here, holder, behind=is_behind):
                restless.add(name)
                again = True
        for name, child in here.items():  # what is finally comes after all else: once more
            if not self.new.nodes[name].final:
                continue
            if again and child.status != PENDING and not self._is_changed(child):
                self._again(child, takes_back=False)  # what was done there stays
            else:
                self._child(child, holder, behind=behind)

    def _child(self, child: Instance, holder: Instance, *, behind: bool) -> bool:
        """One of those it holds; whether it is not at rest any more."""
        planned = self._new(child)
        if planned is None:
            self._drop(child)
            return True
        if self._is_changed(child) or self._is_void(child, holder):
            self._again(child)
            return True
        if child.form == "leaf":
            return self._leaf(child, planned, behind=behind)
        is_done = child.status in {SUCCEEDED, SKIPPED} or self._is_tolerated(child, planned)
        if is_done and not self._is_touched(child):
            return False
        if behind and child.waits:
            self._again(child)
        else:
            self.through(child, behind=behind)
        return True

    def _leaf(self, leaf: Instance, planned: Node, *, behind: bool) -> bool:
        if leaf.at_rest:
            if leaf.status not in _ENDED_BADLY or self._is_tolerated(leaf, planned):
                return False
            if leaf.role == "child":
                self._go_on(leaf)  # the same child run goes on
            else:
                self._again(leaf)
        elif behind and leaf.waits and leaf.waits != "child":
            self._again(leaf)  # people are asked when it is its turn again
        elif behind and not leaf.waits and leaf.status != PENDING:
            self._go_on(leaf)
        return True

    def _go_on(self, leaf: Instance) -> None:
        self.opened.append(leaf.path)
        self.fates[leaf.path] = GOES_ON

    def _new(self, instance: Instance) -> Node | None:
        name = self.changes.same.get(instance.node)
        return self.new.nodes[name] if name is not None else None

    def _is_changed(self, instance: Instance) -> bool:
        return self.changes.same[instance.node] in self.changes.changed

    def _is_void(self, child: Instance, holder: Instance) -> bool:
        """Whether it is a later round of what begins again with the first."""
        name = self.changes.same[holder.node]
        return child.round is not None and child.round > 1 and name in self.changes.loops

    @staticmethod
    def _is_tolerated(instance: Instance, planned: Node) -> bool:
        return instance.status == FAILED and planned.on_error is OnError.CONTINUE

    def _is_touched(self, instance: Instance) -> bool:
        return self.changes.same[instance.node] in self.changes.touched

    def _again(self, instance: Instance, *, takes_back: bool = True) -> None:
        self.redo.append(instance.path)
        self._leave(instance, UNDO_REDO, REDO, takes_back=takes_back)

    def _drop(self, instance: Instance) -> None:
        self.dropped.append(instance.path)
        self._leave(instance, UNDO, GONE, takes_back=True)

    def _leave(self, instance: Instance, undo: str, otherwise: str, *, takes_back: bool) -> None:
        """Note what is to be taken back, or stands, of what begins again or is gone."""
        left = [(instance, takes_back)]
        while left:
            found, takes_back = left.pop()
            left += [(former, takes_back) for former in found.former]
            fate = otherwise
            is_left = found.status == SUCCEEDED or (found.role == "child" and found.at_rest)
            is_left = is_left and takes_back and self.state.is_own(found) and found.undone != "done"
            inner = takes_back and found.undone != "done"
            if is_left and found.undo_seq and self._has_a_way_back(found):
                self.undo.append(found.path)
                fate, inner = undo, False
            elif found.calls and found.journalled and not found.undo_seq:
                left += [(call, inner) for call in found.calls]
                fate = self._of_calls(found, undo, otherwise) if takes_back else otherwise
            elif is_left and found.form == "leaf" and self._lasts(found):
                self.stands.append(found.path)
                fate = STANDS
            self.fates[found.path] = fate
            left += [(child, inner) for child in (found.children or {}).values()]

    def _of_calls(self, instance: Instance, undo: str, otherwise: str) -> str:
        """What becomes of a step whose agent made calls."""
        done = [one for one in instance.calls if one.status == SUCCEEDED and one.undone != "done"]
        if any(one.undo_seq and self._has_a_way_back(one) for one in done):
            return undo
        return STANDS if any(self._lasts(one) for one in done) else otherwise

    @staticmethod
    def _has_a_way_back(instance: Instance) -> bool:
        return not (instance.undone == "failed" and instance.undo is None)

    def _lasts(self, instance: Instance) -> bool:
        effect = instance.effect
        if instance.role == "child":  # to attend to it again does no harm; what it does may
            effect = str(self.old.nodes[instance.node].effect)
        return effect in _LASTING


# -- for people -----------------------------------------------------------------------------------

_WORST_FIRST: Final = (UNDO_REDO, UNDO, STANDS, REDO, GONE)
_STANDS_DONE_AGAIN: Final = "it has no undo: what it did stands, and it is done again"
_STANDS_GONE: Final = "it has no undo: what it did stands"
_NOT_THERE: Final = "no longer in the workflow"


def _steps(state: RunState) -> Iterator[Instance]:
    """All steps of a run, their items and rounds; not what takes them back or looks for them."""
    left = [state.root] if state.root is not None else []
    while left:
        found = left.pop()
        if found.path:
            yield found
        left.extend((found.children or {}).values())


def _verdicts(walk: _Walk) -> Iterator[StepVerdict]:
    places: dict[str, list[Instance]] = {}
    for found in _steps(walk.state):
        is_place = found.form == "leaf" or walk.fates.get(found.path) in {UNDO, UNDO_REDO}
        if is_place and found.status != PENDING:
            places.setdefault(found.node, []).append(found)
    before = {new: old for old, new in walk.changes.same.items()}
    for name, node in walk.new.nodes.items():
        if name == ROOT:
            continue
        known = before.get(name)
        found_here = places.get(known, []) if known is not None else []
        if found_here or not isinstance(node.action, Group):
            yield _verdict(walk, name, known, found_here)
    for name in walk.old.nodes:
        if name in walk.changes.same or not places.get(name):
            continue
        fates = {walk.fates.get(one.path, GONE) for one in places[name]}
        verdict = next(one for one in _WORST_FIRST if one in fates)
        because = f"{_NOT_THERE}; {_STANDS_GONE}" if verdict == STANDS else _NOT_THERE
        yield StepVerdict(_dotted(walk.old, name), verdict, because, len(places[name]))


def _verdict(walk: _Walk, name: str, known: str | None, here: list[Instance]) -> StepVerdict:
    step = _dotted(walk.new, name)
    was = _dotted(walk.old, known) if known is not None and known != name else ""
    if known is None:
        return StepVerdict(step, NEW)
    if not here:
        return StepVerdict(step, TO_DO, was=was)
    fates = {walk.fates.get(one.path, "") for one in here}
    verdict = next((one for one in _WORST_FIRST if one in fates), "")
    changed = walk.changes.changed.get(name, "")
    if verdict == STANDS:
        because = f"{changed or _how_it_was(here)}; {_STANDS_DONE_AGAIN}"
        return StepVerdict(step, verdict, because, len(here), was)
    if verdict:
        count = sum(one.path in walk.fates for one in here)
        return StepVerdict(step, verdict, changed or _how_it_was(here), count, was)
    if GOES_ON in fates or not all(one.at_rest for one in here):
        return StepVerdict(step, GOES_ON, count=len(here), was=was)
    because = f"it was `{was}`" if was else ""
    return StepVerdict(step, REUSE, because, len(here), was)


def _how_it_was(here: list[Instance]) -> str:
    statuses = {one.status for one in here}
    if FAILED in statuses:
        return "it failed"
    if CANCELLED in statuses:
        return "it was cancelled"
    return "what it comes after is done again"


def _dotted(plan: Plan, name: str) -> str:
    parts = [name]
    while plan.nodes[parts[-1]].parent != ROOT:
        parts.append(plan.nodes[parts[-1]].parent)
    return ".".join(reversed(parts))
