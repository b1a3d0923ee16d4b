"""How steps begin: their `else`, `if` and `each`, their arguments, and the slot they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Assign, Group
from aiworkflow.engine import events as ev
from aiworkflow.engine.close import misfit
from aiworkflow.engine.commands import Asked, Perform, Question
from aiworkflow.engine.desk import Asking, Desk, idempotency_key, located
from aiworkflow.engine.ends import come_to_rest
from aiworkflow.engine.events import Failure
from aiworkflow.engine.frontier import EachFrontier
from aiworkflow.engine.state import CANCELLED, PENDING, SKIPPED, Instance

if TYPE_CHECKING:
    from aiworkflow.plan.graph import Node


def is_rendered(desk: Desk, path: str) -> bool:
    """Whether this visit's questions were answered before; they are never asked again."""
    known = desk.state.instances.get(path)
    return known is not None and known.status == PENDING and known.arguments_seq > 0


def begin_child(desk: Desk, name: str, parent: Instance) -> Asking:
    """Begin a child of a group: its `else`, its `if`, its `each`, then itself."""
    node = desk.plan.nodes[name]
    path = f"{parent.path}.{name}" if parent.path else name
    if is_rendered(desk, path):
        desk.queue.append((name, parent.path, None))
        return
    siblings = parent.children or {}
    if node.otherwise and not all(
        siblings[other].status == SKIPPED and siblings[other].because == "if"
        for other in node.otherwise
    ):
        skip(desk, path, node, parent, "else")
        return
    if node.condition is not None and not node.per_item:
        answer = yield Question(Asked.CONDITION, name, path, parent.path)
        if answer.failure is not None:
            fail_to_begin(desk, path, node, parent, answer.failure)
            return
        if not answer.value:
            skip(desk, path, node, parent, "if")
            return
    if node.each is None:
        yield from begin_body(desk, node, path, parent, None)
        return
    answer = yield Question(Asked.ITEMS, name, path, parent.path)
    failure = answer.failure
    most = node.each.max_items or desk.bounds.max_items
    if failure is None and answer.count > most:
        text = f"`each` has {answer.count} items, more than the {most} that `max_items` allows"
        failure = Failure("limit", text)
    if failure is not None:
        fail_to_begin(desk, path, node, parent, failure)
        return
    entered = desk.emit(
        ev.Entered(
            desk.now,
            path,
            name,
            parent.path,
            "each",
            visit=desk.visit(path),
            items=answer.ref,
            count=answer.count,
            digest=answer.digest,
            forks=node.each.max_parallel != 1,
        )
    )
    desk.eachs[path] = EachFrontier()
    desk.set_deadline(entered)
    desk.agenda.append(entered)


def begin_item(desk: Desk, node: Node, parent: Instance, index: int) -> Asking:
    """Begin an item of an `each`: its own `if`, then itself."""
    path = f"{parent.path}[{index}]"
    if is_rendered(desk, path):
        desk.queue.append((node.id, parent.path, index))
        return
    if node.condition is not None and node.per_item:
        answer = yield Question(Asked.CONDITION, node.id, path, parent.path, index)
        if answer.failure is not None:
            fail_to_begin(desk, path, node, parent, answer.failure, index)
            return
        if not answer.value:
            skip(desk, path, node, parent, "if", index)
            return
    yield from begin_body(desk, node, path, parent, index)


def begin_body(desk: Desk, node: Node, path: str, parent: Instance, index: int | None) -> Asking:
    """Enter what holds others; line up what is an attempt; write what is a `set`."""
    if isinstance(node.action, Group):
        form = "group" if node.action.until is None else "until"
        entered = desk.emit(
            ev.Entered(
                desk.now,
                path,
                node.id,
                parent.path,
                form,
                visit=desk.visit(path),
                index=index,
                forks=form == "group" and node.action.parallel,
            )
        )
        desk.open_frontier(entered)
    elif isinstance(node.action, Assign) and not has_tool_reducer(desk, node.action):
        yield from assign(desk, node, path, parent, index)
    else:
        desk.queue.append((node.id, parent.path, index))


