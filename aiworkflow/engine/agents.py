"""Which agent an attempt goes to, where several stand in an order of preference.

It is the first that is not left alone (see `breaker`), and that fits into the budgets around the step
where these say `on_exceed: switch`. When one is down (it does not answer, wants fewer requests, takes
too long), the next is asked at once, each once; these failures do not count. So it is when one breaks
off, refuses, or gives no answer that fits, unless the step may change something: what was begun must
not be done twice by two. Only when all have failed is the step tried again as its `retry` says, or
fails.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiworkflow.engine import events as ev
from aiworkflow.engine.budget import Excess, excess
from aiworkflow.engine.desk import REPEATABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.engine.commands import Offer
    from aiworkflow.engine.desk import Desk
    from aiworkflow.engine.instance import Instance
    from aiworkflow.plan.graph import Node

DOWN: Final = frozenset({"unavailable", "rate_limit", "timeout"})
"""Kinds of failure of an agent that has not begun."""

FAILED_AT_IT: Final = frozenset({"cut_off", "bad_output", "refused"})
"""Kinds of failure that another agent may not have, of one that has begun."""


def choose(
    desk: Desk, node: Node, path: str, parent: Instance, offers: Sequence[Offer]
) -> Offer | Excess:
    """The agent for an attempt; or the budget that none fits into."""
    found: Excess | None = None
    for offer in _in_order(offers, desk.state.instances.get(path)):
        if not desk.has_budgets and not offer.usd:
            return offer
        over = excess(desk, node, path, parent, offer.usd, offer.tokens)
        if over is None:
            return offer
        if over.budget.on_exceed != "switch":
            return _told(desk, path, offers, offer, over)
        found = found or _told(desk, path, offers, offer, over)
    assert found is not None
    return found


def _told(desk: Desk, path: str, offers: Sequence[Offer], offer: Offer, over: Excess) -> Excess:
    """An excess that says whose attempt it was, where one before that might have fitted was down."""
    before = _before(desk, path, offers, offer)
    if not before:
        return over
    return replace(over, text=f"{over.text}: for `{offer.agent}`, after {', '.join(before)}")


def why_chosen(desk: Desk, path: str, offers: Sequence[Offer], chosen: Offer) -> str:
    """Why an agent makes an attempt: its place in the order, and what became of those before."""
    if not chosen.agent:
        return ""
    reasons = _before(desk, path, offers, chosen)
    after = f"after {', '.join(reasons)}" if reasons else ""
    return "; ".join(filter(None, (chosen.why, after)))


def _before(desk: Desk, path: str, offers: Sequence[Offer], chosen: Offer) -> list[str]:
    """What became of the agents that stand before one in the order."""
    known = desk.state.instances.get(path)
    tried = () if known is None else known.tried
    reasons = []
    for offer in offers:
        if offer.agent == chosen.agent:
            break
        if known is not None and offer.agent in tried:
            is_last = offer.agent == tried[-1] and known.error is not None
            what = known.error.kind if is_last and known.error is not None else "tried before"
            reasons.append(f"{offer.agent}: {what}")
        elif offer.is_left_alone:
            reasons.append(f"{offer.agent} is left alone")
        else:
            reasons.append(f"{offer.agent} does not fit into the budget")
    return reasons


def _in_order(offers: Sequence[Offer], known: Instance | None) -> Sequence[Offer]:
    tried = known.tried if known is not None else ()
    left = [offer for offer in offers if offer.agent not in tried] or offers
    return [offer for offer in left if not offer.is_left_alone] or left


def hand_over(desk: Desk, instance: Instance) -> bool:
    """Line up an attempt with the next agent, if the one that failed is down and there is another."""
    assert instance.parent is not None
    if instance.error is None:
        return False
    kind, agents = instance.error.kind, instance.agents
    if kind in FAILED_AT_IT and instance.effect in REPEATABLE and instance.agent in agents:
        agents = agents[agents.index(instance.agent) :]  # those before were passed over
    elif kind not in DOWN:
        return False
    if not set(agents) - {instance.agent, *instance.tried}:
        return False
    desk.emit(ev.Delayed(desk.now, instance.path, desk.now, "agent"))
    desk.queue.append((instance.node, instance.parent.path, instance.index))
    return True
