"""Intents: an attempt of a visit whose arguments are rendered already."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Assign, Child
from aiworkflow.engine import events as ev
from aiworkflow.engine.commands import Perform
from aiworkflow.engine.desk import REPEATABLE, idempotency_key

if TYPE_CHECKING:
    from aiworkflow.engine.commands import Offer
    from aiworkflow.engine.desk import Desk
    from aiworkflow.engine.instance import Instance
    from aiworkflow.plan.graph import Node


def role_of(node: Node) -> str:
    """What the attempts of a step are for; see `Started.role`."""
    match node.action:
        case Assign():
            return "assign"
        case Child():
            return "child"
        case _:
            return ""


def what_is_done(node: Node, instance: Instance) -> Node:
    """What an instance does, as a node: of a call the operation, else the step itself."""
    if instance.role != "call":
        return node
    return node.handed.get(instance.tool) or dataclasses.replace(node, undo=None, check=None)


def effect_of(node: Node) -> str:
    """The class of a step's attempts. To attend to a child run again does no harm, whatever it does."""
    return "idempotent" if isinstance(node.action, Child) else str(node.effect)


def start_attempt(
    desk: Desk,
    instance: Instance,
    offer: Offer | None = None,
    agents: tuple[str, ...] = (),
    because: str = "",
) -> None:
    """An attempt of a visit whose arguments are rendered; all of them have one key.

    Args:
        offer: who makes it, and for how much; None for who made the last one.
        agents: all that may, where there are several.
        because: why that one makes it.
    """
    assert instance.parent is not None
    assert desk.state.started is not None
    node = desk.plan.nodes[instance.node]
    usd, tokens = instance.reserve if offer is None else (offer.usd, offer.tokens)
    desk.emit(
        ev.Started(
            desk.now,
            instance.path,
            instance.node,
            instance.parent.path,
            instance.visit,
            instance.attempt + 1,
            instance.effect or effect_of(node),
            instance.key or idempotency_key(desk.state.started.run, instance.path, instance.visit),
            None,
            instance.index,
            instance.role or role_of(node),
            "",
            usd,
            tokens,
            desk.has_budgets or bool(usd and desk.daily is not None),
            offer.agent if offer is not None else instance.agent,
            agents or instance.agents,
            journalled=instance.journalled if offer is None else offer.journalled,
            because=because,
        )
    )
    perform(desk, instance)


def perform(desk: Desk, instance: Instance) -> None:
    """Have an attempt done whose intent was just decided.

    The journal may be a copy of an earlier day: then a write that it does not know was perhaps done
    after the copy was made, and is in doubt at its first attempt.
    """
    is_known = instance.effect in REPEATABLE or instance.attempt > 1
    if desk.state.restored and not is_known:
        desk.perhaps.append(instance)
    else:
        desk.running.add(instance.path)
        desk.performs.append(Perform(instance.path))
