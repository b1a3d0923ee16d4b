"""Breakpoints as people write them: `STEP`, or `STEP if CONDITION`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.expr import EvaluationError, Expression, parse_expression

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiworkflow.plan.graph import Plan

_WHERE: Final = re.compile(r"\s*(?P<step>\S+)(?:\s+if\s+(?P<condition>.*\S))?\s*", re.DOTALL)
_INDEX: Final = re.compile(r"\[\d+\]|#\d+")


def read_breaks(words: Iterable[str], plan: Plan) -> dict[str, str]:
    """Breakpoints by step; a condition is "" for always.

    Raises:
        UsageError: there is no such step, or a condition is no expression.
    """
    found: dict[str, str] = {}
    for word in words:
        match = _WHERE.fullmatch(word)
        if match is None:
            raise UsageError(
                f"`{word}` is no breakpoint", hint="write STEP, or `STEP if CONDITION`"
            )
        step, condition_ = match["step"], match["condition"] or ""
        last = _INDEX.sub("", step).rpartition(".")[2]
        if last not in plan.nodes:
            known = [one for one in plan.nodes if one]
            listed = f"its steps: {', '.join(known)}"
            raise UsageError(
                f"a breakpoint names the step `{step}`, which the workflow does not have",
                hint=did_you_mean(last, known) or listed,
            )
        if condition_:
            report = Report()
            if _parse(condition_, report) is None:
                problem = report.sorted()[0]
                raise UsageError(
                    f"the condition of the breakpoint at `{step}` cannot be read: {problem.message}",
                    hint=problem.hint,
                )
        found[step] = condition_
    return found


@lru_cache(maxsize=64)
def condition(text: str) -> Expression:
    """A condition that was read before. Raises EvaluationError where it is none."""
    found = _parse(text, Report())
    if found is None:
        raise EvaluationError("value", f"`{text}` is no expression", None)
    return found


def _parse(text: str, report: Report) -> Expression | None:
    return parse_expression(Fragment.of(text, "--break"), report)
