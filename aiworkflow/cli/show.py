"""Runs as text: lines, tables, outputs, and the commands that print them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiworkflow.cli.out import wrapped
from aiworkflow.cli.where import Where
from aiworkflow.dollars import usd_text
from aiworkflow.steady import columns, steady

if TYPE_CHECKING:
    from aiworkflow.cli.out import Out
    from aiworkflow.client.result import RunResult
    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.events import Warned
    from aiworkflow.observe import StepProgress

# status → mark and style
MARKS: Mapping[str, tuple[str, str]] = {
    "pending": ("·", "dim"),
    "running": ("▶", "blue"),
    "waiting": ("⏸", "yellow"),
    "succeeded": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
    "cancelled": ("■", "yellow"),
    "in_doubt": ("?", "yellow"),
    "queued": ("·", "dim"),
    "rolled_back": ("↶", "yellow"),
}


def seconds_text(seconds: float) -> str:
    """A time as people say it: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 4 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def cost_text(cost: float | None) -> str:
    """US dollars; empty where nothing was priced."""
    return "" if cost is None else usd_text(cost)


def step_text(step: StepProgress, now: float) -> tuple[str, str, str]:
    """Mark, style and words of a step in a tree."""
    mark, style = MARKS.get(step.status, ("·", "dim"))
    words = [step.label.lstrip("/")]
    if step.title and step.round is None and (step.tool or not step.label.startswith(("[", "/"))):
        words.append(steady(step.title) if step.tool else step.title)
    if step.form == "each" and step.count is not None:
        done = sum(child.status != "running" for child in step.children)
        words.append(f"({done} of {step.count})")
    if step.status == "running" and step.started is not None:
        words.append(seconds_text(max(0.0, now - step.started)))
    elif step.status in {"succeeded", "failed", "cancelled", "in_doubt"}:
        words.append(seconds_text(step.seconds))
    elif step.status == "waiting":
        words.append(_waiting_words(step, now))
    words.extend(_extras(step))
    return mark, style, "  ".join(words)


def _waiting_words(step: StepProgress, now: float) -> str:
    left = seconds_text(max(0.0, step.due - now)) if step.due else ""
    match step.waits:
        case "":
            return f"again in {left}"
        case "timer":
            return f"waits {left}"
        case "event":
            return "waits for an event"
        case "ask":
            return "waits for an answer"
        case "child":
            return "its run waits"
        case "call":
            return "a call of its agent waits"
        case "budget":
            return "waits for a higher budget"
        case "break":
            return "stopped at a breakpoint"
        case _:
            return "waits for approval"


def _extras(step: StepProgress) -> list[str]:
    words = []
    if step.agent:
        words.append(step.agent)
    if step.chosen:
        words.append(f"({step.chosen})")
    if step.input_tokens or step.output_tokens:
        words.append(f"{step.input_tokens}+{step.output_tokens} tokens")
    if step.cost_usd is not None:
        words.append(cost_text(step.cost_usd))
    if step.source is not None:
        words.append(f"reused from {step.source}")
    if step.attempts > 1:
        words.append(f"{step.attempts} attempts")
    if step.status == "skipped":
        from aiworkflow.observe.eventline import skipped_because

        why = "" if step.because == "if" else f": {skipped_because(step.because)}"
        words.append(f"skipped{why}")
    if step.error is not None and step.status in {"failed", "in_doubt", "waiting"}:
        words.append(step.error.message.splitlines()[0])
    return words


def started_line(step: StepProgress) -> str:
    """A step that begins, without a terminal."""
    return f"  {MARKS['running'][0]} {_address(step)}"


def _address(step: StepProgress) -> str:
    """Where it is, and of a call what it calls; that came from an agent."""
    return steady(f"{step.path}  {step.title}") if step.tool else step.path


def ended_line(step: StepProgress, out: Out, now: float) -> str:
    """A step that ended, or waits as of now, without a terminal."""
    mark, style = MARKS.get(step.status, ("·", "dim"))
    words = [_address(step)]
    if step.status == "waiting":
        words.append(_waiting_words(step, now))
    elif step.status != "skipped":
        words.append(seconds_text(step.seconds))
    words.extend(_extras(step))
    return f"  {out.paint(mark, style, err=True)} {'  '.join(words)}"


def warning_line(event: Warned) -> str:
    """A budget that is nearly used up."""
    whose = f"`{event.path}`" if event.path else "the run"
    if event.unit == "usd":
        return f"  ! {whose} has spent {usd_text(event.spent)} of its budget of ${event.bound:g}"
    unit = "s" if event.unit == "seconds" else event.unit
    return f"  ! {whose} has used {event.spent:,.0f} of its budget of {event.bound:,.0f} {unit}"


