"""A run as it goes: a live tree on a terminal, plain lines elsewhere. On standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiworkflow.cli.show import ended_line, started_line, step_text, warning_line
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from aiworkflow.cli.out import Out
    from aiworkflow.client.run import Run
    from aiworkflow.observe import RunProgress, StepProgress

_TAIL_LINES = 4
_REFRESH_PER_S = 8


async def follow(run: Run, out: Out) -> None:
    """Show a run until it is at rest."""
    if out.quiet:
        async for _ in run.events():
            pass
    elif out.colour_err and sys.stderr.isatty() and not out.json:
        await _follow_live(run)
    else:
        await _follow_lines(run, out)


async def _follow_lines(run: Run, out: Out) -> None:
    from aiworkflow.engine.events import RunResumed, Undoable, Undoing, Warned
    from aiworkflow.observe import RunProgress

    progress = RunProgress(run.plan_at)
    epoch = run.epoch
    # what was done before this command took the run up was told then
    is_past = epoch > 1 or run.past > 0
    has_begun = False
    async for seq, event in run.events():
        if seq == 1 and not is_past:
            out.note(f"run {run.id}  {run.plan.name}")
        step = progress.apply(event)
        if is_past:
            has_begun = has_begun or (step is not None and step.path != "")
            is_past = (
                seq < run.past
                if run.past
                else not (isinstance(event, RunResumed) and event.epoch == epoch)
            )
            if not is_past:  # one that was only submitted begins here
                out.note(f"run {run.id}  {run.plan.name}{'  goes on' if has_begun else ''}")
            continue
        if isinstance(event, Warned):
            out.note(warning_line(event))
        if step is None or step.path == "" or isinstance(event, Undoable | Undoing | Warned):
            continue
        if step.status == "running":
            if out.verbose and step.form == "leaf":
                out.note(started_line(step))
        elif step.status != "pending" and step.round is None:
            out.note(ended_line(step, out, event.at))
            if step.status == "failed" and step.log and step.form == "leaf":
                for line in run.log(step.log).splitlines()[-_TAIL_LINES:]:
                    out.note(f"      {line}")


async def _follow_live(run: Run) -> None:
    from rich.console import Console
    from rich.live import Live

    from aiworkflow.observe import RunProgress

    progress = RunProgress(run.plan_at)
    console = Console(stderr=True, highlight=False)
    tree = _Tree(run, progress)
    with Live(tree, console=console, refresh_per_second=_REFRESH_PER_S, transient=True):
        async for _, event in run.events():
            progress.apply(event)
    console.print(_Tree(run, progress, whole=True))


class _Tree:
    """The steps of a run with state, time and cost, and the tail of what the running ones log."""

    def __init__(self, run: Run, progress: RunProgress, *, whole: bool = False) -> None:
        self._run = run
        self._progress = progress
        self._whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        import time

        from rich.text import Text

        height = 10_000 if self._whole else max(5, options.size.height - 2)
        lines: list[Text] = []
        title = steady(self._progress.root.title or self._run.id)
        lines.append(Text.assemble((title, "bold"), ("  " + self._run.id, "dim")))
        now = time.time()
        for depth, step in _shown(self._progress.root, 0):
            mark, style, text = step_text(step, now)
            line = Text("  " * depth)
            line.append(f"{mark} ", style)
            line.append(steady(text), "" if step.status != "pending" else "dim")
            lines.append(line)
            if step.status == "running" and step.form == "leaf" and not self._whole:
                tail = self._run.logs.tail(step.path, step.visit, step.attempt)
                lines.extend(
                    Text("  " * (depth + 1) + "│ " + row, "dim")
                    for row in steady(tail).splitlines()[-_TAIL_LINES:]
                )
        if len(lines) > height:
            head = lines[: height // 2]
            tail_lines = lines[len(lines) - (height - len(head) - 1) :]
            cut = len(lines) - len(head) - len(tail_lines)
            lines = [*head, Text(f"  … {cut} more lines …", "dim"), *tail_lines]
        for line in lines:
            line.no_wrap = True
            line.overflow = "ellipsis"
            yield line


_MANY = 12


def _shown(step: StepProgress, depth: int) -> list[tuple[int, StepProgress]]:
    """The steps to show; of many items, the first, the last and what is not done."""
    rows: list[tuple[int, StepProgress]] = []
    children = [child for child in step.children if not child.path.endswith("/join")]
    if len(children) > _MANY and step.form in {"each", "until"}:
        edge = {id(child) for child in (*children[:2], *children[-2:])}
        children = [
            child
            for child in children
            if id(child) in edge or child.status not in {"succeeded", "skipped", "pending"}
        ][:_MANY]
    for child in children:
        rows.append((depth + 1, child))
        rows.extend(_shown(child, depth + 1))
    return rows
