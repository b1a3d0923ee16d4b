"""Inputs of a run, checked against what the workflow declares; all that is wrong at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.expr import Schema, check, coerce, describe
from aiworkflow.jsontext import flaw_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.bundle.workflow import Field
    from aiworkflow.engine.carried import Json


class InputsInvalid(UsageError):
    """Some inputs are missing, unknown or of the wrong type; nothing was started.

    Attributes:
        problems: one line for each.
        one, many: what they are.
        how: how they are given.
    """

    code = "invalid-inputs"
    one, many, how = "an input", "inputs", "--input name=value or --inputs file.yaml"

    def __init__(self, workflow: str, problems: Sequence[str], fields: Sequence[Field]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  - {problem}" for problem in problems)
        count = self.one if len(problems) == 1 else f"{len(problems)} {self.many}"
        hint = _usage(fields, self.how)
        super().__init__(f"{count} of `{workflow}` cannot be used:\n{listed}", hint=hint)


class AnswerInvalid(InputsInvalid):
    """Some fields of an answer are missing, unknown or of the wrong type; nothing was written."""

    one, many, how = "a field", "fields", "--field name=value or --file answer.yaml"


def check_inputs(
    workflow: str,
    fields: Sequence[Field],
    given: Mapping[str, Json],
    texts: Mapping[str, str] | None = None,
    *,
    invalid: type[InputsInvalid] = InputsInvalid,
) -> dict[str, Json]:
    """The inputs of a run: what was given, and the defaults.

    Args:
        workflow: what they are for, as errors name it.
        given: values that have a type already.
        texts: values as text from a command line, turned into their declared types; these win.
        invalid: the error that is raised, which says what the values are.

    Raises:
        InputsInvalid: with every problem.
    """
    problems: list[str] = []
    values: dict[str, Json] = {}
    known = {field.name: field for field in fields}
    found: dict[str, Json] = dict(given)
    for name, text in (texts or {}).items():
        field = known.get(name)
        if field is None:
            found[name] = text  # reported as unknown below
            continue
        if flaw_of(text):  # what Python makes of such words
            problems.append(f"`{name}`: it is not UTF-8 text")
            found.pop(name, None)
            known.pop(name)
            continue
        try:
            found[name] = coerce(field.schema, text)
        except ValueError as error:
            problems.append(f"`{name}`: {error}")
            found.pop(name, None)
            known.pop(name)
    for name in found:
        if name not in known:
            hint = did_you_mean(name, [field.name for field in fields])
            problems.append(f"`{name}` is not {invalid.one}" + (f"; {hint}" if hint else ""))
    for name, field in known.items():
        if name in found:
            problems.extend(_misfits(name, field.schema, found[name]))
            values[name] = found[name]
        elif field.required:
            problems.append(f"`{name}` is required: {describe(field.schema)}")
        else:
            values[name] = field.default
    if problems:
        raise invalid(workflow, problems, fields)
    return values


def check_value(what: str, value: Json) -> None:
    """Refuse a value that no journal can hold.

    Args:
        what: what it is for, as a message begins with.

    Raises:
        UsageError: it is such a value.
    """
    flaw = flaw_of(value)
    if flaw:
        raise UsageError(f"{what} cannot be used: it {flaw}")


def _misfits(name: str, schema: Schema, value: Json) -> list[str]:
    flaw = flaw_of(value)
    if flaw:
        return [f"`{name}`: it {flaw}"]
    return [
        f"`{name}{''.join(f'[{part}]' if isinstance(part, int) else f'.{part}' for part in p.path)}`"
        f": {p.message}"
        for p in check(schema, value)
    ]


def _usage(fields: Sequence[Field], how: str) -> str:
    if not fields:
        return "this workflow takes no inputs"
    shown = ", ".join(
        f"{field.name}{'' if field.required else '?'}: {describe(field.schema)}" for field in fields
    )
    return f"it takes {shown}; give them as {how}"
