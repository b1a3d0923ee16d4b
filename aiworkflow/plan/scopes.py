"""What every expression of a workflow may name: which steps have certainly ended by then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import (
    AgentCall,
    Ask,
    Assign,
    Child,
    Gate,
    Group,
    Script,
    ToolCall,
    Wait,
)
from aiworkflow.expr import Expression, Template
from aiworkflow.plan.graph import ROOT
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Step, Value, Workflow
    from aiworkflow.plan.compile import Draft


@record
class Use:
    """An expression or text of a workflow, and what it may name there.

    Attributes:
        setting: the setting it stands in, for messages: `if`, `with.body`, `prompt`.
        visible: steps that have certainly ended, been skipped, or belong to the round before.
        items: names of items that are bound here.
        env: names declared by the layers of `env` that are seen from here.
    """

    source: Expression | Template
    setting: str
    step: str
    visible: frozenset[str]
    items: frozenset[str]
    in_round: bool
    env: frozenset[str]
    is_env: bool = False
    undo: bool = False


class Scopes:
    """Works out, for every expression of a workflow, what it may name."""

    def __init__(self, workflow: Workflow, drafts: Mapping[str, Draft]) -> None:
        self.workflow = workflow
        self.drafts = drafts
        self.children: dict[str, list[str]] = {ROOT: []}
        for name, draft in drafts.items():
            self.children.setdefault(draft.parent, []).append(name)
        self._before: dict[str, frozenset[str]] = {}
        self._rested: dict[str, frozenset[str]] = {}
        self._inside: dict[str, frozenset[str]] = {}
        config_env = workflow.config.get("env")
        outer = set(config_env) if isinstance(config_env, dict) else set()
        self.base_env = frozenset(outer)
        self.root_env = frozenset(outer | set(workflow.env))

    def uses(self) -> Iterator[Use]:
        """Every expression of the workflow."""
        everything = self._reachable(ROOT)
        for name, value in self.workflow.outputs.items():
            for source in sources(value):
                yield Use(
                    source, f"outputs.{name}", ROOT, everything, frozenset(), False, self.root_env
                )
        for name, value in self.workflow.env.items():
            for source in sources(value):
                yield Use(
                    source,
                    f"env.{name}",
                    ROOT,
                    frozenset(),
                    frozenset(),
                    False,
                    self.base_env,
                    is_env=True,
                )
        for trigger in self.workflow.triggers:
            for name, value in trigger.inputs.items():
                for source in sources(value):
                    yield Use(
                        source, f"inputs.{name}", ROOT, frozenset(), frozenset(), False, frozenset()
                    )
        for name in self.drafts:
            yield from self._of_step(name)

    def _of_step(self, name: str) -> Iterator[Use]:
        draft = self.drafts[name]
        step = draft.step
        visible = self.before(name)
        items, in_round, outer_env = self._around(name)
        own_items = items | {step.each.name, "index"} if step.each is not None else items
        own_env = outer_env | set(step.env)

        def use(source: Expression | Template, setting: str, **more: object) -> Use:
            values: dict[str, object] = {
                "visible": visible,
                "items": own_items,
                "in_round": in_round,
                "env": own_env,
                **more,
            }
            return Use(source, setting, name, **values)  # type: ignore[arg-type]

        if step.each is not None:
            yield use(step.each.items, "each", items=items, env=outer_env)
        if step.condition is not None:
            yield use(step.condition, "if", env=outer_env)
        for key, value in step.env.items():
            for source in sources(value):
                yield use(source, f"env.{key}", env=outer_env, is_env=True)
        inside = self._reachable(name) | visible
        action = step.action
        if isinstance(action, Group):
            if action.until is not None:
                yield use(action.until, "until", visible=inside, in_round=True)
            for source in sources(action.result):
                in_rounds = in_round or action.until is not None
                yield use(source, "result", visible=inside, in_round=in_rounds)
        for setting, value in action_values(step):
            for source in sources(value):
                yield use(source, setting)
        for key, value in (step.undo or {}).items():
            for source in sources(value):
                yield use(source, f"undo.{key}", visible=visible | {name}, undo=True)
        if step.approve_message is not None:
            yield use(step.approve_message, "approve")

    def _around(self, name: str) -> tuple[frozenset[str], bool, frozenset[str]]:
        """Items, whether there is a round, and env, as the groups around a step give them."""
        items: set[str] = set()
        env = set(self.root_env)
        in_round = False
        parent = self.drafts[name].parent
        while parent != ROOT:
            step = self.drafts[parent].step
            if step.each is not None:
                items |= {step.each.name, "index"}
            if isinstance(step.action, Group) and step.action.until is not None:
                in_round = True
            env |= set(step.env)
            parent = self.drafts[parent].parent
        return frozenset(items), in_round, frozenset(env)

    def before(self, name: str) -> frozenset[str]:
        """Steps whose output may be read when `name` begins."""
        if name not in self._before:
            draft = self.drafts[name]
            found = set(self._ended(name))
            if draft.parent != ROOT:
                found |= self.before(draft.parent)
                found |= self._round_before(draft.parent)
            self._before[name] = frozenset(found)
        return self._before[name]

    def _ended(self, name: str) -> frozenset[str]:
        """Siblings, and what is in them, that have certainly come to rest when a step begins."""
        waiting = [name]
        while waiting:  # deep chains are common: no recursion
            at = waiting[-1]
            if at in self._rested:
                waiting.pop()
                continue
            others = self._directly_before(at)
            missing = [one for one in others if one not in self._rested and one not in waiting]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            found: frozenset[str] = frozenset()
            for other in others:
                found |= self._rested.get(other, frozenset()) | self._with_inside(other)
            self._rested[at] = found
        return self._rested[name]

    def _directly_before(self, name: str) -> list[str]:
        draft = self.drafts[name]
        if not draft.step.final:
            return list(draft.after)
        siblings = self.children[draft.parent]
        return [*draft.after, *(one for one in siblings if not self.drafts[one].step.final)]

    def _round_before(self, parent: str) -> frozenset[str]:
        """Within an `until`, all its steps: those not yet begun are the ones of the round before."""
        action = self.drafts[parent].step.action
        if isinstance(action, Group) and action.until is not None:
            return self._reachable(parent)
        return frozenset()

    def _with_inside(self, name: str) -> frozenset[str]:
        if self.drafts[name].step.each is not None:
            return frozenset({name})
        return self._reachable(name) | {name}

    def _reachable(self, name: str) -> frozenset[str]:
        """Steps below a group that can be named from outside: not those within an `each`."""
        if name not in self._inside:
            found: set[str] = set()
            for child in self.children.get(name, ()):
                found |= self._with_inside(child)
            self._inside[name] = frozenset(found)
        return self._inside[name]


def sources(value: Value) -> Iterator[Expression | Template]:
    """The expressions and texts within a value."""
    match value:
        case Expression() | Template():
            yield value
        case list():
            for item in value:
                yield from sources(item)
        case Mapping():
            for item in value.values():
                yield from sources(item)
        case _:
            return


def action_values(step: Step) -> Iterator[tuple[str, Value]]:
    """The values that an attempt of a step is given, by setting."""
    match step.action:
        case (
            Script(arguments=arguments) | ToolCall(arguments=arguments) | Child(arguments=arguments)
        ):
            for name, value in arguments.items():
                yield f"with.{name}", value
        case AgentCall(prompt=prompt):
            yield "prompt", prompt
        case Assign(values):
            for name, value in values.items():
                yield f"set.{name}", value
        case Ask(message=Template() as message) | Gate(message=Template() as message):
            yield "message", message
        case Wait(seconds, at, _, match):
            yield "wait", seconds
            yield "wait.at", at
            if match is not None:
                yield "wait.match", match
        case _:
            return
