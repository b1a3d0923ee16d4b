"""Which agent an attempt goes to, where several stand in an order of preference.

It is the first that is not left alone (see `breaker`), and that fits into the budgets around the step
where these say `on_exceed: switch`. When one is down (it does not answer, wants fewer requests, takes
too long), the next is asked at once, each once; these failures do not count. Only when all are down is
the step tried again as its `retry` says, or fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.engine import events as ev
from aiworkflow.engine.budget import Excess, excess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.engine.commands import Offer
    from aiworkflow.engine.desk import Desk
    from aiworkflow.engine.instance import Instance
    from aiworkflow.plan.graph import Node

DOWN: Final = frozenset({"unavailable", "rate_limit", "timeout"})
"""Kinds of failure that another agent may not have."""


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
            return over
        found = found or over
    assert found is not None
    return found


def _in_order(offers: Sequence[Offer], known: Instance | None) -> Sequence[Offer]:
    tried = known.tried if known is not None else ()
    left = [offer for offer in offers if offer.agent not in tried] or offers
    return [offer for offer in left if not offer.is_left_alone] or left


def hand_over(desk: Desk, instance: Instance) -> bool:
    """Line up an attempt with the next agent, if the one that failed is down and there is another."""
    assert instance.parent is not None
    if instance.error is None or instance.error.kind not in DOWN:
        return False
    if not set(instance.agents) - {instance.agent, *instance.tried}:
        return False
    desk.emit(ev.Delayed(desk.now, instance.path, desk.now, "agent"))
    desk.queue.append((instance.node, instance.parent.path, instance.index))
    return True
