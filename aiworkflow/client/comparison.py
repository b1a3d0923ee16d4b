"""Agents beside each other: the same bundle and inputs by each, through ordinary runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.workflow import agent_spec
from aiworkflow.client.builder import WorkflowBuilder
from aiworkflow.errors import UsageError
from aiworkflow.observe.intervals import Interval, mean, share
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from aiworkflow.client.builder import BuiltWorkflow
    from aiworkflow.client.client import Client
    from aiworkflow.client.result import RunResult, StepResult
    from aiworkflow.client.run import Run
    from aiworkflow.engine.carried import Json

    Start = Callable[[str], Awaitable[Run]]

_BENCH: Final = "Answer with the numbers from 1 to 20, separated by commas, and nothing else."
_JUDGE: Final = """\
Score how well the outputs below do what was asked, from 0 (useless) to 10 (nothing to improve).

What was asked: {{ inputs.about }}

Its inputs: {{ inputs.given }}

The outputs: {{ inputs.outputs }}
"""


@record
class Sample:
    """One run, or one step, by one agent.

    Attributes:
        run: its id.
        usd: None where the cost is not known.
        score: by a judge, or the number that is called `score` in the outputs; None where there is
            none.
        tokens: tokens written.
        error: what went wrong; "" where nothing did.
    """

    arm: str
    run: str
    succeeded: bool
    seconds: float
    usd: float | None = None
    score: float | None = None
    tokens: int = 0
    error: str = ""


@record
class Arm:
    """All samples of one agent, as figures."""

    name: str
    count: int
    succeeded: int
    success: Interval | None
    seconds: Interval | None
    usd: Interval | None
    score: Interval | None
    tokens_per_s: float | None
    errors: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """As `agents compare --json` prints it."""
        figures = {
            "success": self.success,
            "seconds": self.seconds,
            "cost_usd": self.usd,
            "score": self.score,
        }
        return {
            "agent": self.name,
            "runs": self.count,
            "succeeded": self.succeeded,
            **{name: one.to_json() if one is not None else None for name, one in figures.items()},
            "tokens_per_second": self.tokens_per_s,
            "errors": list(self.errors),
        }


def arm_of(name: str, samples: Sequence[Sample]) -> Arm:
    """The figures of one agent; times, costs and scores are those of what succeeded."""
    good = [one for one in samples if one.succeeded]
    timed = sum(one.seconds for one in good if one.tokens)
    tokens = sum(one.tokens for one in good)
    return Arm(
        name,
        len(samples),
        len(good),
        share(len(good), len(samples)),
        mean([one.seconds for one in good]),
        mean([one.usd for one in samples if one.usd is not None]),
        mean([one.score for one in good if one.score is not None]),
        tokens / timed if timed else None,
        tuple(dict.fromkeys(one.error for one in samples if one.error))[:5],
    )


def bench_bundle() -> BuiltWorkflow:
    """A tiny task that costs little, and takes an agent long enough to be timed."""
    builder = WorkflowBuilder("agents-bench", description="A tiny task, to measure an agent.")
    return builder.agent("count", _BENCH, budget={"usd": 1}).build()


def bench_cost(client: Client, names: Sequence[str], runs: int) -> tuple[float, list[str]]:
    """What a bench may cost at most, US dollars; and the agents whose price is not known.

    Raises:
        UsageError: one of them cannot be used here.
    """
    from aiworkflow.agents import resolve_agent
    from aiworkflow.diagnostics import Report
    from aiworkflow.runtime.estimate import Estimate, Sent

    project = client.project
    agents, _ = project.layered(Report()).get("agents")
    said = agents if isinstance(agents, dict) else {}
    estimate = Estimate(said, (), project.environ, lambda _: False)
    total, unknown = 0.0, []
    for name in names:
        spec = agent_spec(name)
        config = resolve_agent(spec, said, project.environ)
        if estimate.is_priced(config):
            total += runs * estimate.offer(spec, name, (spec,), Sent(len(_BENCH))).usd
        else:
            unknown.append(name)
    return total, unknown


def _judge_bundle() -> BuiltWorkflow:
    builder = WorkflowBuilder("agents-judge", description="Scores the outputs of a run.")
    for name in ("about", "given", "outputs"):
        builder.input(name)
    output: Json = {"score": {"type": "number", "minimum": 0, "maximum": 10}, "why": "string"}
    builder.agent("judge", _JUDGE, output=output)
    return builder.output("score", "{{ steps.judge.output.score }}").build()


async def compare(
    client: Client,
    bundle: str | Path | BuiltWorkflow,
    agents: Sequence[str],
    *,
    runs: int = 5,
    inputs: Mapping[str, Json] | None = None,
    texts: Mapping[str, str] | None = None,
    judge: str = "",
    tell: Callable[[Sample], None] | None = None,
) -> list[Arm]:
    """Run a bundle some times with each agent, in turn, and put figures beside each other.

    Each agent does all agent steps of its runs, whatever the bundle says. The runs are ordinary ones:
    they cost money, do what they do, and stand in `runs list`.

    Args:
        judge: an agent that scores the outputs; "" for none.
        tell: called with each run that has ended.

    Raises:
        BundleInvalid, InputsInvalid, UsageError: nothing was started.
    """
    names = list(dict.fromkeys(agents))
    if not names:
        raise UsageError("name the agents: --agents local,house/large")
    start, description = (_there if client.is_remote else _here)(
        client, bundle, [*names, *filter(None, [judge])], inputs or {}, texts or {}
    )
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            result = await (await start(name)).result()
            score = _score(result)
            if judge and result.status == "succeeded":
                score = await _judged(client, judge, description, result, inputs or texts or {})
            sample = _sample(name, result, score)
            samples[name].append(sample)
            if tell is not None:
                tell(sample)
    return [arm_of(name, samples[name]) for name in names]


def _here(
    client: Client,
    bundle: str | Path | BuiltWorkflow,
    names: Sequence[str],
    inputs: Mapping[str, Json],
    texts: Mapping[str, str],
) -> tuple[Start, str]:
    """What starts a run with an agent, and what the bundle says of itself; all is checked before."""
    checked = {name: client.project.check(bundle, {"agent": name}) for name in names}
    for one in checked.values():
        client.project.prepare(one, inputs, texts)
    about = checked[names[0]].workflow
    description = about.description or about.title if about is not None else ""

    async def start(name: str) -> Run:
        return await client.start(checked[name], inputs, texts=texts, name=f"compare {name}")

    return start, description


def _there(
    client: Client,
    bundle: str | Path | BuiltWorkflow,
    names: Sequence[str],
    inputs: Mapping[str, Json],
    texts: Mapping[str, str],
) -> tuple[Start, str]:
    """The same at a server, which checks the inputs as the first is started."""
    for name in names:
        client.views.choice(str(bundle), agent=name)
    begin = cast("Callable[..., Awaitable[Run]]", client.start)  # who compares agrees to the cost

    async def start(name: str) -> Run:
        said = {"agent": name}
        return await begin(
            bundle, inputs, texts=texts, overrides=said, name=f"compare {name}", agreed=True
        )

    return start, ""


async def _judged(
    client: Client, judge: str, about: str, result: RunResult, given: Mapping[str, Json]
) -> float | None:
    outputs: Mapping[str, Json] = result.outputs or {
        path: one.output for path, one in result.steps.items()
    }
    texts = {
        "about": about,
        "given": json.dumps(dict(given), ensure_ascii=False, default=str),
        "outputs": json.dumps(dict(outputs), ensure_ascii=False, default=str),
    }
    run = await client.start(
        _judge_bundle(), texts, overrides={"agent": judge}, name=f"judge {result.run}"
    )
    return _score(await run.result())


def _score(result: RunResult) -> float | None:
    return _number(result.outputs.get("score"))


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None  # type: ignore[arg-type]


def _sample(arm: str, result: RunResult, score: float | None) -> Sample:
    by_agents = [one for one in result.steps.values() if one.agent]
    priced = [one.cost_usd for one in by_agents if one.cost_usd is not None]
    return Sample(
        arm,
        result.run,
        result.status == "succeeded",
        result.seconds,
        sum(priced) if priced else None,
        score,
        sum(one.output_tokens for one in by_agents),
        _problem(result),
    )


def _problem(result: RunResult) -> str:
    if result.status == "succeeded":
        return ""
    return result.error.message if result.error is not None else f"it is {result.status}"


def report(client: Client, bundle: str, limit: int = 1000) -> dict[str, list[Arm]]:
    """The arms of the steps of a bundle that have `agent: {ab: …}`, by step, from its last runs."""
    samples: dict[str, dict[str, list[Sample]]] = {}
    before: str | None = None
    seen = 0
    while seen < limit:
        page = client.runs(bundle=bundle, limit=min(100, limit - seen), before=before)
        for row in page.runs:
            result = client.run(row.run).look()
            for path, one in result.steps.items():
                if one.chosen.startswith("ab, ") and one.status in {"succeeded", "failed"}:
                    arms = samples.setdefault(_step_of(path), {})
                    arm = str(one.agent or "").partition(" ")[0] or "unknown"
                    arms.setdefault(arm, []).append(_step_sample(arm, row.run, one))
        seen += len(page.runs)
        before = page.next
        if not page.runs or before is None:
            break
    return {
        step: [arm_of(name, found) for name, found in sorted(arms.items())]
        for step, arms in samples.items()
    }


def _step_of(path: str) -> str:
    """`files[3].lint` and `improve#2.draft` are the steps `files.lint` and `improve.draft`."""
    words = [word.partition("[")[0].partition("#")[0] for word in path.split(".")]
    return ".".join(words)


def _step_sample(arm: str, run: str, step: StepResult) -> Sample:
    output = step.output
    score = output.get("score") if isinstance(output, dict) else output
    return Sample(
        arm,
        run,
        step.status == "succeeded",
        step.seconds,
        step.cost_usd,
        _number(score),
        step.output_tokens,
        step.error.message if step.error is not None else "",
    )
