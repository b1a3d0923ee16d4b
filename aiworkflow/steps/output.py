"""From standard output, or the value of a built-in, to a step's output in its declared form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Output, OutputForm
from aiworkflow.expr import check, describe
from aiworkflow.jsontext import NotJson, flaw_of, strict_json
from aiworkflow.steps.contract import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.bundle.workflow import Json

_HINT = "print nothing but the result to standard output; notes go to standard error"


def parse_output(stdout: bytes, output: Output) -> Json:
    """The output of a program.

    Args:
        stdout: all it wrote to standard output.
        output: the declared form.

    Raises:
        StepError: `output`: it is not what was declared.
    """
    text = _decoded(stdout)
    match output.form:
        case OutputForm.TEXT:
            return _without_newline(text)
        case OutputForm.LINES:
            return _lines(text)
        case OutputForm.AUTO:
            return _guessed(text)
        case OutputForm.JSON | OutputForm.SCHEMA:
            value = _json_of(text, output)
            _check_schema(value, output, "standard output")
            return value


def shape_output(value: Json, output: Output) -> Json:
    """The output of an operation that has a value rather than text.

    Raises:
        StepError: `output`: it is not what was declared.
    """
    match output.form:
        case OutputForm.TEXT:
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        case OutputForm.LINES:
            if not isinstance(value, str):
                raise StepError("output", "the result is no text, and so has no lines")
            return _lines(value)
        case OutputForm.AUTO | OutputForm.JSON:
            return value
        case OutputForm.SCHEMA:
            _check_schema(value, output, "the result")
            return value


def _decoded(stdout: bytes) -> str:
    try:
        return stdout.decode()
    except UnicodeDecodeError as error:
        line = stdout.count(b"\n", 0, error.start) + 1
        raise StepError(
            "output",
            f"standard output is not UTF-8: byte 0x{stdout[error.start]:02x} at offset"
            f" {error.start} (line {line})",
            hint="write binary data to a file, or print it as base64",
        ) from None


def _without_newline(text: str) -> str:
    """Text with one final newline removed, as a shell's `$(…)` does it, but one only."""
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def _lines(text: str) -> Json:
    if not text:
        return []
    return [line.removesuffix("\r") for line in _without_newline(text).split("\n")]


def _guessed(text: str) -> Json:
    """JSON where it is an object or a list, else text."""
    bare = text.strip()
    if bare[:1] + bare[-1:] in {"{}", "[]"}:
        try:
            value = strict_json(bare)
        except NotJson:
            return _without_newline(text)
        if isinstance(value, dict | list):
            return value
    return _without_newline(text)


def _json_of(text: str, output: Output) -> Json:
    wanted = "JSON" if output.schema is None else f"JSON that fits {describe(output.schema)}"
    if not text.strip():
        raise StepError("output", f"standard output is empty; declared is {wanted}", hint=_HINT)
    try:
        return strict_json(text.removeprefix("\ufeff"))
    except NotJson as error:
        text = f"standard output is not JSON: {error}; declared is {wanted}"
        raise StepError("output", text, hint=_HINT) from None


def _check_schema(value: Json, output: Output, what: str) -> None:
    if output.schema is None:
        return
    problems = check(output.schema, value)
    if problems:
        raise StepError("output", f"{what} does not fit what is declared: {_listed(problems)}")


def _listed(problems: Sequence[object]) -> str:
    shown = "; ".join(str(problem) for problem in problems[:5])
    more = len(problems) - 5
    return f"{shown}; and {more} more" if more > 0 else shown


def check_output(value: Json) -> None:
    """Refuse a value that no journal can hold: programs and servers say what JSON does not know.

    Raises:
        StepError: `output`: a number that is none or has no end, half a surrogate pair, or it is
            nested too deeply.
    """
    flaw = flaw_of(value)
    if flaw:
        raise StepError("output", f"the output {flaw}")
