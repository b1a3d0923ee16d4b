"""The input lines of a batch: read, checked all together before anything starts."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from aiworkflow.client.inputs import InputsInvalid, check_inputs
from aiworkflow.errors import UsageError
from aiworkflow.jsontext import NotJson, strict_json
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiworkflow.bundle.workflow import Field
    from aiworkflow.engine.carried import Json

_SHOWN = 20
_NAME = re.compile(r"`([^`.\[]+)")


@record
class LineProblem:
    """What is wrong with a line; `line` and `column` count from 1."""

    line: int
    column: int
    message: str


@record
class Given:
    """A line as it came.

    Attributes:
        number: its place among the lines, from 1; empty lines count, though they are no inputs.
        text: as it stands in the file, without the line feed; "" where there is no file.
        inputs: its object; None where there is a problem.
    """

    number: int
    text: str
    inputs: Mapping[str, Json] | None
    problem: LineProblem | None = None


@record
class Line:
    """A line that was checked.

    Attributes:
        digest: of what the line says, so that another batch knows it again.
        inputs: the inputs of its run, defaults included; None where it has problems.
    """

    number: int
    text: str
    digest: str
    inputs: Mapping[str, Json] | None
    problems: Sequence[LineProblem] = ()


class BatchInvalid(UsageError):
    """Some input lines cannot be used; nothing was started.

    Attributes:
        problems: everything that was found, in the order of the lines.
    """

    code = "invalid-inputs"

    def __init__(self, problems: Sequence[LineProblem], where: str) -> None:
        self.problems = tuple(problems)
        shown = "\n".join(f"  {where}:{p.line}:{p.column}: {p.message}" for p in problems[:_SHOWN])
        more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        lines = len({one.line for one in problems})
        count = "a line" if lines == 1 else f"{lines} lines"
        super().__init__(
            f"{count} of {where} cannot be used; nothing was started:\n{shown}{more}",
            hint="mend them, or leave them out with --skip-invalid",
        )


def read_lines(data: bytes) -> list[Given]:
    """The lines of a JSON Lines file; a line with a mistake comes with its problem.

    Lines end with a line feed and with nothing else: a text may hold any other separator.
    """
    found = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            text = raw.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            column = len(raw[: error.start].decode("utf-8")) + 1
            problem = LineProblem(number, column, "it is not UTF-8 text")
            found.append(Given(number, raw.decode("utf-8", "replace"), None, problem))
            continue
        if text.strip():
            found.append(_read_line(number, text))
    return found


def given_lines(inputs: Iterable[Mapping[str, Json] | Given]) -> list[Given]:
    """Inputs from a program, as lines numbered from 1; lines are lines already."""
    return [
        one if isinstance(one, Given) else Given(number, "", one)
        for number, one in enumerate(inputs, 1)
    ]


def _read_line(number: int, text: str) -> Given:
    try:
        value = strict_json(text)
    except NotJson as error:
        column, message = error.column, f"it is not JSON: {error.why}"
    else:
        if isinstance(value, dict):
            return Given(number, text, value)
        column = len(text) - len(text.lstrip()) + 1
        message = 'it is no object: each line needs one, such as {"name": "Ada"}'
    return Given(number, text, None, LineProblem(number, column, message))


def check_lines(
    lines: Iterable[Given],
    workflow: str,
    fields: Sequence[Field],
    *,
    base: Mapping[str, Json] | None = None,
    texts: Mapping[str, str] | None = None,
) -> list[Line]:
    """All lines against what the workflow declares.

    Args:
        base: inputs for every line that does not say them itself.
        texts: the same, as text of a command line; these win over `base`.
    """
    return [_check_line(one, workflow, fields, base or {}, texts or {}) for one in lines]


def _check_line(
    given: Given,
    workflow: str,
    fields: Sequence[Field],
    base: Mapping[str, Json],
    texts: Mapping[str, str],
) -> Line:
    number, text = given.number, given.text
    if given.problem is not None or given.inputs is None:
        problems = [given.problem] if given.problem is not None else []
        return Line(number, text, "", None, problems)
    own = given.inputs
    try:
        digest = _digest(own)
    except (TypeError, ValueError) as error:
        message = f"it is no plain data: {error}"
        return Line(number, text, "", None, [LineProblem(number, 1, message)])
    said = {name: value for name, value in texts.items() if name not in own}
    try:
        inputs = check_inputs(workflow, fields, {**base, **own}, said)
    except InputsInvalid as error:
        problems = [LineProblem(number, _column(text, one), one) for one in error.problems]
        return Line(number, text, digest, None, problems)
    return Line(number, text, digest, inputs)


def _digest(inputs: Mapping[str, Json]) -> str:
    text = json.dumps(dict(inputs), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _column(text: str, problem: str) -> int:
    """Where the input that a problem names stands in the line; 1 where it does not."""
    name = _NAME.match(problem)
    return max(0, text.find(json.dumps(name.group(1), ensure_ascii=False)) if name else 0) + 1
