"""`run --batch`: one run for each line of inputs; results as JSON lines, in their order."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from aiworkflow.cli.given import whole
from aiworkflow.cli.streams import NotWritten
from aiworkflow.dollars import usd_text
from aiworkflow.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_WAITING,
    UsageError,
)
from aiworkflow.records import record
from aiworkflow.steady import steady_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.running import RunRequest
    from aiworkflow.client.batch import Batch
    from aiworkflow.client.batch_lines import Given
    from aiworkflow.client.batch_result import BatchReport, BatchResult, Earlier
    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked
    from aiworkflow.engine.carried import Json

_SAY_EVERY_S = 1.0
_WIDEST = 1000


@record
class BatchRequest:
    """What `run --batch` was asked for beside the run itself.

    Attributes:
        lines: file of inputs, or `-`.
        output, failures: files for results, and for the input lines of what did not succeed.
        again: results file or id of the batch that is taken up again.
    """

    lines: str
    max_parallel: str | None
    output: str | None
    failures: str | None
    again: str | None
    skip_invalid: bool
    dry_run: bool


def run_batch(request: RunRequest, batch: BatchRequest, out: Out) -> int:
    """Start a run for each line, and print what came of each."""
    import asyncio

    if request.record is not None:
        raise UsageError(
            "--record is for one run, not for a batch",
            hint="set `records:` in .aiworkflow/config.yaml, and every run writes its record there",
        )
    if request.breaks:
        raise UsageError("--break is for one run, not for a batch", hint="run one line alone")
    if batch.lines == "-" and request.inputs_file == "-":
        raise UsageError("--batch and --inputs cannot both be read from standard input")
    output = _Output(batch)
    try:
        return asyncio.run(_run(request, batch, output, out))
    except asyncio.CancelledError:  # the second Ctrl-C; it has been said
        message = "stopped at once; the batch can be taken up again"
        out.object({"error": {"code": "interrupted", "message": message, "hint": None}})
        return EXIT_INTERRUPTED
    finally:
        output.close()


async def _run(request: RunRequest, asked: BatchRequest, output: _Output, out: Out) -> int:
    from aiworkflow.cli.bounding import agree_to_cost
    from aiworkflow.cli.checking import say_unfit
    from aiworkflow.cli.given import overrides
    from aiworkflow.cli.running import interrupts
    from aiworkflow.cli.where import connect

    async with connect(request.project) as client:
        checked = client.project.check(request.bundle, overrides(request.agent, request.settings))
        if asked.dry_run:
            client.project.unfit = []
        batch = _plan(client, request, asked, checked)
        if asked.dry_run:
            return _say_plan(batch, asked, say_unfit(client.project, out), out)
        planned = batch.planned
        count = planned["start"] + planned["resume"]
        agree_to_cost(client, checked, None, {}, out, agreed=request.agreed, count=count)
        output.open()
        out.note(f"batch {batch.id}: {_count(len(batch.lines), 'line')} of {asked.lines}")
        go_on = f"take it up again with: --again {asked.output or batch.id}"
        found: list[Json] = []
        progress = _Progress(batch, client, out)
        with interrupts(batch.stop, go_on, out) as interrupted:
            async for result in batch:
                line = batch.lines[_place(batch, result)]
                if not output.write(result, line.text, out):
                    out.note("stopping: the results cannot be written; running steps are ended")
                    batch.stop()
                if out.json and asked.output is None:
                    found.append(result.to_json())
                progress.say(result)
            report = batch.report
    output.finish()
    _report(report, output, found, go_on, out, with_results=asked.output is None)
    if output.broken is not None:
        raise output.broken
    if interrupted:
        return EXIT_INTERRUPTED
    statuses = set(report.statuses)
    if statuses <= {"succeeded"}:
        return EXIT_OK
    return EXIT_WAITING if statuses <= {"succeeded", "waiting"} else EXIT_FAILED


def _place(batch: Batch, result: BatchResult) -> int:
    """Lines are in order, and empty ones are left out."""
    from bisect import bisect_left

    return bisect_left(batch.lines, result.line, key=lambda line: line.number)


def _plan(client: Client, request: RunRequest, asked: BatchRequest, checked: Checked) -> Batch:
    """Everything checked, nothing started."""
    from aiworkflow.cli.given import pairs, read_inputs
    from aiworkflow.client.batch import name_of

    return client.batch(
        checked,
        _read(asked.lines),
        max_parallel=_width(asked.max_parallel),
        skip_invalid=asked.skip_invalid,
        earlier=_earlier(client, request.bundle, asked.again),
        base=read_inputs(request.inputs_file),
        texts=pairs(request.inputs, "--input"),
        name=request.name,
        attached=request.attached,
        where="standard input" if asked.lines == "-" else asked.lines,
        into=name_of(_absolute(asked.output)) if asked.output is not None else "",
    )


def _width(text: str | None) -> int:
    from aiworkflow.client.batch import DEFAULT_PARALLEL

    return DEFAULT_PARALLEL if text is None else whole("--max-parallel", text, 1, _WIDEST)


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _read(file: str) -> list[Given]:
    from aiworkflow.client.batch_lines import read_lines

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read inputs from `{file}`: {error.strerror}") from error
    return read_lines(data)


def _earlier(client: Client, bundle: str, again: str | None) -> Earlier | None:
    """The batch that is taken up again: by its results, by where it writes them, or by its id."""
    if again is None:
        return None
    from aiworkflow.client.batch import find_batch, has_batch, name_of
    from aiworkflow.client.batch_result import Earlier, read_results

    if Path(again).is_file():
        found = read_results(Path(again))
        if found is not None:
            return found
        label, _ = client.project.read(bundle)
        id_ = find_batch(client.journal, label, name_of(_absolute(again)))
        if id_ is not None:
            return Earlier(id_)
        raise UsageError(
            f"`{again}` holds no results, and no batch of `{label}` writes there",
            hint="leave --again out to run all lines",
        )
    if has_batch(client.journal, again):
        return Earlier(again)
    raise UsageError(
        f"there is no batch `{again}`, and no file of that name",
        hint="give the results file of an earlier batch, or the id that it printed",
    )


def _say_plan(batch: Batch, asked: BatchRequest, refused: list[Json], out: Out) -> int:
    """`--dry-run`: the lines were checked, and that is all."""
    counts = batch.planned
    about = {"batch": batch.id, "lines": len(batch.lines), "planned": dict(counts)}
    out.object({**about, "refused": refused})
    listed = ", ".join(f"{count} to {what}" for what, count in counts.items() if count)
    out.say(f"{_count(len(batch.lines), 'line')} of {asked.lines}: {listed or 'nothing to do'}")
    return EXIT_OK


# -- results --------------------------------------------------------------------------------------


class _Output:
    """Where results go: standard output, or files that are whole or as they were.

    A file that is being taken up again is replaced at the end: killed on the way, it is as before.

    Attributes:
        failed: how many lines did not succeed.
        broken: why no more results can be written: no reader (`| head`), no space.
    """

    def __init__(self, asked: BatchRequest) -> None:
        self._path = Path(asked.output) if asked.output is not None else None
        self._failures_path = Path(asked.failures) if asked.failures is not None else None
        self._replaces = asked.output is not None and asked.output == asked.again
        self._file: TextIO | None = None
        self._failures: TextIO | None = None
        self.failed = 0
        self.broken: OSError | NotWritten | None = None
        for path in (self._path, self._failures_path):
            if path is None:
                continue
            if path.is_dir() or not path.absolute().parent.is_dir():
                raise UsageError(f"cannot write to `{path}`: there is no such folder")
        if self._path is not None and self._path.exists() and not self._replaces:
            raise UsageError(
                f"`{self._path}` exists already",
                hint=f"name another file, or take its batch up again: --again {self._path}",
            )

    def open(self) -> None:
        """Begin to write."""
        try:
            if self._path is not None:
                target = self._part if self._replaces else self._path
                self._file = target.open("w", encoding="utf-8", newline="\n")
            if self._failures_path is not None:
                self._failures = self._failures_path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise UsageError(f"cannot write to `{error.filename}`: {error.strerror}") from error

    @property
    def _part(self) -> Path:
        assert self._path is not None
        return self._path.with_name(self._path.name + ".part")

    def write(self, result: BatchResult, text: str, out: Out) -> bool:
        """One result; False where it is the first that cannot be written."""
        if result.status not in {"succeeded", "waiting"}:
            self.failed += 1
        if self.broken is not None:
            return True
        try:
            self._write(result, text, out)
        except (OSError, NotWritten) as error:
            self.broken = error
        return self.broken is None

    def _write(self, result: BatchResult, text: str, out: Out) -> None:
        line = json.dumps(result.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n"
        if self._file is not None:
            self._file.write(line)
            self._file.flush()
        elif not out.json:
            sys.stdout.write(steady_json(line))
            sys.stdout.flush()
        if result.status not in {"succeeded", "waiting"} and self._failures is not None:
            self._failures.write(text + "\n")

    def finish(self) -> None:
        """There are no more results."""
        self.close()
        if self._replaces:
            assert self._path is not None
            if self.broken is None:
                self._part.replace(self._path)
            else:
                self._part.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files as they are."""
        for file in (self._file, self._failures):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()


