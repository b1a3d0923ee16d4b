"""Two runs beside each other: what they were given, what they did, and what came of it.

Steps are matched by their path. Whether two values are alike is told by their digests, so that only
values that differ are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.observe.inspection import Glimpse, Reader, failure_to_json, glimpse_at, head_of
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.engine import Instance
    from aiworkflow.engine.carried import Json
    from aiworkflow.observe.moment import Moment, Tally

_HEAD = ("bundle", "digest", "commit", "status")


@record
class Side:
    """One of two runs: its moment, its status then, the seq of its last event, its journal."""

    moment: Moment
    status: str
    last: int
    reader: Reader

    @property
    def head(self) -> dict[str, Json]:
        """Who, when, of what."""
        return head_of(self.moment, self.status, self.last)


@record
class Change:
    """Something that has another value in each of two runs; None where it is not there.

    Attributes:
        name: what: `status`, `output`, …, or the name of an input or of a value of the state.
    """

    name: str
    a: Json
    b: Json

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {"name": self.name, "a": self.a, "b": self.b}


@record
class StepChange:
    """A step that is not alike in two runs.

    Attributes:
        only: "a" or "b" where the other has no such step; "" where both have it.
        changes: what differs.
        seconds: that its attempts took in each.
    """

    path: str
    only: str
    changes: Sequence[Change]
    seconds: tuple[float, float]

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {
            "step": self.path,
            "only": self.only or None,
            "changes": [one.to_json() for one in self.changes],
            "seconds": [round(one, 3) for one in self.seconds],
        }


@record
class Difference:
    """Two runs compared.

    Attributes:
        head: what differs of the runs themselves.
        steps: those that differ, in the order of the first run, then what only the second has.
        alike: how many steps do not differ.
    """

    a: Side
    b: Side
    head: Sequence[Change]
    inputs: Sequence[Change]
    state: Sequence[Change]
    steps: Sequence[StepChange]
    alike: int

    @property
    def is_empty(self) -> bool:
        """Whether the runs did the same with the same."""
        return not (self.head or self.inputs or self.state or self.steps)

    def to_json(self) -> dict[str, Json]:
        """As `runs diff --json` prints it."""
        return {
            "a": self.a.head,
            "b": self.b.head,
            "head": [one.to_json() for one in self.head],
            "inputs": [one.to_json() for one in self.inputs],
            "state": [one.to_json() for one in self.state],
            "steps": [one.to_json() for one in self.steps],
            "alike": self.alike,
        }


def compare(a: Side, b: Side) -> Difference:
    """What differs between two runs."""
    one, two = a.head, b.head
    steps, alike = _steps(a, b)
    return Difference(
        a,
        b,
        [Change(name, one[name], two[name]) for name in _HEAD if one[name] != two[name]],
        _maps(_inputs(a), _inputs(b)),
        _maps(_state(a), _state(b)),
        steps,
        alike,
    )


def _inputs(side: Side) -> Mapping[str, Json]:
    started = side.moment.state.started
    found = side.reader.load(started.inputs) if started is not None else None
    return found if isinstance(found, dict) else {}


def _state(side: Side) -> Mapping[str, Json]:
    root = side.moment.state.root
    return root.scope.values if root is not None and root.scope is not None else {}


def _maps(a: Mapping[str, Json], b: Mapping[str, Json]) -> list[Change]:
    names = [*a, *(name for name in b if name not in a)]
    return [Change(name, a.get(name), b.get(name)) for name in names if _differ(a, b, name)]


def _differ(a: Mapping[str, Json], b: Mapping[str, Json], name: str) -> bool:
    return (name in a) != (name in b) or a.get(name) != b.get(name)


def _steps(a: Side, b: Side) -> tuple[list[StepChange], int]:
    found: list[StepChange] = []
    alike = 0
    here, there = a.moment.state.instances, b.moment.state.instances
    for path in here:
        if not path:
            continue
        if path not in there:
            found.append(_only(path, "a", a))
        elif changes := _changes(a, b, path):
            found.append(StepChange(path, "", changes, (_seconds(a, path), _seconds(b, path))))
        else:
            alike += 1
    return [*found, *(_only(path, "b", b) for path in there if path and path not in here)], alike


def _only(path: str, which: str, side: Side) -> StepChange:
    status = side.moment.state.instances[path].status
    seconds = _seconds(side, path)
    is_first = which == "a"
    change = Change("status", status if is_first else None, None if is_first else status)
    return StepChange(path, which, [change], (seconds, 0.0) if is_first else (0.0, seconds))


def _seconds(side: Side, path: str) -> float:
    tally = side.moment.tallies.get(path)
    return tally.seconds if tally is not None else 0.0


def _changes(a: Side, b: Side, path: str) -> list[Change]:
    one, two = a.moment.state.instances[path], b.moment.state.instances[path]
    used, used_too = a.moment.tallies.get(path), b.moment.tallies.get(path)
    found: list[Change] = []
    if one.status != two.status:
        found.append(Change("status", one.status, two.status))
    if failure_to_json(one.error) != failure_to_json(two.error):
        found.append(Change("error", failure_to_json(one.error), failure_to_json(two.error)))
    if _digest(used, "arguments") != _digest(used_too, "arguments"):
        found.append(Change("given", _given(a, one), _given(b, two)))
    if _digest(used, "output") != _digest(used_too, "output"):
        found.append(Change("output", _output(a, one), _output(b, two)))
    for name in ("attempts", "agent"):
        value, other = getattr(used, name, None), getattr(used_too, name, None)
        if value != other:
            found.append(Change(name, value, other))
    return found


def _digest(tally: Tally | None, what: str) -> bytes:
    return getattr(tally, what, b"") if tally is not None else b""


def _given(side: Side, one: Instance) -> Json:
    from aiworkflow.observe.detail import given_at

    return given_at(one.arguments_seq, side.reader)


def _output(side: Side, one: Instance) -> Json:
    if not one.seq:
        return None
    shown: Glimpse = glimpse_at(one.seq, side.reader)
    return shown.value if not shown.size else f"{shown.start}… ({shown.size} bytes)"
