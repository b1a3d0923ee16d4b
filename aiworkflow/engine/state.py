"""RunState: the fold of a run's events. `apply` is the only thing that changes it.

An *instance* is a place in the run that has begun: a step, one item of an `each`, one round of an
`until`. Items and rounds are no instances until they start, so 100,000 items cost nothing before.
The state holds references to outputs (the seq of the event that has them), never outputs; the
run's declared state values are held, since reducers need them.

Folding never reads the plan: every event says all that the fold needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from aiworkflow.engine import events as ev
from aiworkflow.engine.join import reduce_all, start_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.engine.events import Event, Failure, Json, Ref

PENDING: Final = "pending"
RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
CANCELLED: Final = "cancelled"
IN_DOUBT: Final = "in_doubt"
WAITING: Final = "waiting"

AT_REST: Final = frozenset({SUCCEEDED, FAILED, SKIPPED, CANCELLED})


class Scope:
    """The values of `state` as one branch sees them, and what the branch has written.

    The run's own scope keeps no list of writes: nothing will ever be merged from it.
    """

    __slots__ = ("values", "writes")

    def __init__(self, values: dict[str, Json], *, branch: bool) -> None:
        self.values = values
        self.writes: list[tuple[str, Json]] | None = [] if branch else None

    def fork(self) -> Scope:
        """The scope of a branch that begins here."""
        return Scope(dict(self.values), branch=True)

    def note(self, name: str, operands: Sequence[Json]) -> None:
        """Remember what a branch wrote, for the join."""
        if self.writes is not None:
            self.writes.extend((name, operand) for operand in operands)


class Instance:
    """A step, item or round that has begun. Fields are changed by `RunState.apply` alone.

    Attributes:
        form: `leaf`, `group`, `each` or `until`.
        seq: of the event that holds the output; 0 for none.
        items_seq: of an `each`: seq of the event that holds the list.
        arguments_seq: of a leaf: seq of the event that holds the rendered arguments.
        because: why it was skipped.
        children: by node id of a group, by index of an `each`, by round of an `until`.
        stopping: why nothing new starts below, or "".
        scope: of a branch: its view of the state; None where it shares its parent's.
        join: the pseudo-step that runs reducers of tools/ before this closes.
    """

    __slots__ = (
        "arguments_seq",
        "at",
        "attempt",
        "because",
        "children",
        "count",
        "effect",
        "error",
        "forks",
        "form",
        "index",
        "items_seq",
        "join",
        "key",
        "node",
        "parent",
        "path",
        "role",
        "round",
        "scope",
        "seq",
        "status",
        "stopping",
        "visit",
    )

    def __init__(self, path: str, node: str, parent: Instance | None, form: str) -> None:
        self.path = path
        self.node = node
        self.parent = parent
        self.form = form
        self.status: str = PENDING
        self.visit = 1
        self.attempt = 0
        self.effect = ""
        self.key = ""
        self.role = ""
        self.at = 0.0
        self.index: int | None = None
        self.round: int | None = None
        self.seq = 0
        self.items_seq = 0
        self.arguments_seq = 0
        self.count = 0
        self.because = ""
        self.error: Failure | None = None
        self.stopping = ""
        self.forks = False
        self.children: dict[str | int, Instance] | None = None if form == "leaf" else {}
        self.scope: Scope | None = None
        self.join: Instance | None = None

    @property
    def at_rest(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.status in AT_REST

    def __repr__(self) -> str:
        return f"<{self.path or 'run'} {self.form} {self.status}>"


class RunState:
    """The fold of a run's events.

    Attributes:
        seq: the last event folded.
        root: the workflow itself, an instance of form `group`; None before `run.started`.
        started: the first event.
        status: `running` until `run.finished`, then its status.
        cancelled: whether somebody asked for the run to stop.
    """

    __slots__ = ("cancelled", "epoch", "finished", "instances", "root", "seq", "started", "status")

    def __init__(self) -> None:
        self.seq = 0
        self.epoch = 0
        self.root: Instance | None = None
        self.started: ev.RunStarted | None = None
        self.finished: ev.RunFinished | None = None
        self.status = "queued"
        self.cancelled: ev.CancelRequested | None = None
        self.instances: dict[str, Instance] = {}

    # -- reading ----------------------------------------------------------------------------------

    def scope(self, instance: Instance) -> Scope:
        """The scope whose values an instance sees."""
        found: Instance | None = instance
        while found is not None:
            if found.scope is not None:
                return found.scope
            found = found.parent
        raise AssertionError("the root has a scope")

    # -- folding ----------------------------------------------------------------------------------

    def apply(self, event: Event) -> Instance | None:
        """Fold the next event; returns the instance it is about, if any."""
        self.seq += 1
        return self._APPLY[type(event)](self, event)

    def _run_started(self, event: ev.RunStarted) -> Instance:
        self.started = event
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

    def _run_resumed(self, event: ev.RunResumed) -> Instance | None:
        self.epoch = event.epoch
        for path in event.reset:
            found = self.instances[path]
            if found.form == "leaf":
                self._visit_again(found)
            else:
                found.status = RUNNING
                found.at = event.at  # deadlines count from here
                _clear(found)
        for path in event.anew:
            self._visit_again(self.instances[path])
        if event.reset:
            self.status = RUNNING
            self.finished = None
            self.cancelled = None
        return self.root

    @staticmethod
    def _visit_again(instance: Instance) -> None:
        instance.status = PENDING
        instance.visit += 1
        instance.attempt = 0
        instance.arguments_seq = 0
        instance.count = 0
        _clear(instance)

    def _cancel_requested(self, event: ev.CancelRequested) -> Instance | None:
        if self.finished is None:
            self.cancelled = event
        return self.root

    def _run_finished(self, event: ev.RunFinished) -> Instance | None:
        self.finished = event
        self.status = event.status
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
        if event.arguments is not None:
            found.arguments_seq = self.seq
        return found

    def _released(self, event: ev.Released) -> Instance:
        found = self.instances[event.path]
        found.status = PENDING
        return found

    def _ended(self, event: ev.Ended) -> Instance:
        found = self.instances[event.path]
        found.status = event.status
        found.error = event.error
        if event.output is not None:
            found.seq = self.seq
        if found.role == "assign" and event.status == SUCCEEDED:
            found.status = RUNNING  # until `assigned` writes what the reducers gave
        return found

    def _resolved(self, event: ev.Resolved) -> Instance:
        found = self.instances[event.path]
        if event.outcome == "done":
            found.status = SUCCEEDED
            found.error = None
            found.seq = self.seq if event.output is not None else 0
        elif event.outcome == "redo":
            found.status = PENDING
            found.error = None
        else:
            found.status = FAILED
        return found

    def _assigned(self, event: ev.Assigned) -> Instance:
        found = self._instance(event.path, event.node, event.parent, "leaf", event.index)
        found.status = SUCCEEDED
        found.visit = event.visit
        found.at = event.at
        found.seq = 0
        scope = self.scope(found)
        for name, operand in event.operands.items():
            scope.values[name] = self.reduced(scope, name, [operand], event.given)
            scope.note(name, [operand])
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
        if event.error is not None:
            found.error = event.error
        return found

    def _closed(self, event: ev.Closed) -> Instance:
        found = self.instances[event.path]
        if event.status == SUCCEEDED and found.forks:
            self._merge(found, event)
        found.status = event.status
        found.error = event.error
        if event.output is not None:
            found.seq = self.seq
        return found

    @staticmethod
    def branches(instance: Instance, order: Sequence[str]) -> list[Instance]:
        """The branches of a fork in item order or the order given, never that of their ends."""
        children = instance.children or {}
        if instance.form == "each":
            return [children[key] for key in sorted(children, key=int)]
        return [children[name] for name in order if name in children]

    def pending_writes(self, instance: Instance, order: Sequence[str]) -> dict[str, list[Json]]:
        """What the branches that succeeded have written, by name, in plan and item order."""
        writes: dict[str, list[Json]] = {}
        for branch in self.branches(instance, order):
            if branch.scope is None or branch.status != SUCCEEDED:
                continue
            for name, operand in branch.scope.writes or ():
                writes.setdefault(name, []).append(operand)
        return writes

    def _merge(self, instance: Instance, event: ev.Closed) -> None:
        scope = self.scope(instance)
        for name, operands in self.pending_writes(instance, event.order).items():
            scope.values[name] = self.reduced(scope, name, operands, event.merged)
            scope.note(name, operands)
        for branch in self.branches(instance, event.order):
            branch.scope = None

    _APPLY: ClassVar[Mapping[type, Callable[[RunState, Any], Instance | None]]] = {
        ev.RunStarted: _run_started,
        ev.RunResumed: _run_resumed,
        ev.CancelRequested: _cancel_requested,
        ev.RunFinished: _run_finished,
        ev.Entered: _entered,
        ev.Skipped: _skipped,
        ev.Broken: _broken,
        ev.Started: _started,
        ev.Released: _released,
        ev.Ended: _ended,
        ev.Resolved: _resolved,
        ev.Assigned: _assigned,
        ev.Stopping: _stopping,
        ev.Closed: _closed,
    }


def _clear(instance: Instance) -> None:
    instance.stopping = ""
    instance.error = None
    instance.seq = 0
    instance.because = ""


def output_ref(event: Event) -> Ref | None:
    """The output an event holds, if it holds one."""
    match event:
        case ev.Ended() | ev.Closed() | ev.Resolved():
            return event.output
        case ev.RunFinished():
            return event.outputs
        case _:
            return None
