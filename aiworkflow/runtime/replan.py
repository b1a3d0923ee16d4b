"""A run goes on in place with its bundle as it is at another revision.

Two phases, each an ordinary drive: what has to be taken back is, with the old plan and the arguments as
they were; then one `Replanned` puts the new plan in force, and the run is driven on. The intent of the
first names the commit, so that whoever takes the run up after a crash goes on to the same end; a crash
after the second finds a run of the new plan.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, NoReturn, cast

from aiworkflow.engine import REPEATABLE, RunState, Total, outlook, taken_back
from aiworkflow.engine import events as ev
from aiworkflow.engine.instance import IN_DOUBT, PENDING, RUNNING
from aiworkflow.errors import UsageError
from aiworkflow.plan import plan_from_json
from aiworkflow.plan.changes import Around, Changes, Version
from aiworkflow.records import record
from aiworkflow.runtime import imported
from aiworkflow.runtime.folding import fold
from aiworkflow.runtime.given import HalfWay, InForce
from aiworkflow.runtime.lanes import Lane
from aiworkflow.runtime.values import Values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aiworkflow.engine import Instance, Left, Replan
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import RunRow
    from aiworkflow.plan.graph import Plan
    from aiworkflow.runtime.drive import Drive
    from aiworkflow.runtime.given import NewRun
    from aiworkflow.runtime.local import LocalRuntime


@record
class Outlook:
    """What becomes of a run that goes on with another version of its bundle.

    Attributes:
        seq: the last event of the run that was looked at.
        pending: whether it was begun before, and the run is in the middle of it.
    """

    run: str
    seq: int
    changes: Changes
    replan: Replan
    pending: bool = False


def look_ahead(
    runtime: LocalRuntime,
    run: str,
    new: NewRun | None,
    *,
    take_over: bool = False,
    adopt: bool = False,
) -> Outlook:
    """What becomes of a run; nothing is changed.

    Args:
        new: the bundle at the revision, prepared with the run's inputs; None for the plan it has,
            to do again what was taken back.
        take_over: whether a process that drives it now will be ended.
        adopt: whether it was imported, and will be this project's own.

    Raises:
        Held: another process drives it. UnknownRun, UnknownEvent.
        UsageError: the run is over for good, or something has to be settled first.
    """
    if not adopt:
        imported.refuse_imported(runtime.journal, run)
    if not take_over:
        runtime.holding.refuse_driven(run)
    state = RunState()
    fold(runtime.journal, run, state)
    return _outlook(runtime, run, new, state)


def go_on(
    runtime: LocalRuntime,
    run: str,
    new: NewRun | None,
    actor: str,
    *,
    seen: int | None = None,
    take_over: bool = False,
    attached: bool = False,
    budget: Mapping[str, float] | None = None,
    adopt: bool = False,
    turn: int = 0,
) -> tuple[Onward, Sequence[ev.Event]]:
    """Go on with a run in place, as `look_ahead` says.

    Args:
        turn: of a child run: the turn of the calling step, which begins it again also when it was
            taken back by itself.
        seen: the last event that was looked at when somebody agreed.

    Raises:
        As of `look_ahead`. Overlap: a run with the same `concurrency` key is going.
        UsageError: something has happened since it was agreed to.
    """
    state = RunState()
    fold(runtime.journal, run, state)
    assert state.started is not None
    Lane(runtime.journal, run, state.started.lane).enter()  # refused before anything is taken
    if adopt:
        imported.adopt(runtime.journal, run, runtime.ids.token())
    claim = runtime.holding.claim(run, take_over=take_over)
    fold(runtime.journal, run, state)  # what came in before the claim
    if seen is not None and state.seq != seen:
        raise UsageError(
            f"something has happened in run {run} meanwhile; nothing was changed",
            hint="look at what would be done once more",
        )
    found = _outlook(runtime, run, new, state, turn=turn)
    onward = Onward(runtime, run, new, actor, attached=attached, budget=budget, turn=turn)
    return onward, onward.next(claim.epoch, state, found)


class Onward:
    """The drive of a run that goes on by another plan: one drive, or two after each other."""

    def __init__(
        self,
        runtime: LocalRuntime,
        run: str,
        new: NewRun | None,
        actor: str,
        *,
        attached: bool,
        budget: Mapping[str, float] | None,
        turn: int = 0,
    ) -> None:
        self._runtime = runtime
        self._run = run
        self._new = new
        self._actor = actor
        self._attached = attached
        self._budget = budget or {}
        self._turn = turn
        self.callers: Callable[[], Left] | None = None
        self._drive: Drive | None = None
        self._takes_back = False

    async def run(self, first: Sequence[ev.Event]) -> RunRow:
        """Drive to the end; see `Drive.run`. A run that could not be taken back ends there."""
        assert self._drive is not None
        self._drive.callers = self.callers
        row = await self._drive.run(first)
        while self._takes_back and row.status == "running":
            claim = self._runtime.holding.claim(self._run)
            state = RunState()
            fold(self._runtime.journal, self._run, state)
            found = _outlook(self._runtime, self._run, self._new, state, turn=self._turn)
            first = self.next(claim.epoch, state, found)
            self._drive.callers = self.callers
            row = await self._drive.run(first)
        return row

    def total(self) -> Total:
        """See `Drive.total`."""
        return self._drive.total() if self._drive is not None else Total()

    @property
    def turn(self) -> int:
        """See `Drive.turn`."""
        return self._drive.turn if self._drive is not None else 0

    def hold(self) -> None:
        """Begin nothing more; see `Drive.hold`."""
        if self._drive is not None:
            self._drive.hold()

    def interrupt(self) -> None:
        """Ask the run to stop as a person would."""
        if self._drive is not None:
            self._drive.interrupt()

    def next(self, epoch: int, state: RunState, found: Outlook) -> Sequence[ev.Event]:
        """The events with which the next phase begins; what drives it is at hand."""
        asked_to_stop = state.taking is not None and state.cancelled is not None
        only = state.taking or () if asked_to_stop else found.replan.undo
        self._takes_back = bool(only)
        if not only:
            return self._replanned(epoch, state, found)
        assert state.started is not None
        on = self._new.revision.commit if self._new is not None else ""
        now = self._runtime.clock.now().timestamp()
        self._drive = self._runtime.drive_of(
            self._run, epoch, state, state.started, attached=self._attached
        )
        first = ev.RunResumed(
            now, epoch, self._actor, undo=True, turn=self._turn, only=only, on=on or ""
        )
        return [first]

    def _replanned(self, epoch: int, state: RunState, found: Outlook) -> Sequence[ev.Event]:
        """The events with which the new plan is in force."""
        runtime, new, was = self._runtime, self._new, state.started
        assert was is not None
        values = Values(runtime.journal, self._run, inline_bytes=0)
        now = was
        if new is not None:
            inline_bytes = new.settings.limits["inline_output"]
            values = Values(runtime.journal, self._run, inline_bytes=inline_bytes)
            now = runtime.started(self._run, new, values)
        at = runtime.clock.now().timestamp()
        event = replanned(at, self._actor, now, found.changes, found.replan)
        started = dataclasses.replace(
            now,
            at=was.at,
            bundle=was.bundle,
            trigger=was.trigger,
            actor=was.actor,
            name=was.name,
            breaks=was.breaks,
            lane=was.lane,
        )
        row = dataclasses.replace(
            runtime.journal.run(self._run),
            commit=now.commit,
            dirty=now.dirty,
            digest=now.digest,
        )
        self._drive = runtime.drive_of(
            self._run, epoch, state, started, attached=self._attached, values=values, row=row
        )
        resumed = ev.RunResumed(at, epoch, self._actor, turn=self._turn, budget=self._budget)
        return [event, resumed]


# -- what becomes of it ---------------------------------------------------------------------------


def refuse_taken_back(runtime: LocalRuntime, run: str, state: RunState) -> None:
    """Refuse a run that ended with steps taken back: what goes on does them again.

    Raises:
        HalfWay: it did.
    """
    if state.finished is None or all(one.undone != "done" for one in state.instances.values()):
        return
    assert state.started is not None
    plan = plan_from_json(json.loads(runtime.journal.blobs.get(state.started.plan)))
    if next(taken_back(state, plan), None) is not None:
        raise HalfWay(run, "")


def refuse_unfinished(run: str, state: RunState) -> NoReturn:
    """Refuse to take back a run that is not over.

    Raises:
        UsageError: always; one that is being taken back already only has to go on.
    """
    assert state.root is not None
    if state.root.stopping == "undo" or state.root.undoing:
        raise UsageError(
            f"run {run} is being taken back already",
            hint=f"if that was interrupted, go on with it: aiworkflow runs resume {run}",
        )
    raise UsageError(
        f"run {run} is not over; only what has ended is taken back",
        hint=f"end it first: aiworkflow runs cancel {run}",
    )


def _outlook(
    runtime: LocalRuntime, run: str, new: NewRun | None, state: RunState, *, turn: int = 0
) -> Outlook:
    started = state.started
    assert started is not None
    if not (turn and state.status == "rolled_back"):
        _refuse_over(run, state)
    plan = plan_from_json(json.loads(runtime.journal.blobs.get(started.plan)))
    values = Values(runtime.journal, run, inline_bytes=0)
    old = version_of(started, plan, values)
    _refuse_open(run, state, plan)
    version = old
    if new is not None:
        around = _around(new.settings, new.inputs, new.revision.commit)
        version = Version(new.plan, around)
    changes, found = outlook(state, old, version)
    _refuse_children(run, state, found)
    return Outlook(run, state.seq, changes, found, state.taking is not None)


def _around_of(started: ev.RunStarted, values: Values) -> Around:
    settings = InForce.from_json(cast("dict[str, Json]", values.load(started.settings)))
    inputs = cast("dict[str, Json]", values.load(started.inputs))
    return _around(settings, inputs, started.commit)


def _around(settings: InForce, inputs: Mapping[str, Json], commit: str | None) -> Around:
    return Around(
        env=dict(settings.env),
        agents=settings.agents,
        agent=tuple(settings.agent),
        interpreters=dict(settings.interpreters),
        inputs=inputs,
        commit=commit,
    )


def replanned(
    at: float, actor: str, now: ev.RunStarted, changes: Changes, found: Replan
) -> ev.Replanned:
    """The event with which a run goes by what another start would say."""
    return ev.Replanned(
        at,
        actor,
        now.plan,
        now.digest,
        now.files,
        now.settings,
        now.inputs,
        now.channels,
        now.commit,
        now.dirty,
        now.children,
        found.redo,
        found.opened,
        found.dropped,
        changes.renamed,
        tuple(sorted(changes.restarted)),
        found.stands,
    )


def version_of(started: ev.RunStarted, plan: Plan, values: Values) -> Version:
    """A plan with what is around it, as a start says."""
    return Version(plan, _around_of(started, values))


# -- what has to be settled first -----------------------------------------------------------------


def _refuse_over(run: str, state: RunState) -> None:
    if state.taking is not None:
        return  # it was agreed to before
    if state.status == "succeeded":
        raise UsageError(
            f"run {run} has succeeded; there is nothing to go on with",
            hint=f"begin another one with what it did: aiworkflow runs fork {run} --on REVISION",
        )
    root = state.root
    assert root is not None
    is_undone = any(one.undoing and not one.at_rest for one in state.instances.values())
    if state.status == "rolled_back" or (state.finished is None and root.stopping == "undo"):
        done = "has been" if state.status == "rolled_back" else "is being"
        raise UsageError(
            f"run {run} {done} taken back; there is nothing to go on with",
            hint="start a new run with `aiworkflow bundle run`",
        )
    if state.finished is None and (state.cancelled is not None or is_undone):
        doing = "cancelled" if state.cancelled is not None else "taken back in part"
        raise UsageError(
            f"run {run} is being {doing}", hint=f"let it end first: aiworkflow runs resume {run}"
        )


def _refuse_open(run: str, state: RunState, plan: Plan) -> None:
    doubts = [one.path for one in state.instances.values() if one.status == IN_DOUBT]
    if doubts:
        listed = ", ".join(f"`{path}`" for path in doubts)
        raise UsageError(
            f"nobody knows whether {listed} of run {run} took effect; that is settled first",
            hint=f"aiworkflow runs resolve {run} {doubts[0]} done|redo|failed",
        )
    lost = [one.path for one in state.instances.values() if _is_lost(one, plan)]
    if lost:
        listed = ", ".join(f"`{path}`" for path in lost)
        raise UsageError(
            f"{listed} of run {run} was interrupted, and may have taken effect; "
            "that is settled first",
            hint=f"let it be looked at: aiworkflow runs resume {run}",
        )


def _is_lost(instance: Instance, plan: Plan) -> bool:
    """Whether an attempt with an effect was under way, and nobody knows its end."""
    if instance.status != RUNNING or instance.form != "leaf" or instance.role in {"undo", "check"}:
        return False
    return instance.effect not in REPEATABLE and instance.node in plan.nodes


def _refuse_children(run: str, state: RunState, found: Replan) -> None:
    """A child run that is under way cannot be left behind."""
    for path in (*found.redo, *found.dropped):
        for one in _below(state.instances[path]):
            if one.role == "child" and not one.at_rest and one.status != PENDING:
                raise UsageError(
                    f"`{one.path}` of run {run} has a child run that is not over, "
                    "and is changed or gone",
                    hint=f"end it first: aiworkflow runs cancel {run}",
                )


def _below(instance: Instance) -> Iterator[Instance]:
    yield instance
    for child in (instance.children or {}).values():
        yield from _below(child)
