"""Every expression of a workflow, where it stands, and what it may name there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from aiworkflow.bundle.webhook import Respond
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
from aiworkflow.expr import Expression, Template, references
from aiworkflow.plan.graph import ROOT
from aiworkflow.plan.written import written_names
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Step, Trigger, Value, Workflow
    from aiworkflow.expr import Reference
    from aiworkflow.plan.compile import Draft

_NONE: frozenset[str] = frozenset()


@record
class Use:
    """An expression or text of a workflow, and what it may name there.

    Attributes:
        setting: the setting it stands in, for messages: `if`, `with.body`, `prompt`.
        step: the step it belongs to; "" for the workflow's own.
        visible: steps that have certainly ended or been skipped.
        earlier: steps of an `until` that have not begun in this round: they are the ones of the
            round before, and null in the first.
        items: names of items that are bound here, and the step whose `each` binds them.
        env: names declared by the layers of `env` that are seen from here.
        is_env: whether it is a value of `env`, where secrets may stand.
        undo: whether `output` is the step's own.
        trigger: the entry of `on` that it is of: no run exists yet; None for none.
        start: whether it decides if a run may start: there are inputs, and no run.
        answer: whether it answers the sender of a trigger: there are `run` and `outputs` too.
    """

    source: Expression | Template
    setting: str
    step: str
    visible: frozenset[str]
    earlier: frozenset[str]
    items: Mapping[str, str]
    in_round: bool
    env: frozenset[str]
    is_env: bool = False
    undo: bool = False
    trigger: Trigger | None = None
    start: bool = False
    answer: bool = False


class Readings:
    """What each expression reads, worked out once."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Expression | Template, tuple[Reference, ...]]] = {}

    def of(self, source: Expression | Template) -> tuple[Reference, ...]:
        """The readings of an expression or text."""
        known = self._found.get(id(source))
        if known is None:
            known = self._found[id(source)] = (source, references(source))
        return known[1]

    def __iter__(self) -> Iterator[Reference]:
        """All readings so far."""
        for _, found in self._found.values():
            yield from found


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
        self._base_env = frozenset(outer)
        self._root_env = frozenset(outer | set(workflow.env))

    def uses(self) -> Iterator[Use]:
        """Every expression of the workflow."""
        everything = self.reachable(ROOT)
        for name, value in self.workflow.outputs.items():
            for source in sources(value):
                yield Use(
                    source, f"outputs.{name}", ROOT, everything, _NONE, {}, False, self._root_env
                )
        for name, value in self.workflow.env.items():
            for source in sources(value):
                yield Use(
                    source,
                    f"env.{name}",
                    ROOT,
                    _NONE,
                    _NONE,
                    {},
                    False,
                    self._base_env,
                    is_env=True,
                )
        if self.workflow.concurrency is not None:
            key = self.workflow.concurrency.key
            yield Use(key, "concurrency.key", ROOT, _NONE, _NONE, {}, False, _NONE, start=True)
        for trigger in self.workflow.triggers:
            for name, source in _of_trigger(trigger):
                yield Use(
                    source, name, ROOT, _NONE, _NONE, {}, False, _NONE,
                    trigger=trigger, answer=name == "respond",
                )  # fmt: skip
        for name in self.drafts:
            yield from self._of_step(name)

    def _of_step(self, name: str) -> Iterator[Use]:
        step = self.drafts[name].step
        visible = self.before(name)
        earlier = self._earlier(name)
        items, in_round, outer_env = self._around(name)
        own_items = items
        if step.each is not None:
            own_items = {**items, step.each.name: name, "index": name}
        own_env = outer_env | _env_names(step)
        use = partial(
            Use,
            step=name,
            visible=visible,
            earlier=earlier,
            items=own_items,
            in_round=in_round,
            env=own_env,
        )
        if step.each is not None:
            yield use(step.each.items, "each", items=items, env=outer_env)
        if step.condition is not None:
            yield use(step.condition, "if", env=outer_env)
        for key, value in step.env.items():
            for source in sources(value):
                yield use(source, f"env.{key}", env=outer_env, is_env=True)
        if isinstance(step.action, Group):
            inside = self.reachable(name) | visible
            rounds = in_round or step.action.until is not None
            if step.action.until is not None:
                yield use(step.action.until, "until", visible=inside, in_round=True)
            for source in sources(step.action.result):
                yield use(source, "result", visible=inside, in_round=rounds)
        for setting, value in action_values(step):
            for source in sources(value):
                yield use(source, setting)
        for source in sources(undo_arguments(step)):
            yield use(source, "undo.with", visible=visible | {name}, undo=True)
        if step.approve is not None and step.approve.message is not None:
            if step.each is None or isinstance(step.action, Gate):
                yield use(step.approve.message, "approve")
            else:  # people are asked once, before there is an item
                env = outer_env | (_env_names(step) - of_items(step.env, step.each.name))
                yield use(step.approve.message, "approve", items=items, env=env)
        for source in sources(step.cache.key if step.cache is not None else None):
            yield use(source, "cache.key")

    def _around(self, name: str) -> tuple[Mapping[str, str], bool, frozenset[str]]:
        """Items, whether there is a round, and env, as the groups around a step give them."""
        items: dict[str, str] = {}
        env = self._root_env
        in_round = False
        parent = self.drafts[name].parent
        while parent != ROOT:
            step = self.drafts[parent].step
            if step.each is not None:
                items.setdefault(step.each.name, parent)
                items.setdefault("index", parent)
            if isinstance(step.action, Group) and step.action.until is not None:
                in_round = True
            env = env | _env_names(step)
            parent = self.drafts[parent].parent
        return items, in_round, env

    # -- what has ended when a step begins --------------------------------------------------------

    def before(self, name: str) -> frozenset[str]:
        """Steps that have certainly ended, or been skipped, when `name` begins."""
        if name not in self._before:
            found = self._ended(name)
            parent = self.drafts[name].parent
            if parent != ROOT:
                found |= self.before(parent)
            self._before[name] = found
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
            found: set[str] = set()
            for other in others:
                found |= self._rested.get(other, _NONE) | self._with_inside(other)
            self._rested[at] = frozenset(found)
        return self._rested[name]

    def _directly_before(self, name: str) -> list[str]:
        draft = self.drafts[name]
        if not draft.step.final:
            return list(draft.after)
        siblings = self.children[draft.parent]
        return [*draft.after, *(one for one in siblings if not self.drafts[one].step.final)]

    def _earlier(self, name: str) -> frozenset[str]:
        """Within an `until`: the step itself, and what certainly comes after it in each round.

        What may run at the same time is not among them: whose round it is would be chance.
        """
        found: set[str] = set()
        at = name
        while at != ROOT:
            parent = self.drafts[at].parent
            if parent != ROOT:
                action = self.drafts[parent].step.action
                if isinstance(action, Group) and action.until is not None:
                    found |= self._with_inside(at) if at == name else {at}
                    for other in self.children[parent]:
                        if other != at and at in self._ended(other):
                            found |= self._with_inside(other)
            at = parent
        return frozenset(found)

    def _with_inside(self, name: str) -> frozenset[str]:
        if self.drafts[name].step.each is not None:
            return frozenset({name})
        return self.reachable(name) | {name}

    def reachable(self, name: str) -> frozenset[str]:
        """Steps below a group that can be named from outside: not those within an `each`."""
        if name not in self._inside:
            found: set[str] = set()
            for child in self.children.get(name, ()):
                found |= self._with_inside(child)
            self._inside[name] = frozenset(found)
        return self._inside[name]


