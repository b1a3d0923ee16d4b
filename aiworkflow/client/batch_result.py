"""What came of a batch: a result for each line, and a report on all of them."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, cast

from aiworkflow.client.result import RunError
from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiworkflow.engine.carried import Json

_COMMONEST = 5
_LINES_NAMED = 3
_MESSAGE = 300
SUCCEEDED = "succeeded"
INVALID = "invalid"


@record
class BatchResult:
    """What came of one input line.

    Attributes:
        line: its number among the input lines, from 1.
        run: the run's id; None where none was started, since the line is invalid.
        status: the run's status word, or `invalid`.
        cost_usd: US dollars, as far as prices are known.
        seconds: from the run's start to its end.
        batch: the batch's id.
        inputs: digest of what the line says.
        is_earlier: whether it was so before this batch began; nothing was done.
    """

    line: int
    run: str | None
    status: str
    outputs: Mapping[str, Json]
    error: RunError | None
    cost_usd: float
    seconds: float
    batch: str
    inputs: str
    is_earlier: bool = field(default=False, compare=False)

    @property
    def cost(self) -> float:
        """US dollars, as far as prices are known."""
        return self.cost_usd

    def to_json(self) -> dict[str, Json]:
        """As it stands in a results file."""
        return {
            "line": self.line,
            "run": self.run,
            "status": self.status,
            "outputs": dict(self.outputs),
            "error": self.error.to_json() if self.error is not None else None,
            "cost_usd": round(self.cost_usd, 9),
            "seconds": round(self.seconds, 3),
            "batch": self.batch,
            "inputs": self.inputs,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> BatchResult:
        """The inverse of `to_json`. Raises KeyError, TypeError, ValueError where it is none."""
        error = data["error"]
        return cls(
            line=int(cast("int", data["line"])),
            run=cast("str | None", data["run"]),
            status=str(data["status"]),
            outputs=dict(cast("Mapping[str, Json]", data["outputs"])),
            error=RunError(**cast("dict[str, str]", error)) if error is not None else None,  # type: ignore[arg-type]
            cost_usd=float(cast("float", data["cost_usd"])),
            seconds=float(cast("float", data["seconds"])),
            batch=str(data["batch"]),
            inputs=str(data["inputs"]),
        )


@record
class Earlier:
    """What is known of an earlier batch; more of it stands in the journal.

    Attributes:
        batch: its id.
        results: of those lines whose result was written, by line.
    """

    batch: str
    results: Mapping[int, BatchResult] = field(default_factory=dict)


def read_results(path: Path) -> Earlier | None:
    """An earlier batch by its results file; None for a file without a whole line.

    The last line may be cut off, where the process was killed.

    Raises:
        UsageError: it cannot be read, or is no results file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read results from `{path}`: {error.strerror}") from error
    results: dict[int, BatchResult] = {}
    *whole, _ = data.split(b"\n")
    for number, text in enumerate(whole, 1):
        try:
            one = BatchResult.from_json(json.loads(text))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"{path}:{number}: this is no result of a batch",
                hint="give what an earlier `--batch` wrote with --output or to standard output",
            ) from error
        results[one.line] = one
    if not results:
        return None
    batches = {one.batch for one in results.values()}
    if len(batches) > 1:
        raise UsageError(f"`{path}` holds results of several batches: {', '.join(sorted(batches))}")
    return Earlier(batches.pop(), results)


@record
class CommonError:
    """An error that several lines have: where, what, how often, and the first lines with it."""

    kind: str
    message: str
    step: str | None
    count: int
    lines: tuple[int, ...]

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {
            "kind": self.kind,
            "message": self.message,
            "step": self.step,
            "count": self.count,
            "lines": list(self.lines),
        }


@record
class BatchReport:
    """A batch in figures.

    Attributes:
        lines: how many input lines there are.
        statuses: how many of each; `not_started` where the batch was stopped.
        earlier: how many were as they are before this batch began.
        cost_usd: US dollars of all runs, as far as prices are known.
        seconds: that the batch took.
        p50_seconds, p95_seconds: of the runs that ended in this batch; None where there are none.
        errors: the commonest, most frequent first.
    """

    batch: str
    bundle: str
    lines: int
    statuses: Mapping[str, int]
    earlier: int
    cost_usd: float
    seconds: float
    p50_seconds: float | None
    p95_seconds: float | None
    errors: tuple[CommonError, ...]

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {
            "batch": self.batch,
            "bundle": self.bundle,
            "lines": self.lines,
            "statuses": dict(self.statuses),
            "earlier": self.earlier,
            "cost_usd": round(self.cost_usd, 9),
            "seconds": round(self.seconds, 3),
            "p50_seconds": self.p50_seconds,
            "p95_seconds": self.p95_seconds,
            "errors": [one.to_json() for one in self.errors],
        }


class Tally:
    """Counts results as they come; keeps figures only, whatever the number of lines."""

    def __init__(self, batch: str, bundle: str, lines: int) -> None:
        self._batch = batch
        self._bundle = bundle
        self._lines = lines
        self._statuses: Counter[str] = Counter()
        self._earlier = 0
        self._cost = 0.0
        self._seconds: list[float] = []
        self._errors: Counter[tuple[str, str, str | None]] = Counter()
        self._named: dict[tuple[str, str, str | None], list[int]] = {}

    @property
    def statuses(self) -> Mapping[str, int]:
        """How many of each so far."""
        return self._statuses

    def add(self, result: BatchResult) -> None:
        """Count a result."""
        self._statuses[result.status] += 1
        self._earlier += result.is_earlier
        self._cost += result.cost_usd
        if not result.is_earlier and result.run is not None:
            self._seconds.append(result.seconds)
        if result.error is not None:
            first = result.error.message.partition("\n")[0][:_MESSAGE]
            key = (result.error.kind, first, result.error.step)
            self._errors[key] += 1
            named = self._named.setdefault(key, [])
            if len(named) < _LINES_NAMED:
                named.append(result.line)

    def report(self, seconds: float) -> BatchReport:
        """What it comes to, after so many seconds."""
        missing = self._lines - self._statuses.total()
        statuses = dict(self._statuses)
        if missing:
            statuses["not_started"] = missing
        times = sorted(self._seconds)
        return BatchReport(
            batch=self._batch,
            bundle=self._bundle,
            lines=self._lines,
            statuses=statuses,
            earlier=self._earlier,
            cost_usd=self._cost,
            seconds=seconds,
            p50_seconds=_quantile(times, 0.50),
            p95_seconds=_quantile(times, 0.95),
            errors=tuple(
                CommonError(*key, count, tuple(self._named[key]))
                for key, count in self._errors.most_common(_COMMONEST)
            ),
        )


def _quantile(ordered: list[float], part: float) -> float | None:
    """The smallest value that this part of all does not exceed."""
    return round(ordered[math.ceil(part * len(ordered)) - 1], 3) if ordered else None
