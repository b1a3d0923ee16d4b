"""A batch: one run for each line of inputs, some at once, results in the order of the lines.

Theory. A run's id is derived from the batch's id, the line and the number of the attempt, as a child
run's is from its parent: who knows the batch and its lines finds their runs again, and a run is created
only if it is not there. So nothing else has to be kept, and whatever kills the process, the batch is
taken up by looking at each line's newest run: one that succeeded is not run again, one that was
interrupted goes on, one that failed goes on from where it failed or, when the bundle or the line was
mended meanwhile, is followed by a new attempt.

All lines are checked before anything starts. What has ended is held as the run's row alone until its
turn comes, and its outputs are read from the journal then: a slow first line costs no memory.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from aiworkflow.client.batch_lines import BatchInvalid, Line
from aiworkflow.client.batch_result import (
    INVALID,
    SUCCEEDED,
    BatchReport,
    BatchResult,
    Earlier,
    Tally,
)
from aiworkflow.client.queueing import start_in_lane
from aiworkflow.client.result import RunError
from aiworkflow.engine import decode
from aiworkflow.engine import events as ev
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.journal import Held, UnknownRun, beginning_of
from aiworkflow.records import record
from aiworkflow.runtime.values import Values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from aiworkflow.client.client import Client
    from aiworkflow.client.run import Run
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal, RunRow
    from aiworkflow.runtime.given import NewRun

TRIGGER = "batch"
DEFAULT_PARALLEL = 8
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_LINE_DIGITS = 5
_MOST_LINES = 32**_LINE_DIGITS
_LOOKED_AT = 1000
_ENDS_LOOKED_AT = 8


def run_of(batch: str, line: int, attempt: int) -> str:
    """The id of the run of a line: moment and journal of its batch, the line, a name of its own.

    The runs of a batch sort by line.
    """
    name = int.from_bytes(hashlib.sha256(f"{batch}\n{attempt}".encode()).digest()[:4])
    return f"{beginning_of(batch)}{_base32(line)}{_base32(name % _MOST_LINES)}"


def _base32(number: int) -> str:
    return "".join(_DIGITS[number >> shift & 31] for shift in range(5 * _LINE_DIGITS - 5, -1, -5))


@record
class Start:
    """A run to be started, with its id."""

    run: str


@record
class GoOn:
    """A run to be taken up where it stopped."""

    run: str


@record
class Keep:
    """A result that stands: nothing is to be done."""

    result: BatchResult


class Batch:
    """Runs of one bundle, one for each line. Iterate over it once, for the results in order.

    Args:
        new: the run of every line, but for its inputs.
        lines: all of them, checked.
        todo: what is to be done for each.
        into: where results are written, as the runs say it: see `name_of`.

    Attributes:
        id: the batch's id; with it, the batch can be taken up again.
    """

    def __init__(
        self,
        client: Client,
        id_: str,
        new: NewRun,
        lines: Sequence[Line],
        todo: Sequence[Start | GoOn | Keep],
        *,
        max_parallel: int,
        attached: bool = False,
        into: str = "",
    ) -> None:
        if max_parallel < 1:
            raise UsageError("a batch needs at least one run at once", hint="--max-parallel 1")
        self.id = id_
        self.lines = lines
        self._client = client
        self._new = new
        self._todo = todo
        self._width = max_parallel
        self._attached = attached
        self._into = into
        self._tally = Tally(id_, new.bundle, len(lines))
        self._clock = client.project.clock
        self._began = self._clock.monotonic()
        self._running: dict[int, Run] = {}
        self._ended: dict[int, RunRow | BatchResult] = {}
        self._news = asyncio.Event()
        self._stopping = False

    # -- running ----------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[BatchResult]:
        """Start, and give each line's result as soon as those of the lines before are given.

        Lines that were not started, since the batch was stopped, are left out. Whoever ends the
        iteration early stops the runs at once; they can be resumed.

        Raises:
            AIWorkflowError: the journal does not answer any more; what runs is stopped.
        """
        self._began = self._clock.monotonic()
        waiting = iter([at for at, what in enumerate(self._todo) if not isinstance(what, Keep)])
        count = sum(not isinstance(what, Keep) for what in self._todo)
        workers = [
            asyncio.ensure_future(self._work(waiting)) for _ in range(min(self._width, count))
        ]
        try:
            for at, what in enumerate(self._todo):
                if isinstance(what, Keep):
                    result = what.result
                elif await self._has_ended(at, workers):
                    result = self._result(at)
                else:
                    continue
                self._tally.add(result)
                yield result
        finally:
            for worker in workers:
                worker.cancel()
            for run in list(self._running.values()):
                await run.kill()
            if workers:
                await asyncio.wait(workers)

    def stop(self) -> None:
        """Start no more runs, and ask those that run to stop: they end `cancelled`."""
        self._stopping = True
        for run in self._running.values():
            run.interrupt()

    @property
    def report(self) -> BatchReport:
        """The batch in figures, so far."""
        return self._tally.report(self._clock.monotonic() - self._began)

    @property
    def planned(self) -> Mapping[str, int]:
        """What is to be done, and for how many lines: `start`, `resume` or `keep`."""
        words = {Start: "start", GoOn: "resume", Keep: "keep"}
        return Counter(words[type(what)] for what in self._todo)

    @property
    def statuses(self) -> Mapping[str, int]:
        """How many results there were so far, by status."""
        return self._tally.statuses

    async def _work(self, waiting: Iterator[int]) -> None:
        """Run one line after another, as long as there are any."""
        try:
            for at in waiting:
                if self._stopping:
                    return
                self._ended[at] = await self._run(at)
                self._news.set()
        finally:
            asyncio.get_running_loop().call_soon(self._news.set)  # when this task is done

    async def _has_ended(self, at: int, workers: Sequence[asyncio.Future[None]]) -> bool:
        """Wait for a line's end; False when it will never be started."""
        while at not in self._ended:
            done = [worker for worker in workers if worker.done()]
            for worker in done:
                worker.result()
            if len(done) == len(workers):
                return False
            self._news.clear()
            await self._news.wait()
        return True

    async def _run(self, at: int) -> RunRow | BatchResult:
        """Drive the run of a line to its end; its row, or why it could not be driven."""
        line, what = self.lines[at], self._todo[at]
        assert isinstance(what, Start | GoOn)
        try:
            if isinstance(what, Start) and self._new.plan.concurrency is not None:
                new = self._new_run(line)
                run = await start_in_lane(self._client, new, what.run, attached=self._attached)
            elif isinstance(what, Start):
                run = self._client.begin(self._new_run(line), what.run, attached=self._attached)
            else:
                run = await self._client.resume(what.run, attached=self._attached)
            self._running[at] = run
            if self._stopping:  # it was, while this one was begun
                run.interrupt()
            await run.rest()
            return self._client.journal.run(what.run)
        except AIWorkflowError as error:
            problem = RunError(error.code, error.message, hint=error.hint)
            return self._of(line, what.run, "running", error=problem)
        finally:
            self._running.pop(at, None)

    def _new_run(self, line: Line) -> NewRun:
        assert line.inputs is not None
        trigger: dict[str, Json] = {
            "type": TRIGGER,
            "batch": self.id,
            "line": line.number,
            "inputs": line.digest,
        }
        if self._into:
            trigger["into"] = self._into
        return dataclasses.replace(self._new, inputs=line.inputs, trigger=trigger)

    # -- results ----------------------------------------------------------------------------------

    def _result(self, at: int) -> BatchResult:
        found = self._ended.pop(at)
        if isinstance(found, BatchResult):
            return found
        return result_of_run(self._client.journal, found, self.lines[at], self.id)

    def _of(self, line: Line, run: str, status: str, *, error: RunError) -> BatchResult:
        return BatchResult(line.number, run, status, {}, error, 0.0, 0.0, self.id, line.digest)


