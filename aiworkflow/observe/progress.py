"""A run as people see it: the fold of its events into a tree of steps with times, costs and errors.

Every face uses this one view: the live tree, `runs show`, `--json`, results of the Python API and
records in git. It reads events only; titles and kinds come from the plan the run was started with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiworkflow.engine import Event, Failure, Ref
from aiworkflow.engine import events as ev

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.plan.graph import Node, Plan


@dataclass(slots=True)
class StepProgress:
    """A step, item or round of a run.

    Attributes:
        path: its address; `label` is the last part of it, for a tree.
        status: `pending running succeeded failed skipped cancelled in_doubt`.
        attempts: attempts begun over all visits.
        started, ended: seconds since the epoch; None while unknown.
        seconds: time spent in attempts; for what holds others, from begin to end.
        cost_usd: US dollars of this step's own attempts; None where nothing was priced.
        output: reference to the output, where it has one of its own.
        count: number of items of an `each`; None otherwise.
    """

    path: str
    label: str
    node: str
    title: str = ""
    kind: str = ""
    form: str = "leaf"
    status: str = "pending"
    visit: int = 1
    attempt: int = 0
    attempts: int = 0
    started: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    cost_usd: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    agent: str | None = None
    effect: str = ""
    error: Failure | None = None
    because: str = ""
    output: Ref | None = None
    log: str | None = None
    count: int | None = None
    round: int | None = None
    children: list[StepProgress] = field(default_factory=list)

    def walk(self) -> Iterator[StepProgress]:
        """This and everything below, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


