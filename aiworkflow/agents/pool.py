"""Several instances of one provider as one agent.

Theory. An instance is *up* until a task fails on it because it does not answer (`unavailable`,
`cut_off`, `timeout`). Then it is *down* for a pause, and is looked at beside the next task after that
(`Agent.check` asks nothing that costs): it is up again when it answers, and else down for twice as
long, at most 16 times the first pause. A task goes to one of those that are up, by the pool's way of
choosing; when all are down they are tried all the same, since to fail at once would help nobody.

A task that failed on one instance is given to the next, each once and within the task's own time,
unless it has called a tool: models change nothing, tools may. What an instance says of the task itself
(`bad_output`, `refused`, `auth`) is the answer, whoever says it; one that wants fewer requests
(`rate_limit`) is not down, and the next is asked.

What is known of instances is known to the process, and shared by all its runs and pools.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiworkflow.agents.contract import (
    Ability,
    Agent,
    AgentError,
    AgentEvent,
    Answer,
    Called,
    Consumed,
    Emit,
    Served,
    Standing,
    Task,
)
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiworkflow.bundle.workflow import Json

OUTAGES: Final = frozenset({"unavailable", "cut_off", "timeout"})
"""Failures after which an instance counts as down."""

MOVES: Final = OUTAGES | {"rate_limit"}
"""Failures after which the task is given to another instance."""

WAYS: Final = ("least_loaded", "round_robin", "random", "sticky")
PORTS: Final[Mapping[str, tuple[int, ...]]] = {
    "ollama": (11434,),
    "openai": (8000, 1234, 8080),  # vLLM, LM Studio, llama.cpp
}
"""Where servers on this machine usually listen, by protocol."""

_LONGEST_PAUSES: Final = 16
_GRACE_S: Final = 0.5


@dataclass(slots=True, eq=False)
class Instance:
    """What this process knows of one server.

    Attributes:
        load: tasks under way.
        last: when it was given a task last, monotonic seconds.
        pause_s: how long it is left alone after the next outage, seconds.
        again_at: from when it may be looked at, monotonic seconds; None while it is up.
        warmed: models it was asked to load since it was down; `warming` is held while one is loaded.
    """

    url: str
    load: int = 0
    last: float = 0.0
    pause_s: float = 0.0
    again_at: float | None = None
    is_looked_at: bool = False
    warmed: frozenset[str] = frozenset()
    warming: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def host(self) -> str:
        """Its host and port, as they stand in records."""
        return urlsplit(self.url).netloc.rpartition("@")[2] or self.url

    def failed(self, now: float, first_s: float) -> None:
        """It does not answer."""
        if self.again_at is None:
            self.pause_s = first_s
        else:
            self.pause_s = min(self.pause_s * 2, first_s * _LONGEST_PAUSES)
        self.again_at = now + self.pause_s
        self.warmed = frozenset()

    def answered(self) -> None:
        """It is there."""
        self.again_at = None


@record
class Manner:
    """How a pool goes about it.

    Attributes:
        choose: one of `WAYS`.
        check_every_s: how long an instance that is down is left alone at first, seconds.
        warm: whether instances load the model before they are given the first task.
        discover: whether only those that answer belong to the pool.
    """

    choose: str = "least_loaded"
    check_every_s: float = 10.0
    warm: bool = False
    discover: bool = False


class Pool:
    """The instances of one agent: their state is that of the process.

    Args:
        label: `name/model`.
        agents: an adapter for each instance.
        warm: asks an instance to load a model; None where the protocol has no such request.
    """

    def __init__(
        self,
        label: str,
        model: str,
        agents: Sequence[tuple[Instance, Agent]],
        manner: Manner,
        warm: Callable[[str], Awaitable[None]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = label
        self.manner = manner
        self._model = model
        self._agents = list(agents)
        self._warm = warm if manner.warm else None
        self._monotonic = monotonic
        self._turn = 0
        self._is_discovered = not manner.discover

    @property
    def instances(self) -> Sequence[Instance]:
        """All of them, in the order of the settings."""
        return [one for one, _ in self._agents]

    @property
    def abilities(self) -> frozenset[Ability]:
        """What every instance can do."""
        return frozenset.intersection(*(agent.abilities for _, agent in self._agents))

    async def look(self) -> dict[str, Standing]:
        """Look at all instances at once, by their URL; those that answer are up from then on."""
        found: dict[str, Standing] = {}

        async def one(instance: Instance, agent: Agent) -> None:
            found[instance.url] = await agent.check()
            self._found(instance, found[instance.url])

        async with asyncio.TaskGroup() as group:
            for instance, agent in self._agents:
                group.create_task(one(instance, agent))
        return {instance.url: found[instance.url] for instance, _ in self._agents}

    async def perform(self, task: Task, emit: Emit, served: Callable[[str], None]) -> Answer:
        """Do one task on an instance, or on the next when that does not answer.

        Args:
            served: told the host of each instance that is given the task.

        Raises:
            AgentError: as the last instance said it, with all that was consumed.
        """
        if not self._is_discovered:
            await self._discover()
        due = self._due()
        if not due:
            return await self._performed(task, emit, served)
        async with asyncio.TaskGroup() as group:
            beside = group.create_task(self._look_at(due))
            try:
                return await self._performed(task, emit, served)
            except AgentError as error:
                failed = error
            finally:
                await self._end(beside)
        raise failed

    @staticmethod
    async def _end(beside: asyncio.Task[None]) -> None:
        """A look that takes longer than the task is given a moment more, and no answer is one too."""
        try:
            await asyncio.wait({beside}, timeout=_GRACE_S)
        finally:
            beside.cancel()

    async def _performed(self, task: Task, emit: Emit, served: Callable[[str], None]) -> Answer:
        began = self._monotonic()
        consumed, has_called, reason = Consumed(), False, ""
        tried: set[str] = set()

        def seen(event: AgentEvent) -> None:
            nonlocal has_called
            has_called = has_called or isinstance(event, Called)
            emit(event)

        while True:
            instance, agent = self._next(task, tried)
            tried.add(instance.url)
            served(instance.host)
            emit(Served(instance.host, reason))
            left = task.timeout_s
            if left is not None:
                left = max(0.001, left - (self._monotonic() - began))
            instance.load += 1
            instance.last = self._monotonic()
            try:
                await self._warmed(instance)
                answer = await agent.perform(replace(task, timeout_s=left), seen)
            except AgentError as error:
                consumed += error.consumed
                if error.kind in OUTAGES:
                    instance.failed(self._monotonic(), self.manner.check_every_s)
                is_over = left is not None and self._monotonic() - began >= (task.timeout_s or 0)
                if error.kind not in MOVES or has_called or is_over or self._all_tried(tried):
                    error.consumed = consumed
                    raise
                reason = f"{instance.host}: {error.message}"
            else:
                instance.answered()
                return replace(answer, consumed=consumed + answer.consumed)
            finally:
                instance.load -= 1

    def _all_tried(self, tried: set[str]) -> bool:
        return all(one.url in tried for one in self.instances)

    def _next(self, task: Task, tried: set[str]) -> tuple[Instance, Agent]:
        """Who is asked now: of those not tried yet, one that is up, by the pool's way of choosing."""
        left = [one for one in self._agents if one[0].url not in tried]
        up = [one for one in left if one[0].again_at is None]
        if not up:  # the one that may be back soonest
            return min(left, key=lambda one: one[0].again_at or 0.0)
        self._turn += 1
        match self.manner.choose:
            case "round_robin":
                return up[self._turn % len(up)]
            case "random":
                return up[_draw(f"{task.key} {self._turn}") % len(up)]
            case "sticky":
                key = task.session or task.key
                return max(up, key=lambda one: _draw(f"{key} {one[0].url}"))
            case _:
                return min(up, key=lambda one: (one[0].load, one[0].last))

    def _due(self) -> list[tuple[Instance, Agent]]:
        """Those that were down long enough, and that nobody looks at."""
        if all(one.again_at is None for one, _ in self._agents):
            return []
        now = self._monotonic()
        return [
            (one, agent)
            for one, agent in self._agents
            if one.again_at is not None and one.again_at <= now and not one.is_looked_at
        ]

    async def _look_at(self, due: Sequence[tuple[Instance, Agent]]) -> None:
        """Whether they are back. Cancelled when the task is done that this goes on beside."""

        async def look(instance: Instance, agent: Agent) -> None:
            instance.is_looked_at = True
            standing = Standing("it does not answer")
            try:
                standing = await agent.check()
            finally:
                instance.is_looked_at = False
                self._found(instance, standing)

        async with asyncio.TaskGroup() as group:
            for one, agent in due:
                group.create_task(look(one, agent))

    def _found(self, instance: Instance, standing: Standing) -> None:
        if standing.problem:
            instance.failed(self._monotonic(), self.manner.check_every_s)
        else:
            instance.answered()

    async def _warmed(self, instance: Instance) -> None:
        """Have the model loaded before the first task; a server that cannot says so to the task."""
        if self._warm is None:
            return
        async with instance.warming:  # those that come meanwhile wait for it, too
            if self._model in instance.warmed:
                return
            instance.warmed |= {self._model}
            try:
                await self._warm(instance.url)
            except AgentError as error:
                if error.kind in OUTAGES:
                    raise

    async def _discover(self) -> None:
        """Keep the instances that answer."""
        standings = await self.look()
        found = [one for one in self._agents if not standings[one[0].url].problem]
        if not found:
            hosts = ", ".join(one.host for one in self.instances)
            raise AgentError(
                "unavailable",
                f"`{self.label}` has found no server on this machine, looking at {hosts}",
                hint="start one, or name its `url`",
            )
        self._agents = found
        self._is_discovered = True


