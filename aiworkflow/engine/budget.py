"""Budgets: what a step, a group, the run and the project may spend, reserved before it is spent.

An attempt that may cost something says beforehand how much at most (`reserve`); it gets its slot only
if that fits into every budget around it together with what is spent and what other attempts have
reserved. So steps that run together never pass a bound between them. Where only what others have
reserved is in the way, the attempt waits for their end, since most cost less than they might. When an
attempt ends, its reservation becomes what was really spent; what has no known price counts as what was
reserved, and so does an attempt that was lost with its process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.policies import Budget
from aiworkflow.dollars import usd_text
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Failure, Left, Total
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiworkflow.engine.desk import Desk
    from aiworkflow.engine.instance import Instance
    from aiworkflow.engine.state import RunState
    from aiworkflow.plan.graph import Node

WARN_AT = 0.8
"""Share of a bound at which people are warned."""


@record
class Excess:
    """A budget that an attempt does not fit into: whose, what it says, and why it does not fit.

    Attributes:
        unit: `usd`, `tokens` or `seconds`; `daily` for what the project may spend in a day.
        passes: whether it would fit if what attempts of this run have reserved were not spent.
    """

    path: str
    budget: Budget
    text: str
    unit: str
    passes: bool = False

    @property
    def failure(self) -> Failure:
        """What the step fails with."""
        hint = f"raise it and go on: aiworkflow runs resume RUN --budget {self.unit}=…"
        if self.unit == "daily":
            hint = (
                "go on tomorrow (UTC), or with a higher `budget.daily` in .aiworkflow/config.yaml"
            )
        return Failure("budget", self.text, step=self.path or None, hint=hint)


def total_of(state: RunState, below: Total) -> Total:
    """What a run has spent since its caller last heard of it, and has reserved.

    Args:
        below: the same of its child runs.
    """
    spent, purse = state.spent, state.root.purse if state.root is not None else None
    usd, tokens = (purse.reserved_usd, purse.reserved_tokens) if purse is not None else (0.0, 0)
    usd += (spent.cost_usd or 0.0) + below.usd
    return Total(usd, tokens + spent.input_tokens + spent.output_tokens + below.tokens)


def own_usd(state: RunState) -> float:
    """US dollars that a run has spent in all its time, without its child runs."""
    purse = state.root.purse if state.root is not None else None
    return purse.own_usd if purse is not None else 0.0


def _held(instance: Instance | None) -> Total:
    """What was spent and is reserved at a place and below, child runs apart."""
    purse = instance.purse if instance is not None else None
    if purse is None:
        return Total()
    return Total(purse.usd + purse.reserved_usd, purse.tokens + purse.reserved_tokens)


def left_around(desk: Desk, instance: Instance) -> Left:
    """What the child run of a step may spend beyond all that is spent and reserved."""
    assert instance.parent is not None
    node = desk.plan.nodes[instance.node]
    around = list(scopes(desk, node, instance.parent))
    if node.budget is not None:
        around.append((instance, _raised(node.budget, desk.state.raised)))
    found = Left()
    for holder, budget in around:
        own, below = _held(holder), desk.below(holder.path)
        usd = None if budget.usd is None else budget.usd - own.usd - below.usd
        tokens = None if budget.tokens is None else budget.tokens - own.tokens - below.tokens
        found = found.least(Left(usd, tokens))
    return found


def scopes(desk: Desk, node: Node, above: Instance) -> Iterator[tuple[Instance, Budget]]:
    """The instances around a place that have a budget, the innermost first, with it.

    The budget of a step that is no group is that of its place in the group: it bounds all attempts
    of all items; it is kept on the instance that holds the step.
    """
    holder: Instance | None = above
    while holder is not None:
        own = desk.plan.nodes[holder.node].budget if holder.path else desk.bounds.budget
        if own is not None:
            yield holder, _raised(own, desk.state.raised)
        holder = holder.parent


def _raised(budget: Budget, raised: Mapping[str, float]) -> Budget:
    if not raised:
        return budget

    def most(unit: str, held: float | None) -> float | None:
        return held if held is None or unit not in raised else max(held, raised[unit])

    tokens = most("tokens", budget.tokens)
    return Budget(
        most("usd", budget.usd),
        None if tokens is None else int(tokens),
        most("seconds", budget.seconds),
        budget.on_exceed,
    )


def excess(
    desk: Desk, node: Node, path: str, above: Instance, usd: float, tokens: int
) -> Excess | None:
    """The first budget that an attempt does not fit into; None where it fits into all."""
    known = desk.state.instances.get(path)
    if node.budget is not None and not node.children:
        own = _raised(node.budget, desk.state.raised)
        text, unit, passes = _over(own, known, usd, tokens, desk.below(path))
        if text:
            return Excess(path, own, f"`{path}` {text}", unit, passes)
    for holder, budget in scopes(desk, node, above):
        text, unit, passes = _over(budget, holder, usd, tokens, desk.below(holder.path))
        if text:
            name = f"`{holder.path}`" if holder.path else "the run"
            return Excess(holder.path, budget, f"{name} {text}", unit, passes)
    callers = desk.callers()
    if callers.usd is not None and usd > callers.usd + 1e-9:
        text = f"the calling run {_more('usd', callers.usd, usd)} of its budget"
        return Excess("", _outside(desk), text, "usd")
    if callers.tokens is not None and tokens > callers.tokens:
        text = f"the calling run {_more('tokens', callers.tokens, tokens)} of its budget"
        return Excess("", _outside(desk), text, "tokens")
    daily_left = desk.daily_left
    if daily_left is not None and usd > daily_left + 1e-9:
        text = f"the project {_more('usd', daily_left, usd)} of what it may spend today"
        return Excess("", _outside(desk), text, "daily")
    return None


def _outside(desk: Desk) -> Budget:
    """What follows where a bound from outside the run is passed: a run cannot wait for that."""
    own = desk.bounds.budget
    return Budget(on_exceed="switch" if own is not None and own.on_exceed == "switch" else "stop")


def _over(
    budget: Budget, holder: Instance | None, more_usd: float, more_tokens: int, below: Total
) -> tuple[str, str, bool]:
    """What does not fit into a budget, in words, its unit, and whether that passes; "" where all fits.

    Args:
        below: what the child runs below have spent and reserved.
    """
    own = _held(holder)
    usd, tokens = own.usd + below.usd, own.tokens + below.tokens
    purse = holder.purse if holder is not None else None
    seconds = purse.seconds if purse is not None else 0.0
    if budget.usd is not None and usd + more_usd > budget.usd + 1e-9:
        left = _more("usd", budget.usd - usd, more_usd)
        passes = purse is not None and usd - purse.reserved_usd + more_usd <= budget.usd + 1e-9
        return f"{left} of its budget of ${budget.usd:g}", "usd", passes
    if budget.tokens is not None and tokens + more_tokens > budget.tokens:
        left = _more("tokens", budget.tokens - tokens, more_tokens)
        passes = purse is not None and tokens - purse.reserved_tokens + more_tokens <= budget.tokens
        return f"{left} of its budget of {budget.tokens:,} tokens", "tokens", passes
    if budget.seconds is not None and seconds >= budget.seconds:
        return f"has used up its budget of {budget.seconds:g} s", "seconds", False
    return "", "", False


def _more(unit: str, left: float, wanted: float) -> str:
    if unit == "usd":
        return f"has {usd_text(max(0.0, left))} left, and the step may cost {usd_text(wanted)},"
    return f"has {max(0, int(left)):,} tokens left, and the step may take {int(wanted):,},"


def warn(desk: Desk, instance: Instance) -> None:
    """Tell once of each budget that is nearly used up."""
    above = instance.parent
    if above is None:
        return
    for holder, budget in scopes(desk, desk.plan.nodes[instance.node], above):
        purse = holder.purse
        if purse is None or holder.warned:
            continue
        pairs = ((purse.usd, budget.usd, "usd"), (purse.tokens, budget.tokens, "tokens"),
                 (purse.seconds, budget.seconds, "seconds"))  # fmt: skip
        for spent, bound, unit in pairs:
            if bound and spent >= bound * WARN_AT:
                desk.emit(ev.Warned(desk.now, holder.path, unit, float(spent), float(bound)))
                break
