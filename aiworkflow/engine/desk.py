"""The decider's desk: what lies open while a run is decided. Never state of the run itself.

Everything here is made from the state and the plan when a process takes a run up, and is kept up to
date from event to event, so that an event costs the same however large the run is.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from aiworkflow.engine.events import Event, Failure
from aiworkflow.engine.frontier import EachFrontier, GroupFrontier, Outline

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiworkflow.engine.commands import Answer, Bounds, Perform, Question
    from aiworkflow.engine.state import Instance, RunState
    from aiworkflow.plan.graph import Plan

Asking: TypeAlias = "Generator[Question, Answer, None]"

# Effect classes whose attempt may be repeated, and whose interruption leaves no doubt.
REPEATABLE = frozenset({"read", "idempotent"})


class Desk:
    """What the decider works on.

    Attributes:
        groups, eachs: the frontier of each open group and `each`, by path.
        agenda: instances that something has happened to.
        queue: attempts that wait for a slot: node, path of the parent, index of an item.
        running: paths of the attempts that are under way.
        doubts: paths of the attempts whose end nobody knows, in order.
        given: `set` steps whose reducers of tools/ have run.
        timers: when (seconds since the epoch), path, and `timeout` or `pace`; a heap.
        now: the time of this turn, seconds since the epoch.
        events, performs, cancels: what this turn has come to.
    """

    def __init__(self, plan: Plan, state: RunState, bounds: Bounds) -> None:
        self.plan = plan
        self.state = state
        self.bounds = bounds
        self.outline = Outline(plan)
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
        self.queue: deque[tuple[str, str, int | None]] = deque()
        self.running: set[str] = set()
        self.doubts: dict[str, None] = {}
        self.given: list[Instance] = []
        self.timers: list[tuple[float, str, str]] = []

    def emit(self, event: Event) -> Instance:
        """Decide an event: it is folded at once, and goes into this turn's append."""
        self.events.append(event)
        found = self.state.apply(event)
        assert found is not None
        return found

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked for the run to stop."""
        return self.state.cancelled is not None

    def visit(self, path: str) -> int:
        """The number of the visit that a path is at, or would be at."""
        known = self.state.instances.get(path)
        return known.visit if known is not None else 1

    def open_frontier(self, instance: Instance) -> None:
        """An instance that holds others has been entered."""
        if instance.form == "group":
            self.groups[instance.path] = GroupFrontier(self.outline, self.plan.nodes[instance.node])
        elif instance.form == "each":
            self.eachs[instance.path] = EachFrontier()
        self.set_deadline(instance)
        self.agenda.append(instance)

    def timeout_of(self, instance: Instance) -> float | None:
        """Seconds that what holds others may take; None for no bound of its own."""
        if instance.path == "":
            return self.plan.timeout_s
        if instance.form == "each" or instance.round is not None:
            return None  # the deadline is an item's own, and that of the whole `until`
        return self.plan.nodes[instance.node].timeout_s

    def set_deadline(self, instance: Instance) -> None:
        """Ring when the instance has taken too long."""
        timeout = self.timeout_of(instance)
        if timeout is not None:
            heapq.heappush(self.timers, (instance.at + timeout, instance.path, "timeout"))


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
