"""What is kept of a sweep: its order, what became of each repository, whether servers see to it.

All are registers. The order says all that a process needs to go on with the sweep; a repository's row
is written when its run has come to an end and its branch is there. What a row does not say yet is found
by the run, whose id follows from the sweep, the repository's place and the attempt.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.client.batch import run_of
from aiworkflow.dollars import usd_text
from aiworkflow.errors import UsageError
from aiworkflow.journal import RegisterWrite, UnknownRun, beginning_of
from aiworkflow.records import record
from aiworkflow.steady import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiworkflow.client.result import RunError
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import Journal

SWEEP: Final = "sweep"
"""The space of orders; keys are sweeps."""

SWEPT: Final = "swept"
"""The space of what became of repositories; keys are `sweep/place`."""

SERVED: Final = "sweep-served"
"""The space of sweeps that servers drive until they are at rest; keys are sweeps."""

TRIGGER: Final = "sweep"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
LEFT: Final = "not_started"
UNDONE: Final = "undone"
UNDO: Final = "undo"
"""The kind of an error that came of taking a repository back."""

SETTLED: Final = frozenset({SUCCEEDED, FAILED, "rolled_back", UNDONE})
"""What a repository has come to for good, unless somebody tries again."""

_PAGE: Final = 1000


class UnknownSweep(UsageError):
    """There is no such sweep, or several go by the name."""

    code = "unknown-sweep"


@record
class Target:
    """A repository of a sweep. `url` is "" for a folder that is no mirror of ours."""

    name: str
    folder: str
    url: str = ""
    branch: str = ""


@record
class SweepOrder:
    """A sweep as it was asked for.

    Attributes:
        bundle: its label, `name` the workflow's name, `digest` that of its plan.
        branch: the branch that each repository gets.
        message, author: of its commit; the author's name and address.
        canary: how many of the first must succeed before the rest begin.
        stop_after: failures after which nothing more begins; 0 for never.
        max_usd: US dollars that all runs together may cost; None for no bound.
        driver: the process that drives it, or did.
        started: seconds since the epoch; `ended` when it came to rest last, None while it goes.
        stopped: why it came to rest before its end; "" for it did not.
        overrides: settings of the command line.
        undoing: whether it is being taken back; so it stays where that was broken off.
    """

    sweep: str
    bundle: str
    name: str
    digest: str
    inputs: Mapping[str, Json]
    targets: Sequence[Target]
    branch: str
    message: str
    author: tuple[str, str]
    max_parallel: int
    canary: int
    stop_after: int
    max_usd: float | None
    actor: str
    started: float
    driver: str = ""
    ended: float | None = None
    stopped: str = ""
    seconds: float = 0.0
    overrides: Mapping[str, Json] = field(default_factory=dict)
    undoing: bool = False

    def run_of(self, place: int, attempt: int) -> str:
        """The id of a repository's run."""
        return run_of(self.sweep, place + 1, attempt)


@record
class Swept:
    """What became of a repository.

    Attributes:
        status: of its run; `not_started`, or `failed` also when there could be no run; `undone`.
        attempt: number of its newest run; 0 for none.
        branch: with what came of it; "" where nothing changed.
        cost_usd: of all attempts. `seconds`: that the newest took.
        error: why it failed: `kind`, `message`, `step` and `hint`, the way out.
        commit: that its run began at, `result` the one that `branch` names.
    """

    status: str = LEFT
    attempt: int = 0
    run: str = ""
    branch: str = ""
    commit: str = ""
    result: str = ""
    cost_usd: float = 0.0
    seconds: float = 0.0
    error: Mapping[str, Json] = field(default_factory=dict)


@record
class Served:
    """A sweep that servers drive until it is at rest: the next goes on where one has ended.

    Attributes:
        doing: `sweep`, `retry` or `undo`.
        actor: who asked for it.
    """

    sweep: str
    doing: str
    actor: str

    def write(self, *, stands: bool) -> RegisterWrite:
        """Its row, or that there is none any more."""
        value = json.dumps({"doing": self.doing, "actor": self.actor})
        return RegisterWrite(SERVED, self.sweep, value if stands else None)


