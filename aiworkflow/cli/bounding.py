"""What a run may cost, shown before it starts; above a threshold somebody has to agree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiworkflow.dollars import usd_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiworkflow.cli.out import Out
    from aiworkflow.client.agreeing import CostNotAgreed
    from aiworkflow.client.bounds import Outlay
    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.bound import StepBound


def agree_to_cost(
    client: Client,
    checked: Checked,
    inputs: Mapping[str, Json] | None,
    texts: Mapping[str, str],
    out: Out,
    *,
    agreed: bool,
    count: int = 1,
) -> None:
    """Ask before runs that may cost more than the project's settings let pass.

    Args:
        inputs: None where they differ from run to run.
        agreed: whether somebody has agreed already.
        count: how many runs.

    Raises:
        CostNotAgreed: nobody did. InputsInvalid: the run would not start.
    """
    if agreed:
        return
    from aiworkflow.client.agreeing import to_be_agreed

    refused = to_be_agreed(client, checked, inputs, texts, count)
    if refused is not None and not consents(refused, out):
        raise refused


def consents(refused: CostNotAgreed, out: Out) -> bool:
    """Whether somebody at the terminal agrees to what runs may cost."""
    from aiworkflow.cli.prompting import is_terminal
    from aiworkflow.client.agreeing import most_text

    if not is_terminal(out):
        return False
    for line in outlay_lines(refused.outlay):
        out.note(line)
    most = most_text(refused.outlay, refused.count)
    sys.stderr.write(f"it may cost {most}; start? [y]es, Enter for no: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def outlay_lines(outlay: Outlay, *, steps: bool = True) -> Iterator[str]:
    """The most that a run may cost, what past runs cost, and each step; nothing of no agents."""
    from aiworkflow.client.agreeing import most_text

    found = outlay.bound
    if not found.steps:
        return
    yield (
        f"cost       at most {most_text(outlay, 1)}"
        if found.total.most_usd is not None
        else (f"cost       {most_text(outlay, 1)}")
    )
    for reason in (*found.total.unknown, *found.total.unbounded):
        yield f"           {reason}"
    past = outlay.past
    if past.runs:
        runs = "1 run" if past.runs == 1 else f"{past.runs:,} runs"
        half, most = usd_text(past.p50), usd_text(past.p90)
        yield f"           past: half ≤ {half}, nine of ten ≤ {most} ({runs})"
    for one in found.steps if steps else ():
        yield f"  {_step_text(one)}"
        yield from (f"      {note}" for note in one.notes)


def _step_text(one: StepBound) -> str:
    factors = "".join(f"{count:,} {name} × " for name, count in one.factors)
    tokens = f"({one.each.input_tokens:,} + {one.each.output_tokens:,} tokens)"
    cost = "unknown" if one.total.unknown else usd_text(one.total.usd)
    more = ", unbounded" if one.total.unbounded else ""
    return f"{one.step}  {factors}{tokens} of {', '.join(one.agents) or '?'} = {cost}{more}"
