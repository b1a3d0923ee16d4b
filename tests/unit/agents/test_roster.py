"""What one process knows of its agents: how busy they are, whose turn it is, what they can do."""

from __future__ import annotations

from typing import Any

from aiworkflow.agents import Roster, resolve_agent
from aiworkflow.bundle.workflow import AgentSpec


def config(**said: Any) -> Any:
    return resolve_agent(AgentSpec("x"), {"x": {"echo": {}, **said}}, {})


def test_an_agent_is_busy_while_it_does_a_task() -> None:
    roster = Roster()
    with roster.at_work("a/m"), roster.at_work("a/m"), roster.at_work("b"):
        assert (roster.load("a/m"), roster.load("b"), roster.load("c")) == (2, 1, 0)
    assert roster.load("a/m") == 0


def test_turns_go_on_and_each_list_has_its_own() -> None:
    roster = Roster()
    first = roster.turn("a,b", "run1")
    assert roster.turn("a,b", "run2") == first + 1
    assert roster.turn("a,c", "run1") == first, "it begins where the run says"
    assert Roster().turn("a,b", "run1") == first


def test_abilities_are_as_said_or_as_the_adapter_knows() -> None:
    roster = Roster()
    assert roster.abilities(config(able=["vision"])) == {"vision"}
    assert roster.abilities(config(able="tools")) == {"tools"}
    assert "structured" in roster.abilities(config())


def test_the_profile_is_read() -> None:
    found = config(quality=0.8, speed=60)
    assert (found.quality, found.speed, found.able) == (0.8, 60, None)
