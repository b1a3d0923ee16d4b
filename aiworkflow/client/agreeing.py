"""Runs that may cost more than is spent without asking: who starts one has to agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.dollars import usd_text
from aiworkflow.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.client.bounds import Outlay
    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Checked
    from aiworkflow.engine.carried import Json


class CostNotAgreed(RefusedError):
    """A run may cost more than is spent without asking; nothing was started.

    Attributes:
        outlay: what one run may cost.
        count: how many runs.
    """

    code = "cost-not-agreed"

    def __init__(self, label: str, outlay: Outlay, above: float, count: int) -> None:
        self.outlay = outlay
        self.count = count
        self.details = {"ask_above": above, "runs": count, **outlay.to_json()}
        what = f"{count:,} runs of {label}" if count > 1 else f"a run of {label}"
        super().__init__(
            f"{what} may cost {most_text(outlay, count)}, and above ${above:g} is asked "
            "(`budget.ask_above`); nothing was started",
            hint="look at what it is made of: --dry-run; agree with --yes, or give it a `budget`",
        )


def to_be_agreed(
    client: Client,
    checked: Checked,
    inputs: Mapping[str, Json] | None,
    texts: Mapping[str, str],
    count: int = 1,
) -> CostNotAgreed | None:
    """What a run may cost, if somebody has to agree to it; None if nobody has to.

    Args:
        inputs: None where they differ from run to run.
        count: how many runs.

    Raises:
        InputsInvalid: the run would not start.
    """
    said, _ = checked.settings.get("budget.ask_above")
    if said is None or not checked.is_valid:
        return None
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
        return None
    return CostNotAgreed(checked.label, found, above, count)


def most_text(outlay: Outlay, count: int) -> str:
    """The most that so many runs may cost, in words."""
    total = outlay.bound.total
    if total.most_usd is not None:
        return usd_text(total.most_usd * count)
    why = "without a bound" if total.unbounded else "of unknown price"
    return (
        f"{usd_text(total.usd * count)} and more, {why}"
        if total.usd
        else f"nobody knows how much, {why}"
    )
