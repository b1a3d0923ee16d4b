"""The types of the names that expressions read, as far as they are known before the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import Ask, Gate, Group, OnError, OutputForm
from aiworkflow.diagnostics import Report
from aiworkflow.expr import (
    Anything,
    Enum,
    Integer,
    ListOf,
    Nullable,
    ObjectOf,
    Property,
    Text,
    infer,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Output, Step, Workflow
    from aiworkflow.expr import Schema
    from aiworkflow.plan.compile import Draft

STATUSES: Final = (
    "succeeded",
    "failed",
    "skipped",
    "cancelled",
    "waiting",
    "running",
    "pending",
)
_ERROR: Final = Nullable(
    ObjectOf(
        {
            "kind": Property(Text()),
            "message": Property(Text()),
            "exit_code": Property(Nullable(Integer())),
            "step": Property(Nullable(Text())),
        }
    )
)
_GATE: Final = ObjectOf(
    {"by": Property(Text()), "at": Property(Text()), "comment": Property(Nullable(Text()))}
)
_STATUS: Final = Property(Enum(STATUSES))
_FAILURE: Final = Property(_ERROR)


class Types:
    """The types of names in one workflow."""

    def __init__(self, workflow: Workflow, drafts: Mapping[str, Draft]) -> None:
        self._drafts = drafts
        self._outputs: dict[str, Schema] = {}
        self._items: dict[str, Schema] = {}
        self.common: dict[str, Schema] = {
            "inputs": ObjectOf(
                {
                    one.name: Property(_maybe(one.schema, one.default is None and not one.required))
                    for one in workflow.inputs
                }
            ),
            "steps": ObjectOf({name: Property(self._step(name)) for name in drafts}),
            "round": Integer(),
        }

    def at(self, items: Mapping[str, str]) -> Mapping[str, Schema]:
        """The types of all names where these items are bound."""
        if not items:
            return self.common
        found = dict(self.common)
        for name, step in items.items():
            found[name] = Integer() if name == "index" else self.item(step)
        return found

    def item(self, name: str) -> Schema:
        """The type of the elements that a step's `each` goes through."""
        if name not in self._items:
            draft = self._drafts[name]
            assert draft.step.each is not None
            self._items[name] = Anything()  # for lists that are made of themselves
            outer: dict[str, str] = {}
            parent = draft.parent
            while parent:
                each = self._drafts[parent].step.each
                if each is not None:
                    outer.setdefault(each.name, parent)
                parent = self._drafts[parent].parent
            found = infer(draft.step.each.items, self.at(outer), Report())
            inner = found.inner if isinstance(found, Nullable) else found
            self._items[name] = inner.item if isinstance(inner, ListOf) else Anything()
        return self._items[name]

    def _step(self, name: str) -> Schema:
        return ObjectOf(
            {"output": Property(self.output(name)), "status": _STATUS, "error": _FAILURE}
        )

    def output(self, name: str) -> Schema:
        """The type of a step's output, as other steps read it."""
        if name not in self._outputs:
            draft = self._drafts[name]
            found = self._of_one(draft)
            if draft.step.each is not None:
                found = ListOf(found)
            self._outputs[name] = _maybe(found, may_be_null(draft.step))
        return self._outputs[name]

    def _of_one(self, draft: Draft) -> Schema:
        """The type of an output, of one item's where there are several."""
        match draft.step.action:
            case Group(has_result=True):
                return Anything()
            case Group():
                return ObjectOf({one: Property(self.output(one)) for one in draft.children})
            case Ask(fields=fields):
                return ObjectOf({name: Property(one.schema) for name, one in fields.items()})
            case Gate():
                return _GATE
            case _:
                return declared_type(declared_output(draft))


def declared_output(draft: Draft) -> Output:
    """The output a step declares: its own setting, else its operation's."""
    operation = draft.reach.operation
    if operation is not None and "output" not in draft.step.settings:
        return operation.output
    return draft.step.output


def declared_type(output: Output) -> Schema:
    """The type that a declaration of an output gives."""
    match output.form:
        case OutputForm.SCHEMA if output.schema is not None:
            return output.schema
        case OutputForm.TEXT:
            return Text()
        case OutputForm.LINES:
            return ListOf(Text())
        case _:
            return Anything()


def may_be_null(step: Step) -> bool:
    """Whether a step's output can be null though its group went on."""
    return step.condition is not None or step.otherwise or step.on_error is OnError.CONTINUE


def _maybe(schema: Schema, null: bool) -> Schema:
    return Nullable(schema) if null and not isinstance(schema, Nullable | Anything) else schema
