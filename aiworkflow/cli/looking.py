"""`runs inspect`: a run at any moment, as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiworkflow.cli.show import MARKS, cost_text, outputs_text, seconds_text
from aiworkflow.cli.where import Where
from aiworkflow.observe.record import times_text
from aiworkflow.records import record
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from aiworkflow.cli.out import Out
    from aiworkflow.engine.carried import Json
    from aiworkflow.observe.detail import Detail
    from aiworkflow.observe.eventline import Happened
    from aiworkflow.observe.inspection import Inspection, StepView
    from aiworkflow.observe.moment import Moment

_PEOPLE_SEE = 50
_OUTPUT_CHARS = 100


@record
class InspectRequest:
    """What `runs inspect` was asked for, as it stood on the command line."""

    run: str
    at: str | None
    step: str | None
    limit: int | None
    after: str | None
    events: int | None
    project: Where


def inspect_command(request: InspectRequest, out: Out) -> None:
    """Print a run, or one step of it, as it was at a moment."""
    from aiworkflow.client.looking import inspect_run, inspect_step_of
    from aiworkflow.observe.inspection import Page

    client = request.project.looking()
    try:
        if request.step is not None:
            events = 100 if request.events is None else request.events
            detail = inspect_step_of(
                client, request.run, request.step, at=request.at, events=events
            )
            out.object(detail.to_json())
            lines = _step_lines(detail, out)
        else:
            limit = request.limit or (1000 if out.json else _PEOPLE_SEE)
            found = inspect_run(
                client,
                request.run,
                at=request.at,
                page=Page(limit, request.after or ""),
                events=5 if request.events is None else request.events,
            )
            out.object(found.to_json())
            lines = run_lines(found, out)
        for line in () if out.json else lines:
            out.result(line)
    finally:
        client.close()


# -- a run ----------------------------------------------------------------------------------------


def run_lines(found: Inspection, out: Out) -> Iterable[str]:
    """A run at a moment, as lines for people."""
    yield from _head(found.moment, found.plan.title, found.status, found.last, out)
    if isinstance(found.inputs, dict) and found.inputs:
        yield from _values("inputs", found.inputs, out)
    if found.state:
        yield from _values("state", found.state, out)
    for path, values in found.branches.items():
        yield from _values(f"state of {path}", values, out)
    yield ""
    yield out.paint(f"steps ({found.total})" if found.total else "no step has begun", "bold")
    for step in found.steps:
        yield from _step_line(step, out)
    if found.next is not None:
        run = found.moment.state.started.run if found.moment.state.started else ""
        yield f"  … more: aiworkflow runs inspect {run} --at {found.moment.seq} --after {found.next}"
    yield from _open_lines(found, out)
    if found.undo:
        kept = " (kept: a failure goes back to the savepoint only)"
        words = [
            one.step + (" (failed)" if one.failed else "") + (kept if one.kept else "")
            for one in found.undo
        ]
        yield ""
        yield out.paint("would be undone, in this order", "bold")
        yield from _listed(words, found.undo_total)
    if found.stand:
        yield ""
        yield out.paint("effects with no undo, which would stand", "bold")
        yield from _listed(found.stand, found.stand_total)
    if found.moment.before:
        yield ""
        yield out.paint("events", "bold")
        started = found.moment.state.started
        begin = started.at if started is not None else 0.0
        yield from _events([*found.moment.before, *found.after], begin, found.moment.seq, out)


def _head(moment: Moment, title: str, status: str, last: int, out: Out) -> Iterable[str]:
    started = moment.state.started
    assert started is not None
    mark, style = MARKS.get(status, ("·", "dim"))
    yield steady(f"run {started.run}  {title}")
    rows = [("bundle", started.bundle), ("status", out.paint(f"{mark} {status}", style))]
    if started.name:
        rows.append(("name", started.name))
    trigger = ", ".join(f"{name} {_one_line(value)}" for name, value in started.trigger.items())
    rows.append(("started", f"{_iso(started.at)} by {started.actor} ({trigger or 'manual'})"))
    if started.commit:
        changes = ", with changes not committed" if started.dirty else ""
        rows.append(("commit", f"{started.commit[:12]}{changes}"))
    rows.append(("plan", started.digest[:12]))
    if started.copied:
        rows.append(("fork", f"{started.copied} events taken over"))
    used = [
        f"event {moment.seq} of {last}",
        _iso(moment.time),
        f"after {seconds_text(moment.seconds)}",
    ]
    if moment.resumes:
        used.append(f"resumed {times_text(moment.resumes)}")
    if moment.cost_usd:
        used.append(cost_text(moment.cost_usd))
    rows.append(("at", ", ".join(used)))
    for name, text in rows:
        yield f"  {name:8} {text if name == 'status' else steady(text)}"
    if moment.newer is not None:
        yield f"  event {moment.newer} is of a newer version of aiworkflow; what follows is before it"
    error = moment.state.root.error if moment.state.root is not None else None
    if error is not None:
        where = f" in `{error.step}`" if error.step else ""
        yield f"  {out.paint('error', 'red')}{where}: {steady(error.message)}"


def _step_line(step: StepView, out: Out) -> Iterable[str]:
    mark, style = MARKS.get(step.status, ("·", "dim"))
    words = [step.path, step.status.replace("_", " ")]
    tally = step.tally
    if step.visit > 1:
        words.append(f"visit {step.visit}")
    if tally is not None:
        if tally.attempts > 1:
            words.append(f"{tally.attempts} attempts")
        if tally.seconds:
            words.append(seconds_text(tally.seconds))
        if tally.agent:
            words.append(tally.agent)
        if tally.cost_usd is not None:
            words.append(cost_text(tally.cost_usd))
        if tally.source:
            words.append(f"reused from {tally.source}")
    if step.effect:
        words.append(step.effect)
    words += [f"{name} {value}" for name, value in step.more.items() if name in _TOLD]
    if step.error is not None and step.status != "succeeded":
        words.append(_one_line(step.error.message))
    elif step.output is not None:
        shown = step.output.start or step.output.value
        size = f" ({step.output.size:,} bytes)" if step.output.size else ""
        words.append(f"→ {_one_line(shown)}{size}")
    yield f"  {out.paint(mark, style)} {steady('  '.join(words))}"


_TOLD = frozenset({"because", "waits", "stopping", "undone", "count"})


def _open_lines(found: Inspection, out: Out) -> Iterable[str]:
    for status, (page, total) in found.open.items():
        if not page:
            continue
        yield ""
        yield out.paint(status.replace("_", " "), "bold")
        words = []
        for one in page:
            more = [one.kind] if one.kind else []
            if one.due is not None:
                more.append(f"until {_iso(one.due)}")
            if one.agreed:
                more.append(f"{', '.join(one.agreed)} agreed")
            if one.more:
                more.append(f"and {one.more:,} items after it")
            words.append(one.step + (f" ({', '.join(more)})" if more else ""))
        yield from _listed(words, total - sum(one.more for one in page))


def _listed(words: Sequence[str], total: int) -> Iterable[str]:
    for word in words:
        yield f"  {steady(word)}"
    if total > len(words):
        yield f"  … {total - len(words):,} more"


def _events(
    events: Sequence[tuple[int, Happened]], begin: float, here: int, out: Out
) -> Iterable[str]:
    from aiworkflow.observe.eventline import event_line, path_of, time_of, type_of

    for seq, event in events:
        pointer = out.paint(">", "cyan") if seq == here else " "
        words = [type_of(event), path_of(event), event_line(event)]
        text = steady("  ".join(word for word in words if word))
        yield f"{pointer} {seq:>6}  {time_of(event) - begin:+9.2f} s  {text}"


# -- a step ---------------------------------------------------------------------------------------


def _step_lines(detail: Detail, out: Out) -> Iterable[str]:
    step = detail.view
    started = detail.moment.state.started
    assert started is not None
    place = f"event {detail.moment.seq} of {detail.last}"
    yield steady(f"{step.path}  {detail.title}  ({detail.kind}, run {started.run}, {place})")
    yield from _step_line(step, out)
    if step.key:
        yield f"    key {step.key}"
    if step.error is not None:
        yield f"    {out.paint('error', 'red')} {step.error.kind}: {steady(step.error.message)}"
        if step.error.hint:
            yield f"    {out.paint('help', 'cyan')}: {steady(step.error.hint)}"
    for title, values in (("given", detail.arguments), ("to undo it", detail.undo)):
        if values:
            yield from _values(title, values, out)
    if isinstance(detail.spec, dict):
        yield from _values("asked", detail.spec, out)
    if detail.sees:
        yield from _values("state it sees", detail.sees, out)
    if detail.output is not None:
        yield from _block("output", detail.output, out)
    if detail.log:
        yield from _block("log", detail.log, out)
    if detail.moment.before:
        yield ""
        yield out.paint("events", "bold")
        yield from _events(list(detail.moment.before), started.at, detail.moment.seq, out)


def _values(title: str, values: Mapping[str, Json], out: Out) -> Iterable[str]:
    yield ""
    yield out.paint(title, "bold")
    for line in outputs_text(values).splitlines():
        yield f"  {steady(line)}"


def _block(title: str, value: Json, out: Out) -> Iterable[str]:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    yield ""
    yield out.paint(title, "bold")
    for line in text.rstrip("\n").split("\n"):
        yield f"  {steady(line)}"


def _one_line(value: Json) -> str:
    from aiworkflow.observe.eventline import short_json

    if isinstance(value, str):
        text = " ".join(value[: 2 * _OUTPUT_CHARS].split())
        return text if len(text) <= _OUTPUT_CHARS else f"{text[: _OUTPUT_CHARS - 1]}…"
    return short_json(value, _OUTPUT_CHARS)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
