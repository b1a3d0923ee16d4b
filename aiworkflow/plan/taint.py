"""Rule 11: no path from text of outside to power, unless a bounded schema stands between.

Every value has a trust: trusted, or the path by which text from outside comes into it. Trust flows
along expressions (only values carry it, not what an `if` asks), through the outputs of steps that
read untrusted values, and through state. A schema that cannot carry a message lifts distrust, and so
does the approval of a person. What has a secret, a host or writes is a sink.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import (
    AgentCall,
    Assign,
    Group,
    OutputForm,
    Script,
    ToolCall,
)
from aiworkflow.diagnostics import Label
from aiworkflow.expr import Template, is_bounded, references
from aiworkflow.plan.scopes import action_values, sources
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Step, Value, Workflow
    from aiworkflow.diagnostics import Place, Report
    from aiworkflow.expr import Reference
    from aiworkflow.plan.compile import Draft


@record
class Hop:
    """A place that text from outside passes, and what happens there."""

    place: Place
    text: str


Trail = tuple[Hop, ...]


def find_taint(
    workflow: Workflow, drafts: Mapping[str, Draft], report: Report
) -> dict[str, frozenset[int]]:
    """Report paths from outside to power.

    Returns:
        For each agent step, the outputs of its prompt whose values come from outside.
    """
    found = _Taint(workflow, drafts)
    found.settle()
    fenced: dict[str, frozenset[int]] = {}
    for name, draft in drafts.items():
        if isinstance(draft.step.action, AgentCall):
            outputs = found.fenced(draft.step)
            if outputs:
                fenced[name] = outputs
        found.check(draft, report)
    return fenced


class _Taint:
    def __init__(self, workflow: Workflow, drafts: Mapping[str, Draft]) -> None:
        self.workflow = workflow
        self.drafts = drafts
        self.inputs: dict[str, Trail] = {}
        self.outputs: dict[str, Trail] = {}
        self.state: dict[str, Trail] = {}
        for trigger in workflow.triggers:
            for name, value in trigger.inputs.items():
                if not self._bounded_input(name) and any(True for _ in sources(value)):
                    place = trigger.where.get(f"inputs.{name}") or trigger.place
                    self.inputs.setdefault(
                        name, (Hop(place, f"`inputs.{name}` is filled by a trigger"),)
                    )

    def _bounded_input(self, name: str) -> bool:
        return any(one.name == name and is_bounded(one.schema) for one in self.workflow.inputs)

    def settle(self) -> None:
        """Let distrust flow until nothing changes; rounds of `until` make circles possible."""
        changed = True
        while changed:
            changed = False
            for name, draft in self.drafts.items():
                trail = self._output(draft)
                if trail is not None and name not in self.outputs:
                    self.outputs[name] = trail
                    changed = True
                changed |= self._assign(draft.step)

    def _assign(self, step: Step) -> bool:
        if not isinstance(step.action, Assign):
            return False
        changed = False
        for name, value in step.action.values.items():
            trail = self.trail(value, step)
            if trail is not None and name not in self.state:
                self.state[name] = (*trail, Hop(step.place, f"`state.{name}` is written"))
                changed = True
        return changed

    def _output(self, draft: Draft) -> Trail | None:
        """Whether a step's output carries text from outside."""
        step = draft.step
        if isinstance(step.action, Group):
            return self._group_output(draft)
        output = step.output
        operation = draft.reach.operation
        if operation is not None and "output" not in step.settings:
            output = operation.output
        if output.form is OutputForm.SCHEMA and output.schema and is_bounded(output.schema):
            return None
        if draft.reach.network and isinstance(step.action, ToolCall):
            return (Hop(step.place, f"`{step.id}` brings text from the network"),)
        if isinstance(step.action, ToolCall) and step.action.server is not None:
            return (Hop(step.place, f"`{step.id}` brings text from an MCP server"),)
        trail = self.reads(step)
        if trail is None:
            return None
        return (*trail, Hop(step.place, f"`{step.id}` reads it, and its output may carry it"))

    def _group_output(self, draft: Draft) -> Trail | None:
        action = draft.step.action
        assert isinstance(action, Group)
        if action.has_result:
            return self.trail(action.result, draft.step)
        return next((self.outputs[c] for c in draft.children if c in self.outputs), None)

    # -- what a step reads ------------------------------------------------------------------------

    def reads(self, step: Step) -> Trail | None:
        """The path by which text from outside comes into what an attempt is given, or None."""
        for _, value in action_values(step):
            trail = self.trail(value, step)
            if trail is not None:
                return trail
        trail = self._env(step)
        if trail is None and isinstance(step.action, Script):
            # every script is given all inputs as INPUT_…
            code = step.action.code
            for name, found in self.inputs.items():
                if f"INPUT_{name.upper()}" in code or "AIWORKFLOW_CONTEXT" in code:
                    return found
            if step.each is not None:
                return self.trail(step.each.items, step)
        return trail

    def _env(self, step: Step) -> Trail | None:
        layers: list[Mapping[str, Value]] = [self.workflow.env]
        name = step.id
        while name:
            draft = self.drafts[name]
            layers.append(draft.step.env)
            name = draft.parent
        for layer in layers:
            for value in layer.values():
                trail = self.trail(value, step)
                if trail is not None:
                    return trail
        return None

    def trail(self, value: Value, step: Step) -> Trail | None:
        """The path by which text from outside comes into a value, or None."""
        for source in sources(value):
            for reference in references(source):
                if isinstance(source, Template) and reference.output is None:
                    continue  # an `if` decides what is shown; only values carry trust
                trail = self._reference(reference, step)
                if trail is not None:
                    return trail
        return None

    def _reference(self, reference: Reference, step: Step) -> Trail | None:
        path = reference.path
        match path[0]:
            case "trigger":
                if len(path) > 1 and path[1] == "type":
                    return None
                return (Hop(reference.place, "`trigger` comes from outside"),)
            case "inputs":
                if len(path) > 1:
                    return self.inputs.get(str(path[1]))
                return next(iter(self.inputs.values()), None)
            case "steps" if len(path) > 2:
                if path[2] == "error":
                    return (Hop(reference.place, "error messages may quote text from outside"),)
                return self._field(str(path[1]), path[3:]) if path[2] == "output" else None
            case "state" if len(path) > 1:
                return self.state.get(str(path[1]))
            case "env" if len(path) > 1:
                return self._env(step)
            case name:
                return self._item(str(name), step)

    def _field(self, name: str, below: tuple[object, ...]) -> Trail | None:
        """Distrust of a part of an output: a field of a bounded type carries none."""
        trail = self.outputs.get(name)
        if trail is None:
            return None
        from aiworkflow.expr import ListOf, Nullable, ObjectOf, Schema

        draft = self.drafts[name]
        output = draft.step.output
        if draft.reach.operation is not None and "output" not in draft.step.settings:
            output = draft.reach.operation.output
        schema: Schema | None = output.schema
        if draft.step.each is not None and schema is not None:
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
        return None if schema is not None and is_bounded(schema) else trail

    def _item(self, name: str, step: Step) -> Trail | None:
        """An item is as trusted as the list it comes from."""
        at = step.id
        while at:
            draft = self.drafts[at]
            each = draft.step.each
            if each is not None and each.name == name:
                return self.trail(each.items, draft.step)
            at = draft.parent
        return None

    # -- what must not happen ---------------------------------------------------------------------

    def fenced(self, step: Step) -> frozenset[int]:
        """The outputs of a prompt whose values come from outside."""
        assert isinstance(step.action, AgentCall)
        return frozenset(
            reference.output
            for reference in references(step.action.prompt)
            if reference.output is not None and self._reference(reference, step) is not None
        )

    def check(self, draft: Draft, report: Report) -> None:
        """Report a step with power that is given text from outside."""
        step = draft.step
        if isinstance(step.action, Group) or not self._is_sink(draft) or step.approve:
            return
        trail = self.reads(step)
        if trail is None:
            return
        what = []
        if draft.reach.secrets:
            what.append(f"the secret `{draft.reach.secrets[0]}`")
        if draft.reach.network:
            what.append(f"the host `{draft.reach.network[0]}`")
        if draft.reach.writes or draft.reach.paths or not what:
            what.append("something to write" if not isinstance(step.action, AgentCall) else "tools")
        report.error(
            "AW710",
            step.where.get("uses") or step.place,
            f"text from outside reaches `{step.id}`, which has {' and '.join(what)}",
            "let only bounded values through (`output` of enumerations, numbers and patterns), "
            "or put `approve` on the step",
            *(Label(hop.place, hop.text) for hop in trail[:5]),
        )

    def _is_sink(self, draft: Draft) -> bool:
        action = draft.step.action
        if isinstance(action, AgentCall):
            return bool(action.tools)
        if isinstance(action, Assign):
            return False
        if isinstance(action, Script) and draft.step.effect is None:
            return bool(draft.reach.secrets)  # a class that is only derived is no power
        return draft.reach.is_dangerous
