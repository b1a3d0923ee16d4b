"""A run as it was at a moment, whole: who and what, inputs, state, steps, what is open, events.

Lists are pages: a run of 100,000 items is shown as fast as its journal can be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aiworkflow.engine import Stored, output_ref
from aiworkflow.engine.instance import Instance
from aiworkflow.jsontext import compact
from aiworkflow.observe.eventline import Newer, event_to_json
from aiworkflow.observe.moment import unknown_step
from aiworkflow.observe.standing import open_steps, undo_order, would_stand
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.engine import Failure, Ref
    from aiworkflow.engine.carried import Json
    from aiworkflow.observe.eventline import Happened
    from aiworkflow.observe.moment import Moment, Tally
    from aiworkflow.observe.standing import OpenStep, Undo
    from aiworkflow.plan.graph import Plan

GLIMPSE_CHARS: Final = 2_000
_LOADED_BYTES: Final = 1_000_000
_ALWAYS: Final = ("running", "ready", "waiting", "in_doubt")


class Reader(Protocol):
    """What reads a run's journal."""

    def event(self, seq: int) -> Happened:
        """The event with this seq."""
        ...

    def load(self, ref: Ref | None) -> Json:
        """The value of a reference."""
        ...


@record
class Page:
    """Which part of the lists is wanted.

    Attributes:
        limit: how many of each; `after` the path behind which the list of steps begins.
    """

    limit: int = 1000
    after: str = ""


@record
class Glimpse:
    """A value, or its beginning.

    Attributes:
        value: None where it is too large to be shown.
        start: the beginning of its text; "" where the value is there, or not even that is shown.
        size: bytes of its JSON, where only the beginning is there.
    """

    value: Json = None
    start: str = ""
    size: int = 0


@record
class StepView:
    """A step, item or round at a moment.

    Attributes:
        output: None where it has none of its own; that of a group is made of its steps'.
        tally: what it has used.
        more: whatever else is known of it, by name: `index`, `stopping`, `undone`, …
    """

    path: str
    node: str
    form: str
    status: str
    visit: int
    effect: str
    key: str
    error: Failure | None
    output: Glimpse | None
    tally: Tally | None
    more: Mapping[str, Json]

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        tally = self.tally
        found: dict[str, Json] = {
            "step": self.path,
            "node": self.node,
            "form": self.form,
            "status": self.status,
            "visit": self.visit,
            "attempts": tally.attempts if tally is not None else 0,
            "effect": self.effect or None,
            "key": self.key or None,
            "error": failure_to_json(self.error),
            "output": self.output.value if self.output is not None else None,
            "started": tally.started if tally is not None else None,
            "ended": tally.ended if tally is not None else None,
            "seconds": round(tally.seconds, 3) if tally is not None else 0.0,
            "cost_usd": tally.cost_usd if tally is not None else None,
            "tokens": tally.input_tokens + tally.output_tokens if tally is not None else 0,
            "agent": tally.agent if tally is not None else None,
            "events": [tally.first, tally.last] if tally is not None else [],
        }
        if self.output is not None and self.output.size:
            found["output_start"] = self.output.start
            found["output_bytes"] = self.output.size
        if tally is not None and tally.source:
            found["source"] = tally.source
        return {**dict(self.more), **found}


@record
class Inspection:
    """A run at a moment.

    Attributes:
        status: the run's then; `last` the seq of the run's last event.
        state: the values of `state`; `branches` what open branches have that they see alone.
        steps: a page; `total` how many there are, `next` where the following page begins.
        open: by status: a page of the steps, and how many there are.
        after: the events that followed.
    """

    moment: Moment
    plan: Plan
    status: str
    last: int
    inputs: Json
    state: Mapping[str, Json]
    branches: Mapping[str, Mapping[str, Json]]
    steps: Sequence[StepView]
    total: int
    next: str | None
    open: Mapping[str, tuple[Sequence[OpenStep], int]]
    undo: Sequence[Undo]
    undo_total: int
    stand: Sequence[str]
    stand_total: int
    after: Sequence[tuple[int, Happened]]

    def to_json(self) -> dict[str, Json]:
        """As `runs inspect --json` prints it."""
        moment = self.moment
        return {
            **head_of(moment, self.status, self.last),
            "inputs": self.inputs,
            "state": dict(self.state),
            "branches": {path: dict(values) for path, values in self.branches.items()},
            "steps": [step.to_json() for step in self.steps],
            "steps_total": self.total,
            "next": self.next,
            **{status: [one.to_json() for one in page] for status, (page, _) in self.open.items()},
            "open_total": {status: total for status, (_, total) in self.open.items()},
            "would_undo": [one.to_json() for one in self.undo],
            "would_undo_total": self.undo_total,
            "would_stand": list(self.stand),
            "would_stand_total": self.stand_total,
            "events_before": [event_to_json(seq, one) for seq, one in moment.before],
            "events_after": [event_to_json(seq, one) for seq, one in self.after],
        }


def head_of(moment: Moment, status: str, last: int) -> dict[str, Json]:
    """Who, when, of what, and at which event: the head of every view of a moment."""
    started = moment.state.started
    assert started is not None
    return {
        "run": started.run,
        "name": started.name or None,
        "bundle": started.bundle,
        "digest": started.digest,
        "commit": started.commit,
        "dirty": started.dirty,
        "actor": started.actor,
        "trigger": dict(started.trigger),
        "started": started.at,
        "taken_over": started.copied,
        "resumes": moment.resumes,
        "status": status,
        "error": failure_to_json(moment.state.root.error if moment.state.root else None),
        "event": moment.seq,
        "events": last,
        "at": moment.time,
        "seconds": round(moment.seconds, 3),
        "cost_usd": round(moment.cost_usd, 9),
        "newer_event": moment.newer,
    }