def summary_line(result: RunResult, out: Out) -> str:
    """The last line about a run."""
    mark, style = MARKS.get(result.status, ("·", "dim"))
    words = [f"{result.status}", f"run {result.run}", seconds_text(result.seconds)]
    if result.unknown_price:
        known = f"at least {usd_text(result.cost_usd)}" if result.cost_usd else "cost unknown"
        words.append(known)
    elif result.cost_usd:
        words.append(cost_text(result.cost_usd))
    return f"{out.paint(f'{mark} {words[0]}', style, 'bold', err=True)}  {'  '.join(words[1:])}"


def waiting_lines(run: str, wait: Mapping[str, Json]) -> list[str]:
    """What a run waits for, and the command that goes on."""
    from aiworkflow.client.views import iso

    step = str(wait["step"])
    until = wait.get("until")
    by = f" until {iso(until)[:19]}Z" if isinstance(until, int | float) else ""
    match wait["kind"]:
        case "in_doubt":
            back = "|undo" if wait.get("undo") else ""
            happened = "was interrupted"
            if wait.get("because") == "restored":
                happened = "may have run without the journal knowing it"
            return [
                f"in doubt: `{step}` {happened}, and nobody knows whether it took effect",
                f"settle it: aiworkflow runs resolve {run} {step} done|redo|failed{back}",
            ]
        case "budget":
            short = f": {wait['message']}" if wait.get("message") else ""  # older runs do not say
            return [
                f"`{step}` waits for a higher budget{short}",
                f"raise it: aiworkflow runs resume {run} --budget usd=… (or tokens=…, seconds=…)",
            ]
        case "break":
            return [
                f"stopped before `{step}`",
                f"look at it: aiworkflow runs inspect {run}",
                f"go on: aiworkflow runs continue {run}/{step}   (--step, --skip, --set NAME=JSON)",
            ]
        case "child":
            return [
                f"`{step}` waits for run {wait.get('run')}{by}",
                f"see what for: aiworkflow runs show {wait.get('run')}",
            ]
        case "timer":
            return [f"`{step}` waits{by}", "go on when it is time: aiworkflow runs wake"]
        case "event":
            return [
                f"`{step}` waits for an event{by}",
                f"deliver it: aiworkflow runs signal {run} {wait.get('event', 'NAME')} --data JSON",
            ]
        case "ask":
            return [
                f"`{step}` asks a question{by}",
                f"look at it: aiworkflow approvals show {run}/{step}",
                f"answer it: aiworkflow runs answer {run}/{step} --field NAME=VALUE",
            ]
        case _:
            agreed = ""
            if "quorum" in wait:
                agreed = f" ({wait['agreed']} of {wait['quorum']} have agreed)"
            return [
                f"`{step}` waits for approval{by}{agreed}",
                f"look at it: aiworkflow approvals show {run}/{step}",
                f"agree: aiworkflow approvals approve {run}/{step}",
            ]


def standing_lines(result: RunResult) -> list[str]:
    """What a roll-back did not take back; nothing where none was tried, or all of it is."""
    if not result.standing:
        return []
    return ["not taken back, their effect stands:", *(f"  {path}" for path in result.standing)]


def outputs_text(outputs: Mapping[str, Json]) -> str:
    """Outputs for people: one line each where it fits, a block where it does not."""
    lines = []
    for name, value in outputs.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
        if "\n" in text:
            lines.append(f"{name}:")
            lines.extend(f"  {line}" for line in text.rstrip("\n").splitlines())
        else:
            lines.append(f"{name}: {text}")
    return "\n".join(lines)


def table(rows: Sequence[Sequence[str]], head: Sequence[str], *, right: Sequence[int] = ()) -> str:
    """A plain table: columns as wide as their widest cell.

    On a terminal the last one goes on below itself where a line is full; else it is as it is.

    Args:
        rows: of text from anywhere.
        right: the columns whose cells end below each other: numbers.
    """
    cells = [[steady(cell).replace("\n", " ").replace("\t", " ") for cell in row] for row in rows]
    cells.insert(0, [*head])
    widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]
    indent = sum(widths[:-1]) + 2 * (len(head) - 1)
    last = len(head) - 1
    lines = []
    for row in cells:
        words = []
        for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blanks = " " * (width - columns(cell))
            if number == last and number not in right:
                words.append(wrapped(cell, indent))
            else:
                words.append(blanks + cell if number in right else cell + blanks)
        lines.append("  ".join(words).rstrip())
    return "\n".join(lines)