class RunProgress:
    """The fold. Feed it events in order with `apply`.

    Attributes:
        root: the run itself, as the parent of the top-level steps.
        seq: the last event seen.
    """

    def __init__(self, plan: Plan | None = None) -> None:
        self.root = StepProgress("", "", "", form="group")
        self.seq = 0
        self.started: ev.RunStarted | None = None
        self.finished: ev.RunFinished | None = None
        self.cancel: ev.CancelRequested | None = None
        self.resumes = 0
        self.steps: dict[str, StepProgress] = {"": self.root}
        self._plan: Plan | None = None
        if plan is not None:
            self.use_plan(plan)

    def use_plan(self, plan: Plan) -> None:
        """Know titles and kinds, and list the steps that have not begun."""
        self._plan = plan
        self.root.title = plan.title
        self._expect(self.root, "")

    @property
    def status(self) -> str:
        """The run's status, as its events say it."""
        if self.started is None:
            return "queued"
        return self.finished.status if self.finished is not None else "running"

    @property
    def cost_usd(self) -> float:
        """US dollars spent so far, as far as prices are known."""
        return sum(step.cost_usd or 0.0 for step in self.steps.values())

    def seconds(self, now: float) -> float:
        """From the start to the end, or to `now` (seconds since the epoch)."""
        if self.started is None:
            return 0.0
        end = self.finished.at if self.finished is not None else now
        return max(0.0, end - self.started.at)

    @property
    def running(self) -> list[StepProgress]:
        """The attempts under way, in the order they were begun in."""
        return [s for s in self.steps.values() if s.form == "leaf" and s.status == "running"]

    @property
    def doubts(self) -> list[StepProgress]:
        """What waits for a person to say whether it happened."""
        return [s for s in self.steps.values() if s.status == "in_doubt"]

    def apply(self, event: Event) -> StepProgress | None:
        """Fold the next event; returns the step it is about, if any."""
        self.seq += 1
        match event:
            case ev.RunStarted():
                self.started = event
                self.root.status = "running"
                self.root.started = event.at
                return self.root
            case ev.RunResumed():
                self._resumed(event)
                return self.root
            case ev.CancelRequested():
                self.cancel = event
                return self.root
            case ev.RunFinished():
                self.finished = event
                self.root.status = event.status
                self.root.ended = event.at
                self.root.error = event.error
                self.root.output = event.outputs
                return self.root
            case _:
                return self._apply_step(event)

    def _resumed(self, event: ev.RunResumed) -> None:
        self.resumes += 1
        for path in (*event.reset, *event.anew):
            step = self.steps[path]
            step.status = "pending" if step.form == "leaf" or path in event.anew else "running"
            step.error = None
            step.ended = None
        if event.reset:
            self.finished = None
            self.cancel = None

    def _apply_step(self, event: Event) -> StepProgress:
        match event:
            case ev.Entered():
                step = self._step(event.path, event.node, event.parent, event.round)
                step.form = event.form
                step.status = "running"
                step.started = event.at
                step.count = event.count if event.form == "each" else None
                step.round = event.round
                self._expect(step, event.node)
            case ev.Skipped():
                step = self._step(event.path, event.node, event.parent)
                step.status = "skipped"
                step.because = event.because
                step.started = step.ended = event.at
            case ev.Broken():
                step = self._step(event.path, event.node, event.parent)
                step.status = "failed"
                step.error = event.error
                step.started = step.started or event.at
                step.ended = event.at
            case ev.Started():
                step = self._step(event.path, event.node, event.parent)
                step.status = "running"
                step.started = step.started if event.attempt > 1 else event.at
                step.visit, step.attempt = event.visit, event.attempt
                step.attempts += 1
                step.effect = event.effect
            case ev.Ended():
                step = self._ended(event)
            case ev.Released():
                step = self.steps[event.path]
                step.status = "pending"
            case ev.Resolved():
                step = self.steps[event.path]
                step.status = {"done": "succeeded", "redo": "pending"}.get(event.outcome, "failed")
                step.output = event.output or step.output
                step.error = None if event.outcome != "failed" else step.error
            case ev.Assigned():
                step = self._step(event.path, event.node, event.parent)
                step.status = "succeeded"
                step.started = step.started or event.at
                step.ended = event.at
            case ev.Stopping():
                step = self.steps[event.path]
            case ev.Closed():
                step = self.steps[event.path]
                step.status = event.status
                step.error = event.error
                step.output = event.output
                step.ended = event.at
                step.seconds = event.at - (step.started or event.at)
            case _:
                raise AssertionError(f"{event} is not about a step")
        return step

    def _ended(self, event: ev.Ended) -> StepProgress:
        step = self.steps[event.path]
        step.status = event.status
        step.error = event.error
        step.output = event.output
        step.ended = event.at
        step.seconds += event.seconds
        step.agent = event.agent or step.agent
        step.log = event.log or step.log
        if event.spent is not None:
            step.input_tokens += event.spent.input_tokens
            step.output_tokens += event.spent.output_tokens
            if event.spent.cost_usd is not None:
                step.cost_usd = (step.cost_usd or 0.0) + event.spent.cost_usd
        return step

    def _step(self, path: str, node: str, parent: str, round_: int | None = None) -> StepProgress:
        found = self.steps.get(path)
        if found is None:
            above = self.steps[parent]
            found = self._new(path, node, above, round_)
        return found

    def _new(
        self, path: str, node: str, above: StepProgress, round_: int | None = None
    ) -> StepProgress:
        label = path[len(above.path) :].lstrip(".")
        found = StepProgress(path, label, node, round=round_)
        planned = self._planned(node)
        if planned is not None:
            found.title = planned.title
            found.kind = str(planned.kind)
        above.children.append(found)
        self.steps[path] = found
        return found

    def _planned(self, node: str) -> Node | None:
        return self._plan.nodes.get(node) if self._plan is not None else None

    def _expect(self, step: StepProgress, node: str) -> None:
        """List the children of a group before they begin."""
        planned = self._planned(node)
        if planned is None or step.form != "group":
            return
        for name in planned.children:
            path = f"{step.path}.{name}" if step.path else name
            if path not in self.steps:
                self._new(path, name, step)
