"""Every name in an expression resolves to something that is certainly there by then, and fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import (
    Group,
    OnError,
    Output,
    OutputForm,
)
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr import (
    Anything,
    ListOf,
    Nullable,
    ObjectOf,
    Property,
    Reference,
    Text,
    infer,
    references,
)
from aiworkflow.plan.graph import ROOT
from aiworkflow.plan.scopes import Scopes, Use

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Step, Workflow
    from aiworkflow.diagnostics import Place, Report
    from aiworkflow.expr import Schema
    from aiworkflow.plan.compile import Draft

RUN_FIELDS: Final = ("id", "name", "bundle", "started", "commit", "actor")
STEP_FIELDS: Final = ("output", "status", "error")
_ROOTS: Final = ("inputs", "steps", "state", "index", "round", "trigger", "run", "env")


def check_references(workflow: Workflow, drafts: Mapping[str, Draft], report: Report) -> None:
    """Report every name that does not resolve, and every field that is not there."""
    scopes = Scopes(workflow, drafts)
    checker = _Checker(workflow, drafts, report)
    for use in scopes.uses():
        checker.check(use)


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
