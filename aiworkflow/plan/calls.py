"""Calls of tools: the tool and its operation are there, and take what they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.builtins import BUILTINS
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.expr import Integer, ListOf, Nullable, Number, ObjectOf, Template, check, describe
from aiworkflow.plan.scopes import sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiworkflow.bundle.workflow import Field, Operation, Step, Tool, Value, Workflow
    from aiworkflow.diagnostics import Place, Report


class Calls:
    """Looks up tools and operations of one workflow, and reports what is not there."""

    def __init__(self, workflow: Workflow, report: Report) -> None:
        self.tools = workflow.tools
        self.report = report

    def tool(self, name: str, place: Place) -> Tool | None:
        """A built-in, or a script in tools/; None, and a finding, where there is neither."""
        found = BUILTINS.get(name) or self.tools.get(name)
        if found is None:
            known = [*self.tools, *BUILTINS]
            hint = did_you_mean(name, known) or f"tools are {', '.join(known)}"
            self.report.error("AW110", place, f"there is no tool `{name}`", hint)
        return found

    def operation(self, tool: Tool, verb: str, place: Place) -> Operation | None:
        """A declared operation of a tool; None, and a finding, where it has none of the name."""
        found = tool.operation(verb)
        if found is not None:
            return found
        verbs = [one for one in tool.operations if one]
        if verb:
            listed = f"it has {', '.join(verbs)}" if verbs else f"write `uses: {tool.name}`"
            self.report.error(
                "AW111",
                place,
                f"`{tool.name}` has no operation `{verb}`",
                did_you_mean(verb, verbs) or listed,
            )
        else:
            self.report.error(
                "AW111",
                place,
                f"`{tool.name}` has several operations",
                f"name one of {', '.join(verbs)}: `uses: {tool.name}.{verbs[0]}`",
            )
        return None

    def handed(self, tool: Tool, name: str, place: Place) -> Iterator[Operation]:
        """The operations that `tool`, `tool.*` or `tool.operation` hands to an agent."""
        _, _, verb = name.partition(".")
        if verb in {"", "*"} and tool.operations:
            found = list(tool.operations.values())
        elif tool.operations:
            one = self.operation(tool, verb, place)
            found = [] if one is None else [one]
        else:
            found = []
        unclear = [one for one in found if one.inputs is None]
        if unclear or not tool.operations:
            shown = f"{tool.name}.{unclear[0].name}" if unclear and unclear[0].name else name
            self.report.error(
                "AW114",
                place,
                f"an agent cannot be handed `{shown}`: tools.yaml does not say what it takes",
                "add its `inputs` to tools.yaml; `inputs: {}` where it takes nothing",
            )
        yield from found

    def check_arguments(
        self,
        step: Step,
        name: str,
        given: Mapping[str, Value],
        operation: Operation,
        setting: str,
    ) -> None:
        """Report arguments that an operation does not take, or needs and is not given."""
        if operation.inputs is None:
            return
        known = {field.name: field for field in operation.inputs}
        for argument, value in given.items():
            field = known.get(argument)
            if field is None:
                place = step.where.get(f"{setting}.{argument}@") or step.place
                hint = did_you_mean(argument, known) or f"it takes {', '.join(known) or 'nothing'}"
                self.report.error("AW112", place, f"`{name}` has no argument `{argument}`", hint)
            else:
                self._check_type(step, name, field, value, f"{setting}.{argument}")
        for argument, field in known.items():
            written = argument in given or step.where.get(f"{setting}.{argument}@") is not None
            if field.required and not written:  # what is there and unreadable was reported
                at = "undo.uses" if setting.startswith("undo") else "uses"
                self.report.error(
                    "AW113",
                    step.where.get(at) or step.place,
                    f"`{name}` needs the argument `{argument}`",
                    f"add `{argument}:` below `with`",
                )

    def _check_type(self, step: Step, name: str, field: Field, value: Value, where: str) -> None:
        """What is known before the run must fit."""
        found = misfit(field, value, f"`{name}`")
        if found is not None:
            self.report.error("AW127", step.where.get(where) or step.place, *found)


def misfit(field: Field, value: Value, whose: str) -> tuple[str, str] | None:
    """What is wrong with a value as far as it is known before the run, and a hint; None for nothing.

    Args:
        whose: what gives it, or takes it, as it is shown.
    """
    schema = field.schema.inner if isinstance(field.schema, Nullable) else field.schema
    if isinstance(value, Template):
        if isinstance(schema, Integer | Number | ListOf | ObjectOf):
            return (
                f"`{field.name}` of {whose} takes {describe(schema)}, and this is text",
                "a value that is one whole `{{ … }}` keeps its type",
            )
        return None
    if value is None or any(True for _ in sources(value)):
        return None
    problems = check(field.schema, value)  # type: ignore[arg-type]
    if not problems:
        return None
    return (
        f"`{field.name}` of {whose} does not fit: {problems[0].message}",
        f"it takes {describe(field.schema)}",
    )
