"""Which instance of a pool gets a task, and what becomes of those that do not answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiworkflow.agents import Ability, AgentError, Answer, Called, Consumed, Served, Standing, Task
from aiworkflow.agents.api import ApiAgent
from aiworkflow.agents.config import resolve_agent
from aiworkflow.agents.contract import Surroundings, ToolCall
from aiworkflow.agents.pool import Instance, Manner, Pool, PooledAgent
from aiworkflow.agents.roster import Roster
from aiworkflow.bundle.workflow import AgentSpec


class Fake:
    """An instance that answers, or fails as it is told; its tasks wait while it is held."""

    abilities = frozenset({Ability.STRUCTURED})

    def __init__(self, name: str) -> None:
        self.name = name
        self.fails = ""
        self.calls_a_tool = False
        self.tasks = 0
        self.checks = 0
        self.held: asyncio.Event | None = None

    async def perform(self, task: Task, emit: Any) -> Answer:
        self.tasks += 1
        if self.held is not None:
            await self.held.wait()
        if self.calls_a_tool:
            emit(Called(ToolCall("1", "x", {})))
        if self.fails:
            raise AgentError(self.fails, f"{self.name} says {self.fails}", consumed=Consumed(1))
        return Answer(self.name, "m", Consumed(2))

    async def check(self) -> Standing:
        self.checks += 1
        return Standing("down" if self.fails else "")


class Three:
    """A pool of three, on a clock of its own."""

    def __init__(self, choose: str = "least_loaded", **manner: Any) -> None:
        self.now = 100.0
        self.fakes = [Fake(name) for name in "abc"]
        self.instances = [Instance(f"http://{fake.name}:1") for fake in self.fakes]
        self.pool = self.make(Manner(choose, **manner))

    def make(self, manner: Manner, warm: Any = None) -> Pool:
        pairs: Any = list(zip(self.instances, self.fakes, strict=True))
        return Pool("local/m", "m", pairs, manner, warm, lambda: self.now)

    def ask(self, key: str = "k", **task: Any) -> tuple[str, str, list[Any]]:
        events: list[Any] = []
        agent = PooledAgent(self.pool)
        answer = asyncio.run(agent.perform(Task("p", key=key, **task), events.append))
        self.now += 0.001
        return answer.text, agent.name, events


def test_the_instance_that_answered_is_named() -> None:
    text, name, events = Three().ask()
    assert (text, name) == ("a", "local/m on a:1")
    assert events == [Served("a:1")]


def test_round_robin_takes_them_in_turn() -> None:
    three = Three("round_robin")
    asked = [three.ask()[0] for _ in range(6)]
    assert sorted(asked[:3]) == ["a", "b", "c"]
    assert asked[:3] == asked[3:]


def test_least_loaded_takes_who_has_least_to_do() -> None:
    three = Three()

    async def main() -> list[str]:
        for fake in three.fakes:
            fake.held = asyncio.Event()
        found = []
        async with asyncio.TaskGroup() as group:
            tasks = []
            for _ in range(9):
                agent = PooledAgent(three.pool)
                tasks.append(group.create_task(agent.perform(Task("p"), lambda _: None)))
                await asyncio.sleep(0)
            assert [one.load for one in three.instances] == [3, 3, 3]
            assert three.fakes[1].held is not None
            three.fakes[1].held.set()
            await tasks[1]
            while three.instances[1].load:
                await asyncio.sleep(0)
            found.append((await PooledAgent(three.pool).perform(Task("p"), lambda _: None)).text)
            for fake in three.fakes:
                assert fake.held is not None
                fake.held.set()
        return found

    assert asyncio.run(main()) == ["b"]
    assert [one.load for one in three.instances] == [0, 0, 0]


def test_sticky_is_the_same_for_the_same_key_and_moves_only_what_it_must() -> None:
    three = Three("sticky")
    keys = [f"k{n}" for n in range(60)]
    first = {key: three.ask(key)[0] for key in keys}
    assert set(first.values()) == {"a", "b", "c"}
    assert {key: three.ask(key)[0] for key in keys} == first
    three.fakes[0].fails = "unavailable"
    three.instances[0].failed(three.now, 1000)
    after = {key: three.ask(key)[0] for key in keys}
    assert all(after[key] == first[key] for key in keys if first[key] != "a")
    assert {three.ask("k", session="s1")[0] for _ in range(5)} == {three.ask("z", session="s1")[0]}


def test_random_uses_all_of_them() -> None:
    three = Three("random")
    assert {three.ask()[0] for _ in range(40)} == {"a", "b", "c"}


@pytest.mark.parametrize("kind", ["unavailable", "cut_off", "timeout", "rate_limit"])
def test_a_task_moves_on_when_an_instance_does_not_answer(kind: str) -> None:
    three = Three()
    three.fakes[0].fails = kind
    text, name, events = three.ask()
    assert (text, name) == ("b", "local/m on b:1")
    assert events == [Served("a:1"), Served("b:1", f"a:1: a says {kind}")]
    assert (three.instances[0].again_at is None) == (kind == "rate_limit")


@pytest.mark.parametrize("kind", ["bad_output", "refused", "auth", "not_found"])
def test_what_is_said_of_the_task_is_the_answer(kind: str) -> None:
    three = Three()
    three.fakes[0].fails = kind
    with pytest.raises(AgentError) as raised:
        three.ask()
    assert raised.value.kind == kind
    assert three.fakes[1].tasks == 0


def test_a_task_that_has_called_a_tool_does_not_move() -> None:
    three = Three()
    three.fakes[0].fails, three.fakes[0].calls_a_tool = "cut_off", True
    with pytest.raises(AgentError):
        three.ask()
    assert three.fakes[1].tasks == 0


def test_when_none_answers_the_last_failure_tells_with_all_that_was_consumed() -> None:
    three = Three()
    for fake in three.fakes:
        fake.fails = "unavailable"
    with pytest.raises(AgentError) as raised:
        three.ask()
    assert [fake.tasks for fake in three.fakes] == [1, 1, 1]
    assert raised.value.consumed == Consumed(3)
    for fake in three.fakes:
        fake.fails = ""
    assert three.ask()[0] in "abc", "all are down, and tried all the same"


def test_one_that_is_down_is_left_alone_and_looked_at_less_and_less_often() -> None:
    three = Three(check_every_s=10)
    first = three.fakes[0]
    first.fails = "unavailable"
    three.ask()
    looks = []
    for _ in range(400):
        before = first.checks
        three.ask()
        if first.checks > before:
            looks.append(round(three.now))
        three.now += 1
    assert first.tasks == 1, "no task was lost on it"
    pauses = [b - a for a, b in zip(looks, looks[1:], strict=False)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert max(pauses) <= 165
    first.fails = ""
    three.now += 1000
    three.ask()
    assert three.instances[0].again_at is None
    assert "a" in {three.ask()[0] for _ in range(3)}


def test_models_are_loaded_before_the_first_task_and_again_after_an_outage() -> None:
    three = Three()
    loaded: list[str] = []

    async def warm(url: str) -> None:
        loaded.append(url)

    three.pool = three.make(Manner(warm=True), warm)
    for _ in range(6):
        three.ask()
    assert loaded == ["http://a:1", "http://b:1", "http://c:1"]
    three.fakes[0].fails = "cut_off"
    for _ in range(3):
        three.ask()
    three.fakes[0].fails = ""
    three.now += 100
    for _ in range(6):
        three.ask()
    assert loaded.count("http://a:1") == 2


def test_discovery_keeps_those_that_answer() -> None:
    three = Three(discover=True)
    three.fakes[0].fails = three.fakes[2].fails = "unavailable"
    assert {three.ask()[0] for _ in range(4)} == {"b"}
    assert [one.host for one in three.pool.instances] == ["b:1"]
    nobody = Three(discover=True)
    for fake in nobody.fakes:
        fake.fails = "unavailable"
    with pytest.raises(AgentError) as raised:
        nobody.ask()
    assert "found no server on this machine, looking at a:1, b:1, c:1" in raised.value.message


def test_a_look_at_a_pool_says_how_many_answer() -> None:
    three = Three()
    three.fakes[0].fails = "unavailable"
    assert asyncio.run(PooledAgent(three.pool).check()).version == "2 of 3 instances answer"
    for fake in three.fakes:
        fake.fails = "unavailable"
    assert asyncio.run(PooledAgent(three.pool).check()).problem


def test_the_settings_are_obeyed_and_state_is_shared(tmp_path: Any) -> None:
    said: Any = {
        "one": {"api": "ollama", "model": "m", "url": ["http://a:1", "http://b:1/"]},
        "two": {
            "api": "ollama",
            "model": "m",
            "url": "http://b:1",
            "pool": {"choose": "sticky", "check_every": "3s", "warm": True},
        },
        "near": {"api": "openai", "model": "m", "pool": {"discover": True}},
        "plain": {"api": "ollama", "model": "m", "url": "http://b:1"},
        "usual": {"api": "ollama", "model": "m", "pool": {}},
        "ollama": ["http://c:1", "http://d:1"],
    }
    around: Any = Surroundings({}, tmp_path, lambda _: None, None, print)  # type: ignore[arg-type, return-value]
    roster = Roster()

    def opened(name: str) -> Any:
        return roster.open(resolve_agent(AgentSpec(name), said, {}), "", around)

    one, two = opened("one")._pool, opened("two")._pool
    assert [one.url for one in one.instances] == ["http://a:1", "http://b:1"]
    assert two.instances[0] is one.instances[1]
    assert opened("one")._pool is one
    assert one.manner == Manner("least_loaded", 10.0)
    assert two.manner == Manner("sticky", 3.0, warm=True)
    assert two._warm is not None
    near = opened("near")._pool
    assert [one.host for one in near.instances] == [f"127.0.0.1:{p}" for p in (8000, 1234, 8080)]
    assert near.instances[0].url.endswith("/v1")
    assert near.manner.discover
    assert isinstance(opened("plain"), ApiAgent)
    short = resolve_agent(AgentSpec("ollama", "m"), said, {})
    assert (short.urls, short.api) == (("http://c:1", "http://d:1"), "ollama")
    assert [one.host for one in opened("usual")._pool.instances] == ["127.0.0.1:11434"]
