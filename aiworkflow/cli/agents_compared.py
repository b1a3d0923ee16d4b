"""What `agents bench`, `compare` and `report` print: agents beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.cli.given import pairs, read_inputs
from aiworkflow.cli.show import seconds_text, table
from aiworkflow.cli.triggering import opened
from aiworkflow.cli.where import Where, connect
from aiworkflow.dollars import usd_text
from aiworkflow.errors import EXIT_FAILED, EXIT_OK, RefusedError, UsageError
from aiworkflow.records import record
from aiworkflow.steady import steady

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.cli.out import Out
    from aiworkflow.client.client import Client
    from aiworkflow.client.comparison import Arm, Sample
    from aiworkflow.engine.carried import Json

    _Shown = dict[str, Json]


@record
class CompareRequest:
    """What `agents compare` was asked for, as it stood on the command line."""

    project: Where
    bundle: str
    agents: Sequence[str]
    runs: int
    judge: str
    inputs: Sequence[str]
    inputs_file: str | None


def bench_command(
    where: Where, names: Sequence[str], runs: int, out: Out, *, is_agreed: bool
) -> int:
    """Ask agents a tiny task; the exit status."""
    import asyncio

    from aiworkflow.client.agents import survey
    from aiworkflow.client.comparison import bench_bundle, bench_cost, compare

    async def main(client: Client) -> list[Arm]:
        asked = list(names) or [
            f"{one.name}/{one.model}".rstrip("/")
            for one in survey(client)
            if one.is_wanted and not one.problem
        ]
        if not asked:
            raise UsageError(
                "there is no agent in the settings that can be used here",
                hint="name agents: aiworkflow agents bench ollama/llama3.2",
            )
        most, unknown = bench_cost(client, asked, runs)
        if not is_agreed:
            dear = f"; the price of {', '.join(unknown)} is not known" if unknown else ""
            raise RefusedError(
                f"this asks {', '.join(asked)} {runs} times each,"
                f" and may cost up to {usd_text(most)}{dear}",
                hint="agree to it: --yes",
            )
        async with client:
            return await compare(client, bench_bundle(), asked, runs=runs, tell=_telling(out))

    arms = asyncio.run(main(connect(where)))
    return _show(arms, out)


def compare_command(request: CompareRequest, out: Out) -> int:
    """Run a bundle with each agent; the exit status."""
    import asyncio

    from aiworkflow.client.comparison import compare

    async def main() -> list[Arm]:
        async with connect(request.project) as client:
            return await compare(
                client,
                request.bundle,
                request.agents,
                runs=request.runs,
                inputs=read_inputs(request.inputs_file),
                texts=pairs(request.inputs, "--input"),
                judge=request.judge,
                tell=_telling(out),
            )

    return _show(asyncio.run(main()), out)


def report_command(where: Where, bundle: str, limit: int, out: Out) -> None:
    """Print the arms of the A/B steps of a bundle."""
    with opened(where) as client:
        found = client.views.arms(bundle, limit=limit)
    out.object(found)
    steps = cast("dict[str, list[_Shown]]", found["steps"])
    if not steps:
        out.say(f"no run of {found['bundle']} has a step with `agent: {{ab: …}}` yet")
    for step, arms in steps.items():
        out.say(step)
        for line in _table(arms, "DONE"):
            out.say(f"  {steady(line)}")


def _telling(out: Out) -> Callable[[Sample], None]:
    def tell(one: Sample) -> None:
        what = "succeeded" if one.succeeded else f"failed: {one.error.splitlines()[0]}"
        out.note(steady(f"  {one.arm}  {seconds_text(one.seconds)}  {what}  run {one.run}"))

    return tell


def _show(arms: Sequence[Arm], out: Out) -> int:
    shown = [one.to_json() for one in arms]
    out.object({"agents": cast("list[Json]", shown)})
    for line in _table(shown, "RUNS"):
        out.say(steady(line))
    return EXIT_OK if any(one.succeeded for one in arms) else EXIT_FAILED


def _table(arms: Sequence[_Shown], runs: str) -> list[str]:
    has_score = any(one["score"] is not None for one in arms)
    score = ["SCORE"] if has_score else []
    head = ["AGENT", runs, "SUCCESS", "SECONDS", "COST", *score, "TOKENS/S"]
    rows = []
    for one in arms:
        score = [_figure(one["score"], "{:.2f}")] if has_score else []
        speed = cast("float | None", one["tokens_per_second"])
        rows.append(
            [
                str(one["agent"]),
                str(one["runs"]),
                _figure(one["success"], "{:.0%}"),
                _figure(one["seconds"], "{:.2f}"),
                _figure(one["cost_usd"], "${:.4f}"),
                *score,
                f"{speed:.0f}" if speed else "-",
            ]
        )
    return [
        *table(rows, head).split("\n"),
        "in brackets: where the figure lies with 95 % confidence",
    ]


def _figure(shown: Json, form: str) -> str:
    if shown is None:
        return "-"
    one = cast("dict[str, float]", shown)
    low, high = form.format(one["low"]), form.format(one["high"])
    return f"{form.format(one['value'])} [{low} to {high}]"