def result_of_run(
    journal: Journal, row: RunRow, line: Line, batch: str, *, is_earlier: bool = False
) -> BatchResult:
    """What came of a line, by its run's row and the event that ended it."""
    finished = _last_end(journal, row.run) if row.finished is not None else None
    values = Values(journal, row.run, inline_bytes=0)
    outputs = values.load(finished.outputs) if finished is not None else None
    failure = finished.error if finished is not None else None
    return BatchResult(
        line=line.number,
        run=row.run,
        status=row.status,
        outputs=outputs if isinstance(outputs, dict) else {},
        error=None
        if failure is None
        else RunError(failure.kind, failure.message, failure.exit_code, failure.step, failure.hint),
        cost_usd=row.cost_usd,
        seconds=max(0.0, row.finished - row.started) if row.finished is not None else 0.0,
        batch=batch,
        inputs=line.digest,
        is_earlier=is_earlier,
    )


def _last_end(journal: Journal, run: str) -> ev.RunFinished | None:
    """The event that ended a run; signals that came too late may follow it."""
    upto = journal.stream(run).tail
    while upto > 0:
        first = max(0, upto - _ENDS_LOOKED_AT)
        for one in reversed(journal.read(run, first, upto - first)):
            event = decode(one.payload)
            if isinstance(event, ev.RunFinished):
                return event
        upto = first
    return None