class PooledAgent:
    """A pool as one task sees it: it remembers which instance was asked last."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._host = ""

    @property
    def name(self) -> str:
        """`name/model on host:port`, once an instance was asked."""
        return f"{self._pool.label} on {self._host}" if self._host else self._pool.label

    @property
    def abilities(self) -> frozenset[Ability]:
        """What every instance can do."""
        return self._pool.abilities

    async def perform(self, task: Task, emit: Emit) -> Answer:
        """Do one task. Raises AgentError."""

        def served(host: str) -> None:
            self._host = host

        return await self._pool.perform(task, emit, served)

    async def check(self) -> Standing:
        """It can be used while one instance answers; says which do not."""
        found = await self._pool.look()
        down = [one.problem for one in found.values() if one.problem]
        up = [one for one in found.values() if not one.problem]
        models = tuple(dict.fromkeys(name for one in up for name in one.models))
        seconds = max((one.seconds for one in found.values()), default=0.0)
        said = f"{len(up)} of {len(found)} instances answer"
        if not up:
            return Standing("; ".join(down), seconds=seconds)
        return Standing("", said if len(found) > 1 else up[0].version, models, seconds)


def manner_of(said: Mapping[str, Json], duration: Callable[[Json], float]) -> Manner:
    """From `pool` of the settings."""
    return Manner(
        str(said.get("choose") or "least_loaded"),
        duration(said["check_every"]) if "check_every" in said else 10.0,
        bool(said.get("warm")),
        bool(said.get("discover")),
    )


def _draw(text: str) -> int:
    """A number that looks random, the same for the same text.

    For `sticky` this is rendezvous hashing (Thaler and Ravishankar, 1996): when an instance goes, only
    its own keys move.
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
