"""How steps begin: their `else`, `if` and `each`, their arguments, and the slot they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import AgentCall, Assign, Group, Kind
from aiworkflow.engine import events as ev
from aiworkflow.engine.agents import choose, why_chosen
from aiworkflow.engine.attempts import effect_of, perform, role_of, start_attempt
from aiworkflow.engine.breakpoints import stops_here
from aiworkflow.engine.budget import Excess
from aiworkflow.engine.carried import Failure
from aiworkflow.engine.close import misfit
from aiworkflow.engine.commands import Asked, Offer, Question
from aiworkflow.engine.desk import Asking, Desk, Queued, idempotency_key
from aiworkflow.engine.ends import come_to_rest, fail_to_begin, skip
from aiworkflow.engine.frontier import EachFrontier
from aiworkflow.engine.instance import CANCELLED, FAILED, PENDING, SKIPPED, WAITING, Instance
from aiworkflow.engine.waits import open_wait, wait_kind

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from aiworkflow.engine.carried import Ref
    from aiworkflow.engine.commands import Answer
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
    if node.approve is not None and node.kind is not Kind.GATE:
        yield from open_wait(desk, node, path, parent, None, "approve", answer.ref)


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
    if (yield from stops_here(desk, node, path, parent, index)):
        return
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
        if needs_consent(node, index):
            yield from open_wait(desk, node, path, parent, index, "approve")
    elif kind := wait_kind(node):
        yield from open_wait(desk, node, path, parent, index, kind)
    elif needs_consent(node, index):
        answer = yield Question(Asked.ARGUMENTS, node.id, path, parent.path, index)
        if answer.failure is not None:
            fail_to_begin(desk, path, node, parent, answer.failure, index)
            return
        cache = yield from reuse(desk, node, path, parent, index, answer.ref)
        if cache is not None:
            yield from open_wait(desk, node, path, parent, index, "approve", answer.ref, cache)
    elif isinstance(node.action, Assign) and not has_tool_reducer(desk, node.action):
        yield from assign(desk, node, path, parent, index)
    else:
        desk.queue.append((node.id, parent.path, index))


def begin_passed(desk: Desk, instance: Instance) -> Asking:
    """Begin a step whose breakpoint a person has let pass, unless its parent is stopping."""
    parent = instance.parent
    assert parent is not None
    node = desk.plan.nodes[instance.node]
    if parent.stopping and not node.final:
        desk.emit(ev.Ended(desk.now, instance.path, instance.visit, 0, CANCELLED))
        come_to_rest(desk, instance)
        return
    yield from begin_body(desk, node, instance.path, parent, instance.index)


def needs_consent(node: Node, index: int | None) -> bool:
    """Whether people are asked here; the items of an `each` were asked for together."""
    return node.approve is not None and index is None and node.each is None


def start_next(desk: Desk, entry: Queued) -> Asking:
    """Rule 6: take a slot for an attempt that has waited for one."""
    name, above, index = entry
    node = desk.plan.nodes[name]
    parent = desk.state.instances[above]
    path = f"{above}[{index}]" if index is not None else f"{above}.{name}" if above else name
    known = desk.state.instances.get(path)
    if known is not None and known.arguments_seq:
        offers: Sequence[Offer] = (Offer("", *known.reserve, journalled=known.journalled),)
        if known.agents or (not known.attempt and isinstance(node.action, AgentCall)):
            answer = yield Question(Asked.AGENTS, name, path, above, index)
            if answer.failure is not None:
                fail_here(desk, node, path, parent, index, answer.failure)
                return
            offers = answer.offers or offers
        chosen = choose(desk, node, path, parent, offers)
        if isinstance(chosen, Excess):
            if not wait_for_others(desk, entry, chosen):
                yield from exceed(desk, node, path, parent, index, chosen)
            return
        because = why_chosen(desk, path, offers, chosen)
        start_attempt(desk, known, chosen, _agents(offers), because)
        return
    answer = yield Question(Asked.ARGUMENTS, name, path, above, index)
    if answer.failure is not None:
        fail_to_begin(desk, path, node, parent, answer.failure, index)
        return
    cache = yield from reuse(desk, node, path, parent, index, answer.ref)
    if cache is None:
        return
    offers = answer.offers or (Offer("", answer.usd, answer.tokens),)
    chosen = choose(desk, node, path, parent, offers)
    if isinstance(chosen, Excess):
        if not wait_for_others(desk, entry, chosen):
            yield from exceed(desk, node, path, parent, index, chosen, answer.ref)
        return
    visit = desk.visit(path)
    assert desk.state.started is not None
    begun = desk.emit(
        ev.Started(
            desk.now,
            path,
            name,
            above,
            visit,
            1,
            effect_of(node),
            idempotency_key(desk.state.started.run, path, visit),
            answer.ref,
            index,
            role_of(node),
            cache,
            chosen.usd,
            chosen.tokens,
            desk.has_budgets or (chosen.usd > 0 and desk.daily is not None),
            chosen.agent,
            _agents(offers),
            journalled=chosen.journalled,
            because=why_chosen(desk, path, offers, chosen),
        )
    )
    perform(desk, begun)


def wait_for_others(desk: Desk, entry: Queued, found: Excess) -> bool:
    """Put an attempt back that others will perhaps have left enough for; whether that is so."""
    if not found.passes or not desk.running:
        return False
    desk.queue.append(entry)
    desk.short.add(entry)
    return True


def _agents(offers: Sequence[Offer]) -> tuple[str, ...]:
    """Who may make an attempt; nobody by name where there is no choice."""
    return tuple(one.agent for one in offers if one.agent)


def exceed(
    desk: Desk,
    node: Node,
    path: str,
    parent: Instance,
    index: int | None,
    found: Excess,
    arguments: Ref | None = None,
) -> Asking:
    """An attempt does not fit into a budget: the step fails, or waits for a higher one."""
    if found.budget.on_exceed == "wait":
        yield from open_wait(
            desk, node, path, parent, index, "budget", arguments, because=found.text
        )
        return
    fail_here(desk, node, path, parent, index, found.failure)


def fail_here(
    desk: Desk, node: Node, path: str, parent: Instance, index: int | None, failure: Failure
) -> None:
    """An attempt cannot begin, perhaps after people were waited for."""
    known = desk.state.instances.get(path)
    if known is None or known.status != WAITING:
        fail_to_begin(desk, path, node, parent, failure, index)
        return
    desk.emit(ev.Ended(desk.now, path, known.visit, known.attempt, FAILED, error=failure))
    come_to_rest(desk, known)


def reuse(
    desk: Desk, node: Node, path: str, parent: Instance, index: int | None, arguments: Ref | None
) -> Generator[Question, Answer, str | None]:
    """An earlier output on the same values, if there is one.

    Returns:
        What the output is to be found by later, "" for nothing; None when the step is done.
    """
    if node.cache is None:
        return ""
    question = Question(Asked.CACHED, node.id, path, parent.path, index, arguments=arguments)
    answer = yield question
    if answer.failure is not None:
        fail_to_begin(desk, path, node, parent, answer.failure, index)
        return None
    found = answer.value if isinstance(answer.value, dict) else {}
    if answer.ref is None:
        return str(found["key"])
    source = str(found["source"])
    visit = desk.visit(path)
    reused = ev.Reused(desk.now, path, node.id, parent.path, answer.ref, source, visit, index)
    come_to_rest(desk, desk.emit(reused))
    return None


def begin_again(desk: Desk, instance: Instance) -> None:
    """An attempt that did not happen is to be begun again, unless its parent is stopping."""
    parent = instance.parent
    assert parent is not None
    if instance.role in {"undo", "check"}:
        start_attempt(desk, instance)
    elif parent.stopping and not desk.plan.nodes[instance.node].final:
        desk.emit(ev.Ended(desk.now, instance.path, instance.visit, instance.attempt, CANCELLED))
        come_to_rest(desk, instance)
    elif instance.role == "join":
        start_attempt(desk, instance)
    else:
        desk.queue.append((instance.node, parent.path, instance.index))


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