# -- planning -------------------------------------------------------------------------------------


def plan_batch(
    client: Client,
    new: NewRun,
    lines: Sequence[Line],
    batch: str,
    *,
    skip_invalid: bool = False,
    where: str = "the inputs",
    earlier: Earlier | None = None,
) -> list[Start | GoOn | Keep]:
    """What is to be done for each line.

    Args:
        earlier: the batch that is taken up again; None for a new one.

    Raises:
        BatchInvalid: some lines cannot be used, and they are not to be left out.
        Held: another process is still at work on that batch.
        UsageError: there are no lines, too many, or others than those of that batch.
    """
    if not lines:
        raise UsageError(
            f"there are no lines in {where}", hint="write one JSON object on each line"
        )
    if lines[-1].number >= _MOST_LINES:
        raise UsageError(f"a batch has at most {_MOST_LINES - 1:,} lines")
    problems = [problem for line in lines for problem in line.problems]
    if problems and not skip_invalid:
        raise BatchInvalid(problems, where)
    found: list[Start | GoOn | Keep] = []
    for line in lines:
        if line.inputs is None:
            found.append(Keep(_invalid(line, batch)))
        elif earlier is None:
            found.append(Start(run_of(batch, line.number, 1)))
        else:
            found.append(_again(client, new, line, earlier))
    return found


def _invalid(line: Line, batch: str) -> BatchResult:
    message = "; ".join(one.message for one in line.problems)
    error = RunError("input", message)
    return BatchResult(line.number, None, INVALID, {}, error, 0.0, 0.0, batch, line.digest)


def _again(client: Client, new: NewRun, line: Line, earlier: Earlier) -> Start | GoOn | Keep:
    """What a line still needs, by its newest run."""
    journal, number = client.journal, line.number
    row, attempt = None, 0
    while (next_row := _row(journal, run_of(earlier.batch, number, attempt + 1))) is not None:
        row, attempt = next_row, attempt + 1
    following = Start(run_of(earlier.batch, number, attempt + 1))
    written = earlier.results.get(number)
    if row is None:
        if written is None or written.status != SUCCEEDED:
            return following
        _check_same(line, written.inputs, written.run, earlier.batch)
        return Keep(dataclasses.replace(written, is_earlier=True))  # the journal was pruned
    started = decode(journal.record(row.run, 1).payload)
    assert isinstance(started, ev.RunStarted)
    is_over = row.finished is not None
    is_mended = started.digest != new.plan.digest or started.trigger.get("inputs") != line.digest
    if row.status == SUCCEEDED or not is_over:
        _check_same(line, str(started.trigger.get("inputs")), row.run, earlier.batch)
    if row.status in (SUCCEEDED, "waiting"):
        return Keep(result_of_run(journal, row, line, earlier.batch, is_earlier=True))
    if not is_over:
        if client.is_driven(row.run):
            raise Held(row.run, str(journal.stream(row.run).driver))
        return GoOn(row.run)
    return following if is_mended or row.status == "rolled_back" else GoOn(row.run)


def _row(journal: Journal, run: str) -> RunRow | None:
    try:
        return journal.run(run)
    except UnknownRun:
        return None


def _check_same(line: Line, digest: str, run: str | None, batch: str) -> None:
    if line.digest != digest:
        raise UsageError(
            f"line {line.number} is not the one that batch {batch} ran (run {run})",
            hint="give the inputs of that batch; only lines that failed may be changed in it",
        )


def name_of(output: str) -> str:
    """A short name for the place that a batch writes its results to."""
    return hashlib.sha256(output.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def has_batch(journal: Journal, batch: str) -> bool:
    """Whether a batch with this id has started a run."""
    moment, dash, _ = batch.partition("-")
    if not dash:
        return False
    before: str | None = f"{moment}-~"
    while before is not None:
        page = journal.runs(limit=_LOOKED_AT, before=before)
        for row in page.runs:
            if not row.run.startswith(moment):
                return False
            if row.trigger == TRIGGER:
                started = decode(journal.record(row.run, 1).payload)
                if isinstance(started, ev.RunStarted) and started.trigger.get("batch") == batch:
                    return True
        before = page.next
    return False


def find_batch(journal: Journal, bundle: str, into: str) -> str | None:
    """The newest batch of a bundle that wrote to a place, for one that left no result there."""
    for row in journal.runs(bundle=bundle, limit=_LOOKED_AT).runs:
        if row.trigger != TRIGGER:
            continue
        started = decode(journal.record(row.run, 1).payload)
        if isinstance(started, ev.RunStarted) and started.trigger.get("into") == into:
            return str(started.trigger["batch"])
    return None
