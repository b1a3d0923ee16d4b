"""What a fork takes over from the run it comes from. Pure: events in, events out.

A fork begins as a copy of what that run had done before a step, and goes on by itself. It takes over
only what is whole: steps that have ended, and their visits before a `goto`, since what those have
written into the state is still there; what was under way, waited, failed or was taken back is done
again. What is defined differently is then found as for any run that goes on with another plan (see
`replan`). It owns only what it does itself: it takes nothing back that the other run did, and counts
none of its cost.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import OnError
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Stored
from aiworkflow.engine.former import MARK
from aiworkflow.engine.instance import FAILED, SUCCEEDED
from aiworkflow.engine.replanned import renaming
from aiworkflow.engine.said import Said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiworkflow.engine.events import Event
    from aiworkflow.plan.graph import Plan


@dataclass(slots=True)
class _Found:
    """The newest visit of a place: where it begins, speaks and ends in the prefix, -1 for not."""

    node: str
    parent: str
    visit: int
    begin: int = -1
    end: int = -1
    said: int = -1
    is_group: bool = False
    tolerated: bool = True

    @property
    def places(self) -> tuple[int, ...]:
        """Where its events are in the prefix."""
        return tuple(at for at in (self.begin, self.said, self.end) if at >= 0)


@dataclass(slots=True)
class _Loop:
    """A `goto`: what holds the steps that it begins again, and the events of those that were whole."""

    holder: str
    at: int
    places: dict[str, tuple[int, ...]]


@dataclass(slots=True)
class _Taken:
    """What there was at the end of a prefix: the newest visit of every place, and its loops."""

    newest: dict[str, _Found]
    loops: list[_Loop]

    def again(self, event: ev.Repeated, at: int, plan: Plan) -> None:
        """What begins again has not been done; what a `goto` leaves behind has written all the same."""
        prefix = f"{event.path}." if event.path else ""
        heads = tuple(f"{prefix}{name}" for name in event.names) or (event.path,)
        gone = [one for one in self.newest if is_below(one, heads)]
        if event.names:
            whole = {
                one: self.newest[one].places for one in gone if _is_whole(one, self.newest, plan)
            }
            self.loops.append(_Loop(event.path, at, whole))
        else:
            self.loops = [one for one in self.loops if not is_below(one.holder, heads)]
        for path in gone:
            if not (path == event.path and not event.names):
                del self.newest[path]

    def forget(self, path: str) -> None:
        """What is gone, begins again or was taken back; what holds it is not over."""
        for below in [one for one in self.newest if is_below(one, (path,))]:
            del self.newest[below]
        for holder, one in self.newest.items():
            if is_below(path, (holder,)):
                one.end = -1
        self.loops = [one for one in self.loops if not is_below(one.holder, (path,))]
        for loop in self.loops:
            for below in [one for one in loop.places if is_below(one, (path,))]:
                del loop.places[below]

    def kept(self, plan: Plan) -> list[int]:
        """Where the events are that are taken over, in order."""
        found: set[int] = set()
        for path, one in sorted(self.newest.items(), key=lambda pair: pair[1].begin):
            if _is_whole(path, self.newest, plan):
                found.update(one.places)
        for loop in self.loops:
            if not loop.holder or (
                loop.holder in self.newest and _is_whole(loop.holder, self.newest, plan)
            ):
                found.add(loop.at)
                found.update(*loop.places.values())
        return sorted(found)


def carried_over(prefix: Sequence[Event], plan: Plan, later: Sequence[Event] = ()) -> list[Event]:
    """The events that a fork begins with, after its own `RunStarted`.

    Args:
        prefix: what the run it comes from did before the fork; see `before`.
        plan: the plan that was in force then.
        later: what that run did after it: what it has taken back in the end is not there any more.
    """
    prefix = _as_named_now(prefix)
    taken = _taken(prefix, plan)
    for path in _taken_back(later):
        taken.forget(path)
    return [_its_own(prefix[at]) for at in taken.kept(plan)]


def has_begun(events: Sequence[Event], step: str) -> bool:
    """Whether a run has come to a step."""
    return any(_is_at(one, step) for one in _as_named_now(events))


def before(events: Sequence[Event], step: str | None) -> list[Event]:
    """What a run did before a step began for the first time; all of it for None.

    Of a run that went on with another plan, the first time after that, if it began then.
    """
    if step is None:
        return list(events[1:])
    named = _as_named_now(events)
    found = [at for at, one in enumerate(named) if _is_at(one, step)]
    last = max((at for at, one in enumerate(named) if isinstance(one, ev.Replanned)), default=0)
    at = next((at for at in found if at > last), found[0] if found else len(named))
    return list(events[1:at])


def _is_at(event: Event, step: str) -> bool:
    return isinstance(event, _BEGINNINGS) and event.path == step


_UNDO = "/undo"
_KEPT = ("changes", "commits")  # blobs of what changed in a worktree
_BEGINNINGS = (
    ev.Entered,
    ev.Started,
    ev.Opened,
    ev.Skipped,
    ev.Reused,
    ev.Assigned,
    ev.Broken,
)


def _taken(prefix: Sequence[Event], plan: Plan) -> _Taken:
    taken = _Taken({}, [])
    found = taken.newest
    for at, event in enumerate(prefix):
        match event:
            case ev.Entered():
                one = _Found(event.node, event.parent, event.visit, at, is_group=True)
                found[event.path] = one
            case ev.Started(role="" | "assign" | "child") | ev.Opened(question=""):
                known = found.get(event.path)
                if known is None or known.visit != event.visit or known.is_group:
                    if known is None or not known.is_group:
                        found[event.path] = _Found(event.node, event.parent, event.visit, at)
                else:
                    known.end = -1
            case ev.Skipped() | ev.Reused() | ev.Assigned():
                found[event.path] = _Found(event.node, event.parent, event.visit, end=at)
            case ev.Ended() | ev.Resolved() if (path := _undone(event)) is not None:
                taken.forget(path)
            case ev.Ended() if event.path in found:
                is_end = event.status in {SUCCEEDED, FAILED}
                found[event.path].end = at if is_end else -1
                found[event.path].tolerated = event.status == SUCCEEDED
            case Said(whole=True) if event.path in found:
                found[event.path].said = at
            case ev.Resolved(outcome="done") if event.path in found:
                found[event.path].end = at
                found[event.path].tolerated = True
            case ev.Closed() if event.path in found:
                found[event.path].end = at if event.status == SUCCEEDED else -1
            case ev.Repeated():
                taken.again(event, at, plan)
            case ev.Replanned():
                for path in (*event.redo, *event.dropped):
                    taken.forget(path)
                for path in event.opened:
                    if path in found:
                        found[path].end = -1
            case _:
                pass
    return taken


def _taken_back(events: Sequence[Event]) -> list[str]:
    """Paths of the steps that were taken back, and not done again since."""
    found: dict[str, None] = {}
    for event in events:
        if (path := _undone(event)) is not None:
            found[path] = None
        elif isinstance(event, ev.Started | ev.Reused | ev.Entered):
            found.pop(event.path, None)
    return list(found)


def _undone(event: Event) -> str | None:
    """The path of the step that an event says was taken back; None for another event."""
    is_done = isinstance(event, ev.Ended) and event.status == SUCCEEDED
    is_done = is_done or (isinstance(event, ev.Resolved) and event.outcome == "done")
    if not is_done or not isinstance(event, ev.Ended | ev.Resolved):
        return None
    path, undo, _ = event.path.rpartition(_UNDO)
    step = path.partition("/call[")[0]
    is_now = MARK not in step.rpartition(".")[2]  # else it was an earlier visit of the step
    return step if undo and event.path.endswith(_UNDO) and is_now else None


def _as_named_now(prefix: Sequence[Event]) -> list[Event]:
    """Events with the paths that their steps have in the end."""
    found: list[Event] = []
    for event in prefix:
        if isinstance(event, ev.Replanned) and event.renamed:
            found = [_renamed(one, event.renamed) for one in found]
        found.append(event)
    return found


def _renamed(event: Event, names: Mapping[str, str]) -> Event:
    renamed = renaming(names)
    paths = {key: renamed(getattr(event, key)) for key in ("path", "parent") if hasattr(event, key)}
    node = getattr(event, "node", None)
    if node is not None:
        paths["node"] = names.get(node, node)
    if isinstance(event, ev.Repeated):
        again = tuple(names.get(one, one) for one in event.names)
        return dataclasses.replace(event, path=paths["path"], names=again)
    return dataclasses.replace(event, **paths) if paths else event  # type: ignore[arg-type]


def is_below(path: str, heads: tuple[str, ...]) -> bool:
    """Whether a path is one of some others, or below it."""
    return any(
        path == head or path.startswith((f"{head}.", f"{head}[", f"{head}#")) for head in heads
    )


def _is_whole(path: str, found: dict[str, _Found], plan: Plan) -> bool:
    """Whether a place is taken over; of a group that goes on, only that it has begun."""
    one = found[path]
    if one.parent and (one.parent not in found or not _is_whole(one.parent, found, plan)):
        return False
    if one.is_group:
        if one.end >= 0 and not all(
            _is_whole_below(inner, found, plan)
            for inner in found
            if inner != path and is_below(inner, (path,))
        ):
            one.end = -1
        return True
    return one.end >= 0 and (one.tolerated or plan.nodes[one.node].on_error is OnError.CONTINUE)


def _is_whole_below(path: str, found: dict[str, _Found], plan: Plan) -> bool:
    one = found[path]
    if one.end < 0:
        return False
    return one.is_group or one.tolerated or plan.nodes[one.node].on_error is OnError.CONTINUE


def _its_own(event: Event) -> Event:
    """An event as the fork has it: nothing to take back, nothing spent."""
    match event:
        case ev.Ended():
            return dataclasses.replace(event, undo=None, spent=None)
        case ev.Started():
            return dataclasses.replace(event, metered=False, cache="")
        case Said():  # the agent's own memory of it goes on in the other run
            return dataclasses.replace(event, held="")
        case _:
            return event


def blobs_of(events: Sequence[Event]) -> Iterator[str]:
    """Digests of the blobs that events refer to."""
    for event in events:
        for field in dataclasses.fields(event):
            value = getattr(event, field.name)
            if isinstance(value, Stored):
                yield value.digest
            elif field.name == "log" and value:
                yield str(value)
        if isinstance(event, ev.Ended):
            yield from (str(event.standing[name]) for name in _KEPT if event.standing.get(name))
