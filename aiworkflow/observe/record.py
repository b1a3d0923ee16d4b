"""A run's record: Markdown that reads well in a pull request, with its facts as frontmatter."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiworkflow.dollars import usd_text
from aiworkflow.engine.carried import Json, Stored
from aiworkflow.observe.eventline import event_line, skipped_because
from aiworkflow.records import record
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from pathlib import Path

    import frontmatter

    from aiworkflow.engine import Ref
    from aiworkflow.journal import RunRow
    from aiworkflow.observe.progress import RunProgress, StepProgress

_MOST_ROWS = 200
_MOST_TEXT = 4_000
_MARKS = {
    "succeeded": "✓",
    "failed": "✗",
    "skipped": "–",
    "cancelled": "■",
    "in_doubt": "?",
    "running": "▶",
    "pending": "·",
}


@record
class RecordData:
    """What a record is made of.

    Attributes:
        load: gives the value of a reference.
        log: gives the kept log of an attempt by its digest.
        now: for runs that are not over, seconds since the epoch.
    """

    row: RunRow
    progress: RunProgress
    load: Callable[[Ref | None], Json]
    log: Callable[[str], str]
    now: float


def write_record(data: RecordData, folder: Path) -> Path:
    """Write the record as `<run>.md` into a folder, made if need be; it appears whole.

    Outputs too large for the text are put beside it, as `<run>.<output>.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{data.row.run}.md"
    building = folder / f".{data.row.run}.md.new"
    building.write_text(render_record(data, beside=folder), encoding="utf-8")
    building.replace(path)
    return path


def render_record(data: RecordData, *, beside: Path | None = None) -> str:
    """The record as Markdown with frontmatter.

    Args:
        beside: folder for outputs that are too large for the text; None leaves them in the journal.
    """
    import frontmatter

    row, progress = data.row, data.progress
    facts: dict[str, Json] = {
        "run": row.run,
        "name": (progress.started.name if progress.started is not None else "") or None,
        "bundle": row.bundle,
        "status": row.status,
        "started": _iso(row.started),
        "finished": _iso(row.finished) if row.finished is not None else None,
        "seconds": round(progress.seconds(data.now), 3),
        "cost_usd": round(row.cost_usd, 9),
        "commit": row.commit,
        "dirty": row.dirty,
        "digest": row.digest,
        "trigger": row.trigger,
        "actor": row.actor,
    }
    kept = {key: value for key, value in facts.items() if value is not None}
    text: str = frontmatter.dumps(_post("\n".join(_body(data, beside)), kept), sort_keys=False)
    return text.rstrip("\n") + "\n"


def _post(body: str, facts: Mapping[str, Json]) -> frontmatter.Post:
    import frontmatter

    post = frontmatter.Post(body)
    post.metadata.update(facts)
    return post


def times_text(count: int) -> str:
    """How often something was done."""
    return "once" if count == 1 else f"{count} times"


def header_lines(row: RunRow, progress: RunProgress) -> list[str]:
    """Who, when, of what: the head of `runs show`."""
    lines = [f"run {row.run}  {progress.root.title}", f"  bundle   {row.bundle}"]
    state = row.status if row.status != "running" else "running (or interrupted)"
    lines.append(f"  status   {state}")
    if progress.started is not None and progress.started.name:
        lines.append(f"  name     {progress.started.name}")
    lines.append(f"  started  {_iso(row.started)} by {row.actor} ({row.trigger})")
    if row.commit:
        dirty = ", with changes not committed" if row.dirty else ""
        lines.append(f"  commit   {row.commit[:12]}{dirty}")
    lines.append(f"  plan     {row.digest[:12]}")
    if progress.resumes:
        lines.append(f"  resumed  {times_text(progress.resumes)}")
    lines += [f"  went on  {_iso(one.at)} {event_line(one)}" for one in progress.replans]
    return lines


def _body(data: RecordData, beside: Path | None) -> list[str]:
    row, progress = data.row, data.progress
    mark = _MARKS.get(row.status, "")
    title = progress.root.title or row.bundle
    lines = [f"# {_inline(title)}: {mark} {row.status}", ""]
    started = progress.started
    if started is not None:
        inputs = data.load(started.inputs)
        if isinstance(inputs, Mapping) and inputs:
            lines += ["## Inputs", "", *_values(inputs, data, beside), ""]
    if progress.replans:
        lines += ["## Revisions", ""]
        lines += [f"- {_iso(one.at)} {_inline(event_line(one))}" for one in progress.replans]
        lines += [""]
    lines += ["## Steps", "", *_steps(progress), ""]
    if progress.root.error is not None:
        lines += _error(data)
    outputs = data.load(progress.root.output)
    if isinstance(outputs, Mapping) and outputs:
        lines += ["## Outputs", "", *_values(outputs, data, beside), ""]
    stored = _stored(progress)
    if stored:
        lines += ["## Kept apart", "", *stored, ""]
    return lines


def _values(values: Mapping[str, Json], data: RecordData, beside: Path | None) -> list[str]:
    lines: list[str] = []
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
        if "\n" not in text and len(text) <= 120:
            lines.append(f"- **{name}**: {_code(text)}")
            continue
        if len(text) > _MOST_TEXT:
            lines.append(f"- **{name}**: {_cut(name, text, data, beside)}")
            continue
        text = steady(text)
        fence = _fence(text)
        lines += [f"- **{name}**:", "", f"  {fence}", *_indent(text), f"  {fence}", ""]
    return lines


def _cut(name: str, text: str, data: RecordData, beside: Path | None) -> str:
    size = f"{len(text.encode()):,} bytes"
    if beside is None:
        return f"{size}; `aiworkflow runs show {data.row.run} --json` prints it"
    file = beside / f"{data.row.run}.{name}.json"
    try:
        json.loads(text)
    except ValueError:
        file = file.with_suffix(".txt")
    file.write_text(text + "\n", encoding="utf-8")
    return f"{size}, in [{file.name}]({file.name})"


def _steps(progress: RunProgress) -> list[str]:
    lines = ["| | step | time | attempts | agent | tokens | cost | |", "|-|-|-:|-:|-|-:|-:|-|"]
    rows = [step for step in progress.steps.values() if step.path]
    lines += ["| " + " | ".join(_row(step)) + " |" for step in rows[:_MOST_ROWS]]
    if len(rows) > _MOST_ROWS:
        lines.append(f"| | … {len(rows) - _MOST_ROWS} more | | | | | | |")
    return lines


def _row(step: StepProgress) -> tuple[str, ...]:
    tokens = step.input_tokens + step.output_tokens
    remark = ""
    if step.error is not None and step.status != "cancelled":
        remark = step.error.message.splitlines()[0][:120]
    elif step.status == "skipped":
        remark = skipped_because(step.because)
    elif step.count is not None:
        remark = f"{step.count} items"
    return (
        _MARKS.get(step.status, step.status),
        _code(step.path),
        f"{step.seconds:.1f} s" if step.ended is not None else "",
        str(step.attempts) if step.attempts else "",
        _inline(step.agent or ""),
        f"{tokens:,}" if tokens else "",
        usd_text(step.cost_usd) if step.cost_usd is not None else "",
        _inline(remark),
    )


def _error(data: RecordData) -> list[str]:
    error = data.progress.root.error
    assert error is not None
    where = f" in {_code(error.step)}" if error.step else ""
    lines = [f"## Error{where}", "", f"{error.kind}: {_inline(error.message)}", ""]
    step = data.progress.steps.get(error.step or "")
    if step is not None and step.log:
        text = steady(data.log(step.log)[-_MOST_TEXT:]).rstrip("\n")
        fence = _fence(text)
        lines += ["The end of its log:", "", fence, text, fence, ""]
    return lines


def _stored(progress: RunProgress) -> list[str]:
    lines = []
    for step in progress.steps.values():
        if isinstance(step.output, Stored):
            digest = step.output.digest
            lines.append(
                f"- output of {_code(step.path or 'run')}: {step.output.size:,} bytes, `{digest}`"
            )
    return lines[:_MOST_ROWS]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _flat(text: str) -> str:
    """Text that stays in its line, each blank of it kept."""
    return steady(text).replace("\n", " ").replace("\t", " ")


def _inline(text: str) -> str:
    """Text that cannot become markup or leave its table cell."""
    cleaned = _flat(text)
    for character in "\\`*_[]<>|":
        cleaned = cleaned.replace(character, "\\" + character)
    return cleaned


def _code(text: str) -> str:
    cleaned = _flat(text).replace("|", "\\|")
    if not cleaned:
        return "``` ```"
    ticks = "`" * (_longest_run(cleaned) + 1)
    pad = " " if cleaned.startswith("`") or cleaned.endswith("`") else ""
    return f"{ticks}{pad}{cleaned}{pad}{ticks}"


def _fence(text: str) -> str:
    return "`" * max(3, _longest_run(text) + 1)


def _longest_run(text: str) -> int:
    longest = current = 0
    for character in text:
        current = current + 1 if character == "`" else 0
        longest = max(longest, current)
    return longest


def _indent(text: str) -> list[str]:
    return [f"  {line}".rstrip() for line in text.rstrip("\n").split("\n")]
