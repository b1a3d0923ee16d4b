"""What agents were paid for, added up by day, bundle, step, agent, model, user or run."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.workflow import agent_label
from aiworkflow.dollars import usd_text
from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.ledger import LedgerPage, Line

LEVELS: Final = ("day", "bundle", "step", "agent", "model", "user", "run")
"""What a report can be made by; several, the first the outermost."""

COUNTS: Final = (
    "runs",
    "attempts",
    "failed",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_usd",
    "failed_usd",
    "unknown_price",
    "lost",
)
"""The columns of a report, after those of its levels."""


@record
class Spending:
    """What some attempts of agents came to.

    Attributes:
        runs: how many runs they were made for; a run that another called counts as that.
        attempts: how many there were; `failed` of them did not succeed and cost `failed_usd`.
        input_tokens: including the cached ones.
        cost_usd: US dollars, failed attempts included: at least that where `unknown_price` is not 0.
        unknown_price: how many attempts have a price, or a consumption, that is not known.
        lost: how many of these were lost with their process: budgets count what they had reserved.
    """

    runs: int = 0
    attempts: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    failed_usd: float = 0.0
    unknown_price: int = 0
    lost: int = 0

    def to_json(self) -> dict[str, Json]:
        """By the names of `COUNTS`."""
        return {name: getattr(self, name) for name in COUNTS}

    @property
    def text(self) -> str:
        """In US dollars, and how far that is known."""
        if not self.unknown_price:
            return usd_text(self.cost_usd)
        attempts = "1 attempt" if self.unknown_price == 1 else f"{self.unknown_price:,} attempts"
        if self.unknown_price == self.attempts:
            return f"unknown; {attempts} of unknown price{self._lost}"
        return f"at least {usd_text(self.cost_usd)}; {attempts} of unknown price{self._lost}"

    @property
    def _lost(self) -> str:
        if not self.lost:
            return ""
        those = "it was" if self.unknown_price == 1 else f"{self.lost:,} of them"
        return f" ({those} lost with the process; budgets count what was reserved)"


@record
class CostRow:
    """One row of a report: the value of each level, and what was spent on it."""

    values: tuple[str, ...]
    spending: Spending


@record
class CostReport:
    """What agents were paid for in a time.

    Attributes:
        by: the levels of its rows.
        since, until: first and last day that counts (UTC, `2027-01-31`); "" for no bound.
        rows: by days in their order; else the dearest first.
    """

    by: tuple[str, ...]
    since: str
    until: str
    rows: tuple[CostRow, ...]
    total: Spending

    def to_json(self) -> dict[str, Json]:
        """As `cost report --json` prints it."""
        rows: list[Json] = [
            {**dict(zip(self.by, one.values, strict=True)), **one.spending.to_json()}
            for one in self.rows
        ]
        return {
            "by": list(self.by),
            "since": self.since or None,
            "until": self.until or None,
            "rows": rows,
            "total": self.total.to_json(),
        }


def report_from_json(data: Mapping[str, Json]) -> CostReport:
    """The inverse of `CostReport.to_json`."""
    by = tuple(cast("list[str]", data["by"]))
    rows = cast("list[dict[str, Json]]", data["rows"])
    return CostReport(
        by,
        str(data["since"] or ""),
        str(data["until"] or ""),
        tuple(CostRow(tuple(str(row[level]) for level in by), _spending(row)) for row in rows),
        _spending(cast("dict[str, Json]", data["total"])),
    )


def _spending(data: Mapping[str, Json]) -> Spending:
    return Spending(**{name: data[name] for name in COUNTS})  # type: ignore[arg-type]


@record
class CostFilter:
    """What counts: only lines with these values, of the levels that have any."""

    only: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def takes(self, values: Mapping[str, str]) -> bool:
        """Whether a line with these values counts."""
        return not self.only or all(values[one] in wanted for one, wanted in self.only.items())


def check_levels(by: Sequence[str]) -> tuple[str, ...]:
    """The levels of a report. Raises UsageError: one is none, or stands there twice."""
    from aiworkflow.diagnostics.suggest import did_you_mean

    for level in by:
        if level not in LEVELS:
            hint = did_you_mean(level, LEVELS)
            raise UsageError(
                f"costs cannot be added up by `{level}`", hint=hint or f"by {', '.join(LEVELS)}"
            )
    if len(set(by)) != len(by):
        raise UsageError(f"`{','.join(by)}` names a level twice", hint="name each once")
    return tuple(by)


def add_up(
    pages: Iterable[tuple[str, LedgerPage]],
    by: tuple[str, ...],
    only: CostFilter,
    *,
    since: str = "",
    until: str = "",
) -> CostReport:
    """A report of pages, each with its day."""
    sums: dict[tuple[str, ...], _Sum] = {}
    total = _Sum()
    for day, page in pages:
        owner = page.owner
        values = {"day": day, "bundle": owner.bundle, "user": owner.user, "run": owner.run}
        for line in page.lines:
            values["step"] = owner.via + line.step
            values["agent"], _, values["model"] = agent_label(line.agent).partition("/")
            if not only.takes(values):
                continue
            key = tuple([values[level] for level in by])
            found = sums.get(key)
            if found is None:
                found = sums[key] = _Sum()
            found.add(owner.run, line)
            total.add(owner.run, line)
    rows = [CostRow(key, found.spending) for key, found in sums.items()]
    rows.sort(key=lambda row: _order(by, row))
    return CostReport(by, since, until, tuple(rows), total.spending)


class _Sum:
    """Lines added up; in place, since there may be millions of them."""

    __slots__ = (
        "attempts",
        "cached",
        "failed",
        "failed_usd",
        "input",
        "lost",
        "output",
        "runs",
        "unknown",
        "usd",
    )

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.attempts = self.failed = self.unknown = self.input = self.cached = self.output = 0
        self.lost = 0
        self.usd = self.failed_usd = 0.0

    def add(self, run: str, line: Line) -> None:
        """Count a line of a run."""
        self.runs.add(run)
        self.attempts += line.attempts
        self.failed += line.failed
        self.unknown += line.unknown
        self.lost += line.lost
        self.input += line.input_tokens
        self.cached += line.cached_tokens
        self.output += line.output_tokens
        self.usd += line.usd
        self.failed_usd += line.failed_usd

    @property
    def spending(self) -> Spending:
        """What it comes to."""
        return Spending(
            len(self.runs),
            self.attempts,
            self.failed,
            self.input,
            self.cached,
            self.output,
            round(self.usd, 9),
            round(self.failed_usd, 9),
            self.unknown,
            self.lost,
        )


def _order(by: tuple[str, ...], row: CostRow) -> tuple[object, ...]:
    days = by.index("day") + 1 if "day" in by else 0
    return (*row.values[:days], -row.spending.cost_usd, -row.spending.attempts, row.values)
