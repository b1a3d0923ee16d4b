"""The long form of `agent`: how one of several is chosen to do a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.workflow import AgentSpec, agent_spec
from aiworkflow.records import record
from aiworkflow.settings import units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Json, Value

WAYS: Final = (
    "priority",
    "cheapest",
    "best",
    "fastest",
    "balanced",
    "least_loaded",
    "round_robin",
    "random",
)
ABILITIES: Final = ("tools", "vision", "structured", "files", "sessions")
AB: Final = "ab"


@record
class AgentChoice:
    """How an agent is chosen.

    Attributes:
        how: one of `WAYS`, or `ab`.
        able: what it must be able to do.
        max_usd: an agent whose answer may cost more is left out, US dollars.
        prefer, avoid: who comes before all others, and after.
        shares: of `ab`: the agents and the share of each.
        key: of `ab`: the same agent for the same value; None for one of each step of each run.
    """

    how: str = "priority"
    able: tuple[str, ...] = ()
    max_usd: float | None = None
    prefer: tuple[AgentSpec, ...] = ()
    avoid: tuple[AgentSpec, ...] = ()
    shares: tuple[tuple[AgentSpec, float], ...] = ()
    key: Value = None


@record
class Chosen:
    """`agent` as it was written: who may do the step, and how one of them is chosen.

    Attributes:
        agents: in order; none for all that the settings name.
    """

    agents: tuple[AgentSpec, ...]
    choice: AgentChoice


def chosen(values: Mapping[str, object]) -> Chosen:
    """From the values of the long form."""

    def specs(name: str) -> tuple[AgentSpec, ...]:
        return cast("tuple[AgentSpec, ...]", tuple(cast("list[AgentSpec]", values.get(name) or ())))

    if AB in values:
        shares = cast("Mapping[str, float]", values[AB])
        several = tuple((agent_spec(name), float(share)) for name, share in shares.items())
        key = cast("Value", values.get("key"))
        return Chosen(tuple(one for one, _ in several), AgentChoice(AB, shares=several, key=key))
    most = values.get("max_usd")
    return Chosen(
        specs("among"),
        AgentChoice(
            str(values["choose"]),
            tuple(cast("list[str]", values.get("able") or ())),
            None if most is None else float(cast("float", most)),  # money is exact where it is read
            specs("prefer"),
            specs("avoid"),
        ),
    )


def chosen_of_plain(said: Mapping[str, Json]) -> Chosen:
    """From the long form in settings, which were checked when they were read."""

    def listed(name: str) -> list[Json]:
        found = said.get(name)
        return found if isinstance(found, list) else [found] if found is not None else []

    names = {name: [agent_spec(str(one)) for one in listed(name)] for name in _LISTS}
    most = units.money(said["max_usd"]) if said.get("max_usd") is not None else None
    able = [str(one) for one in listed("able")]
    return chosen({**said, **names, "able": able, "max_usd": most})


_LISTS: Final = ("among", "prefer", "avoid")


def agents_said(value: object) -> tuple[tuple[AgentSpec, ...], AgentChoice | None]:
    """The two parts of what the reader of `agent` gives, whatever form was written."""
    if isinstance(value, Chosen):
        return value.agents, value.choice
    return cast("tuple[AgentSpec, ...]", value or ()), None
