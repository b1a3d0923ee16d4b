"""What a compiled step reads and writes by name: outputs of steps, state, inputs, the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import AgentCall, Ask, Assign, Gate, Group, Wait
from aiworkflow.expr import references
from aiworkflow.plan.graph import ROOT
from aiworkflow.plan.scopes import sources
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from aiworkflow.bundle.workflow import Value
    from aiworkflow.plan.graph import Node, Plan

EVERYTHING = "*"
"""Stands for all names of a root that is read as a whole: `state` itself."""


@record
class Reads:
    """Names that are read, by their root: `steps` → {"review"}."""

    names: Mapping[str, frozenset[str]]

    def of(self, root: str) -> frozenset[str]:
        """What is read of a root."""
        return self.names.get(root, frozenset())

    def and_steps(self, steps: Collection[str]) -> Reads:
        """The same, and some steps."""
        if not steps:
            return self
        return Reads({**self.names, "steps": self.of("steps") | frozenset(steps)})


def spoken_before(plan: Plan, node: Node) -> list[str]:
    """Ids of the steps that have said something in the session of a step when it begins."""
    if not isinstance(node.action, AgentCall) or node.action.session is None:
        return []
    found: list[str] = []
    for name, one in plan.nodes.items():
        if name == node.id:
            break
        session = one.action.session if isinstance(one.action, AgentCall) else None
        if session is not None and session.name == node.action.session.name:
            found.append(name)
    return found


def reads_of(values: Iterator[Value]) -> Reads:
    """What the expressions and texts within values read."""
    found: dict[str, set[str]] = {}
    for value in values:
        for source in sources(value):
            for reference in references(source):
                root = reference.path[0]
                name = reference.path[1] if len(reference.path) > 1 else None
                named = name if isinstance(name, str) else EVERYTHING
                found.setdefault(str(root), set()).add(named)
    return Reads({root: frozenset(names) for root, names in found.items()})


def body_values(node: Node) -> Iterator[Value]:
    """What decides how a step runs: its own settings, not those of the steps it holds."""
    yield node.condition
    yield node.each.items if node.each is not None else None
    yield dict(node.env)
    match node.action:
        case Group():
            return
        case Assign(values):
            yield dict(values)
        case Ask(message=message) | Gate(message=message):
            yield message
        case Wait(seconds, at, _, match):
            yield seconds
            yield at
            yield match
        case action:
            yield dict(getattr(action, "arguments", {}))
            yield getattr(action, "prompt", None)
            yield list(getattr(action, "files", ()))
            choice = getattr(action, "choice", None)
            yield choice.key if choice is not None else None
    if node.approve is not None:
        yield node.approve.message
    if node.cache is not None:
        yield node.cache.key


def round_values(node: Node) -> Iterator[Value]:
    """What decides whether a group has another round."""
    if isinstance(node.action, Group):
        yield node.action.until


def result_values(node: Node) -> Iterator[Value]:
    """What a group's output is made of."""
    if isinstance(node.action, Group) and node.action.has_result:
        yield node.action.result


def written(node: Node) -> frozenset[str]:
    """Names of the state that a step writes."""
    return frozenset(node.action.values) if isinstance(node.action, Assign) else frozenset()


def above(plan: Plan, name: str) -> Iterator[str]:
    """The groups around a step, from the inside, without the workflow itself."""
    while (name := plan.nodes[name].parent) != ROOT:
        yield name


class Turns:
    """Which steps are certainly at rest before another begins, as far as one pass goes."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[str, frozenset[str]] = {}

    def is_before(self, first: str, second: str) -> bool:
        """Whether `first` is certainly at rest when `second` begins."""
        line = {first, *above(self._plan, first)}
        return any(line & self.siblings_before(one) for one in (second, *above(self._plan, second)))

    def siblings_before(self, name: str) -> frozenset[str]:
        """Siblings that are certainly at rest when a step begins."""
        if name not in self._known:
            nodes = self._plan.nodes
            found: set[str] = set()
            left = list(nodes[name].after)
            if nodes[name].final:
                holder = nodes[nodes[name].parent]
                left += [one for one in holder.children if not nodes[one].final]
            while left:
                one = left.pop()
                if one not in found:
                    found.add(one)
                    left += nodes[one].after
            self._known[name] = frozenset(found)
        return self._known[name]
