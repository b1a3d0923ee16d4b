"""What two versions of a bundle cost on the same recorded inputs: prompts rendered anew, nothing run.

For each attempt of an agent that a recorded run made, the prompt of either version is rendered with all
names as they were at that moment. What was sent then was so long and took so many tokens: a prompt of
another length takes as many in proportion. Answers are taken to be as long as they were.

Not known, and said: what a new step answers, how often it runs, and what other conditions, lists,
rounds and retries would have made of the run.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import AgentCall, Child, agent_label
from aiworkflow.client.bounds import agent_without_key, default_agents, every_agent
from aiworkflow.client.in_force import in_force
from aiworkflow.client.project import BundleInvalid
from aiworkflow.engine import RunState, decode
from aiworkflow.engine import events as ev
from aiworkflow.errors import UsageError
from aiworkflow.expr import EvaluationError, render
from aiworkflow.journal.paging import records_after
from aiworkflow.plan import seal
from aiworkflow.records import record
from aiworkflow.runtime.names import View
from aiworkflow.runtime.values import Values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiworkflow.agents import AgentConfig
    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked
    from aiworkflow.engine import Instance
    from aiworkflow.engine.carried import Json, Spent
    from aiworkflow.plan.graph import Node, Plan

_BYTES_A_TOKEN: Final = 4.0  # of a prompt that was never sent


@record
class Side:
    """A step in one version, over all recorded runs.

    Attributes:
        agent: `name/model`; "" where there is none.
        output_tokens: None where nobody knows.
        usd: US dollars; None where nobody knows.
    """

    agent: str
    input_tokens: int
    output_tokens: int | None
    usd: float | None

    def to_json(self) -> dict[str, Json]:
        """As `cost diff --json` prints it."""
        return {
            "agent": self.agent or None,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": self.usd,
        }


@record
class StepCosts:
    """A step in both versions.

    Attributes:
        status: `same`, `changed`, `new` or `gone`.
        ran: attempts that were recorded.
        old, new: None where it is not there, or its prompt could not be rendered.
        notes: what is not known of it, and why.
    """

    step: str
    status: str
    ran: int
    old: Side | None
    new: Side | None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """As `cost diff --json` prints it."""
        return {
            "step": self.step,
            "status": self.status,
            "ran": self.ran,
            "old": self.old.to_json() if self.old is not None else None,
            "new": self.new.to_json() if self.new is not None else None,
            "notes": list(self.notes),
        }


@record
class CostDiff:
    """Two versions of a bundle on the same recorded inputs.

    Attributes:
        old, new: how the versions are called.
        runs: the recorded runs.
        notes: what is not known of the whole.
    """

    bundle: str
    old: str
    new: str
    runs: tuple[str, ...]
    steps: tuple[StepCosts, ...]
    notes: tuple[str, ...] = ()

    @property
    def totals(self) -> tuple[float, float]:
        """US dollars of both versions, of the steps that are known in those they are in."""
        known = [one for one in self.steps if one.step not in self.unknown]
        return (
            round(sum(one.old.usd or 0.0 for one in known if one.old is not None), 9),
            round(sum(one.new.usd or 0.0 for one in known if one.new is not None), 9),
        )

    @property
    def unknown(self) -> tuple[str, ...]:
        """Steps that are left out of the totals, since a side of them is not known."""
        return tuple(one.step for one in self.steps if _is_unknown(one))

    def to_json(self) -> dict[str, Json]:
        """As `cost diff --json` prints it."""
        old, new = self.totals
        return {
            "bundle": self.bundle,
            "old": self.old,
            "new": self.new,
            "runs": list(self.runs),
            "steps": [one.to_json() for one in self.steps],
            "total": {
                "old_usd": old,
                "new_usd": new,
                "difference_usd": round(new - old, 9),
                "without": list(self.unknown),
            },
            "notes": list(self.notes),
        }


def compare_costs(
    client: Client,
    bundle: str,
    old: str,
    new: str | None = None,
    *,
    runs: Sequence[str] = (),
    most: int = 20,
) -> CostDiff:
    """Compare a bundle at a git revision with another one, or with the working tree.

    Args:
        runs: the recorded runs to go by; none for the last `most` that succeeded.

    Raises:
        UsageError: there is no such bundle, revision or run, or nothing was recorded.
        BundleInvalid: a version has errors.
    """
    here = client.project.check(bundle)
    sides = [
        _Version(client, client.project.check_at(old, here.label)),
        _Version(client, client.project.check_at(new, here.label) if new else here),
    ]
    found = [client.find(run) for run in runs]
    if not found:
        page = client.journal.runs(status=("succeeded",), bundle=here.label, limit=most)
        found = [row.run for row in page.runs]
    for run in found:
        if client.journal.run(run).bundle != here.label:
            other = client.journal.run(run).bundle
            raise UsageError(f"run {run} is one of {other}, not of {here.label}")
    recording = _Recording(sides)
    for run in found:
        recording.take(client, run)
    if not recording.tallies:
        raise UsageError(
            f"no recorded run of {here.label} that succeeded has asked an agent"
            if not runs
            else f"none of these runs of {here.label} has asked an agent",
            hint="run it once, or name runs with --run",
        )
    steps = tuple(_steps(sides[0], sides[1], recording))
    notes = list(dict.fromkeys(_unfollowed(sides[0].plan, sides[1].plan)))
    elsewhere = recording.tallies.keys() - {one.step for one in steps}
    if elsewhere:
        listed = ", ".join(f"`{step}`" for step in sorted(elsewhere))
        notes.append(f"recorded of a version apart, and in neither of these: {listed}")
    return CostDiff(here.label, old, new or "working tree", tuple(found), steps, tuple(notes))


class _Version:
    """A version of the bundle: its plan, and what its agents cost."""

    def __init__(self, client: Client, checked: Checked) -> None:
        if checked.plan is None or checked.report.has_errors:
            raise BundleInvalid(checked.label, checked.report.sorted())
        assert checked.workflow is not None
        self.plan = seal(checked.plan, checked.workflow)
        self._settings = in_force(checked.settings)
        self._environ = client.project.environ
        self.defaults = {one.name: one.default for one in self.plan.inputs if not one.required}

    def asked(self, step: str) -> Node | None:
        """The step, if it asks an agent."""
        node = self.plan.nodes.get(step)
        return node if node is not None and isinstance(node.action, AgentCall) else None

    def agent(self, node: Node, recorded: str = "") -> AgentConfig | None:
        """Who does a step: of several the one that was recorded, else the first; None for nobody."""
        assert isinstance(node.action, AgentCall)
        specs = node.action.agents
        if not specs and node.action.choice is not None:
            specs = every_agent(self._settings)
        elif not specs:
            specs, _ = default_agents(self._settings)
        name, _, model = agent_label(recorded).partition("/")
        same = [one for one in specs if one.name == name and one.model in {None, model}]
        if not specs:
            return None
        return agent_without_key((same or [*specs])[0], self._settings, self._environ)

    def prompt(self, node: Node, view: View, here: Instance, env: Json) -> str:
        """The prompt of a step with names as they are at a place. Raises EvaluationError."""
        assert isinstance(node.action, AgentCall)
        recorded = view.inputs
        view.inputs = {**self.defaults, **recorded}
        try:
            names = view.names(here, None, env if isinstance(env, dict) else {})
            return render(node.action.prompt, names, fenced=node.fenced)
        finally:
            view.inputs = recorded


@record
class _Tally:
    """What a step came to in all recorded runs; of each version tokens sent, or why not known."""

    ran: int = 0
    input_tokens: list[float] = field(default_factory=lambda: [0.0, 0.0])
    cached_tokens: list[float] = field(default_factory=lambda: [0.0, 0.0])
    problems: list[str] = field(default_factory=lambda: ["", ""])
    output_tokens: int = 0
    agent: str = ""

    def plus(self, spent: Spent, lengths: Sequence[float | str], agent: str) -> _Tally:
        """With one more attempt, whose prompt would have been so long relative to what it was."""
        for at, length in enumerate(lengths):
            if isinstance(length, str):
                self.problems[at] = self.problems[at] or length
            else:
                self.input_tokens[at] += spent.input_tokens * length
                self.cached_tokens[at] += spent.cached_tokens * length
        return _Tally(
            self.ran + 1,
            self.input_tokens,
            self.cached_tokens,
            self.problems,
            self.output_tokens + spent.output_tokens,
            agent,
        )


class _Recording:
    """Recorded runs as both versions would have asked in them.

    Attributes:
        tallies: by step.
        unasked: of new steps: tokens of the prompt in each run, or why it is not known.
    """

    def __init__(self, sides: Sequence[_Version]) -> None:
        self._sides = sides
        self.tallies: dict[str, _Tally] = {}
        self.unasked: dict[str, list[float | str]] = {}

    def take(self, client: Client, run: str) -> None:
        """Go through a run, attempt by attempt."""
        state = RunState()
        values = Values(client.journal, run, inline_bytes=0)
        lengths: dict[str, list[float | str]] = {}
        view: View | None = None
        for event in _events(client, run):
            here = state.apply(event)
            if view is None or isinstance(event, ev.Replanned):
                assert state.started is not None
                view = View(client.plans.at(state.started.plan), state, values)
            if here is None or here.role or not self._is_asked(view.plan, here):
                continue
            if isinstance(event, ev.Started) and here.arguments_seq:
                lengths[here.path] = self._lengths(view, here, values)
            elif isinstance(event, ev.Ended) and event.spent is not None and here.path in lengths:
                known = self.tallies.get(here.node, _Tally())
                self.tallies[here.node] = known.plus(
                    event.spent, lengths[here.path], event.agent or ""
                )
        if view is not None:
            self._ask_new(view, state)

    @staticmethod
    def _is_asked(plan: Plan, here: Instance) -> bool:
        node = plan.nodes.get(here.node)
        return here.form == "leaf" and node is not None and isinstance(node.action, AgentCall)

    def _lengths(self, view: View, here: Instance, values: Values) -> list[float | str]:
        """How long the prompt of each version is, relative to what was sent; or why not known."""
        arguments = values.arguments(here.arguments_seq)
        sent = max(1, len(str(arguments["prompt"]).encode("utf-8", "replace")))
        found: list[float | str] = []
        for side in self._sides:
            node = side.asked(here.node)
            if node is None:
                found.append("it is not there")
                continue
            try:
                prompt = side.prompt(node, view, here, arguments.get("env", {}))
            except EvaluationError as error:
                found.append(f"its prompt cannot be made of what was recorded: {error.message}")
            else:
                found.append(len(prompt.encode("utf-8", "replace")) / sent)
        return found

    def _ask_new(self, view: View, state: RunState) -> None:
        """Render what only the new version asks, with names as they are at the end of a run."""
        old, new = self._sides
        for node in new.plan.nodes.values():
            if not isinstance(node.action, AgentCall) or old.asked(node.id) is not None:
                continue
            if node.id in self.tallies or state.root is None:
                continue
            known = self.unasked.setdefault(node.id, [])
            try:
                prompt = new.prompt(node, view, state.root, {})
            except EvaluationError as error:
                known.append(f"its prompt cannot be made of what was recorded: {error.message}")
            else:
                known.append(len(prompt.encode("utf-8", "replace")) / _BYTES_A_TOKEN)


def _events(client: Client, run: str) -> Iterator[ev.Event]:
    for one in records_after(client.journal, run):
        yield decode(one.payload)


def _steps(old: _Version, new: _Version, recording: _Recording) -> Iterator[StepCosts]:
    """The steps of both versions, in the order of the new one; those that are gone last."""
    ids = [*new.plan.nodes, *(one for one in old.plan.nodes if one not in new.plan.nodes)]
    for step in ids:
        before, after = old.asked(step), new.asked(step)
        if before is None and after is None:
            continue
        tally = recording.tallies.get(step)
        notes: list[str] = []
        if tally is None:
            yield _unrecorded(step, before, after, new, recording)
            continue
        sides = [
            _side(version, node, tally, at, notes)
            for at, (version, node) in enumerate(((old, before), (new, after)))
        ]
        if before is not None and after is not None:
            notes += _differences(before, after, sides)
        status = (
            "new" if before is None else "gone" if after is None
            else "same" if before.digest == after.digest else "changed"
        )  # fmt: skip
        yield StepCosts(step, status, tally.ran, sides[0], sides[1], tuple(notes))


def _side(
    version: _Version, node: Node | None, tally: _Tally, at: int, notes: list[str]
) -> Side | None:
    from aiworkflow.agents import Consumed, cost_of

    if node is None:
        return None
    if tally.problems[at]:
        notes.append(f"{'new' if at else 'old'}: {tally.problems[at]}")
        return None
    config = version.agent(node, tally.agent)
    asked, cached = round(tally.input_tokens[at]), round(tally.cached_tokens[at])
    usd = cost_of(config, Consumed(asked, cached, tally.output_tokens)) if config else None
    label = config.label if config is not None else ""
    if usd is None:
        notes.append(
            f"{'new' if at else 'old'}: the price of `{label or 'its agent'}` is not known"
        )
    return Side(label, asked, tally.output_tokens, None if usd is None else round(usd, 9))


def _unrecorded(
    step: str, before: Node | None, after: Node | None, new: _Version, recording: _Recording
) -> StepCosts:
    """A step that no recorded run has asked."""
    if after is None or before is not None:
        note = "it was not asked in these runs"
        status = "gone" if after is None else "same"
        if before is not None and after is not None and before.digest != after.digest:
            status = "changed"
        none = Side("", 0, 0, 0.0)
        return StepCosts(
            step, status, 0, none if before else None, none if after else None, (note,)
        )
    notes = ["how often it runs, and what it answers, is not known; its prompt once for each run"]
    config = new.agent(after)
    lengths = recording.unasked.get(step, [])
    problem = next((one for one in lengths if isinstance(one, str)), "")
    if problem:
        return StepCosts(step, "new", 0, None, None, (*notes, problem))
    tokens = round(sum(one for one in lengths if not isinstance(one, str)))
    side = Side(config.label if config is not None else "", tokens, None, None)
    if config is not None:
        notes.append(f"each answer takes {config.max_tokens:,} tokens at most")
    return StepCosts(step, "new", 0, None, side, tuple(notes))


def _differences(before: Node, after: Node, sides: Sequence[Side | None]) -> Iterator[str]:
    """What makes the figures of a step less certain."""
    was, now = sides
    if was is not None and now is not None and was.agent != now.agent:
        yield f"`{was.agent}` → `{now.agent}`: taken to use as many tokens"
    for name, one, other in (
        ("if", before.condition, after.condition),
        ("each", before.each, after.each),
        ("retry", before.retry, after.retry),
        ("output", before.output, after.output),
    ):
        if one != other:
            yield f"its `{name}` differs; it is taken to run, and to answer, as before"


def _unfollowed(*plans: Plan) -> Iterator[str]:
    for plan in plans:
        for node in plan.nodes.values():
            if isinstance(node.action, Child):
                yield (
                    f"`{node.id}` calls `{node.action.path}`, which is not in these figures; "
                    "compare it by --bundle"
                )


def _is_unknown(step: StepCosts) -> bool:
    old, new = step.old, step.new
    if step.status != "new" and (old is None or old.usd is None):
        return True
    return step.status != "gone" and (new is None or new.usd is None)