# -- what stands where ----------------------------------------------------------------------------


def sources(value: Value) -> Iterator[Expression | Template]:
    """The expressions and texts within a value."""
    match value:
        case Expression() | Template():
            yield value
        case str() | None | bool() | int() | float():
            return
        case list():
            for item in value:
                yield from sources(item)
        case Mapping():
            for item in value.values():
                yield from sources(item)


def _of_trigger(trigger: Trigger) -> Iterator[tuple[str, Expression | Template]]:
    """The expressions and texts of an entry of `on`, by setting."""
    for name, value in trigger.inputs.items():
        for source in sources(value):
            yield f"inputs.{name}", source
    for name, found in trigger.values.items():
        if isinstance(found, Expression):
            yield name, found
        elif isinstance(found, Respond):
            for source in sources([found.body, dict(found.headers)]):
                yield "respond", source


def undo_arguments(step: Step) -> Value:
    """The arguments of a step's undo, by name; null where there are none."""
    return dict(step.undo.action.arguments) if step.undo is not None else None


def action_values(step: Step) -> Iterator[tuple[str, Value]]:
    """The values that an attempt of a step is given, by setting."""
    match step.action:
        case (
            Script(arguments=arguments) | ToolCall(arguments=arguments) | Child(arguments=arguments)
        ):
            for name, value in arguments.items():
                yield f"with.{name}", value
        case AgentCall(prompt=prompt, files=files, choice=choice):
            yield "prompt", prompt
            for at, value in enumerate(files):
                yield f"files.{at}", value
            if choice is not None and choice.key is not None:
                yield "agent.key", choice.key
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


def of_items(env: Mapping[str, Value], item: str) -> frozenset[str]:
    """Names of an `env` whose values read the item that an `each` names so, or its index."""
    return frozenset(
        name
        for name, value in env.items()
        for source in sources(value)
        if any(found.path[0] in {item, "index"} for found in references(source))
    )


def _env_names(step: Step) -> frozenset[str]:
    """What a step's `env` declares, also where a mistake kept it from being read."""
    return written_names(step.settings, "env") | step.env.keys()
