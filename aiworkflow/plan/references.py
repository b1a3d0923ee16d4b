"""Every name in an expression resolves to something that is certainly there by then, and fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.webhook import Verify
from aiworkflow.bundle.workflow import Group
from aiworkflow.diagnostics import Label
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr import (
    Boolean,
    Enum,
    Expression,
    Integer,
    Nullable,
    Number,
    ObjectOf,
    Text,
    describe,
    infer,
)
from aiworkflow.plan.graph import ROOT
from aiworkflow.plan.scopes import Scopes
from aiworkflow.plan.triggers import (
    ANSWER_FIELDS,
    EVENT_KINDS,
    check_trigger,
    trigger_fields,
    waits,
)
from aiworkflow.plan.types import Types, may_be_null
from aiworkflow.plan.written import Doubts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.bundle.workflow import Trigger, Workflow
    from aiworkflow.diagnostics import Place, Report
    from aiworkflow.expr import Reference
    from aiworkflow.plan.compile import Draft
    from aiworkflow.plan.scopes import Readings, Use

RUN_FIELDS: Final = ("id", "name", "bundle", "started", "commit", "actor", "repo", "branch")
STEP_FIELDS: Final = ("output", "status", "error")
_ROOTS: Final = ("inputs", "steps", "state", "index", "round", "trigger", "run", "env")
_NO_LIST: Final = (Text, Integer, Number, Boolean, Enum, ObjectOf)


def check_references(
    workflow: Workflow, drafts: Mapping[str, Draft], readings: Readings, report: Report
) -> None:
    """Report every name that does not resolve, and every field that is not there."""
    checker = _Checker(workflow, drafts, readings, report)
    for use in Scopes(workflow, drafts).uses():
        checker.check(use)
    checker.triggers()
    checker.items()


@dataclass(slots=True)
class _Checker:
    workflow: Workflow
    drafts: Mapping[str, Draft]
    readings: Readings
    report: Report
    types: Types = field(init=False)
    inputs: list[str] = field(init=False)
    state: list[str] = field(init=False)
    doubts: Doubts = field(init=False)

    def __post_init__(self) -> None:
        self.doubts = Doubts(self.workflow, self.report)
        self.types = Types(self.workflow, self.drafts)
        self.inputs = [one.name for one in self.workflow.inputs]
        self.state = [one.name for one in self.workflow.state]

    def check(self, use: Use) -> None:
        """Report what is wrong with the names of one expression."""
        clean = True
        for reference in self.readings.of(use.source):
            clean &= self._reference(reference, use)
        if not clean:
            return
        found = infer(use.source, self.types.at(use.items), self.report)
        if use.setting == "each" and isinstance(use.source, Expression):
            inner = found.inner if isinstance(found, Nullable) else found
            if isinstance(inner, _NO_LIST):
                self.report.error(
                    "AW117",
                    use.source.fragment.place(),
                    f"`each` takes a list, and this is {describe(inner)}",
                    _LISTED.get(type(inner), "write `[…]` for a list of one"),
                )

    def triggers(self) -> None:
        """Report inputs that a trigger fills and the workflow does not have."""
        for trigger in self.workflow.triggers:
            for name in trigger.inputs:
                if name not in self.inputs and not self.doubts.is_doubtful("inputs", name):
                    listed = ", ".join(self.inputs) or "none"
                    self.report.error(
                        "AW108",
                        trigger.where.get(f"inputs.{name}@") or trigger.place,
                        f"there is no input `{name}`",
                        did_you_mean(name, self.inputs) or f"inputs are {listed}",
                    )
            check_trigger(trigger, self.workflow, self.doubts, self.report)
            verify = trigger.values.get("verify")
            if isinstance(verify, Verify):
                self._signing_secrets(verify.secrets)

    def _signing_secrets(self, names: Sequence[str]) -> None:
        """Report secrets that senders sign with, and steps may have."""
        for at, name in enumerate(self.workflow.allow.secrets):
            if name in names:
                where = self.workflow.where
                self.report.error(
                    "AW708",
                    where.get(f"allow.secrets.{at}") or self.workflow.place,
                    f"`{name}` is what a webhook's sender signs with; no step may have it",
                    "give steps a secret of their own",
                )

    def items(self) -> None:
        """Report an `each` whose item has the name of one around it."""
        for name, draft in self.drafts.items():
            each = draft.step.each
            if each is None:
                continue
            for above in self._above(name):
                outer = self.drafts[above].step
                if outer.each is not None and outer.each.name == each.name:
                    where = draft.step.where
                    self.report.error(
                        "AW128",
                        where.get("as") or where.get("each") or draft.step.place,
                        f"`{each.name}` is the item of `{above}` already",
                        "give the inner one a name of its own: `as: …`",
                        Label(outer.where.get("each") or outer.place, "the outer `each`"),
                    )
                    break

    # -- one reading ------------------------------------------------------------------------------

    def _reference(self, reference: Reference, use: Use) -> bool:
        name = reference.path[0]
        if name in use.items or (name == "output" and use.undo):
            return True
        if use.trigger is not None and use.answer and name in {"run", "outputs"}:
            return self._answer(reference, use.trigger)
        if use.trigger is not None and name in _ROOTS and name != "trigger":
            self.report.error(
                "AW108",
                reference.places[0],
                f"`{name}` is not there yet where a trigger fills the inputs"
                if use.setting.startswith("inputs.")
                else f"`{name}` is not there in `{use.setting}` of a trigger",
                "read `trigger`",
            )
            return False
        if use.start and name in _ROOTS and name != "inputs":
            self.report.error(
                "AW108",
                reference.places[0],
                f"`{name}` is not there yet where a run is about to start",
                "read `inputs`",
            )
            return False
        match name:
            case "inputs":
                return self._declared(reference, self.inputs, "input")
            case "steps":
                return self._step(reference, use)
            case "state":
                return self._declared(reference, self.state, "state value")
            case "env":
                if reference.guarded:
                    return True
                return self._declared(reference, sorted(use.env), "environment variable")
            case "run":
                return self._declared(reference, list(RUN_FIELDS), "field of `run`")
            case "trigger":
                return self._trigger(reference, use)
            case "secrets":
                return use.is_env or self._secret(reference)
            case "round" if use.in_round:
                return True
            case _:
                return self._unknown(reference, use)

    def _secret(self, reference: Reference) -> bool:
        self.report.error(
            "AW707",
            reference.place,
            "a secret reaches only the `env` of a step that asks for it",
            'write `env: {NAME: "{{ secrets.NAME }}"}`, or list it in tools.yaml',
        )
        return False

    def _unknown(self, reference: Reference, use: Use) -> bool:
        name = str(reference.path[0])
        hints = {
            "item": "`item` is known within a step or group with `each` only",
            "index": "`index` is known within a step or group with `each` only",
            "round": "`round` is known within a group with `until` only",
            "output": "`output` is known in `undo` only",
        }
        hint = hints.get(name)
        each = self.drafts[use.step].step.each if use.setting == "approve" else None
        if each is not None and name in {each.name, "index"}:
            hint = "with `each` people are asked once, and are shown all items"
        if hint is None and name in self.drafts:
            hint = f"write `steps.{name}.output`"
        if hint is None and name in self.inputs:
            hint = f"write `inputs.{name}`"
        if hint is None:
            hint = did_you_mean(name, [*_ROOTS, *use.items])
        named = sorted(use.items.keys() - {"index"})
        self.report.error(
            "AW108",
            reference.places[0],
            f"`{name}` is not defined here",
            hint or f"names are {', '.join((*_ROOTS, *named))}",
        )
        return False

    def _declared(self, reference: Reference, known: list[str], what: str) -> bool:
        if len(reference.path) < 2 or reference.path[1] is None or reference.path[1] in known:
            return True
        name = str(reference.path[1])
        if self.doubts.is_doubtful(str(reference.path[0]), name):
            return False  # the mistake is where it is declared
        hint = did_you_mean(name, known)
        listed = f"known: {', '.join(known)}" if known else f"no {what} is declared"
        self.report.error(
            "AW108", reference.places[1], f"there is no {what} `{name}`", hint or listed
        )
        return False

    def _answer(self, reference: Reference, trigger: Trigger) -> bool:
        """What the sender of a webhook is answered."""
        if reference.path[0] == "run":
            return self._declared(reference, list(ANSWER_FIELDS), "field of `run`")
        if waits(trigger):
            return self._declared(reference, list(self.workflow.outputs), "output")
        self.report.error(
            "AW108",
            reference.places[0],
            "`outputs` is not there before the run is over",
            "add `wait: 30s` to `respond`, or read `run.id`",
        )
        return False

    def _trigger(self, reference: Reference, use: Use) -> bool:
        if len(reference.path) < 2 or reference.path[1] == "type" or reference.guarded:
            return True
        if use.setting == "wait.match":
            return self._declared(reference, trigger_fields(EVENT_KINDS), "field of `trigger`")
        if self.workflow.triggers:
            some = [use.trigger] if use.trigger is not None else self.workflow.triggers
            fields = trigger_fields([one.type for one in some])
            return self._declared(reference, fields, "field of `trigger`")
        self.report.error(
            "AW115",
            reference.place,
            "this workflow has no triggers: only `trigger.type` can be read",
            "add `on:` to the frontmatter, or take the value as an input",
        )
        return False

    # -- steps ------------------------------------------------------------------------------------

    def _step(self, reference: Reference, use: Use) -> bool:
        if len(reference.path) < 2 or not isinstance(reference.path[1], str):
            self.report.error(
                "AW119",
                reference.place,
                "a step is read by its name, so that order and trust are known before the run",
                "write `steps.<id>.output`, or read the output of the group the steps are in",
            )
            return False
        name = reference.path[1]
        if name not in self.drafts:
            self.report.error(
                "AW103",
                reference.places[1],
                f"`{use.setting.partition('.')[0]}` refers to a step that does not exist",
                did_you_mean(name, self.drafts) or self._known_steps(),
            )
            return False
        if name not in use.visible and name not in use.earlier:
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

    def _known_steps(self) -> str | None:
        return f"steps are {', '.join(list(self.drafts)[:12])}" if self.drafts else None

    def _too_early(self, place: Place, name: str, use: Use) -> None:
        within = self._each_around(name)
        common = self._common_group(name, use.step)
        if within is not None and within in use.visible:
            hint = f"read the list of all items: `steps.{within}.output`"
            why = f"`{name}` runs once per item of `{within}`"
        elif name == use.step:
            why, hint = f"`{name}` is this very step", "read an earlier step"
        elif use.step and name in self._above(use.step):
            why, hint = f"this step is part of `{name}`", "read an earlier step"
        elif common is not None and common != use.step and self.drafts[common].step.final:
            why = f"`{name}` is `finally`: it runs after this step"
            hint = "read an earlier step"
        else:
            why = f"`{name}` has not certainly ended by then"
            hint = f"add `needs: [{common or name}]`, or move this step after it"
        self.report.error("AW109", place, why, hint)

    def _above(self, name: str) -> list[str]:
        """The groups around a step, from the inside."""
        found = []
        at = self.drafts[name].parent
        while at != ROOT:
            found.append(at)
            at = self.drafts[at].parent
        return found

    def _common_group(self, name: str, reader: str) -> str | None:
        """What of the line from a step outwards is a sibling of the reader or of what holds it."""
        if not reader:
            return None
        groups = {ROOT, *self._above(reader)}
        at = name
        while self.drafts[at].parent not in groups:
            at = self.drafts[at].parent
        return at if self.drafts[at].parent == self.drafts[reader].parent else None

    def _each_around(self, name: str) -> str | None:
        found = None
        for above in self._above(name):
            if self.drafts[above].step.each is not None:
                found = above
        return found

    # -- what may be null -------------------------------------------------------------------------

    def _maybe_null(self, reference: Reference, name: str, use: Use) -> None:
        """A field of an output that is null when its step was skipped, failed or never ran."""
        if not _is_field(reference):
            return
        because = self._null_because(name, use)
        if because is None or self._asks_about(use, name):
            return
        self.report.warning(
            "AW116",
            reference.place,
            f"the output of `{name}` is null when {because}, and this fails then",
            f"guard it: `steps.{name}.output | default({{}})`, or `if: steps.{name}.output`",
        )

    def _null_because(self, name: str, use: Use) -> str | None:
        """Why the output of a step may be null where it is read."""
        if name not in use.visible:
            return "this is the first round"
        around = {ROOT, use.step, *(self._above(use.step) if use.step else ())}
        asked = {
            part.strip()
            for at in around
            if at in self.drafts and (asks := self.drafts[at].step.condition) is not None
            for part in (asks.text, *asks.text.split(" and "))
        }
        at = name
        while at not in around:
            draft = self.drafts[at]
            same = draft.step.condition is not None and draft.step.condition.text.strip() in asked
            if may_be_null(draft.step) and not same:
                return "it is skipped or fails" if at == name else f"`{at}` is skipped or fails"
            parent = self.drafts.get(draft.parent)
            action = parent.step.action if parent is not None else None
            if (
                isinstance(action, Group)
                and action.enough is not None
                and draft.parent not in around
            ):
                return f"`{draft.parent}` has enough without it"
            if (
                draft.parent in around
                and not draft.step.final
                and self._is_final(use, draft.parent)
            ):
                return "a step before it fails"
            at = draft.parent
        return None

    def _is_final(self, use: Use, group: str) -> bool:
        """Whether the reader is, or is within, a final step of a group."""
        at = use.step
        while at != ROOT:
            if self.drafts[at].parent == group:
                return self.drafts[at].step.final
            at = self.drafts[at].parent
        return False

    def _asks_about(self, use: Use, name: str) -> bool:
        """Whether the `if` of a step, or of what is around it, looks at another step.

        In an `if` itself a field of the output is no guard of itself.
        """
        step = use.step
        while step != ROOT:
            draft = self.drafts[step]
            if draft.step.condition is not None and any(
                found.path[:2] == ("steps", name)
                and not (_is_field(found) and use.source is draft.step.condition)
                for found in self.readings.of(draft.step.condition)
            ):
                return True
            step = draft.parent
        return False


def _is_field(reference: Reference) -> bool:
    """Whether it is a field of an output that is read without a guard."""
    is_field = len(reference.path) >= _FIELD and reference.path[2] == "output"
    return is_field and not reference.guarded


_FIELD: Final = 4
"""How long the path of a field of an output is at least: `steps.a.output.x`."""

_LISTED: Final[Mapping[type, str]] = {
    Text: "split it: `… | lines` or `… | split(',')`",
    ObjectOf: "go through its fields: `… | entries`",
    Integer: "count up to it: `range(…)`",
}
