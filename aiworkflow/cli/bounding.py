"""What a run may cost, shown before it starts; above a threshold somebody has to agree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiworkflow.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiworkflow.cli.out import Out
    from aiworkflow.client.bounds import Outlay
    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.bound import StepBound


class CostNotAgreed(RefusedError):
    """A run may cost more than is spent without asking; nothing was started."""

    code = "cost-not-agreed"

    def __init__(self, label: str, outlay: Outlay, above: float, count: int) -> None:
        self.details = {"ask_above": above, "runs": count, **outlay.to_json()}
        what = f"{count:,} runs of {label}" if count > 1 else f"a run of {label}"
        super().__init__(
            f"{what} may cost {_most(outlay, count)}, and above ${above:g} is asked "
            "(`budget.ask_above`); nothing was started",
            hint="look at what it is made of: --dry-run; agree with --yes, or give it a `budget`",
        )


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
    said, _ = checked.settings.get("budget.ask_above")
    if said is None or agreed or not checked.is_valid:
        return
    from aiworkflow.cli.prompting import is_terminal
    from aiworkflow.client.bounds import outlay, outlay_of
    from aiworkflow.settings import units

    above = float(units.money(said))
    project = client.project
    if inputs is None:
        found = outlay_of(project, checked, {}, journal=lambda: client.journal)
    else:
        found = outlay(project, checked, inputs, texts=texts, journal=lambda: client.journal)
    most = found.bound.total.most_usd
    if most is not None and most * count <= above + 1e-9:
        return
    if not is_terminal(out):
        raise CostNotAgreed(checked.label, found, above, count)
    for line in outlay_lines(found):
        out.note(line)
    sys.stderr.write(f"it may cost {_most(found, count)}; start? [y]es, Enter for no: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CostNotAgreed(checked.label, found, above, count)


def outlay_lines(outlay: Outlay, *, steps: bool = True) -> Iterator[str]:
    """The most that a run may cost, what past runs cost, and each step; nothing of no agents."""
    found = outlay.bound
    if not found.steps:
        return
    yield (
        f"cost       at most {_most(outlay, 1)}"
        if found.total.most_usd is not None
        else (f"cost       {_most(outlay, 1)}")
    )
    for reason in (*found.total.unknown, *found.total.unbounded):
        yield f"           {reason}"
    past = outlay.past
    if past.runs:
        runs = "1 run" if past.runs == 1 else f"{past.runs:,} runs"
        yield f"           past: half ≤ ${past.p50:.4f}, nine of ten ≤ ${past.p90:.4f} ({runs})"
    for one in found.steps if steps else ():
        yield f"  {_step_text(one)}"
        yield from (f"      {note}" for note in one.notes)


def _step_text(one: StepBound) -> str:
    factors = "".join(f"{count:,} {name} × " for name, count in one.factors)
    tokens = f"({one.each.input_tokens:,} + {one.each.output_tokens:,} tokens)"
    cost = "unknown" if one.total.unknown else f"${one.total.usd:.4f}"
    more = ", unbounded" if one.total.unbounded else ""
    return f"{one.step}  {factors}{tokens} of {', '.join(one.agents) or '?'} = {cost}{more}"


def _most(outlay: Outlay, count: int) -> str:
    total = outlay.bound.total
    if total.most_usd is not None:
        return f"${total.most_usd * count:.4f}"
    why = "without a bound" if total.unbounded else "of unknown price"
    return (
        f"${total.usd * count:.4f} and more, {why}"
        if total.usd
        else f"nobody knows how much, {why}"
    )