class SweepStore:
    """The sweeps in a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def all(self) -> list[SweepOrder]:
        """Every sweep, the newest first."""
        return sorted(
            (_order(row.value) for row in self._journal.registers(SWEEP)),
            key=lambda one: one.sweep,
            reverse=True,
        )

    def find(self, sweep: str) -> SweepOrder:
        """A sweep by its id, the beginning or end of it, or `last`.

        Raises:
            UnknownSweep: several go by it, or none.
        """
        every = self.all()
        found = [
            one
            for one in every
            if sweep == one.sweep or one.sweep.startswith(sweep) or one.sweep.endswith(sweep)
        ]
        if sweep == "last":
            found = every[:1]
        exact = [one for one in found if one.sweep == sweep]
        if len(exact or found) == 1:
            return (exact or found)[0]
        what = "several sweeps go by" if found else "there is no sweep"
        raise UnknownSweep(f"{what} `{sweep}`", hint="see: aiworkflow sweep list")

    def begin(self, order: SweepOrder, *also: RegisterWrite) -> None:
        """Keep a new sweep; it can be gone on with from here on.

        Args:
            also: is written with it, or neither is.

        Raises:
            Conflict: what is also to be written stands there otherwise.
        """
        mine = RegisterWrite(SWEEP, order.sweep, _order_json(order), expect=0)
        self._journal.put([mine, *also])

    def change(self, order: SweepOrder, *also: RegisterWrite, **changes: object) -> SweepOrder:
        """Keep an order with some things changed, as far as nobody else has changed it since.

        Args:
            also: is written with it, or neither is.

        Raises:
            Conflict: somebody has.
        """
        found = self._journal.register(SWEEP, order.sweep)
        changed = dataclasses.replace(order, **changes)  # type: ignore[arg-type]
        # read anew, since an older version may have written it, with fewer keys
        is_same = found is not None and _order_json(_order(found.value)) == _order_json(order)
        version = found.version if found is not None and is_same else -1
        write = RegisterWrite(SWEEP, order.sweep, _order_json(changed), expect=version)
        self._journal.put([write, *also])
        return changed

    def rest(self, order: SweepOrder, *, rests: bool, **changes: object) -> SweepOrder:
        """Keep an order that nobody drives any more. Raises as `change`.

        Args:
            rests: whether it has come to rest; else a server that drove it leaves it to the next.
        """
        over = [RegisterWrite(SERVED, order.sweep, None)] if rests else []
        return self.change(order, *over, **changes)

    def is_served(self, order: SweepOrder) -> bool:
        """Whether servers drive it until it is at rest."""
        return self._journal.register(SERVED, order.sweep) is not None

    def served(self) -> list[Served]:
        """The sweeps that servers drive until they are at rest."""
        return [Served(row.key, **json.loads(row.value)) for row in self._journal.registers(SERVED)]

    def swept(self, order: SweepOrder) -> list[Swept]:
        """What became of each repository, as far as that is written."""
        found = [Swept() for _ in order.targets]
        after = ""
        while rows := self._journal.registers(SWEPT, f"{order.sweep}/", after=after, limit=_PAGE):
            for row in rows:
                place = int(row.key.rpartition("/")[2])
                if place < len(found):
                    found[place] = Swept(**json.loads(row.value))
            after = rows[-1].key
        return found

    def forget(self, gone: Iterable[str]) -> list[str]:
        """Forget the sweeps of which the last runs have been removed.

        Args:
            gone: the runs that were removed.
        """
        beginnings = {beginning_of(run) for run in gone}
        forgotten = []
        for order in self.all():
            if beginning_of(order.sweep) not in beginnings or order.ended is None:
                continue
            swept = self.swept(order)
            runs = [one.run for one in swept if one.run]
            runs += [order.run_of(at, one.attempt + 1) for at, one in enumerate(swept)]
            if any(self._is_there(run) for run in runs):
                continue
            rows = self._journal.registers(SWEPT, f"{order.sweep}/")
            self._journal.put(
                [RegisterWrite(SWEPT, row.key, None) for row in rows]
                + [RegisterWrite(space, order.sweep, None) for space in (SWEEP, SERVED)]
            )
            forgotten.append(order.sweep)
        return forgotten

    def _is_there(self, run: str) -> bool:
        try:
            self._journal.run(run)
        except UnknownRun:
            return False
        return True

    def write(self, order: SweepOrder, place: int, swept: Swept) -> None:
        """Keep what became of a repository."""
        self._journal.put([self.row(order, place, swept)])

    def row(self, order: SweepOrder, place: int, swept: Swept) -> RegisterWrite:
        """What keeps it."""
        value = json.dumps(
            {one.name: getattr(swept, one.name) for one in dataclasses.fields(swept)}
        )
        return RegisterWrite(SWEPT, f"{order.sweep}/{place:06d}", value)


def _order_json(order: SweepOrder) -> str:
    return json.dumps(dataclasses.asdict(order), ensure_ascii=False)


def _order(value: str) -> SweepOrder:
    data = json.loads(value)
    data["targets"] = tuple(Target(**one) for one in data["targets"])
    data["author"] = tuple(data["author"])
    return SweepOrder(**data)


# -- the report -----------------------------------------------------------------------------------


@record
class SweepReport:
    """A sweep, and what has become of it.

    Attributes:
        is_driven: whether a living process is at it.
        is_served: whether servers see to it until it is at rest.
    """

    order: SweepOrder
    swept: Sequence[Swept]
    is_driven: bool = False
    is_served: bool = False

    @property
    def counts(self) -> Mapping[str, int]:
        """How many repositories by status."""
        return Counter(one.status for one in self.swept)

    @property
    def status(self) -> str:
        """`succeeded`, `failed` (some), `stopped`, `waiting`, `running`, `interrupted`, `undone`."""
        statuses = set(self.counts)
        if self.is_driven:
            return "running"
        if self.order.undoing:
            return "interrupted"
        if statuses <= {SUCCEEDED}:
            return SUCCEEDED
        if UNDONE in statuses and statuses <= {UNDONE, FAILED, LEFT, "rolled_back"}:
            return UNDONE
        if self.order.stopped:
            return "stopped"
        if statuses & {LEFT, "running", "cancelled"}:
            return "interrupted"
        return FAILED if FAILED in statuses or "waiting" not in statuses else "waiting"

    @property
    def stopped(self) -> str:
        """Why it came to rest before its end; "" for it did not."""
        half_way = self.order.undoing and not self.is_driven
        return "its undo is not done" if half_way else self.order.stopped

    @property
    def cost_usd(self) -> float:
        """US dollars of all runs, as far as prices are known."""
        return round(sum(one.cost_usd for one in self.swept), 9)

    @property
    def dead(self) -> list[tuple[Target, Swept]]:
        """The dead-letter list: repositories that failed."""
        both = zip(self.order.targets, self.swept, strict=True)
        return [(target, one) for target, one in both if one.status == FAILED]

    def to_json(self) -> dict[str, Json]:
        """As `--json` prints it."""
        order = self.order
        both = zip(order.targets, self.swept, strict=True)
        repositories: list[Json] = [repository_json(target, one) for target, one in both]
        return {
            "sweep": order.sweep,
            "bundle": order.bundle,
            "status": self.status,
            "stopped": self.stopped or None,
            "undoing": order.undoing,
            "goes_on": self.is_driven or self.is_served,
            "counts": cast("dict[str, Json]", dict(self.counts)),
            "branch": order.branch,
            "cost_usd": self.cost_usd,
            "max_usd": order.max_usd,
            "seconds": round(order.seconds, 3),
            "dead_letters": [target.name for target, _ in self.dead],
            "repositories": repositories,
        }

    def to_markdown(self) -> str:
        """The report for people."""
        order = self.order
        counts = ", ".join(
            f"{count} {word.replace('_', ' ')}" for word, count in self.counts.items()
        )
        lines = [
            f"# Sweep of {_cell(order.name)}: {self.status}",
            "",
            f"- sweep: `{order.sweep}` by {_cell(order.actor)}",
            f"- bundle: `{order.bundle}`",
            f"- repositories: {len(order.targets)}: {counts}",
            f"- branch: `{order.branch}`",
            f"- cost: {usd_text(self.cost_usd)}",
            f"- time: {order.seconds:.1f} s",
            *([f"- stopped: {_cell(self.stopped)}"] if self.stopped else []),
            "",
            "| repository | status | run | branch | cost | time | error |",
            "| --- | --- | --- | --- | --: | --: | --- |",
        ]
        for target, one in zip(order.targets, self.swept, strict=True):
            error, hint = (str(one.error.get(key) or "") for key in ("message", "hint"))
            way_out = f"<br>help: {_cell(hint)}" if hint else ""
            branch = f"`{one.branch}` {one.result[:10]}" if one.branch else ""
            cost = usd_text(one.cost_usd) if one.cost_usd else ""
            lines.append(
                f"| {_cell(target.name)} | {one.status} | {one.run} | {_cell(branch)} | {cost} "
                f"| {one.seconds:.1f} s | {_cell(error)}{way_out} |"
            )
        return "\n".join(lines) + "\n"


def error_json(
    kind: str, message: str, step: str | None = None, hint: str | None = None
) -> dict[str, Json]:
    """Why a repository failed, as it is kept and as `--json` prints it."""
    return {"kind": kind, "message": message, "step": step, "hint": hint}


def error_of_run(said: RunError | None) -> dict[str, Json]:
    """The same, by what a run says of itself; empty where it did not fail."""
    return {} if said is None else error_json(said.kind, said.message, said.step, said.hint)


def repository_json(target: Target, swept: Swept) -> dict[str, Json]:
    """What became of a repository, as `--json` prints it."""
    return {
        "repository": target.name,
        "status": swept.status,
        "run": swept.run or None,
        "attempts": swept.attempt,
        "branch": swept.branch or None,
        "commit": swept.commit or None,
        "result": swept.result or None,
        "cost_usd": round(swept.cost_usd, 9),
        "seconds": round(swept.seconds, 3),
        "error": dict(swept.error) or None,
    }


def _cell(text: str) -> str:
    """Text from a run in a cell of a table: it can neither end the cell nor be markup."""
    line = one_line(text)
    for mark in "\\|<[*_":
        line = line.replace(mark, f"\\{mark}") if mark != "_" else line
    return line