def start_next(desk: Desk) -> Asking:
    """Rule 6: take a slot for the attempt that has waited longest."""
    name, above, index = desk.queue.popleft()
    node = desk.plan.nodes[name]
    parent = desk.state.instances[above]
    path = f"{above}[{index}]" if index is not None else f"{above}.{name}" if above else name
    known = desk.state.instances.get(path)
    if known is not None and known.arguments_seq:
        start_attempt(desk, known)
        return
    answer = yield Question(Asked.ARGUMENTS, name, path, above, index)
    if answer.failure is not None:
        fail_to_begin(desk, path, node, parent, answer.failure, index)
        return
    visit = desk.visit(path)
    assert desk.state.started is not None
    desk.emit(
        ev.Started(
            desk.now,
            path,
            name,
            above,
            visit,
            1,
            str(node.effect),
            idempotency_key(desk.state.started.run, path, visit),
            answer.ref,
            index,
            "assign" if isinstance(node.action, Assign) else "",
        )
    )
    desk.running.add(path)
    desk.performs.append(Perform(path))


def start_attempt(desk: Desk, instance: Instance) -> None:
    """Another attempt of the same visit: same key, same arguments."""
    assert instance.parent is not None
    desk.emit(
        ev.Started(
            desk.now,
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
    desk.running.add(instance.path)
    desk.performs.append(Perform(instance.path))


def begin_again(desk: Desk, instance: Instance) -> None:
    """An attempt that did not happen is to be begun again, unless its parent is stopping."""
    parent = instance.parent
    assert parent is not None
    if parent.stopping and not desk.plan.nodes[instance.node].final:
        desk.emit(ev.Ended(desk.now, instance.path, instance.visit, instance.attempt, CANCELLED))
        come_to_rest(desk, instance)
    elif instance.role == "join":
        start_attempt(desk, instance)
    else:
        desk.queue.append((instance.node, parent.path, instance.index))


def skip(
    desk: Desk, path: str, node: Node, parent: Instance, because: str, index: int | None = None
) -> None:
    """A step that will not run, and why."""
    visit = desk.visit(path)
    come_to_rest(
        desk, desk.emit(ev.Skipped(desk.now, path, node.id, parent.path, because, visit, index))
    )


def fail_to_begin(
    desk: Desk, path: str, node: Node, parent: Instance, failure: Failure, index: int | None = None
) -> None:
    """A step that cannot even begin: its expressions fail."""
    error = failure if failure.step else located(failure, path)
    visit = desk.visit(path)
    come_to_rest(
        desk, desk.emit(ev.Broken(desk.now, path, node.id, parent.path, error, visit, index))
    )


def has_tool_reducer(desk: Desk, action: Assign) -> bool:
    """Whether a `set` writes a value whose reducer is a script in tools/."""
    assert desk.state.started is not None
    channels = desk.state.started.channels
    return any(channels[name][0] == "tool" for name in action.values)


def assign(desk: Desk, node: Node, path: str, parent: Instance, index: int | None) -> Asking:
    """A `set` whose reducers are our own: its operands are asked for and written at once."""
    answer = yield Question(Asked.OPERANDS, node.id, path, parent.path, index)
    failure = answer.failure
    operands = answer.value if isinstance(answer.value, dict) else {}
    if failure is None:
        failure = misfit(desk, parent, {name: [value] for name, value in operands.items()})
    if failure is not None:
        fail_to_begin(desk, path, node, parent, failure, index)
        return
    come_to_rest(
        desk,
        desk.emit(
            ev.Assigned(desk.now, path, node.id, parent.path, operands, desk.visit(path), index)
        ),
    )


def assign_given(desk: Desk, instance: Instance) -> Asking:
    """The reducers of a `set` have run: write what they gave."""
    parent = instance.parent
    assert parent is not None
    answer = yield Question(Asked.GIVEN, instance.node, instance.path, parent.path, instance.index)
    found = answer.value
    assert isinstance(found, dict)
    operands, given = found["operands"], found["given"]
    assert isinstance(operands, dict)
    assert isinstance(given, dict)
    failure = misfit(desk, parent, {name: [value] for name, value in operands.items()})
    if failure is not None:
        node = desk.plan.nodes[instance.node]
        fail_to_begin(desk, instance.path, node, parent, failure, instance.index)
        return
    come_to_rest(
        desk,
        desk.emit(
            ev.Assigned(
                desk.now,
                instance.path,
                instance.node,
                parent.path,
                operands,
                instance.visit,
                instance.index,
                given,
            )
        ),
    )