def inspect(
    moment: Moment,
    plan: Plan,
    reader: Reader,
    page: Page,
    *,
    status: str,
    last: int,
    after: Sequence[tuple[int, Happened]] = (),
) -> Inspection:
    """Look at a run at a moment.

    Raises:
        UsageError: there is no step `page.after`.
    """
    state = moment.state
    assert state.root is not None
    assert state.root.scope is not None
    assert state.started is not None
    shown, rest = _steps(moment, page)
    undo, stand = undo_order(state, plan), would_stand(state)
    return Inspection(
        moment=moment,
        plan=plan,
        status=status,
        last=last,
        inputs=reader.load(state.started.inputs),
        state=state.root.scope.values,
        branches=_branches(moment, page.limit),
        steps=[view_of(one, moment.tallies.get(one.path), reader) for one in shown],
        total=len(state.instances) - 1,
        next=shown[-1].path if rest and shown else None,
        open=_open(moment, plan, page.limit),
        undo=undo[: page.limit],
        undo_total=len(undo),
        stand=stand[: page.limit],
        stand_total=len(stand),
        after=after,
    )


def _steps(moment: Moment, page: Page) -> tuple[list[Instance], bool]:
    instances = moment.state.instances
    if page.after and page.after not in instances:
        raise unknown_step(moment, page.after)
    shown: list[Instance] = []
    begun = not page.after
    for path, one in instances.items():
        if begun and path:
            if len(shown) == page.limit:
                return shown, True
            shown.append(one)
        begun = begun or path == page.after
    return shown, False


def _branches(moment: Moment, limit: int) -> dict[str, dict[str, Json]]:
    """Of open branches that have written: the values that they see."""
    found: dict[str, dict[str, Json]] = {}
    for path, one in moment.state.instances.items():
        if one.scope is not None and one.scope.writes and len(found) < limit:
            found[path] = {name: one.scope.values[name] for name, _ in one.scope.writes}
    return found


def _open(moment: Moment, plan: Plan, limit: int) -> dict[str, tuple[Sequence[OpenStep], int]]:
    pages: dict[str, list[OpenStep]] = {status: [] for status in _ALWAYS}
    totals = dict.fromkeys(_ALWAYS, 0)
    for one in open_steps(moment.state, plan):
        totals[one.status] = totals.get(one.status, 0) + 1 + one.more
        page = pages.setdefault(one.status, [])
        if len(page) < limit:
            page.append(one)
    return {status: (page, totals[status]) for status, page in pages.items()}


# -- a step ---------------------------------------------------------------------------------------

_APART: Final = frozenset(
    {"path", "node", "form", "status", "visit", "effect", "key", "at", "attempt", "ends", "seq"}
    | {"items_seq", "arguments_seq", "done_seq", "undo_seq", "held", "held_s", "held_since"}
)
_MORE: Final = tuple(name for name in Instance.__slots__ if name not in _APART)


def view_of(one: Instance, tally: Tally | None, reader: Reader) -> StepView:
    """A step at a moment; of its output at most the beginning when it is large."""
    plain = Instance("", "", None, one.form)
    more: dict[str, Json] = {}
    for name in _MORE:
        value = getattr(one, name)
        if isinstance(value, str | int | float) and value != getattr(plain, name):
            more[name] = value
    return StepView(
        path=one.path,
        node=one.node,
        form=one.form,
        status=one.status,
        visit=one.visit,
        effect=one.effect,
        key=one.key,
        error=one.error,
        output=glimpse_at(one.seq, reader) if one.seq else None,
        tally=tally,
        more=more,
    )


def glimpse_at(seq: int, reader: Reader) -> Glimpse:
    """The output that an event holds, or its beginning."""
    return glimpse(_ref_at(seq, reader), reader)


def _ref_at(seq: int, reader: Reader) -> Ref | None:
    event = reader.event(seq)
    return None if isinstance(event, Newer) else output_ref(event)


def glimpse(ref: Ref | None, reader: Reader) -> Glimpse:
    """A value, or its beginning when it is large."""
    if isinstance(ref, Stored) and ref.size > _LOADED_BYTES:
        return Glimpse(size=ref.size)
    value = reader.load(ref)
    text = value if isinstance(value, str) else compact(value)
    if len(text) <= GLIMPSE_CHARS:
        return Glimpse(value)
    size = ref.size if isinstance(ref, Stored) else len(compact(value).encode())
    return Glimpse(start=text[:GLIMPSE_CHARS], size=size)


def output_of(one: Instance, plan: Plan, reader: Reader) -> Json:
    """The whole output: its own, or made of its children's."""
    if one.seq:
        return reader.load(_ref_at(one.seq, reader))
    if one.form == "leaf" or one.status in {"skipped", "cancelled"}:
        return None
    children = one.children or {}
    if one.form == "each":
        return [
            output_of(children[index], plan, reader) if index in children else None
            for index in range(one.count)
        ]
    if one.form == "until":
        last = children.get(one.count)
        return output_of(last, plan, reader) if last is not None else None
    planned = plan.nodes.get(one.node)
    return {
        str(name): output_of(children[name], plan, reader) if name in children else None
        for name in (planned.children if planned is not None else children)
    }


def failure_to_json(error: Failure | None) -> Json:
    """A failure as plain data; what is not known is left out."""
    if error is None:
        return None
    names = ("kind", "message", "exit_code", "step", "hint")
    return {name: value for name in names if (value := getattr(error, name)) is not None}
