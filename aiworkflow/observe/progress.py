"""A run as people see it: the fold of its events into a tree of steps with times, costs and errors.

Every face uses this one view: the live tree, `runs show`, `--json`, results of the Python API and
records in git. It reads events only; titles and kinds come from the plan in force, which they name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiworkflow.engine import Event, Failure, Ref
from aiworkflow.engine import events as ev
from aiworkflow.engine.former import MARK as FORMER
from aiworkflow.engine.instance import LOST
from aiworkflow.engine.ledger import is_untold
from aiworkflow.engine.said import Said
from aiworkflow.observe.eventline import call_line
from aiworkflow.observe.replanning import apply_replanned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiworkflow.plan.graph import Node, Plan


@dataclass(slots=True)
class StepProgress:
    """A step, item or round of a run.

    Attributes:
        path: its address; `label` is the last part of it, for a tree.
        status: `pending running waiting succeeded failed skipped cancelled in_doubt`.
        attempts: attempts begun over all visits.
        started, ended: seconds since the epoch; None while unknown.
        seconds: time spent in attempts; for what holds others, from begin to end.
        cost_usd: US dollars of this step's own attempts; None where nothing was priced.
        unknown_price: how many attempts have a price, or a consumption, that is not known.
        output: reference to the output, where it has one of its own.
        count: number of items of an `each`; None otherwise.
        source: run and path of the attempt whose output was used again; None where it ran itself.
        undone: whether it was taken back; None while nobody tried.
        waits: what kind of wait is open: `approve gate ask timer event`; "" for none.
        asks: whether an attempt that goes on has opened it.
        tool: of a call that an agent made: the operation; `given` holds its arguments, under `with`.
        due: while it waits: when it goes on, seconds since the epoch; None for no moment.
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
    unknown_price: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    agent: str | None = None
    chosen: str = ""
    asked: str = ""
    effect: str = ""
    error: Failure | None = None
    because: str = ""
    output: Ref | None = None
    log: str | None = None
    count: int | None = None
    waits: str = ""
    asks: bool = False
    due: float | None = None
    round: int | None = None
    undone: bool | None = None
    source: str | None = None
    tool: str = ""
    given: Ref | None = None
    children: list[StepProgress] = field(default_factory=list)

    @property
    def is_apart(self) -> bool:
        """Whether it is no step of the workflow: a join of states, or an undo."""
        return self.label.startswith("/")

    @property
    def is_undo(self) -> bool:
        """Whether it takes back what the step above did."""
        return self.label == "/undo"

    @property
    def calls(self) -> list[StepProgress]:
        """The calls that the agent of the step made, over all visits."""
        return [child for child in self.children if child.tool]

    def walk(self) -> Iterator[StepProgress]:
        """This and everything below, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


_RESOLVED = {
    "done": "succeeded",
    "redo": "pending",
    "failed": "failed",
    "undo": "in_doubt",
    "undone": "pending",
    "kept": "in_doubt",
}


class RunProgress:
    """The fold. Feed it events in order with `apply`.

    Attributes:
        root: the run itself, as the parent of the top-level steps.
        seq: the last event seen.
        standing: of what was taken back, the run or groups of it: paths of steps whose effect stands.
        replans: each time the run went on with another plan.
        gone_usd: US dollars spent by steps that are gone.
        undo_asked: whether a person asked last that the whole be taken back.

    Args:
        plans: gives the plan in a blob.
    """

    def __init__(self, plans: Callable[[str], Plan] | None = None) -> None:
        self.root = StepProgress("", "", "", form="group")
        self.seq = 0
        self.started: ev.RunStarted | None = None
        self.finished: ev.RunFinished | None = None
        self.cancel: ev.CancelRequested | None = None
        self.resumes = 0
        self.undo_asked = False
        self._rolls_back = False
        self.standing: tuple[str, ...] = ()
        self.steps: dict[str, StepProgress] = {"": self.root}
        self.replans: list[ev.Replanned] = []
        self.gone_usd = 0.0
        self._plans = plans
        self._plan: Plan | None = None

    @property
    def is_being_undone(self) -> bool:
        """Whether what the run did is being taken back: as a person asked, or since it failed."""
        return self.finished is None and (self.undo_asked or self._rolls_back)

    def _use_plan(self, blob: str) -> None:
        """Know titles and kinds, and list the steps that have not begun."""
        if self._plans is None:
            return
        plan = self._plan = self._plans(blob)
        self.root.title = plan.title
        for step in list(self.steps.values()):
            planned = plan.nodes.get(step.node)
            if step.node and planned is not None:
                step.title, step.kind = planned.title, str(planned.kind)
            self._expect(step, step.node)

    def listed(self) -> Iterator[StepProgress]:
        """All steps, in the order they began; after another plan came, as they stand in the tree."""
        return self.root.walk() if self.replans else iter(self.steps.values())

    @property
    def status(self) -> str:
        """The run's status, as its events say it."""
        if self.started is None:
            return "queued"
        return self.finished.status if self.finished is not None else "running"

    @property
    def cost_usd(self) -> float:
        """US dollars spent so far, as far as prices are known."""
        return self.gone_usd + sum(step.cost_usd or 0.0 for step in self.steps.values())

    @property
    def unknown_price(self) -> int:
        """How many attempts have a price, or a consumption, that is not known."""
        return sum(step.unknown_price for step in self.steps.values())

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
                self._use_plan(event.plan)
                return self.root
            case ev.Replanned():
                apply_replanned(self, event)
                self.replans.append(event)
                self._use_plan(event.plan)
                return self.root
            case ev.RunResumed():
                self._resumed(event)
                return self.root
            case ev.CancelRequested():
                self.cancel = event
                return self.root
            case ev.Changed():
                return self.root
            case ev.RunFinished():
                self.finished = event
                self._rolls_back = False
                self.standing = event.standing
                self.root.status = event.status
                self.root.ended = event.at
                self.root.error = event.error
                self.root.output = event.outputs
                return self.root
            case ev.Opened() | ev.Answered() | ev.Approved() | ev.Delayed():
                return self._apply_wait(event)
            case _:
                return self._apply_step(event)

    def _resumed(self, event: ev.RunResumed) -> None:
        self.resumes += 1
        for path in (*event.reset, *event.anew):
            step = self.steps[path]
            step.status = "pending" if step.form == "leaf" or path in event.anew else "running"
            step.error = None
            step.ended = None
        if event.reset or event.undo:
            self.finished = None
            self.cancel = None
        if event.reset:
            self.undo_asked = False
        if event.undo:
            self.undo_asked = True
            self.root.status = "running"
            self.root.error = None

    def _apply_step(self, event: Event) -> StepProgress:
        match event:
            case ev.Entered() | ev.Skipped() | ev.Broken():
                step = self._begun(event)
            case ev.Started():
                step = self._step(event.path, event.node, event.parent)
                step.status = "running"
                step.started = step.started if event.attempt > 1 else event.at
                step.visit, step.attempt = event.visit, event.attempt
                step.attempts += 1
                step.effect = event.effect
                is_same = event.agent == step.asked  # gone on with after a crash, or tried again
                step.chosen = event.because or (step.chosen if is_same else "")
                step.asked = event.agent
                if event.tool:
                    step.tool, step.given = event.tool, event.arguments or step.given
                    step.title = call_line(step.tool, step.given)
            case ev.Ended():
                step = self._ended(event)
            case ev.Reused():
                step = self._step(event.path, event.node, event.parent)
                step.status = "succeeded"
                step.output = event.output
                step.source = event.source
                step.started = step.ended = event.at
            case ev.Undoing(path=""):
                self._rolls_back = True
                step = self.root
            case ev.Undoable() | ev.Undoing() | ev.Warned() | Said():
                step = self.steps[event.path]
            case ev.Repeated():
                step = self._repeated(event)
            case ev.Released():
                step = self.steps[event.path]
                step.status = "pending"
            case ev.Resolved():
                step = self.steps[event.path]
                step.status = _RESOLVED[event.outcome]
                if event.outcome != "undo":
                    step.output = event.output or step.output
                if event.outcome in {"done", "redo", "undone"}:
                    step.error, step.undone = None, None
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

    def _begun(self, event: ev.Entered | ev.Skipped | ev.Broken) -> StepProgress:
        if isinstance(event, ev.Entered):
            step = self._step(event.path, event.node, event.parent, event.round)
            step.form = event.form
            step.status = "running"
            step.started = event.at
            step.count = event.count if event.form == "each" else None
            step.round = event.round
            self._expect(step, event.node)
            return step
        step = self._step(event.path, event.node, event.parent)
        step.started = step.started or event.at
        step.ended = event.at
        if isinstance(event, ev.Skipped):
            step.status = "skipped"
            step.because = event.because
        else:
            step.status = "failed"
            step.error = event.error
        return step

    def _apply_wait(
        self, event: ev.Opened | ev.Answered | ev.Approved | ev.Delayed
    ) -> StepProgress:
        if isinstance(event, ev.Opened):
            step = self._step(event.path, event.node, event.parent)
        else:
            step = self.steps[event.path]
        match event:
            case ev.Opened():
                step.status = "waiting"
                step.waits, step.asks = event.kind, bool(event.question)
                step.visit = event.visit
                step.due = event.due
                step.started = step.started or event.at
            case ev.Answered():
                pass
            case ev.Approved():
                step.status = "pending" if step.form == "leaf" and not step.asks else "running"
                step.waits, step.due = "", None
            case ev.Delayed():
                step.status = "waiting"
                step.due = event.until
                step.unknown_price += step.kind == "agent" and event.because == LOST
        return step

    def _repeated(self, event: ev.Repeated) -> StepProgress:
        step = self.steps[event.path]
        begin = [child for child in step.children if child.node in event.names]
        for one in begin if event.names else [step]:
            for below in (found for found in one.walk() if not found.tool):
                below.status = "pending"
                below.error = None
                below.ended = None
        if not event.names:
            step.status = "running"
        return step

    def _ended(self, event: ev.Ended) -> StepProgress:
        step = self.steps[event.path]
        step.status = event.status
        if step.is_undo and event.status in {"succeeded", "failed"}:
            self.steps[event.path.rpartition("/")[0]].undone = event.status == "succeeded"
        step.asks = False
        if event.status != "waiting":
            step.waits, step.due = "", None
        step.error = event.error if event.status != "waiting" else None
        step.output = event.output
        step.ended = event.at
        step.seconds += event.seconds
        step.agent = event.agent or step.agent
        step.log = event.log or step.log
        if event.spent is not None:
            step.input_tokens += event.spent.input_tokens
            step.cached_tokens += event.spent.cached_tokens
            step.output_tokens += event.spent.output_tokens
            if event.spent.cost_usd is not None:
                step.cost_usd = (step.cost_usd or 0.0) + event.spent.cost_usd
            else:
                step.unknown_price += 1
        elif step.kind == "agent" and (
            is_untold(event, step.agent or "") or (event.error and event.error.kind == LOST)
        ):
            step.unknown_price += 1
        return step

    def _step(self, path: str, node: str, parent: str, round_: int | None = None) -> StepProgress:
        found = self.steps.get(path)
        if found is None:
            above = self.steps.get(parent) or self._former(parent)
            found = self._new(path, node, above, round_)
        return found

    def _former(self, path: str) -> StepProgress:
        """An earlier visit of a step, which is seen when it is taken back."""
        above = self.steps[path.rpartition(FORMER)[0]]
        found = self._new(path, above.node, above)
        found.status = "succeeded"
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
        place = {name: at for at, name in enumerate(planned.children)}
        step.children.sort(key=lambda child: place.get(child.node, len(place)))
