"""The decider: given what happened, what happens next. Pure: no clock, no I/O, no randomness.

Theory. A run is a tree of instances. Facts (attempts that ended) and signals (cancel, resolve) come
in; each is folded into the state, and whatever it touches is put on the agenda. Then the agenda is
worked off: a group begins the children that may begin, an `each` its next items, an `until` asks
whether there is another round, and what has nothing left to wait for is closed, which touches its
parent, and so on up to the run. Everything decided is an event, folded at once, and returned for one
append together with the facts that led to it.

Questions. What must be evaluated is *asked*: `decide` is a generator that yields a `Question` and is
sent the `Answer`. The value goes into the event of the decision it leads to, so it is computed once
in the life of the run. A question that cannot be answered (an expression that fails) breaks the step.

Rules, and which wins:

1.  A child begins when all it comes `after` are at rest; a skipped step does not hold back the next.
2.  Nothing begins below an instance that is *stopping*, but what is `finally`. Stopping spreads down
    to every open instance; the first reason stays. Running reads are cancelled; running writes may
    finish, unless a person or a deadline stops the run: then everything is cancelled.
3.  A failure stops what holds it, unless the step says `on_error: continue`, or the group needs only
    some of its children (`parallel: any|majority|N`).
4.  When the other children are at rest the finals run, in order; then the instance closes with the
    status its stopping gives it. A final's failure never hides an earlier one.
5.  An attempt in doubt is not at rest: it waits for a person. Only in a run that is being cancelled
    does it count as at rest, so that a cancel always ends.
6.  Slots: at most `max_running` attempts of a run at once; `started` is written when the slot is
    held, never when the step is merely ready.

Not covered here yet, with their places: retry (in `_attempt_ended`), undo (before `_close` of a
failed instance), waits, asks and gates (kinds of leaf), child runs (a kind of leaf), budgets (at the
slot).
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Generator, Sequence, Set
from typing import TypeAlias

from aiworkflow.bundle.workflow import Assign, Group, OnError
from aiworkflow.engine import events as ev
from aiworkflow.engine.commands import Answer, Asked, Bounds, Decision, Perform, Question
from aiworkflow.engine.events import Event, Failure, Json
from aiworkflow.engine.frontier import EachFrontier, GroupFrontier, Outline
from aiworkflow.engine.join import ReduceError
from aiworkflow.engine.state import (
    CANCELLED,
    FAILED,
    IN_DOUBT,
    PENDING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    Instance,
    RunState,
)
from aiworkflow.plan.graph import ROOT, Node, Plan

Asking: TypeAlias = "Generator[Question, Answer, None]"

# Effect classes whose attempt may be repeated, and whose interruption leaves no doubt.
REPEATABLE = frozenset({"read", "idempotent"})


def idempotency_key(run: str, path: str, visit: int) -> str:
    """The key of a visit: opaque, header-safe, 40 characters, the same over attempts and crashes."""
    return hashlib.sha256(f"{run}\n{path}\n{visit}".encode()).hexdigest()[:40]


class Decider:
    """Decides for one run. Its working memory is rebuilt from the state; the state is the truth."""

    def __init__(self, plan: Plan, state: RunState, bounds: Bounds) -> None:
        self.plan = plan
        self.state = state
        self.bounds = bounds
        self.outline = Outline(plan)
        self._groups: dict[str, GroupFrontier] = {}
        self._eachs: dict[str, EachFrontier] = {}
        self._agenda: deque[Instance] = deque()
        self._queue: deque[tuple[str, str, int | None]] = deque()  # node, parent, index
        self._running: set[str] = set()
        self._doubts: dict[str, None] = {}
        self._given: list[Instance] = []  # `set` steps whose reducers of tools/ have run
        self._timers: list[tuple[float, str, str]] = []  # when, path, `timeout` or `pace`
        self._now = 0.0
        self._events: list[Event] = []
        self._performs: list[Perform] = []
        self._cancels: list[str] = []

    # -- the turn ---------------------------------------------------------------------------------

    @property
    def events(self) -> Sequence[Event]:
        """What this turn has come to so far, in order: facts folded and decisions made."""
        return self._events

    def decide(
        self, now: float, facts: Sequence[Event], arrived: Sequence[Event] = ()
    ) -> Generator[Question, Answer, Decision]:
        """Fold what happened and decide what follows.

        Args:
            now: wall-clock time, seconds since the epoch.
            facts: what happened here and is not in the journal yet; comes back in the decision.
            arrived: what others have appended since the last turn, in the order of the journal.
        """
        self._now = now
        self._events, self._performs, self._cancels = [], [], []
        for event in arrived:
            self._happened(event, self.state.apply(event))
        for event in facts:
            self._events.append(event)
            self._happened(event, self.state.apply(event))
        self._ring(now)
        for instance in self._given:
            yield from self._assign_given(instance)
        self._given.clear()
        while True:
            while self._agenda:
                yield from self._advance(self._agenda.popleft())
            if not self._queue or len(self._running) >= self.bounds.max_running:
                break
            yield from self._start_next()
        return Decision(
            events=self._events,
            performs=self._performs,
            cancels=[path for path in self._cancels if path in self._running],
            wake_at=self._timers[0][0] if self._timers else None,
            finished=self.state.finished is not None,
            doubts=tuple(self._doubts),
        )

    def _emit(self, event: Event) -> Instance:
        self._events.append(event)
        found = self.state.apply(event)
        assert found is not None
        return found

    def _happened(self, event: Event, instance: Instance | None) -> None:
        match event:
            case ev.RunStarted():
                assert instance is not None
                self._open_frontier(instance)
            case ev.Ended():
                assert instance is not None
                self._attempt_ended(instance)
            case ev.Resolved():
                assert instance is not None
                self._doubts.pop(instance.path, None)
                if event.outcome == "redo":
                    self._again(instance)
                else:
                    self._rest(instance)
            case ev.Released():
                assert instance is not None
                self._running.discard(instance.path)
                self._again(instance)
            case ev.CancelRequested():
                self._cancel_run()
            case ev.RunResumed():
                self._rebuild()
            case _:
                raise AssertionError(f"{event} is a decision, not something that happened")

    def _attempt_ended(self, instance: Instance) -> None:
        self._running.discard(instance.path)
        if instance.status == IN_DOUBT and not self._is_cancelled():
            self._doubts[instance.path] = None
        elif instance.role == "assign" and instance.status == RUNNING:
            self._given.append(instance)
        else:
            self._rest(instance)

    def _is_cancelled(self) -> bool:
        return self.state.cancelled is not None

    # -- coming to rest ---------------------------------------------------------------------------

    def _rest(self, child: Instance) -> None:
        """A child has come to rest: tell what holds it, and put that on the agenda."""
        parent = child.parent
        if parent is None:
            return
        self._agenda.append(parent)
        if child.role == "join":
            return  # `_close` looks at it
        if parent.form == "each":
            frontier = self._eachs[parent.path]
            frontier.running -= 1
            frontier.done += 1
        elif parent.form == "until":
            pass
        elif self.plan.nodes[child.node].final:
            self._groups[parent.path].final_at += 1
        else:
            self._groups[parent.path].rested(self.outline, child)
        self._judge(child, parent)

    def _judge(self, child: Instance, parent: Instance) -> None:
        """Rule 3: what a child's end means for what holds it."""
        if child.status in {SUCCEEDED, SKIPPED}:
            return
        if parent.form == "each":
            frontier = self._eachs[parent.path]
            frontier.failed = frontier.failed or child
        if parent.form == "until":
            self._stop(parent, "failed" if child.status == FAILED else "cancelled", child.error)
            return
        if child.status != FAILED or parent.stopping:
            return
        node = self.plan.nodes[child.node]
        if node.on_error is OnError.CONTINUE:
            return
        holder = self.plan.nodes[parent.node]
        if parent.form == "group" and not node.final and self.outline.needed(holder) is not None:
            return
        self._stop(parent, "failed", _within(child))

    # -- stopping ---------------------------------------------------------------------------------

    def _stop(self, instance: Instance, reason: str, error: Failure | None = None) -> None:
        """Rule 2: nothing new starts here or below, and what can be ended is."""
        if not instance.stopping:
            self._emit(ev.Stopping(self._now, instance.path, reason, error))
        self._agenda.append(instance)
        everything = reason == "timeout" or self._is_cancelled()
        self._stop_below(instance, everything=everything)

    def _stop_below(self, instance: Instance, *, everything: bool) -> None:
        for child in (instance.children or {}).values():
            if child.at_rest or (
                self.plan.nodes[child.node].final and instance.form == "group"
            ):
                continue
            if child.form == "leaf":
                if child.path in self._running and (everything or child.effect in REPEATABLE):
                    self._cancels.append(child.path)
                elif child.status == IN_DOUBT and self._is_cancelled():
                    if self._doubts.pop(child.path, 0) is None:
                        self._rest(child)
                continue
            if not child.stopping:
                self._emit(ev.Stopping(self._now, child.path, "cancelled"))
            self._agenda.append(child)
            self._stop_below(child, everything=everything)
        if instance.join is not None and instance.join.path in self._running:
            self._cancels.append(instance.join.path)

    def _cancel_run(self) -> None:
        root = self.state.root
        if root is None or self.state.finished is not None:
            return
        self._stop(root, "cancelled", Failure("cancelled", self._cancel_text()))

    def _cancel_text(self) -> str:
        asked = self.state.cancelled
        assert asked is not None
        reason = f": {asked.reason}" if asked.reason else ""
        return f"cancelled by {asked.actor}{reason}"

    def _ring(self, now: float) -> None:
        """Deadlines that have passed, and items whose pacing lets them start."""
        while self._timers and self._timers[0][0] <= now:
            _, path, what = heapq.heappop(self._timers)
            instance = self.state.instances[path]
            if instance.at_rest or self.state.finished is not None:
                continue
            if what == "pace":
                self._agenda.append(instance)
            elif not instance.stopping:
                seconds = self._timeout_of(instance)
                error = Failure("timeout", f"took longer than {seconds:g} s", step=path or None)
                self._stop(instance, "timeout", error)

    def _timeout_of(self, instance: Instance) -> float | None:
        if instance.path == "":
            return self.plan.timeout_s
        if instance.form == "each" or instance.round is not None:
            return None  # the deadline is an item's own, and that of the whole `until`
        return self.plan.nodes[instance.node].timeout_s

    # -- advancing --------------------------------------------------------------------------------

    def _advance(self, instance: Instance) -> Asking:
        if instance.at_rest or self.state.finished is not None or instance.form == "leaf":
            return
        if instance.form == "each":
            yield from self._advance_each(instance)
        elif instance.form == "until":
            yield from self._advance_until(instance)
        else:
            yield from self._advance_group(instance)

    def _advance_group(self, instance: Instance) -> Asking:
        frontier = self._groups[instance.path]
        node = self.plan.nodes[instance.node]
        self._check_enough(instance, node, frontier)
        while frontier.ready and not instance.stopping and frontier.final_at < 0:
            frontier.begun()
            yield from self._open(frontier.ready.popleft(), instance)
        if instance.stopping:
            self._drop_queued(instance, frontier)
            over = frontier.active == 0
        else:
            over = frontier.left == 0
        if not over:
            return
        finals = self.outline.finals[node.id]
        frontier.final_at = max(frontier.final_at, 0)
        if frontier.final_at < len(finals):
            name = finals[frontier.final_at]
            known = (instance.children or {}).get(name)
            queued = (name, instance.path, None) in self._queue
            if (known is None or known.status == PENDING) and not queued:
                yield from self._open(name, instance)
            return
        yield from self._close(instance, node)

    def _check_enough(self, instance: Instance, node: Node, frontier: GroupFrontier) -> None:
        needed = self.outline.needed(node)
        if needed is None or instance.stopping:
            return
        if frontier.succeeded >= needed:
            if frontier.left:
                self._stop(instance, "enough")
        elif frontier.succeeded + frontier.left < needed:
            first = next(
                (c for c in (instance.children or {}).values() if c.status == FAILED), None
            )
            why = f"; the first failure: {first.error.message}" if first and first.error else ""
            self._stop(
                instance,
                "failed",
                Failure(
                    "parallel",
                    f"only {frontier.succeeded} of the {needed} needed steps can succeed{why}",
                    step=first.path if first else instance.path,
                ),
            )

    def _drop_queued(self, instance: Instance, frontier: GroupFrontier) -> None:
        kept: deque[tuple[str, str, int | None]] = deque()
        for entry in self._queue:
            if entry[1] == instance.path and not self.plan.nodes[entry[0]].final:
                frontier.active -= 1
            else:
                kept.append(entry)
        self._queue = kept

    def _advance_each(self, instance: Instance) -> Asking:
        frontier = self._eachs[instance.path]
        node = self.plan.nodes[instance.node]
        assert node.each is not None
        width = node.each.max_parallel or self.bounds.max_parallel
        if instance.stopping:
            before = len(self._queue)
            self._queue = deque(q for q in self._queue if q[1] != instance.path)
            frontier.running -= before - len(self._queue)
        while not instance.stopping and frontier.running < width:
            if not frontier.again and frontier.next >= instance.count:
                break
            if frontier.not_before > self._now:
                if frontier.alarm != frontier.not_before:
                    frontier.alarm = frontier.not_before
                    heapq.heappush(self._timers, (frontier.alarm, instance.path, "pace"))
                break
            if frontier.again:
                index = frontier.again.popleft()
            else:
                index = frontier.next
                frontier.next += 1
            frontier.running += 1
            if node.each.rate is not None:
                starts, seconds = node.each.rate
                frontier.not_before = max(self._now, frontier.not_before) + seconds / starts
            yield from self._open_item(node, instance, index)
        over = not frontier.running and (
            bool(instance.stopping) or (frontier.next >= instance.count and not frontier.again)
        )
        if over:
            yield from self._close(instance, node)

    def _advance_until(self, instance: Instance) -> Asking:
        node = self.plan.nodes[instance.node]
        assert isinstance(node.action, Group)
        rounds = instance.children or {}
        last = rounds.get(instance.count)
        if last is None and not instance.stopping:
            self._next_round(instance, node)
            return
        if last is not None and not last.at_rest:
            return
        if instance.stopping:
            yield from self._close(instance, node)
            return
        answer = yield Question(Asked.UNTIL, node.id, instance.path, instance.path)
        if answer.failure is not None:
            self._stop(instance, "failed", answer.failure)
        elif answer.value:
            yield from self._close(instance, node)
        elif instance.count >= (node.action.max_rounds or 1):
            text = f"`until` was not reached in {instance.count} rounds"
            self._stop(instance, "failed", Failure("rounds", text, step=instance.path))
        else:
            self._next_round(instance, node)

    def _next_round(self, instance: Instance, node: Node) -> None:
        number = instance.count + 1
        path = f"{instance.path}#{number}"
        assert isinstance(node.action, Group)
        entered = self._emit(
            ev.Entered(
                self._now,
                path,
                node.id,
                instance.path,
                "group",
                round=number,
                forks=node.action.parallel,
            )
        )
        self._open_frontier(entered)

    # -- beginning --------------------------------------------------------------------------------

    def _visit(self, path: str) -> int:
        known = self.state.instances.get(path)
        return known.visit if known is not None else 1

    def _is_rendered(self, path: str) -> bool:
        """Whether this visit's questions were answered before; they are never asked again."""
        known = self.state.instances.get(path)
        return known is not None and known.status == PENDING and known.arguments_seq > 0

    def _open(self, name: str, parent: Instance) -> Asking:
        """Begin a child of a group: its `else`, its `if`, its `each`, then itself."""
        node = self.plan.nodes[name]
        path = f"{parent.path}.{name}" if parent.path else name
        if self._is_rendered(path):
            self._queue.append((name, parent.path, None))
            return
        siblings = parent.children or {}
        if node.otherwise and not all(
            siblings[other].status == SKIPPED and siblings[other].because == "if"
            for other in node.otherwise
        ):
            self._skip(path, node, parent, "else")
            return
        if node.condition is not None and not node.per_item:
            answer = yield Question(Asked.CONDITION, name, path, parent.path)
            if answer.failure is not None:
                self._break(path, node, parent, answer.failure)
                return
            if not answer.value:
                self._skip(path, node, parent, "if")
                return
        if node.each is None:
            yield from self._open_body(node, path, parent, None)
            return
        answer = yield Question(Asked.ITEMS, name, path, parent.path)
        failure = answer.failure
        most = node.each.max_items or self.bounds.max_items
        if failure is None and answer.count > most:
            text = f"`each` has {answer.count} items, more than the {most} that `max_items` allows"
            failure = Failure("limit", text)
        if failure is not None:
            self._break(path, node, parent, failure)
            return
        entered = self._emit(
            ev.Entered(
                self._now,
                path,
                name,
                parent.path,
                "each",
                visit=self._visit(path),
                items=answer.ref,
                count=answer.count,
                digest=answer.digest,
                forks=node.each.max_parallel != 1,
            )
        )
        self._eachs[path] = EachFrontier()
        self._set_deadline(entered)
        self._agenda.append(entered)

    def _open_item(self, node: Node, parent: Instance, index: int) -> Asking:
        path = f"{parent.path}[{index}]"
        if self._is_rendered(path):
            self._queue.append((node.id, parent.path, index))
            return
        if node.condition is not None and node.per_item:
            answer = yield Question(Asked.CONDITION, node.id, path, parent.path, index)
            if answer.failure is not None:
                self._break(path, node, parent, answer.failure, index)
                return
            if not answer.value:
                self._skip(path, node, parent, "if", index)
                return
        yield from self._open_body(node, path, parent, index)

    def _open_body(self, node: Node, path: str, parent: Instance, index: int | None) -> Asking:
        if isinstance(node.action, Group):
            form = "group" if node.action.until is None else "until"
            entered = self._emit(
                ev.Entered(
                    self._now,
                    path,
                    node.id,
                    parent.path,
                    form,
                    visit=self._visit(path),
                    index=index,
                    forks=form == "group" and node.action.parallel,
                )
            )
            self._open_frontier(entered)
        elif isinstance(node.action, Assign) and not self._has_tool_reducer(node.action):
            yield from self._assign(node, path, parent, index)
        else:
            self._queue.append((node.id, parent.path, index))

    def _start_next(self) -> Asking:
        """Rule 6: take a slot for the attempt that has waited longest."""
        name, above, index = self._queue.popleft()
        node = self.plan.nodes[name]
        parent = self.state.instances[above]
        path = f"{above}[{index}]" if index is not None else f"{above}.{name}" if above else name
        known = self.state.instances.get(path)
        if known is not None and known.arguments_seq:
            self._start(known)
            return
        answer = yield Question(Asked.ARGUMENTS, name, path, above, index)
        if answer.failure is not None:
            self._break(path, node, parent, answer.failure, index)
            return
        visit = self._visit(path)
        assert self.state.started is not None
        self._emit(
            ev.Started(
                self._now,
                path,
                name,
                above,
                visit,
                1,
                str(node.effect),
                idempotency_key(self.state.started.run, path, visit),
                answer.ref,
                index,
                "assign" if isinstance(node.action, Assign) else "",
            )
        )
        self._running.add(path)
        self._performs.append(Perform(path))

    def _start(self, instance: Instance) -> None:
        """Another attempt of the same visit: same key, same arguments."""
        assert instance.parent is not None
        self._emit(
            ev.Started(
                self._now,
                instance.path,
                instance.node,
                instance.parent.path,
                instance.visit,
                instance.attempt + 1,
                instance.effect,
                instance.key,
                None,
                instance.index,
                instance.role,
            )
        )
        self._running.add(instance.path)
        self._performs.append(Perform(instance.path))

    def _again(self, instance: Instance) -> None:
        """An attempt that did not happen is to be begun again, unless its parent is stopping."""
        parent = instance.parent
        assert parent is not None
        if parent.stopping and not self.plan.nodes[instance.node].final:
            self._emit(
                ev.Ended(
                    self._now, instance.path, instance.visit, instance.attempt, CANCELLED
                )
            )
            self._rest(instance)
        elif instance.role == "join":
            self._start(instance)
        else:
            self._queue.append((instance.node, parent.path, instance.index))

    def _skip(
        self, path: str, node: Node, parent: Instance, because: str, index: int | None = None
    ) -> None:
        visit = self._visit(path)
        self._rest(
            self._emit(ev.Skipped(self._now, path, node.id, parent.path, because, visit, index))
        )

    def _break(
        self, path: str, node: Node, parent: Instance, failure: Failure, index: int | None = None
    ) -> None:
        """A step that cannot even begin: its expressions fail."""
        error = failure if failure.step else _at(failure, path)
        visit = self._visit(path)
        self._rest(
            self._emit(ev.Broken(self._now, path, node.id, parent.path, error, visit, index))
        )

    # -- state ------------------------------------------------------------------------------------

    def _has_tool_reducer(self, action: Assign) -> bool:
        assert self.state.started is not None
        channels = self.state.started.channels
        return any(channels[name][0] == "tool" for name in action.values)

    def _assign(self, node: Node, path: str, parent: Instance, index: int | None) -> Asking:
        answer = yield Question(Asked.OPERANDS, node.id, path, parent.path, index)
        failure = answer.failure
        operands = answer.value if isinstance(answer.value, dict) else {}
        if failure is None:
            failure = self._misfit(parent, {name: [value] for name, value in operands.items()})
        if failure is not None:
            self._break(path, node, parent, failure, index)
            return
        self._rest(
            self._emit(
                ev.Assigned(
                    self._now, path, node.id, parent.path, operands, self._visit(path), index
                )
            )
        )

    def _assign_given(self, instance: Instance) -> Asking:
        """The reducers of a `set` have run: write what they gave."""
        parent = instance.parent
        assert parent is not None
        answer = yield Question(
            Asked.GIVEN, instance.node, instance.path, parent.path, instance.index
        )
        found = answer.value
        assert isinstance(found, dict)
        operands, given = found["operands"], found["given"]
        assert isinstance(operands, dict)
        assert isinstance(given, dict)
        failure = self._misfit(parent, {name: [value] for name, value in operands.items()})
        if failure is not None:
            node = self.plan.nodes[instance.node]
            self._break(instance.path, node, parent, failure, instance.index)
            return
        self._rest(
            self._emit(
                ev.Assigned(
                    self._now,
                    instance.path,
                    instance.node,
                    parent.path,
                    operands,
                    instance.visit,
                    instance.index,
                    given,
                )
            )
        )

    def _misfit(self, instance: Instance, writes: dict[str, list[Json]]) -> Failure | None:
        """Why these writes cannot be reduced into what the instance sees, or None."""
        scope = self.state.scope(instance)
        assert self.state.started is not None
        for name, operands in writes.items():
            if self.state.started.channels[name][0] == "tool":
                continue
            try:
                self.state.reduced(scope, name, operands, {})
            except ReduceError as error:
                return Failure("state", f"cannot write `{name}`: {error}")
        return None

    # -- closing ----------------------------------------------------------------------------------

    def _close(self, instance: Instance, node: Node) -> Asking:
        """Rule 4, once nothing below is under way."""
        status, error = _STATUS_OF_STOPPING[instance.stopping], instance.error
        if instance.path == "":
            yield from self._finish(status, error)
            return
        output = None
        merged: dict[str, Json] = {}
        if instance.form == "each":
            failed = self._eachs[instance.path].failed
            if status == SUCCEEDED and failed is not None:
                status, error = FAILED, _within(failed)
        elif status == SUCCEEDED and instance.form == "group":
            assert isinstance(node.action, Group)
            if node.action.has_result:
                answer = yield Question(Asked.RESULT, node.id, instance.path, instance.path)
                output = answer.ref
                if answer.failure is not None:
                    status, error = FAILED, _at(answer.failure, instance.path)
        if status == SUCCEEDED and instance.forks:
            writes = self.state.pending_writes(instance, node.children)
            failure = self._misfit(instance, writes)
            if failure is not None:
                status, error = FAILED, _at(failure, instance.path)
            elif (yield from self._join(instance, node, writes, merged)):
                return
        if instance.join is not None and instance.join.status == FAILED:
            status, error = FAILED, instance.join.error
        order = node.children if instance.forks and instance.form == "group" else ()
        self._emit(ev.Closed(self._now, instance.path, status, output, error, merged, order))
        self._groups.pop(instance.path, None)
        self._eachs.pop(instance.path, None)
        self._rest(instance)

    def _join(
        self,
        instance: Instance,
        node: Node,
        writes: dict[str, list[Json]],
        merged: dict[str, Json],
    ) -> Generator[Question, Answer, bool]:
        """Run the reducers of tools/ that a join needs; True while that is under way."""
        assert self.state.started is not None
        channels = self.state.started.channels
        needed = {name: ops for name, ops in writes.items() if channels[name][0] == "tool"}
        if not needed:
            return False
        path = f"{instance.path}/join"
        join = instance.join
        if join is None or join.status == PENDING:
            answer = yield Question(
                Asked.REDUCE, node.id, path, instance.path, operands=needed
            )
            visit = self._visit(path)
            self._emit(
                ev.Started(
                    self._now,
                    path,
                    node.id,
                    instance.path,
                    visit,
                    1,
                    "read",
                    idempotency_key(self.state.started.run, path, visit),
                    answer.ref,
                    None,
                    "join",
                )
            )
            self._running.add(path)
            self._performs.append(Perform(path))
            return True
        if not join.at_rest:
            return True
        if join.status == SUCCEEDED:
            answer = yield Question(Asked.MERGED, node.id, path, instance.path)
            assert isinstance(answer.value, dict)
            merged.update(answer.value)
        return False

    def _finish(self, status: str, error: Failure | None) -> Asking:
        outputs = None
        if status == SUCCEEDED:
            answer = yield Question(Asked.OUTPUTS, ROOT, "", "")
            outputs = answer.ref
            if answer.failure is not None:
                status, error = FAILED, answer.failure
        self._emit(ev.RunFinished(self._now, status, outputs, error))

    # -- taking a run up --------------------------------------------------------------------------

    def _open_frontier(self, instance: Instance) -> None:
        if instance.form == "group":
            self._groups[instance.path] = GroupFrontier(
                self.outline, self.plan.nodes[instance.node]
            )
        self._set_deadline(instance)
        self._agenda.append(instance)

    def _set_deadline(self, instance: Instance) -> None:
        timeout = self._timeout_of(instance)
        if timeout is not None:
            heapq.heappush(self._timers, (instance.at + timeout, instance.path, "timeout"))

    def adopt(self, running: Set[str], now: float) -> None:
        """Make the working memory anew while attempts of this process go on (after `Moved`)."""
        self._now = now
        self._rebuild(running)

    def _rebuild(self, running: Set[str] = frozenset()) -> None:
        """Make the working memory anew from the state, and settle what the last driver left.

        An attempt that is not running here, and whose end is not known, is begun again where its
        effect may be repeated, and is in doubt where it may not.
        """
        self._groups.clear()
        self._eachs.clear()
        self._agenda.clear()
        self._queue.clear()
        self._running.clear()
        self._doubts.clear()
        self._given.clear()
        self._timers.clear()
        if self.state.finished is not None:
            return
        leaves: list[Instance] = []
        inner: list[Instance] = []
        for instance in list(self.state.instances.values()):
            if instance.form == "leaf":
                leaves.append(instance)
            elif not instance.at_rest and instance.status != PENDING:
                inner.append(instance)
                self._rebuild_frontier(instance)
        for leaf in leaves:
            if leaf.path in running and leaf.status == RUNNING:
                self._running.add(leaf.path)
            else:
                self._recover(leaf)
        for instance in reversed(inner):
            self._agenda.append(instance)
            for child in list((instance.children or {}).values()):
                if child.at_rest:
                    self._judge(child, instance)
        if self.state.cancelled is not None:
            self._cancel_run()

    def _rebuild_frontier(self, instance: Instance) -> None:
        children = instance.children or {}
        if instance.form == "each":
            self._eachs[instance.path] = EachFrontier.rebuilt(children)
        elif instance.form == "group":
            self._groups[instance.path] = GroupFrontier.rebuilt(
                self.outline, self.plan.nodes[instance.node], children
            )
        self._set_deadline(instance)

    def _recover(self, leaf: Instance) -> None:
        parent = leaf.parent
        if parent is None or parent.at_rest:
            return
        if leaf.status == IN_DOUBT:
            self._doubts[leaf.path] = None
        elif leaf.status == RUNNING:
            self._lost(leaf)

    def _lost(self, leaf: Instance) -> None:
        """The driver of a running attempt is gone."""
        assert leaf.parent is not None
        final = leaf.role != "join" and self.plan.nodes[leaf.node].final
        if leaf.role == "assign" and leaf.seq:
            self._given.append(leaf)
            return
        if leaf.effect not in REPEATABLE:
            status, kind = IN_DOUBT, "lost"
            text = "the process that ran it is gone; whether it had its effect is not known"
        elif leaf.parent.stopping and not final:
            status, kind, text = CANCELLED, "cancelled", "the run was stopping"
        else:
            self._start(leaf)
            return
        error = Failure(kind, text, step=leaf.path)
        self._emit(
            ev.Ended(self._now, leaf.path, leaf.visit, leaf.attempt, status, error=error)
        )
        if status == IN_DOUBT and not self._is_cancelled():
            self._doubts[leaf.path] = None
        else:
            self._rest(leaf)

    def to_reset(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a resume of an ended run does again: what failed or was cancelled, and the finals.

        Returns:
            Paths to go on in, and paths to begin anew, as in `RunResumed`.
        """
        reset: list[str] = []
        anew: list[str] = []
        root = self.state.root
        if root is not None and self.state.status in {FAILED, CANCELLED}:
            self._collect_reset(root, reset, anew)
        return tuple(reset), tuple(anew)

    def _collect_reset(self, instance: Instance, reset: list[str], anew: list[str]) -> None:
        reset.append(instance.path)
        for child in (instance.children or {}).values():
            node = self.plan.nodes[child.node]
            tolerated = node.on_error is OnError.CONTINUE and child.status == FAILED
            if instance.form == "group" and node.final:
                _collect_all(child, anew)
            elif child.status in {FAILED, CANCELLED} and not tolerated:
                self._collect_reset(child, reset, anew)
        if instance.join is not None and instance.join.status in {FAILED, CANCELLED}:
            reset.append(instance.join.path)


_STATUS_OF_STOPPING = {
    "": SUCCEEDED,
    "enough": SUCCEEDED,
    "failed": FAILED,
    "timeout": FAILED,
    "cancelled": CANCELLED,
}


def _collect_all(instance: Instance, found: list[str]) -> None:
    found.append(instance.path)
    for child in (instance.children or {}).values():
        _collect_all(child, found)


def _at(failure: Failure, path: str) -> Failure:
    return Failure(
        failure.kind, failure.message, failure.exit_code, failure.step or path or None, failure.hint
    )


def _within(child: Instance) -> Failure:
    """The error a parent takes over from a child: the child's own, knowing where it began."""
    error = child.error or Failure("failed", f"`{child.path}` {child.status}")
    return _at(error, child.path)
