"""RunState: the fold of a run's events. `apply` is the only thing that changes it.

The state holds references to outputs (the seq of the event that has them), never outputs; the
run's declared state values are held, since reducers need them.

Folding never reads the plan: every event says all that the fold needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from aiworkflow.engine import events as ev
from aiworkflow.engine.branches import branches, pending_writes
from aiworkflow.engine.carried import Spent
from aiworkflow.engine.instance import (
    FAILED,
    PENDING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    WAITING,
    Instance,
)
from aiworkflow.engine.join import reduce_all, start_value
from aiworkflow.engine.replanned import replan
from aiworkflow.engine.reply import agree, end, pose
from aiworkflow.engine.resumed import repeat, resume
from aiworkflow.engine.said import Said
from aiworkflow.engine.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.events import Event


class RunState:
    """The fold of a run's events.

    Attributes:
        seq: the last event folded.
        root: the workflow itself, an instance of form `group`; None before `run.started`.
        started: the first event.
        status: `running` until `run.finished`, then its status.
        cancelled: whether somebody asked for the run to stop.
        raised: bounds of budgets that were raised since the start: unit → amount.
        restored: whether what it does first from now on may have been done already.
        turn: of a child run: the turn of the calling step that took it up last; `spent` since then.
        stepping: whether it stops before the next step, whatever that is.
        taking: steps that are taken back before another plan comes, that of the git commit `on`;
            None while none is to come. `half_way`: whether that was broken off.
        held: of conversations that agents keep themselves: id → seq of what was said in it last.
        visits: number of the next visit of places that an earlier plan had.
        undoings: paths of what has begun to be taken back. `left`: path of a step → what stands of the
            child run of it that was taken back.
    """

    __slots__ = (
        "cancelled",
        "epoch",
        "finished",
        "half_way",
        "held",
        "instances",
        "left",
        "on",
        "raised",
        "restored",
        "root",
        "seq",
        "spent",
        "started",
        "status",
        "stepping",
        "taking",
        "turn",
        "undoings",
        "visits",
    )

    def __init__(self) -> None:
        self.seq = 0
        self.epoch = 0
        self.turn = 0
        self.spent = Spent()
        self.stepping = False
        self.restored = False
        self.raised: dict[str, float] = {}
        self.root: Instance | None = None
        self.started: ev.RunStarted | None = None
        self.finished: ev.RunFinished | None = None
        self.status = "queued"
        self.cancelled: ev.CancelRequested | None = None
        self.instances: dict[str, Instance] = {}
        self.taking: tuple[str, ...] | None = None
        self.on = ""
        self.half_way = False
        self.visits: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self.undoings: list[str] = []
        self.left: dict[str, tuple[str, ...]] = {}

    # -- reading ----------------------------------------------------------------------------------

    def scope(self, instance: Instance) -> Scope:
        """The scope whose values an instance sees."""
        found: Instance | None = instance
        while found is not None:
            if found.scope is not None:
                return found.scope
            found = found.parent
        raise AssertionError("the root has a scope")

    def is_own(self, instance: Instance) -> bool:
        """Whether this run did it, and not the one that it was forked from."""
        return self.started is None or instance.done_seq > self.started.copied + 1

    def let_go(self) -> None:
        """Nothing is decided or folded any more: what an instance holds does not hold the instance."""
        for instance in self.instances.values():
            instance.parent = None

    # -- folding ----------------------------------------------------------------------------------

    def apply(self, event: Event) -> Instance | None:
        """Fold the next event; returns the instance it is about, if any."""
        self.seq += 1
        return self._APPLY[type(event)](self, event)

    def _run_started(self, event: ev.RunStarted) -> Instance:
        self.started = event
        self.turn = int(str(event.trigger.get("turn", 0)))
        self.status = RUNNING
        root = Instance("", "", None, "group")
        root.status = RUNNING
        root.at = event.at
        root.scope = Scope(
            {
                name: start_value(reducer, start)
                for name, (reducer, _, start, _) in event.channels.items()
            },
            branch=False,
        )
        self.root = self.instances[""] = root
        return root

    def _warned(self, event: ev.Warned) -> Instance:
        found = self.instances[event.path]
        found.warned = True
        return found

    def _undoable(self, event: ev.Undoable) -> Instance:
        found = self.instances[event.path]
        found.undo_seq = self.seq
        if event.error is not None:
            found.undone = "failed"
            if found.taking_back:
                found.error = event.error
        return found

    def _undoing(self, event: ev.Undoing) -> Instance:
        found = self.instances[event.path]
        found.undoing = True
        found.undo_bound = event.bound
        self.undoings.append(event.path)
        return found

    def _opened(self, event: ev.Opened) -> Instance:
        found = self.instances.get(event.path)
        if found is not None and event.question:
            return pose(found, event, self.seq)
        if found is None or found.status == PENDING:
            form = found.form if found is not None and event.kind == "break" else "leaf"
            found = self._instance(event.path, event.node, event.parent, form, event.index)
            found.visit = event.visit
            found.at = event.at
        found.status = WAITING
        found.waits = event.kind
        found.votes = {}
        found.due = event.due or 0.0
        found.because = event.because
        found.seq = 0
        if event.kind == "child":
            return found
        found.cache = event.cache
        if event.arguments is not None:
            found.arguments_seq = self.seq
        found.hold(event.at)
        return found

    def _answered(self, event: ev.Answered) -> Instance:
        found = self.instances[event.path]
        if found.waits and found.visit == event.visit:
            found.reply, found.reply_seq = event, self.seq
            if found.waits == "break":
                self.stepping = event.verdict == "step"
            if event.verdict == "approve":
                found.votes.setdefault(event.actor, event.comment)
        return found

    def _approved(self, event: ev.Approved) -> Instance:
        return agree(self.instances[event.path], event.at)

    def _delayed(self, event: ev.Delayed) -> Instance:
        found = self.instances[event.path]
        found.delayed(event.until, event.because)
        return found

    def _changed(self, event: ev.Changed) -> Instance | None:
        if self.root is not None and self.root.scope is not None:
            for name, value in event.values.items():
                self.root.scope.write(None, name, value, given=event.values)
        return self.root

    def _cancel_requested(self, event: ev.CancelRequested) -> Instance | None:
        if self.finished is None:
            self.cancelled = event
        return self.root

    def _run_finished(self, event: ev.RunFinished) -> Instance | None:
        self.finished = event
        self.status = event.status
        self.half_way = self.half_way or self.taking is not None
        self.taking, self.on = None, ""
        root = self.root
        if root is not None:
            root.status = event.status
            root.error = event.error
            root.seq = self.seq
        return root

    def _instance(
        self, path: str, node: str, parent: str, form: str, index: int | None
    ) -> Instance:
        found = self.instances.get(path)
        if found is not None:
            if found.form != form:  # a new visit found another form, as skipped before
                found.form = form
                found.children = None if form == "leaf" else {}
            if found.status == PENDING and found.is_branch and found.scope is None:
                assert found.parent is not None
                found.scope = self.scope(found.parent).fork()
            return found
        above = self.instances[parent]
        found = Instance(path, node, above, form)
        found.index = index
        self.instances[path] = found
        children = above.children
        assert children is not None
        if index is not None:
            children[index] = found
        else:
            children[node] = found
        if above.forks:
            found.scope = self.scope(above).fork()
        return found

    def _entered(self, event: ev.Entered) -> Instance:
        if event.round is not None:
            found = self._round(event)
        else:
            found = self._instance(event.path, event.node, event.parent, event.form, event.index)
        found.status = RUNNING
        found.visit = event.visit
        found.at = event.at
        found.count = event.count
        found.forks = event.forks
        if event.items is not None:
            found.items_seq = self.seq
        if event.round is None and event.form != "each":
            scope = self.scope(found)
            if found.mark is not None:
                scope.let_go(found.mark)
            found.mark = scope.mark(found)
        return found

    def _round(self, event: ev.Entered) -> Instance:
        above = self.instances[event.parent]
        assert above.children is not None
        assert event.round is not None
        found = self.instances.get(event.path)
        if found is None:
            found = Instance(event.path, event.node, above, "group")
            found.round = event.round
            self.instances[event.path] = found
            above.children[event.round] = found
        above.count = event.round
        return found

    def _skipped(self, event: ev.Skipped) -> Instance:
        found = self._instance(event.path, event.node, event.parent, "leaf", event.index)
        found.over(event.at)
        found.status = SKIPPED
        found.visit = event.visit
        found.because = event.because
        return found

    def _broken(self, event: ev.Broken) -> Instance:
        found = self._instance(event.path, event.node, event.parent, "leaf", event.index)
        found.status = FAILED
        found.visit = event.visit
        found.at = event.at
        found.error = event.error
        return found

    def _started(self, event: ev.Started) -> Instance:
        if event.role == "join":
            above = self.instances[event.parent]
            found = self.instances.get(event.path)
            if found is None:
                found = Instance(event.path, event.node, above, "leaf")
                self.instances[event.path] = above.join = found
        elif event.role == "call":
            found = self._call(event)
        elif event.role in {"undo", "check"}:
            above = self.instances[event.parent]
            found = self.instances.get(event.path)
            if found is None:
                found = Instance(event.path, event.node, above, "leaf")
                self.instances[event.path] = found
                found.index = event.index
            if event.role == "undo":
                above.undo = found
                above.undone = ""
                found.arguments_seq = above.undo_seq
            else:
                above.check = found
                found.arguments_seq = above.arguments_seq
        else:
            found = self._instance(event.path, event.node, event.parent, "leaf", event.index)
        found.status = RUNNING
        found.visit = event.visit
        found.attempt = event.attempt
        found.effect = event.effect
        found.key = event.key
        found.role = event.role
        found.seq = 0
        found.at = event.at
        found.cache = event.cache or found.cache
        found.agent, found.agents = event.agent, event.agents
        found.tool, found.journalled = event.tool, event.journalled
        if event.metered:
            found.reserved(event.usd, event.tokens)
        if event.arguments is not None:
            found.arguments_seq = self.seq
        return found

    def _call(self, event: ev.Started) -> Instance:
        above = self.instances[event.parent]
        found = self.instances.get(event.path)
        if found is None:
            found = self.instances[event.path] = Instance(event.path, event.node, above, "leaf")
            above.called += 1
            above.calls = (*above.calls, found)
        return found

    def _said(self, event: Said) -> Instance:
        found = self.instances[event.path]
        if event.whole:
            found.talk_seq = self.seq
            self.held[event.held] = self.seq
        else:
            found.said = (*found.said, self.seq)
        return found

    def _reused(self, event: ev.Reused) -> Instance:
        found = self._instance(event.path, event.node, event.parent, "leaf", event.index)
        found.status = SUCCEEDED
        found.visit = event.visit
        found.at = event.at
        found.seq = found.done_seq = self.seq
        return found

    def _released(self, event: ev.Released) -> Instance:
        found = self.instances[event.path]
        found.status = PENDING
        found.settled(None, 0.0)  # it never began
        return found

    def _ended(self, event: ev.Ended) -> Instance:
        found = self.instances[event.path]
        end(found, event)
        found.error = None if event.status == WAITING else event.error
        if event.output is not None:
            found.seq = self.seq
        found.ends += 1
        found.paid(event)
        if event.spent is not None:
            self.spent = self.spent.plus(event.spent)
        if event.status == FAILED:
            found.failures += 1
        elif event.status == SUCCEEDED:
            found.done_seq = self.seq
        if event.undo is not None:
            found.undo_seq = found.done_seq = self.seq
        found.note_undone()
        if found.role == "undo" and found.parent is not None and (event.stands or self.left):
            self.left[found.parent.path] = event.stands
        if found.role == "assign" and event.status == SUCCEEDED:
            found.status = RUNNING  # until `assigned` writes what the reducers gave
        return found

    def _resolved(self, event: ev.Resolved) -> Instance:
        found = self.instances[event.path]
        found.resolved(event.outcome, self.seq, has_output=event.output is not None)
        return found

    def _assigned(self, event: ev.Assigned) -> Instance:
        found = self._instance(event.path, event.node, event.parent, "leaf", event.index)
        found.status = SUCCEEDED
        found.visit = event.visit
        found.at = event.at
        found.seq = 0
        scope = self.scope(found)
        for name, operand in event.operands.items():
            value = self.reduced(scope, name, [operand], event.given)
            scope.write(found, name, value, [operand], event.given)
        return found

    def reduced(
        self, scope: Scope, name: str, operands: Sequence[Json], given: Mapping[str, Json]
    ) -> Json:
        """What a value of a scope becomes with these operands.

        Args:
            given: values that reducers of tools/ have computed already, by name.

        Raises:
            ReduceError: an operand does not fit.
        """
        assert self.started is not None
        reducer, by, _, _ = self.started.channels[name]
        if reducer == "tool":
            return given[name]
        return reduce_all(reducer, by, scope.values[name], operands)

    def _stopping(self, event: ev.Stopping) -> Instance:
        found = self.instances[event.path]
        found.stopping = event.reason
        found.rollback = event.rollback
        if event.error is not None:
            found.error = event.error
        return found

    def _closed(self, event: ev.Closed) -> Instance:
        found = self.instances[event.path]
        found.over(event.at)
        if (event.status == SUCCEEDED or event.joined) and found.forks:
            self._merge(found, event)
        found.status = event.status
        found.error = event.error
        if event.output is not None:
            found.seq = self.seq
        if event.status == FAILED:
            found.failures += 1
        elif event.status == SUCCEEDED:
            found.done_seq = self.seq
            if found.mark is not None:
                self.scope(found).let_go(found.mark)
        return found

    def _merge(self, instance: Instance, event: ev.Closed) -> None:
        scope = self.scope(instance)
        for name, operands in pending_writes(instance, event.order).items():
            value = self.reduced(scope, name, operands, event.merged)
            scope.write(instance, name, value, operands, event.merged)
        for branch in branches(instance, event.order):
            branch.scope = None

    _APPLY: ClassVar[Mapping[type, Callable[[RunState, Any], Instance | None]]] = {
        ev.RunStarted: _run_started,
        ev.RunResumed: resume,
        ev.Replanned: replan,
        ev.Changed: _changed,
        ev.CancelRequested: _cancel_requested,
        ev.RunFinished: _run_finished,
        ev.Entered: _entered,
        ev.Skipped: _skipped,
        ev.Broken: _broken,
        ev.Started: _started,
        Said: _said,
        ev.Reused: _reused,
        ev.Released: _released,
        ev.Ended: _ended,
        ev.Opened: _opened,
        ev.Answered: _answered,
        ev.Approved: _approved,
        ev.Warned: _warned,
        ev.Undoable: _undoable,
        ev.Undoing: _undoing,
        ev.Delayed: _delayed,
        ev.Repeated: repeat,
        ev.Resolved: _resolved,
        ev.Assigned: _assigned,
        ev.Stopping: _stopping,
        ev.Closed: _closed,
    }
