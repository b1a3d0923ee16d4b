"""The decider's working memory: what of each open group is ready, running and left.

Nothing here is state of the run: it can be made again from the state and the plan at any time, and
is when a process takes a run up. It exists so that an event costs the same however large the run.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Group
from aiworkflow.engine.instance import PENDING, SUCCEEDED, Instance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.plan.graph import Node, Plan


class Outline:
    """What the decider looks up of a plan over and over, made once a plan."""

    __slots__ = ("finals", "followers", "mains", "plan", "waiting")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.mains: dict[str, tuple[str, ...]] = {}
        self.finals: dict[str, tuple[str, ...]] = {}
        self.waiting: dict[str, dict[str, int]] = {}
        self.followers: dict[str, list[str]] = {}
        for node in plan.nodes.values():
            if not isinstance(node.action, Group):
                continue
            mains = tuple(child for child in node.children if not plan.nodes[child].final)
            self.mains[node.id] = mains
            self.finals[node.id] = tuple(c for c in node.children if plan.nodes[c].final)
            self.waiting[node.id] = {child: len(plan.nodes[child].after) for child in mains}
            for child in mains:
                for before in plan.nodes[child].after:
                    self.followers.setdefault(before, []).append(child)

    def needed(self, node: Node) -> int | None:
        """How many children of a parallel group must succeed; None for all."""
        assert isinstance(node.action, Group)
        enough = node.action.enough
        if enough == -1:
            return len(self.mains[node.id]) // 2 + 1
        return enough


class GroupFrontier:
    """An open group, item or round: which children may begin, how many are under way.

    Attributes:
        waiting: children not begun → how many they still wait for.
        ready: children that may begin, in plan order of becoming so.
        active: main children begun and not at rest.
        left: main children not at rest.
        final_at: how many finals have come to rest; -1 while the main children go on.
        kept: children at rest though what they come after begins again: what comes after them waits
            for that, too.
        held: children that go on, and hold others, though what they come after begins again.
    """

    __slots__ = (
        "active",
        "failed",
        "final_at",
        "held",
        "kept",
        "left",
        "ready",
        "skipped",
        "succeeded",
        "waiting",
    )

    def __init__(self, outline: Outline, node: Node) -> None:
        self.waiting: dict[str, int] = dict(outline.waiting[node.id])
        self.ready: deque[str] = deque(c for c, count in self.waiting.items() if not count)
        self.active = 0
        self.left = len(outline.mains[node.id])
        self.succeeded = 0
        self.failed = 0
        self.skipped = 0
        self.final_at = -1
        self.kept: set[str] = set()
        self.held: set[str] = set()

    def begun(self) -> None:
        """A main child was taken from `ready`."""
        self.active += 1

    def rested(self, outline: Outline, child: Instance) -> list[str]:
        """A main child has come to rest; which held ones may go on now."""
        self.active -= 1
        self._count(child)
        if self.waiting[child.node]:
            self.kept.add(child.node)
            return []
        return self._let_pass(outline, child.node)

    def _count(self, child: Instance) -> None:
        self.left -= 1
        if child.status == SUCCEEDED:
            self.succeeded += 1
        elif child.status == "skipped":
            self.skipped += 1
        else:
            self.failed += 1

    def _let_pass(self, outline: Outline, first: str) -> list[str]:
        """What comes after a child has one less to wait for, and so on through those at rest."""
        free: list[str] = []
        left = [first]
        while left:
            for name in outline.followers.get(left.pop(), ()):
                self.waiting[name] -= 1
                if self.waiting[name]:
                    continue
                if name in self.kept:
                    left.append(name)
                elif name in self.held:
                    self.held.discard(name)
                    free.append(name)
                else:
                    self.ready.append(name)
        return free

    @classmethod
    def rebuilt(
        cls, outline: Outline, node: Node, children: Mapping[str | int, Instance]
    ) -> GroupFrontier:
        """The frontier of a group as its children stand now."""
        made = cls(outline, node)
        mains = outline.mains[node.id]
        begun = {name: children[name] for name in mains if name in children}
        for name, child in begun.items():
            if child.at_rest:
                made._count(child)
                made.kept.add(name)
            elif child.status != PENDING:
                made.active += 1
                made.held.add(name)
        made.ready.clear()
        for name in mains:
            if not outline.waiting[node.id][name]:
                if name in made.kept:
                    made._let_pass(outline, name)
                else:
                    made.held.discard(name)
        made.ready = deque(
            name
            for name in mains
            if not made.waiting[name] and (name not in begun or begun[name].status == PENDING)
        )
        finals = outline.finals[node.id]
        finally_ = [
            name for name in finals if name in children and children[name].status != PENDING
        ]
        if finally_:
            made.final_at = sum(children[name].at_rest for name in finally_)
        return made


class EachFrontier:
    """An open `each`: which item is next, how many run, when the next may start.

    Attributes:
        again: items to begin again (released, or reset by a resume), before `next`.
        not_before: pacing: seconds since the epoch before which no item starts.
    """

    __slots__ = ("again", "alarm", "done", "failed", "next", "not_before", "running")

    def __init__(self) -> None:
        self.next = 0
        self.running = 0
        self.done = 0
        self.failed: Instance | None = None
        self.not_before = 0.0
        self.alarm = 0.0
        self.again: deque[int] = deque()

    @classmethod
    def rebuilt(cls, children: Mapping[str | int, Instance], count: int) -> EachFrontier:
        """The frontier of an `each` of so many items, as these stand now."""
        made = cls()
        for key in sorted(children, key=int):
            child = children[key]
            index = int(key)
            if index >= count:  # of an earlier visit with a longer list
                break
            made.next = max(made.next, index + 1)
            if child.at_rest:
                made.done += 1
                if child.status not in {SUCCEEDED, "skipped"} and made.failed is None:
                    made.failed = child
            elif child.status == PENDING:
                made.again.append(index)
            else:
                made.running += 1
        return made
