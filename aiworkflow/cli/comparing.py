"""`runs diff`: two runs beside each other, as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiworkflow.cli.show import seconds_text
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.engine.carried import Json
    from aiworkflow.observe.difference import Change, Difference, StepChange

_CONTEXT = 2
_LINES = 40


def diff_command(a: str, b: str, project: Where, out: Out) -> None:
    """Print what differs between two runs."""
    from aiworkflow.client.looking import compare_runs

    client = project.looking()
    try:
        found = compare_runs(client, a, b)
    finally:
        client.close()
    out.object(found.to_json())
    for line in () if out.json else _lines(found, out):
        out.result(line)


def _lines(found: Difference, out: Out) -> Iterable[str]:
    for mark, style, side in (("-", "red", found.a), ("+", "green", found.b)):
        head = side.head
        words = f"{mark} run {head['run']}  {head['bundle']}  {head['status']}"
        yield out.paint(steady(f"{words}  {seconds_text(side.moment.seconds)}"), style)
    if found.is_empty:
        yield f"no difference in {_steps(found.alike)}"
        return
    for title, changes in (("run", found.head), ("inputs", found.inputs), ("state", found.state)):
        if changes:
            yield ""
            yield out.paint(title, "bold")
            yield from _changes(changes, out)
    if found.steps:
        yield ""
        yield out.paint(f"{_steps(len(found.steps))}, {found.alike} alike", "bold")
    for step in found.steps:
        yield from _step(step, out)


def _step(step: StepChange, out: Out) -> Iterable[str]:
    if step.only:
        mark, style = ("-", "red") if step.only == "a" else ("+", "green")
        (status,) = step.changes
        word = status.a if step.only == "a" else status.b
        yield out.paint(steady(f"{mark} {step.path}  {word}"), style)
        return
    before, after = (seconds_text(one) for one in step.seconds)
    times = f"  {before} → {after}" if before != after else ""
    yield steady(f"~ {step.path}{times}")
    yield from _changes(step.changes, out)


def _changes(changes: Sequence[Change], out: Out) -> Iterable[str]:
    for one in changes:
        before, after = (_text(_words(one.name, value)) for value in (one.a, one.b))
        if before == after:  # of variables only the names are shown
            yield f"    {one.name}: values of environment variables differ (they are not shown)"
            continue
        if len(before) == len(after) == 1 and len(before[0]) + len(after[0]) < 90:
            yield steady(f"    {one.name}: {before[0]} → {after[0]}")
            continue
        yield f"    {one.name}:"
        yield from _hunks(before, after, out)


def _hunks(before: Sequence[str], after: Sequence[str], out: Out) -> Iterable[str]:
    import difflib

    shown = 0
    for line in difflib.unified_diff(before, after, lineterm="", n=_CONTEXT):
        if line.startswith(("---", "+++")) and shown == 0:
            continue
        if shown == _LINES:
            yield "      … more; all of it with --json"
            return
        shown += 1
        style = {"-": "red", "+": "green", "@": "cyan"}.get(line[:1])
        text = steady(f"      {line}")
        yield out.paint(text, style) if style else text


def _words(name: str, value: Json) -> Json:
    """An error as one line."""
    if name == "error" and isinstance(value, dict):
        return f"{value.get('kind')}: {value.get('message')}"
    return value


def _text(value: Json) -> list[str]:
    if value is None:
        return ["nothing"]
    if isinstance(value, str):
        return value.splitlines() or [""]
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True).splitlines()


def _steps(number: int) -> str:
    return "1 step" if number == 1 else f"{number} steps"
