"""Rule 11: no path from text of outside to power, unless a bounded schema stands between.

Every value has a trust: trusted, or the path by which text from outside comes into it. Trust flows
along expressions (only values carry it, not what an `if` asks or a length counts), through the outputs
of steps that read untrusted values, through items, `env` and state. A schema that cannot carry a
message lifts distrust, and so does the approval of a person. What has a secret, a host or writes is a
sink. Where something is not known before the run, it is not trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
from aiworkflow.diagnostics import Label
from aiworkflow.expr import ListOf, Nullable, ObjectOf, Template, is_bounded
from aiworkflow.plan.graph import ROOT
from aiworkflow.plan.scopes import action_values, sources, undo_arguments
from aiworkflow.plan.sessions import session_of
from aiworkflow.plan.types import declared_output, declared_type
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiworkflow.bundle.workflow import Step, Value, Workflow
    from aiworkflow.diagnostics import Place, Report
    from aiworkflow.expr import Reference, Schema
    from aiworkflow.plan.compile import Draft
    from aiworkflow.plan.scopes import Readings


@record
class Hop:
    """A place that text from outside passes, and what happens there."""

    place: Place
    text: str


Trail = tuple[Hop, ...]
Trails = dict[str, Trail]

_MOST_HOPS: Final = 6
_BOUNDED_ERROR: Final = frozenset({"kind", "exit_code", "step"})


def find_taint(
    workflow: Workflow, drafts: Mapping[str, Draft], readings: Readings, report: Report
) -> dict[str, frozenset[int]]:
    """Report paths from outside to power.

    Args:
        workflow: the workflow.
        drafts: its steps.
        readings: what its expressions read, all of them read before.
        report: gets the paths.

    Returns:
        For each agent step, the outputs of its prompt whose values come from outside.
    """
    if not _has_outside(drafts, readings):
        return {}
    found = _Taint(workflow, drafts, readings)
    found.settle()
    fenced: dict[str, frozenset[int]] = {}
    for name, draft in drafts.items():
        if isinstance(draft.step.action, AgentCall):
            outputs = found.fenced(draft.step.action, draft)
            if outputs:
                fenced[name] = outputs
        found.check(draft, report)
    return fenced


def _has_outside(drafts: Mapping[str, Draft], readings: Readings) -> bool:
    """Whether anything of a workflow can bring text from outside at all."""
    for one in readings:
        if one.path[0] == "trigger" or (one.path[0] == "steps" and "output" not in one.path[2:3]):
            return True
    return any(source_of(draft) is not None for draft in drafts.values())


def source_of(draft: Draft) -> str | None:
    """What a step brings from outside, whatever it reads; None for nothing."""
    match draft.step.action:
        case ToolCall(server=str()):
            return "text from an MCP server"
        case ToolCall() if draft.reach.network:
            return "text from the network"
        case AgentCall(tools=tools) if any(tool.startswith("mcp:") for tool in tools):
            return "text from an MCP server"
        case AgentCall() if draft.reach.network:
            return "text from the network"
        case Wait(event=str()):
            return "what an outside event says"
        case Child():  # what its own steps bring may be in its outputs
            return draft.reach.brings or None
        case _:
            return None


class _Taint:
    def __init__(self, workflow: Workflow, drafts: Mapping[str, Draft], readings: Readings) -> None:
        self.workflow = workflow
        self.drafts = drafts
        self.readings = readings
        self.outputs: Trails = {}
        self.state: Trails = {}
        self.inputs: Trails = {}
        # then what stands below may come before
        self.comes_back = any(
            draft.step.needs is not None
            or draft.step.goto is not None
            or draft.step.each is not None
            or (isinstance(draft.step.action, Group) and draft.step.action.until is not None)
            for draft in drafts.values()
        )
        self.has_env = bool(workflow.env) or any(draft.step.env for draft in drafts.values())
        for trigger in workflow.triggers:
            for name, value in trigger.inputs.items():
                if self._bounded_input(name) or not self._reads_trigger(value):
                    continue
                place = trigger.where.get(f"inputs.{name}") or trigger.place
                self.inputs.setdefault(
                    name, (Hop(place, f"`inputs.{name}` is filled by a trigger"),)
                )

    def _bounded_input(self, name: str) -> bool:
        return any(one.name == name and is_bounded(one.schema) for one in self.workflow.inputs)

    def _reads_trigger(self, value: Value) -> bool:
        return any(
            reference.path[0] == "trigger" and reference.path[1:2] != ("type",)
            for reference in self._carried(value)
        )

    # -- flow -------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let distrust flow until nothing changes; rounds of `until` make circles possible."""
        changed = True
        while changed:
            changed = False
            # from the inside: the output of a group is that of its children
            for name, draft in reversed([*self.drafts.items()]):
                changed |= self._settle_one(name, draft)
            for name, draft in self.drafts.items():
                changed |= self._settle_one(name, draft)

    def _settle_one(self, name: str, draft: Draft) -> bool:
        if isinstance(draft.step.action, Assign):
            return self._assign(draft, draft.step.action)
        if name in self.outputs:
            return False
        trail = self._output(draft)
        if trail is None:
            return False
        self.outputs[name] = trail
        return True

    def _assign(self, draft: Draft, action: Assign) -> bool:
        changed = False
        for name, value in action.values.items():
            if name in self.state:
                continue
            trail = self.trail(value, draft.step.id)
            if trail is not None:
                place = draft.step.where.get(f"set.{name}") or draft.step.place
                self.state[name] = (*trail, Hop(place, f"`state.{name}` is written"))
                changed = True
        return changed

    def _output(self, draft: Draft) -> Trail | None:
        """The path by which a step's output comes to carry text from outside, or None."""
        step = draft.step
        match step.action:
            case Group():
                return self._group_output(draft, step.action)
            case Ask() | Gate() | Assign():
                return None  # what people who are signed in answer is trusted
            case _:
                pass
        declared = declared_output(draft)
        if declared.schema is not None and is_bounded(declared_type(declared)):
            return None
        brings = source_of(draft)
        if brings is not None:
            return (Hop(step.place, f"`{step.id}` brings {brings}"),)
        trail = self.reads(draft)
        if trail is None:
            return None
        return (*trail, Hop(step.place, f"`{step.id}` reads it, and its output may carry it"))

    def _group_output(self, draft: Draft, action: Group) -> Trail | None:
        if action.has_result:
            return self.trail(action.result, draft.step.id)
        return next((self.outputs[c] for c in draft.children if c in self.outputs), None)

    # -- what a step reads ------------------------------------------------------------------------

    def reads(self, draft: Draft) -> Trail | None:
        """The path by which text from outside comes into what an attempt is given, or None."""
        step = draft.step
        trail = self._asked(draft) or self._heard(draft)
        if trail is not None:
            return trail
        env = self._env(step.id)
        if isinstance(step.action, Script | ToolCall | Child) and env:
            return next(iter(env.values()))
        if isinstance(step.action, Script):
            # whatever its code says: it is given all inputs as INPUT_…, and items in the context
            for trail in self.inputs.values():
                return (*trail, Hop(step.place, "a script is given all inputs as `INPUT_…`"))
            for above in self._outwards(step.id):
                each = self.drafts[above].step.each
                if each is not None and (found := self._items(above)) is not None:
                    return found
        return None

    def _asked(self, draft: Draft) -> Trail | None:
        """The path by which text from outside comes into what a step itself says."""
        env = self._env(draft.step.id)
        found = (self._trail(value, draft.step.id, env) for _, value in action_values(draft.step))
        return next((trail for trail in found if trail is not None), None)

    def _heard(self, draft: Draft) -> Trail | None:
        """The same of what was said in its session before: what was asked, and what came of it."""
        session = session_of(draft)
        if session is None:
            return None
        for name, other in self.drafts.items():
            if name == draft.step.id and not self.comes_back:
                return None
            if session_of(other) != session or other is draft:
                continue
            trail = self._asked(other)
            brings = source_of(other)
            if trail is None and brings is not None:
                trail = (Hop(other.step.place, f"`{name}` brings {brings}"),)
            if trail is not None:
                return (*trail, Hop(other.step.place, f"`{name}` says it in session `{session}`"))
        return None

    def _outwards(self, name: str) -> Iterator[str]:
        """A step, and the groups around it."""
        while name != ROOT:
            yield name
            name = self.drafts[name].parent

    def _env(self, name: str) -> Trails:
        """Declared variables, as a step is given them, that carry text from outside."""
        if not self.has_env:
            return {}
        found: Trails = {}
        layers = [(ROOT, self.workflow.env)]
        layers += [(one, self.drafts[one].step.env) for one in [*self._outwards(name)][::-1]]
        for at, layer in layers:
            outer = dict(found)
            for key, value in layer.items():
                found.pop(key, None)
                trail = self._trail(value, at, outer)
                if trail is not None:
                    found[key] = trail
        return found

    def trail(self, value: Value, name: str) -> Trail | None:
        """The path by which text from outside comes into a value that stands at a step."""
        return self._trail(value, name, self._env(name))

    def _trail(self, value: Value, name: str, env: Trails) -> Trail | None:
        for reference in self._carried(value):
            trail = self._reference(reference, name, env)
            if trail is not None:
                return trail
        return None

    def _carried(self, value: Value) -> Iterator[Reference]:
        """Readings whose text can come out in a value."""
        for source in sources(value):
            for reference in self.readings.of(source):
                shown = reference.output is not None or not isinstance(source, Template)
                if reference.carries and shown:
                    yield reference

    def _reference(self, reference: Reference, name: str, env: Trails) -> Trail | None:
        root, *rest = reference.path
        field = rest[0] if rest else None
        match root:
            case "trigger":
                if field == "type":
                    return None
                return (Hop(reference.place, "`trigger` comes from outside"),)
            case "inputs":
                return _one(self.inputs, field)
            case "state":
                return _one(self.state, field)
            case "env":
                return _one(env, field)
            case "steps":
                return self._step(reference, [*rest])
            case "run" | "round" | "index" | "secrets":
                return None
            case _:
                return self._item(str(root), name)

    def _step(self, reference: Reference, rest: list[str | int | None]) -> Trail | None:
        if not rest or not isinstance(rest[0], str):
            return next(iter(self.outputs.values()), None)
        name, *below = rest
        what = below[0] if below else None
        if what == "output":
            return self._field(str(name), below[1:])
        if what == "status" or (what == "error" and below[1:] and below[1] in _BOUNDED_ERROR):
            return None
        trail = self.outputs.get(str(name)) if what is None else None
        return trail or (Hop(reference.place, "error messages may quote text from outside"),)

    def _field(self, name: str, below: list[str | int | None]) -> Trail | None:
        """Distrust of a part of an output: a field of a bounded type carries none."""
        trail = self.outputs.get(name)
        draft = self.drafts.get(name)
        if trail is None or draft is None:
            return None
        if isinstance(draft.step.action, Group):
            return self._within_group(draft, draft.step.action, below, trail)
        schema: Schema = declared_type(declared_output(draft))
        if draft.step.each is not None:
            schema = ListOf(schema)
        for part in below:
            while isinstance(schema, Nullable):
                schema = schema.inner
            if isinstance(schema, ObjectOf) and part in schema.fields:
                schema = schema.fields[str(part)].schema
            elif isinstance(schema, ListOf) and not isinstance(part, str):
                schema = schema.item
            else:
                return trail
        return None if is_bounded(schema) else trail

    def _within_group(
        self, draft: Draft, action: Group, below: list[str | int | None], trail: Trail
    ) -> Trail | None:
        """`steps.group.output.child…` is as trusted as that child."""
        if draft.step.each is not None and below and not isinstance(below[0], str):
            below = below[1:]
        elif draft.step.each is not None:
            return trail
        if action.has_result or not below or below[0] not in draft.children:
            return trail
        return self._field(str(below[0]), below[1:])

    def _items(self, name: str) -> Trail | None:
        """The trust of the list that an `each` goes through."""
        draft = self.drafts[name]
        assert draft.step.each is not None
        outer = self._env(draft.parent) if draft.parent != ROOT or self.has_env else {}
        return self._trail(draft.step.each.items, draft.parent, outer)

    def _item(self, item: str, name: str) -> Trail | None:
        """An item is as trusted as the list it comes from."""
        for at in self._outwards(name):
            each = self.drafts[at].step.each
            if each is not None and each.name == item:
                return self._items(at)
        return None

    # -- what must not happen ---------------------------------------------------------------------

    def fenced(self, action: AgentCall, draft: Draft) -> frozenset[int]:
        """The outputs of a prompt whose values come from outside."""
        env = self._env(draft.step.id)
        return frozenset(
            reference.output
            for reference in self._carried(action.prompt)
            if reference.output is not None
            and self._reference(reference, draft.step.id, env) is not None
        )

    def check(self, draft: Draft, report: Report) -> None:
        """Report a step with power that is given text from outside."""
        step = draft.step
        if isinstance(step.action, Group) or step.approve:
            return
        if _is_sink(draft) and (trail := self.reads(draft)) is not None:
            place = step.where.get("uses") or step.place
            self._found(draft, place, f"`{step.id}`, which has {_power(draft)}", trail, report)
        if step.undo is not None and (undone := self._undo(draft, step)) is not None:
            place = step.where.get("undo.uses") or step.where.get("undo") or step.place
            self._found(draft, place, f"the undo of `{step.id}`, which writes", undone, report)

    def _undo(self, draft: Draft, step: Step) -> Trail | None:
        env = self._env(step.id)
        for reference in self._carried(undo_arguments(step)):
            if reference.path[0] == "output":
                trail = self._field(step.id, [*reference.path[1:]])
            else:
                trail = self._reference(reference, step.id, env)
            if trail is not None:
                return trail
        return None

    @staticmethod
    def _found(draft: Draft, place: Place, what: str, trail: Trail, report: Report) -> None:
        half = _MOST_HOPS // 2
        hops = trail if len(trail) <= _MOST_HOPS else (*trail[:half], *trail[-half:])
        report.error(
            "AW710",
            place,
            f"text from outside reaches {what}",
            "let only bounded values through (`output` of enumerations, numbers and patterns), "
            "or put `approve` on the step",
            *(Label(hop.place, hop.text) for hop in hops),
        )


def _one(trails: Trails, name: object) -> Trail | None:
    """The trail of one name; of any where the name is computed, or all are read at once."""
    if isinstance(name, str):
        return trails.get(name)
    return next(iter(trails.values()), None)


def _power(draft: Draft) -> str:
    """What a step has that text from outside must not steer, in words."""
    found = []
    if draft.reach.secrets:
        found.append(f"the secret `{draft.reach.secrets[0]}`")
    if draft.reach.network:
        host = draft.reach.network[0]
        found.append(f"the host `{host}`" if host != "*" else "the network")
    if isinstance(draft.step.action, AgentCall):
        found.append("tools" if draft.step.action.tools else "files to edit")
    elif draft.reach.writes or draft.reach.paths or not found:
        found.append("something to write")
    return " and ".join(found)


def _is_sink(draft: Draft) -> bool:
    action = draft.step.action
    if isinstance(action, AgentCall):
        return bool(action.tools or draft.reach.paths)
    if isinstance(action, Script) and draft.step.effect is None:
        return bool(draft.reach.secrets)  # a class that is only derived is no power
    return draft.reach.is_dangerous
