"""What stands open at a moment of a run: under way, ready, waiting, in doubt, and to be taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import OnError
from aiworkflow.engine import undoable
from aiworkflow.engine.instance import AT_REST, PENDING, RUNNING, SUCCEEDED, WAITING, WRITES
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.engine import Instance, RunState
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.graph import Plan


@record
class OpenStep:
    """A step that is not at rest, or may begin now.

    Attributes:
        status: as the step's own, or `ready`.
        kind: of one that waits: for what; `retry` for a pause before another attempt.
        due: when the wait is over by itself, seconds since the epoch; None for no moment.
        agreed: who has agreed so far.
        more: of an item that is ready: how many items are, apart from this.
    """

    step: str
    status: str
    kind: str = ""
    due: float | None = None
    agreed: tuple[str, ...] = ()
    more: int = 0

    def to_json(self) -> dict[str, Json]:
        """As plain data; what does not apply is left out."""
        pairs: dict[str, Json] = {
            "step": self.step,
            "kind": self.kind,
            "due": self.due,
            "agreed": list(self.agreed),
            "more": self.more,
        }
        return {name: value for name, value in pairs.items() if value or name == "step"}


@record
class Undo:
    """A step that a roll-back would take back.

    Attributes:
        kept: whether a failure would leave it, since a savepoint was reached after it.
        failed: whether taking it back has been tried and did not succeed.
    """

    step: str
    kept: bool = False
    failed: bool = False

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {"step": self.step, "kept_by_savepoint": self.kept, "failed": self.failed}


def open_steps(state: RunState, plan: Plan) -> Iterator[OpenStep]:
    """All that is not at rest, in the order it began, and what may begin; of groups, only waits."""
    for found in state.instances.values():
        if found.status in AT_REST or found.path == "":
            continue
        if found.status == WAITING:
            kind = found.waits or "retry"
            yield OpenStep(found.path, WAITING, kind, found.due or None, tuple(found.votes))
        elif found.form == "leaf" and found.status != PENDING:
            yield OpenStep(found.path, found.status)
    if state.finished is None:
        yield from _ready(state, plan)


def _ready(state: RunState, plan: Plan) -> Iterator[OpenStep]:
    for holder in state.instances.values():
        if holder.status != RUNNING or holder.waits:
            continue
        if holder.form == "group":
            yield from _ready_in(holder, plan)
        elif holder.form == "each" and not holder.stopping:
            begun = holder.children or {}
            again = [index for index, item in begun.items() if item.status == PENDING]
            left = holder.count - len(begun) + len(again)
            if left > 0:
                first = again[0] if again else _first_not(begun)
                yield OpenStep(f"{holder.path}[{first}]", "ready", more=left - 1)


def _ready_in(holder: Instance, plan: Plan) -> Iterator[OpenStep]:
    planned = plan.nodes.get(holder.node)
    if planned is None:
        return
    begun = holder.children or {}
    mains = [name for name in planned.children if not plan.nodes[name].final]
    over = holder.stopping or all(name in begun and begun[name].status in AT_REST for name in mains)
    for name in planned.children:
        child, node = begun.get(name), plan.nodes[name]
        if child is not None and child.status != PENDING:
            continue
        if node.final != bool(over):
            continue
        if all(_lets_go_on(begun.get(before), plan) for before in node.after):
            yield OpenStep(f"{holder.path}.{name}" if holder.path else name, "ready")


def _lets_go_on(before: Instance | None, plan: Plan) -> bool:
    """Whether what comes after a step may begin."""
    if before is None or before.status not in AT_REST:
        return False
    if before.status in {"succeeded", "skipped"}:
        return True
    return plan.nodes[before.node].on_error is OnError.CONTINUE


def _first_not(begun: dict[str | int, Instance]) -> int:
    """The first index that has not begun; items begin in order."""
    index = len(begun)
    return index if index not in begun else next(n for n in range(index + 1) if n not in begun)


def undo_order(state: RunState, plan: Plan) -> list[Undo]:
    """What `runs undo` would take back now, in the order it would."""
    bound = max(
        (
            found.done_seq
            for found in state.instances.values()
            if found.status == SUCCEEDED
            and found.node in plan.nodes
            and plan.nodes[found.node].savepoint
        ),
        default=0,
    )
    left = sorted(undoable(state), key=lambda one: one.done_seq, reverse=True)
    return [Undo(one.path, one.done_seq <= bound, one.undone == "failed") for one in left]


def would_stand(state: RunState) -> list[str]:
    """Paths of the steps whose effect nothing takes back, in the order they were done."""
    found: list[Instance] = []
    stack = list((state.root.children or {}).values()) if state.root is not None else []
    while stack:
        one = stack.pop()
        stack.extend(one.former)
        if one.undo_seq:
            continue
        if one.calls and one.journalled:
            stack.extend(one.calls)
        elif one.children:
            stack.extend(one.children.values())
        elif one.status == SUCCEEDED and one.effect in WRITES and state.is_own(one):
            found.append(one)
    return [one.path for one in sorted(found, key=lambda one: one.done_seq)]
