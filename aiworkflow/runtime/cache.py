"""Earlier outputs of steps with `cache`: registers of the project, found by content.

The key is a digest of the step's definition (settings, prompt, code, scripts of its tool, the agents in
force) and of what it reads, or of what the author says it depends on. What a hit gives is recorded in
the run like any output; the runs it came from may be gone.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.workflow import AgentCall
from aiworkflow.engine import Answer, Instance, Stored
from aiworkflow.engine import events as ev
from aiworkflow.engine.codec import ref_from_json, ref_to_json
from aiworkflow.journal import Register, RegisterWrite
from aiworkflow.jsontext import compact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiworkflow.clock import Clock
    from aiworkflow.engine import RunState
    from aiworkflow.engine.carried import Json
    from aiworkflow.engine.events import Event
    from aiworkflow.journal import Journal
    from aiworkflow.plan.graph import Node

CACHE: Final = "cache"
"""The space of registers; keys are digests."""


class Cache:
    """The cache as one run uses it.

    Args:
        agents: the settings of agents in force: an answer of another model is another answer.
    """

    def __init__(self, journal: Journal, clock: Clock, run: str, agents: Json) -> None:
        self._journal = journal
        self._clock = clock
        self._run = run
        self._agents = agents
        self._held: dict[str, Answer] = {}

    def find(self, node: Node, known: Json) -> Answer:
        """The key of a step on these values; with an earlier output, if there is one."""
        agents = self._agents if isinstance(node.action, AgentCall) else None
        text = compact([node.digest, agents, known])
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if (held := self._held.get(key)) is not None:
            return held
        found = self._journal.register(CACHE, key)
        if found is not None and self._is_fresh(found, node):
            data = cast("dict[str, Json]", json.loads(found.value))
            ref = ref_from_json(data["output"])
            if not isinstance(ref, Stored) or ref.digest in self._journal.blobs:
                return Answer({"key": key, "source": data["source"]}, ref)
        return Answer({"key": key})

    def _is_fresh(self, register: Register, node: Node) -> bool:
        assert node.cache is not None
        if node.cache.ttl_s is None:
            return True
        at = float(json.loads(register.value)["at"])
        return self._clock.now().timestamp() - at <= node.cache.ttl_s

    def hold(self, ended: ev.Ended, state: RunState) -> None:
        """An output of this turn may be used again in it, before it is durable."""
        instance = _made(ended, state)
        if instance is not None:
            about: dict[str, Json] = {"key": instance.cache, "source": self._source(instance)}
            self._held[instance.cache] = Answer(about, ended.output)

    def writes(self, events: Iterable[Event], state: RunState) -> list[RegisterWrite]:
        """The registers of outputs that were just made."""
        self._held.clear()
        return [
            self._write(instance, event)
            for event in events
            if isinstance(event, ev.Ended) and (instance := _made(event, state)) is not None
        ]

    def _source(self, instance: Instance) -> str:
        return f"{self._run}/{instance.path}"

    def _write(self, instance: Instance, ended: ev.Ended) -> RegisterWrite:
        assert ended.output is not None
        value = {
            "output": ref_to_json(ended.output),
            "source": self._source(instance),
            "at": ended.at,
        }
        return RegisterWrite(CACHE, instance.cache, compact(value))


def _made(ended: ev.Ended, state: RunState) -> Instance | None:
    """The step whose output is to be found by later; of several agents only the first's is."""
    instance = state.instances[ended.path]
    if not instance.cache or ended.output is None or ended.status != "succeeded" or ended.undo:
        return None
    return instance if instance.agent in instance.agents[:1] or not instance.agents else None