# -- commands -------------------------------------------------------------------------------------


def list_runs(
    project: Where,
    status: Sequence[str],
    bundle: str | None,
    limit: int,
    before: str | None,
    out: Out,
) -> None:
    """Print a page of runs."""
    client = project.looking()
    try:
        found = client.views.runs(status=status, bundle=bundle, limit=limit, before=before)
    finally:
        client.close()
    out.object(found)
    shown = cast("list[dict[str, Json]]", found["runs"])
    if out.json:
        return
    if not shown:
        is_any = not status and bundle is None and before is None
        nothing = "no runs yet; start one: aiworkflow bundle run BUNDLE"
        out.say(nothing if is_any else "no runs like that; all of them: aiworkflow runs list")
        return
    rows = [
        (
            str(row["run"]),
            "interrupted"
            if row["interrupted"]
            else str(row["status"]) + _imported(row["imported"]),
            str(row["started"])[:19].replace("T", " "),
            seconds_text(float(str(row["seconds"]))),
            cost_text(row["cost_usd"] or None),  # type: ignore[arg-type]  # a number or None
            str(row["bundle"]),
        )
        for row in shown
    ]
    out.result(table(rows, ("RUN", "STATUS", "STARTED (UTC)", "TIME", "COST", "BUNDLE")))
    if found["next"] is not None:
        out.say(f"older runs: aiworkflow runs list --before {found['next']}")


def _imported(is_it: object) -> str:
    return ", imported" if is_it else ""


def show_run(project: Where, run: str, out: Out) -> None:
    """Print one run: who, when, of what, and the tree of its steps."""
    client = project.looking()
    try:
        if out.json:
            out.object(client.views.run(run))
            return
        standing = client.views.standing(run)
        found = client.run(str(standing["run"]))
        result = found.look()
        worktree = client.worktree_of(found.id)
        from aiworkflow.observe.record import header_lines

        progress = found.progress()
        for line in header_lines(client.journal.run(found.id), progress):
            out.result(line)
        out.result("")
        now = client.project.clock.now().timestamp()
        for depth, step in tree_rows(progress.root):
            mark, style, text = step_text(step, now)
            out.result(f"{'  ' * depth}{out.paint(mark, style)} {text}")
        if result.error is not None:
            where = f" in `{result.error.step}`" if result.error.step else ""
            out.result(f"\n{out.paint('error', 'red')}{where}: {result.error.message}")
            if result.error.hint:
                out.result(f"{out.paint('help', 'cyan')}: {result.error.hint}")
        waits = () if standing["imported"] else result.waiting_for
        if waits:
            out.result("")
        for wait in waits:
            for line in waiting_lines(result.run, wait):
                out.result(line)
        if result.standing:
            out.result("\n" + "\n".join(standing_lines(result)))
        if result.outputs:
            out.result("\n" + outputs_text(result.outputs))
        if worktree is not None:
            out.result(f"\nits worktree: {worktree}")
        if standing["imported"]:
            out.result("\nimported from another project; it can be looked at and forked here")
        if standing["interrupted"]:
            undone = progress.is_being_undone
            what = " while it was taken back; go on with that" if undone else "; go on with"
            out.result(f"\ninterrupted{what}: aiworkflow runs resume {found.id}")
    finally:
        client.close()


def tree_rows(step: StepProgress, depth: int = 0) -> list[tuple[int, StepProgress]]:
    """Every step below, with its depth."""
    rows: list[tuple[int, StepProgress]] = []
    for child in step.children:
        rows.append((depth, child))
        rows.extend(tree_rows(child, depth + 1))
    return rows


def show_log(project: Where, run: str, step: str | None, record: str | None, out: Out) -> None:
    """Print a run's record, or the log of a step."""
    from aiworkflow.cli.given import check_folder
    from aiworkflow.observe.record import write_record

    check_folder(record)
    client = project.looking()
    try:
        if step is None:
            if record is not None:
                found = client.run(run)
                path = write_record(found.data(), Path(record))
                out.object({"run": found.id, "record": str(path)})
                out.result(str(path))
                return
            shown = client.views.record(run)
            out.object(shown)
            out.result(str(shown["record"]))
            return
        shown = client.views.log(run, step)
        out.object(shown)
        out.result(str(shown["log"]) or f"step `{step}` logged nothing")
    finally:
        client.close()