class _Progress:
    """Says on standard error how far it is: each failure at once, the counts now and then."""

    def __init__(self, batch: Batch, client: Client, out: Out) -> None:
        self._batch = batch
        self._clock = client.project.clock
        self._out = out
        self._said = self._clock.monotonic()

    def say(self, result: BatchResult) -> None:
        """After each result."""
        from aiworkflow.steady import steady

        if result.error is not None and not result.is_earlier:
            words = steady(result.error.message.partition("\n")[0])
            self._out.note(f"  line {result.line} {result.status}: {words}")
        now = self._clock.monotonic()
        if now - self._said >= _SAY_EVERY_S:
            self._said = now
            done = sum(self._batch.statuses.values())
            self._out.note(f"  {done} of {len(self._batch.lines)}: {_counts(self._batch.statuses)}")


def _report(
    report: BatchReport,
    output: _Output,
    found: Sequence[Json],
    go_on: str,
    out: Out,
    *,
    with_results: bool,
) -> None:
    from aiworkflow.steady import steady

    if out.json:
        shown = report.to_json()
        if with_results:
            shown["results"] = list(found)
        out.object(shown)
        return
    times = ""
    if report.p50_seconds is not None and report.p95_seconds is not None:
        times = (
            f"; a run took {report.p50_seconds:.2f} s (median), {report.p95_seconds:.2f} s (95 %)"
        )
    cost = f", {usd_text(report.cost_usd)}" if report.cost_usd else ""
    out.note(f"{_counts(report.statuses)} in {report.seconds:.1f} s{cost}{times}")
    if report.earlier:
        out.note(f"  {report.earlier} were so before, and were left as they are")
    for common in report.errors:
        lines = ", ".join(str(line) for line in common.lines)
        more = ", …" if common.count > len(common.lines) else ""
        where = f" in `{common.step}`" if common.step else ""
        words = steady(common.message)
        out.note(f"  {common.count} ×{where} {words}  (line {lines}{more})")
    if report.statuses.get("waiting"):
        out.note(
            "  what waits: aiworkflow runs list --status waiting, aiworkflow approvals list; "
            f"its results, when it is over: {go_on}"
        )
    if output.failed or "not_started" in report.statuses:
        out.note(f"  only what is left: {go_on}")


def _counts(statuses: Mapping[str, int]) -> str:
    words = (f"{count} {status.replace('_', ' ')}" for status, count in statuses.items() if count)
    return ", ".join(words) or "nothing"


def _count(number: int, word: str) -> str:
    return f"1 {word}" if number == 1 else f"{number} {word}s"
