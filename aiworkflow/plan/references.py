"""Every name in an expression resolves to something that is certainly there by then, and fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import (
    AgentCall,
    Ask,
    Assign,
    Child,
    Gate,
    Group,
    OnError,
    Output,
    OutputForm,
    Script,
    ToolCall,
    Wait,
)
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr import (
    Anything,
    Expression,
    ListOf,
    Nullable,
    ObjectOf,
    Property,
    Reference,
    Template,
    Text,
    infer,
    references,
)
from aiworkflow.plan.graph import ROOT
from aiworkflow.records import record

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Step, Value, Workflow
    from aiworkflow.diagnostics import Place, Report
    from aiworkflow.expr import Schema
    from aiworkflow.plan.compile import Draft

RUN_FIELDS: Final = ("id", "name", "bundle", "started", "commit", "actor")
STEP_FIELDS: Final = ("output", "status", "error")
_ROOTS: Final = ("inputs", "steps", "state", "index", "round", "trigger", "run", "env")


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


def check_references(workflow: Workflow, drafts: Mapping[str, Draft], report: Report) -> None:
    """Report every name that does not resolve, and every field that is not there."""
    scopes = Scopes(workflow, drafts)
    checker = _Checker(workflow, drafts, report)
    for use in scopes.uses():
        checker.check(use)


# -- what is visible where ------------------------------------------------------------------------


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


# -- checking -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Checker:
    workflow: Workflow
    drafts: Mapping[str, Draft]
    report: Report
    types: dict[str, Schema] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.types = {
            "inputs": ObjectOf(
                {
                    one.name: Property(_maybe(one.schema, one.default is None and not one.required))
                    for one in self.workflow.inputs
                }
            ),
            "steps": ObjectOf(
                {
                    name: Property(
                        ObjectOf(
                            {
                                "output": Property(self._output_type(draft)),
                                "status": Property(Text()),
                                "error": Property(Anything()),
                            }
                        )
                    )
                    for name, draft in self.drafts.items()
                }
            ),
        }

    def _output_type(self, draft: Draft) -> Schema:
        step = draft.step
        if isinstance(step.action, Group):
            return Anything()
        output: Output = step.output
        if draft.reach.operation is not None and "output" not in step.settings:
            output = draft.reach.operation.output
        match output.form:
            case OutputForm.SCHEMA if output.schema is not None:
                found: Schema = output.schema
            case OutputForm.TEXT:
                found = Text()
            case OutputForm.LINES:
                found = ListOf(Text())
            case _:
                return Anything()
        if step.each is not None:
            return ListOf(found)
        return _maybe(found, _may_be_null(step))

    def check(self, use: Use) -> None:
        """Report what is wrong with the names of one expression."""
        clean = True
        for reference in references(use.source):
            clean &= self._reference(reference, use)
        if clean and not use.is_env:
            infer(use.source, self.types, self.report)

    def _reference(self, reference: Reference, use: Use) -> bool:
        name = reference.path[0]
        if name in use.items or (name == "output" and use.undo):
            return True
        match name:
            case "inputs":
                return self._declared(
                    reference, use, [one.name for one in self.workflow.inputs], "input"
                )
            case "steps":
                return self._step(reference, use)
            case "state":
                known = [one.name for one in self.workflow.state]
                return self._declared(reference, use, known, "state value")
            case "env":
                return self._declared(reference, use, sorted(use.env), "environment variable")
            case "run":
                return self._declared(reference, use, list(RUN_FIELDS), "field of `run`")
            case "trigger":
                return self._trigger(reference, use)
            case "secrets" if use.is_env:
                return True
            case "secrets":
                self.report.error(
                    "AW707",
                    reference.place,
                    "a secret reaches only the `env` of a step that asks for it",
                    'write `env: {NAME: "{{ secrets.NAME }}"}`, or list it in tools.yaml',
                )
                return False
            case "round" if use.in_round:
                return True
            case _:
                return self._unknown(reference, use)

    def _unknown(self, reference: Reference, use: Use) -> bool:
        name = str(reference.path[0])
        hints = {
            "item": "`item` is known within a step or group with `each` only",
            "index": "`index` is known within a step or group with `each` only",
            "round": "`round` is known within a group with `until` only",
            "output": "`output` is known in `undo` only",
        }
        hint = hints.get(name)
        if hint is None and name in self.drafts:
            hint = f"write `steps.{name}.output`"
        if hint is None and any(one.name == name for one in self.workflow.inputs):
            hint = f"write `inputs.{name}`"
        if hint is None:
            hint = did_you_mean(name, [*_ROOTS, *use.items])
        self.report.error(
            "AW108",
            reference.places[0],
            f"`{name}` is not defined here",
            hint or f"names are {', '.join((*_ROOTS, *sorted(use.items - {'index'})))}",
        )
        return False

    def _declared(self, reference: Reference, use: Use, known: list[str], what: str) -> bool:
        if len(reference.path) < 2 or reference.path[1] is None or reference.path[1] in known:
            return True
        if reference.guarded and what != "input":
            return True
        name = str(reference.path[1])
        hint = did_you_mean(name, known)
        listed = f"known: {', '.join(known)}" if known else f"no {what} is declared"
        self.report.error(
            "AW108", reference.places[1], f"there is no {what} `{name}`", hint or listed
        )
        del use
        return False

    def _trigger(self, reference: Reference, use: Use) -> bool:
        del use
        if self.workflow.triggers or len(reference.path) < 2 or reference.path[1] == "type":
            return True
        if reference.guarded:
            return True
        self.report.error(
            "AW115",
            reference.place,
            "this workflow has no triggers: only `trigger.type` can be read",
            "add `on:` to the frontmatter, or take the value as an input",
        )
        return False

    def _step(self, reference: Reference, use: Use) -> bool:
        if len(reference.path) < 2 or reference.path[1] is None:
            return True
        name = str(reference.path[1])
        if name not in self.drafts:
            self.report.error(
                "AW103",
                reference.places[1],
                f"`{use.setting.partition('.')[0]}` refers to a step that does not exist",
                did_you_mean(name, self.drafts) or f"steps are {', '.join(list(self.drafts)[:12])}",
            )
            return False
        if name not in use.visible:
            self._too_early(reference.places[1], name, use)
            return False
        if len(reference.path) > 2 and reference.path[2] not in STEP_FIELDS:
            word = reference.path[2]
            hint = did_you_mean(str(word), STEP_FIELDS)
            self.report.error(
                "AW108",
                reference.places[2],
                f"a step has no `{word}`",
                hint or f"it has output, status and error: `steps.{name}.output`",
            )
            return False
        self._maybe_null(reference, name, use)
        return True

    def _too_early(self, place: Place, name: str, use: Use) -> None:
        within = self._each_around(name)
        if within is not None and within in use.visible:
            hint = f"read the list of all items: `steps.{within}.output`"
            why = f"`{name}` runs once per item of `{within}`"
        elif name == use.step:
            why, hint = f"`{name}` is this very step", "read an earlier step"
        else:
            why = f"`{name}` has not certainly ended by then"
            hint = f"add `needs: [{name}]`, or move this step after it"
        self.report.error("AW109", place, why, hint)

    def _each_around(self, name: str) -> str | None:
        parent = self.drafts[name].parent
        found = None
        while parent != ROOT:
            if self.drafts[parent].step.each is not None:
                found = parent
            parent = self.drafts[parent].parent
        return found

    def _maybe_null(self, reference: Reference, name: str, use: Use) -> None:
        """A field of an output that is null when its step was skipped or failed."""
        if len(reference.path) < 4 or reference.path[2] != "output" or reference.guarded:
            return
        target = self.drafts[name].step
        if not _may_be_null(target) or self._asks_about(use.step, name):
            return
        self.report.warning(
            "AW116",
            reference.place,
            f"the output of `{name}` is null when it is skipped or fails, and this fails then",
            f"guard it: `steps.{name}.output | default({{}})`, or `if: steps.{name}.output`",
        )

    def _asks_about(self, step: str, name: str) -> bool:
        """Whether the `if` of a step, or of what is around it, looks at another step."""
        while step != ROOT:
            draft = self.drafts[step]
            if draft.step.condition is not None and any(
                found.path[:2] == ("steps", name) for found in references(draft.step.condition)
            ):
                return True
            step = draft.parent
        return False


def _may_be_null(step: Step) -> bool:
    return step.condition is not None or step.otherwise or step.on_error is OnError.CONTINUE


def _maybe(schema: Schema, null: bool) -> Schema:
    return Nullable(schema) if null and not isinstance(schema, Nullable) else schema
