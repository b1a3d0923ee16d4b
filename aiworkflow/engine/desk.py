"""The decider's desk: what lies open while a run is decided. Never state of the run itself.

Everything here is made from the state and the plan when a process takes a run up, and is kept up to
date from event to event, so that an event costs the same however large the run is.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from aiworkflow.engine.carried import Failure, Left, Total
from aiworkflow.engine.frontier import EachFrontier, GroupFrontier, Outline
from aiworkflow.engine.instance import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aiworkflow.engine.commands import Answer, Bounds, Perform, Question
    from aiworkflow.engine.events import Event
    from aiworkflow.engine.instance import Instance
    from aiworkflow.engine.state import RunState
    from aiworkflow.plan.graph import Plan

Asking: TypeAlias = "Generator[Question, Answer, None]"
Queued: TypeAlias = "tuple[str, str, int | None]"
"""An attempt that waits for a slot: its node, the path of its parent, the index of an item."""

# Effect classes whose attempt may be repeated, and whose interruption leaves no doubt.
REPEATABLE = frozenset({"read", "idempotent"})


def _nothing(_: str) -> Total:
    return Total()


class Desk:
    """What the decider works on.

    Attributes:
        groups, eachs: the frontier of each open group and `each`, by path.
        agenda: instances that something has happened to.
        queue: attempts that wait for a slot: node, path of the parent, index of an item.
        short: those of them that wait for the end of others, which have reserved what they need.
        running: paths of the attempts that are under way.
        doubts: paths of the attempts whose end nobody knows, in order.
        waits: paths of open waits.
        delays: paths of what waits for another attempt.
        done: steps that have succeeded and have an undo, whose arguments are to be rendered.
        perhaps: attempts that were perhaps made already, in a time that the journal does not know.
        restarts: undos whose pause before another attempt is over.
        undos: by path of what is being taken back: its undoable steps that are left, the last first
            at the end.
        take_backs: steps in doubt whose undo a person asked for, and that is to begin or has ended.
        settled: steps of agents of which a call was in doubt.
        given: `set` steps whose reducers of tools/ have run.
        passed: steps whose breakpoint a person has let pass.
        timers: when (seconds since the epoch), path, and `timeout`, `due` or `pace`; a heap.
        has_budgets: whether anything has one; `callers` what the runs that called this one may spend.
        daily: US dollars that the run may spend in all its time so that the project keeps to what it
            may spend today; None for no bound.
        below: what child runs of steps at a path and below have spent and reserved.
        now: the time of this turn, seconds since the epoch.
        events, performs, cancels: what this turn has come to.
        is_holding: whether some open group holds back what comes after steps that begin again.
        is_quiet: whether all that was to be taken back is, and another plan may come.
    """

    def __init__(self, plan: Plan, state: RunState, bounds: Bounds) -> None:
        self.plan = plan
        self.state = state
        self.bounds = bounds
        self.outline = Outline(plan)
        self.has_budgets = bounds.budget is not None or any(
            node.budget is not None for node in plan.nodes.values()
        )
        self.daily: float | None = None
        self.callers: Callable[[], Left] = Left
        self.below: Callable[[str], Total] = _nothing
        self.now = 0.0
        self.events: list[Event] = []
        self.performs: list[Perform] = []
        self.cancels: list[str] = []
        self.clear()

    def clear(self) -> None:
        """Forget everything but the plan and the state."""
        self.groups: dict[str, GroupFrontier] = {}
        self.eachs: dict[str, EachFrontier] = {}
        self.agenda: deque[Instance] = deque()
        self.queue: deque[Queued] = deque()
        self.short: set[Queued] = set()
        self.running: set[str] = set()
        self.doubts: dict[str, None] = {}
        self.waits: dict[str, None] = {}
        self.delays: set[str] = set()
        self.done: list[Instance] = []
        self.perhaps: list[Instance] = []
        self.restarts: list[Instance] = []
        self.undos: dict[str, list[Instance]] = {}
        self.take_backs: list[Instance] = []
        self.settled: list[Instance] = []
        self.given: list[Instance] = []
        self.passed: list[Instance] = []
        self.timers: list[tuple[float, str, str]] = []
        self.is_quiet = False
        self.is_holding = False

    def emit(self, event: Event) -> Instance:
        """Decide an event: it is folded at once, and goes into this turn's append."""
        self.events.append(event)
        found = self.state.apply(event)
        assert found is not None
        return found

    def next_queued(self) -> Queued | None:
        """Take the attempt that has waited longest for a slot, of those that are not short."""
        if not self.short:
            return self.queue.popleft() if self.queue else None
        found = next((one for one in self.queue if one not in self.short), None)
        if found is None and not self.running:  # nobody is left to wait for
            self.short.clear()
            return self.next_queued()
        if found is not None:
            self.queue.remove(found)
        return found

    def try_again(self, ended: int) -> None:
        """So many attempts have ended: as many of the short ones, and one, are looked at again."""
        if self.short:
            again = [one for one in self.queue if one in self.short][: ended + 1]
            self.short.difference_update(again)

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked for the run to stop."""
        return self.state.cancelled is not None

    def visit(self, path: str) -> int:
        """The number of the visit that a path is at, or would be at."""
        known = self.state.instances.get(path)
        return known.visit if known is not None else self.state.visits.get(path, 1)

    def open_frontier(self, instance: Instance) -> None:
        """An instance that holds others has been entered."""
        if instance.form == "group":
            node = self.plan.nodes[instance.node]
            children = instance.children or {}  # an item may have steps that are done
            frontier = GroupFrontier.rebuilt(self.outline, node, children)
            self.groups[instance.path] = frontier
            self.is_holding = self.is_holding or bool(frontier.held)
        elif instance.form == "each":
            self.eachs[instance.path] = EachFrontier()
        self.set_deadline(instance)
        self.let_go_on(instance)

    def timeout_of(self, instance: Instance) -> float | None:
        """Seconds that what holds others may take; None for no bound of its own."""
        if instance.path == "":
            said = self.bounds.timeout_s
            return said if said is not None else self.plan.timeout_s
        if instance.form == "each" or instance.round is not None:
            return None  # the deadline is an item's own, and that of the whole `until`
        return self.plan.nodes[instance.node].timeout_s

    def set_alarm(self, instance: Instance) -> None:
        """Ring when an instance that waits is due."""
        heapq.heappush(self.timers, (instance.due, instance.path, "due"))

    def set_deadline(self, instance: Instance) -> None:
        """Ring when the instance has taken too long."""
        timeout = self.timeout_of(instance)
        if timeout is not None:
            deadline = instance.at + timeout + instance.held_s
            heapq.heappush(self.timers, (deadline, instance.path, "timeout"))

    def let_go_on(self, instance: Instance) -> None:
        """What it comes after is at rest: it and what it holds are looked at again."""
        self.agenda.append(instance)
        for child in (instance.children or {}).values():
            if child.form != "leaf" and not child.at_rest and child.status != PENDING:
                self.let_go_on(child)

    def is_held(self, instance: Instance) -> bool:
        """Whether something that it comes after, or that what holds it does, begins again."""
        found = instance
        while self.is_holding and found.parent is not None:
            frontier = self.groups.get(found.parent.path)
            if frontier is not None and found.node in frontier.held:
                return True
            if found.parent.status == PENDING:
                return True
            found = found.parent
        return False

    @property
    def daily_left(self) -> float | None:
        """US dollars that the project may still spend today; None for no bound."""
        if self.daily is None:
            return None
        purse = self.state.root.purse if self.state.root is not None else None
        return self.daily if purse is None else self.daily - purse.own_usd - purse.reserved_usd

    def drop_frontier(self, instance: Instance) -> None:
        """An instance that holds others is over."""
        self.groups.pop(instance.path, None)
        self.eachs.pop(instance.path, None)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left but to wait for people, moments and events."""
        if self.running or self.queue or self.delays or not (self.waits or self.doubts):
            return False
        return not any(what == "pace" for _, _, what in self.timers)


def located(failure: Failure, path: str) -> Failure:
    """The failure, knowing where it began."""
    return Failure(
        failure.kind, failure.message, failure.exit_code, failure.step or path or None, failure.hint
    )


def inherited(child: Instance) -> Failure:
    """The error a parent takes over from a child: the child's own, knowing where it began."""
    error = child.error or Failure("failed", f"`{child.path}` {child.status}")
    return located(error, child.path)


def idempotency_key(run: str, path: str, visit: int) -> str:
    """The key of a visit: opaque, header-safe, 40 characters, the same over attempts and crashes."""
    return hashlib.sha256(f"{run}\n{path}\n{visit}".encode()).hexdigest()[:40]
