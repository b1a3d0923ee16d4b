"""What a run came to: status, outputs, steps, cost."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.engine import Failure, Ref
    from aiworkflow.engine.carried import Json
    from aiworkflow.journal import RunRow
    from aiworkflow.observe import RunProgress, StepProgress


class Status(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ROLLED_BACK = "rolled_back"


@record
class RunError:
    """Why a run or step failed: a kind in one word, what happened, and where it began."""

    kind: str
    message: str
    exit_code: int | None = None
    step: str | None = None
    hint: str | None = None

    def to_json(self) -> dict[str, Json]:
        """As plain data; what is not known is left out."""
        pairs = {
            "kind": self.kind,
            "message": self.message,
            "exit_code": self.exit_code,
            "step": self.step,
            "hint": self.hint,
        }
        return {key: value for key, value in pairs.items() if value is not None}


class StepResult:
    """What a step came to.

    Attributes:
        status: `succeeded failed skipped cancelled in_doubt running pending`.
        seconds: time its attempts took.
        cost_usd: US dollars; None where nothing was priced.
    """

    __slots__ = ("_load", "_progress", "error")

    def __init__(self, progress: StepProgress, load: Callable[[Ref | None], Json]) -> None:
        self._progress = progress
        self._load = load
        self.error = _error(progress.error)

    @property
    def status(self) -> str:
        """Where the step stands."""
        return self._progress.status

    @property
    def attempts(self) -> int:
        """How many attempts it took."""
        return self._progress.attempts

    @property
    def agent(self) -> str | None:
        """The agent that answered."""
        return self._progress.agent

    @property
    def chosen(self) -> str:
        """Why that agent, where it was chosen, or another one was asked before; else ""."""
        return self._progress.chosen

    @property
    def output_tokens(self) -> int:
        """Tokens that its agent has written."""
        return self._progress.output_tokens

    @property
    def cost_usd(self) -> float | None:
        """US dollars; None where nothing was priced."""
        return self._progress.cost_usd

    @property
    def seconds(self) -> float:
        """Time its attempts took."""
        return self._progress.seconds

    @property
    def output(self) -> Json:
        """The output; of a group or an `each`, made of its children's."""
        return output_of(self._progress, self._load)

    def to_json(self) -> dict[str, Json]:
        """As `run --json` prints it."""
        step = self._progress
        found: dict[str, Json] = {
            "status": step.status,
            "output": self.output,
            "error": self.error.to_json() if self.error is not None else None,
            "attempts": step.attempts,
            "agent": step.agent,
            "cost_usd": step.cost_usd,
            "seconds": round(step.seconds, 3),
        }
        if step.chosen:
            found["chosen"] = step.chosen
        if step.source is not None:
            found["reused"] = step.source
        if step.undone is not None:
            found["undone"] = step.undone
        if step.input_tokens or step.output_tokens:
            found["tokens"] = {
                "input": step.input_tokens,
                "cached": step.cached_tokens,
                "output": step.output_tokens,
            }
        if step.calls:
            found["calls"] = [self._call(one) for one in step.calls]
        return found

    def _call(self, call: StepProgress) -> Json:
        given = self._load(call.given)
        error = _error(call.error)
        found: dict[str, Json] = {
            "path": call.path,
            "visit": call.visit,
            "tool": call.tool,
            "with": given.get("with") if isinstance(given, dict) else None,
            "effect": call.effect,
            "status": call.status,
            "attempts": call.attempts,
            "output": self._load(call.output),
            "error": error.to_json() if error is not None else None,
            "seconds": round(call.seconds, 3),
        }
        if call.undone is not None:
            found["undone"] = call.undone
        return found


def output_of(step: StepProgress, load: Callable[[Ref | None], Json]) -> Json:
    """The output of a step, as expressions see it."""
    if step.output is not None:
        return load(step.output)
    if step.form == "leaf" or step.status in {"skipped", "cancelled", "pending"}:
        return None
    if step.form == "each":
        items: list[Json] = [None] * (step.count or 0)
        for child in step.children:
            if child.label.startswith("["):
                items[int(child.label[1:-1])] = output_of(child, load)
        return items
    if step.form == "until":
        rounds = [child for child in step.children if child.round is not None]
        return output_of(rounds[-1], load) if rounds else None
    return {child.node: output_of(child, load) for child in step.children if not child.is_apart}


@record
class RunResult:
    """What a run came to.

    Attributes:
        steps: by path (`review`, `files[3].lint`), in the order they began; of a run that went on
            with another plan, in the order of the plan.
        cost_usd: US dollars: at least that where `unknown_price` is not 0.
        unknown_price: how many attempts of agents have a price, or a consumption, that is not known.
        seconds: from start to end.
        waiting_for: what a person has to settle before the run goes on.
        standing: of what was taken back, the run or groups of it: paths of steps whose effect stands.
    """

    run: str
    bundle: str
    status: Status
    outputs: Mapping[str, Json]
    steps: Mapping[str, StepResult]
    error: RunError | None
    cost_usd: float
    seconds: float
    waiting_for: Sequence[Mapping[str, Json]] = ()
    standing: Sequence[str] = ()
    unknown_price: int = 0

    @property
    def cost(self) -> float:
        """US dollars, as far as prices are known."""
        return self.cost_usd

    def to_json(self) -> dict[str, Json]:
        """As `run --json` prints it."""
        return {
            "run": self.run,
            "bundle": self.bundle,
            "status": str(self.status),
            "outputs": dict(self.outputs),
            "steps": {path: step.to_json() for path, step in self.steps.items()},
            "error": self.error.to_json() if self.error is not None else None,
            "cost_usd": round(self.cost_usd, 9),
            "unknown_price": self.unknown_price,
            "seconds": round(self.seconds, 3),
            "waiting_for": [dict(wait) for wait in self.waiting_for],
            "standing": list(self.standing),
        }


def result_of(
    row: RunRow, progress: RunProgress, load: Callable[[Ref | None], Json], now: float
) -> RunResult:
    """The result of a run as it stands."""
    outputs = load(progress.root.output)
    return RunResult(
        run=row.run,
        bundle=row.bundle,
        status=Status(row.status),
        outputs=outputs if isinstance(outputs, dict) else {},
        steps={
            step.path: StepResult(step, load)
            for step in progress.listed()
            if step.path and not step.is_apart
        },
        error=_error(progress.root.error),
        cost_usd=progress.cost_usd,
        seconds=progress.seconds(now),
        waiting_for=json.loads(row.waiting) if row.waiting else (),
        standing=progress.standing,
        unknown_price=progress.unknown_price,
    )


def _error(failure: Failure | None) -> RunError | None:
    if failure is None:
        return None
    return RunError(failure.kind, failure.message, failure.exit_code, failure.step, failure.hint)
