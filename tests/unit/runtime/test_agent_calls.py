"""Calls that no plan knows: handed to an agent by a provider that was asked when the attempt began."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.agents.contract import ToolCall, ToolSpec
from aiworkflow.bundle.workflow import AgentCall, Effect, Kind
from aiworkflow.bundle.workflow import ToolCall as Operated
from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.diagnostics import Fragment
from aiworkflow.engine import Instance
from aiworkflow.engine import events as ev
from aiworkflow.expr import Template
from aiworkflow.journal.memory import MemoryJournal
from aiworkflow.plan.graph import Node
from aiworkflow.records import record
from aiworkflow.runtime.asks import Board
from aiworkflow.runtime.calls import AgentCalls, Around
from aiworkflow.runtime.mask import Masking
from aiworkflow.runtime.values import Values
from aiworkflow.steps.contract import Outcome, Ports, Work
from tests.unit.steps.conftest import Bench

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aiworkflow.engine import Event


@record
class Offered:
    """A tool as a server offers it."""

    spec: ToolSpec
    node: Node


def test_what_a_provider_hands_is_told_and_called_like_any_other(tmp_path: Path) -> None:
    noted: list[Event] = []
    made: list[Work] = []

    async def make(work: Work, ports: Ports) -> Outcome:
        del ports
        assert isinstance(noted[-1], ev.Started)  # the intent stands before the effect
        made.append(work)
        return Outcome({"content": "x"})

    async def run() -> None:
        bench = Bench(tmp_path)
        bench.limits = {**bench.limits, "prompt": 1000}
        work = bench.work(Operated("unused", ""))
        action = AgentCall(Template(Fragment.of("", "plan"), ()), (), ("mcp:files/*",))
        step = dataclasses.replace(work.node, kind=Kind.AGENT, action=action)
        work = dataclasses.replace(work, node=step, path="it")
        clock = SystemClock()
        journal = MemoryJournal(clock=clock, ids=SystemIds(clock))
        values = Values(journal, "r", inline_bytes=1000)
        loop = asyncio.get_running_loop()

        def note(event: Event) -> Awaitable[None]:
            noted.append(event)
            done: asyncio.Future[None] = loop.create_future()
            done.set_result(None)
            return done

        masking = Masking(bench.ports().secrets)
        around = Around(clock, values, masking, note, make, lambda: None, Board(None))
        calls = AgentCalls(Instance("it", "it", None, "leaf"), work, bench.ports(), around)
        refused = await calls(ToolCall("1", "mcp:files/read", {}))
        assert refused.is_error
        assert not noted
        node = dataclasses.replace(
            step, kind=Kind.TOOL, action=Operated("read", "", server="files"), effect=Effect.READ
        )
        calls.hand([Offered(ToolSpec("mcp:files/read", "Read.", {"type": "object"}), node)])
        assert [one.name for one in calls.specs] == ["mcp:files/read"]
        answer = await calls(ToolCall("2", "mcp:files/read", {"path": "a"}))
        assert answer.text == '{"content": "x"}'

    asyncio.run(run())
    started, ended = noted
    assert isinstance(started, ev.Started)
    assert isinstance(ended, ev.Ended)
    assert (started.path, started.tool, started.effect) == ("it/call[1]", "mcp:files/read", "read")
    assert ended.status == "succeeded"
    (work,) = made
    assert work.arguments == {"path": "a"}
    assert isinstance(work.node.action, Operated)
    assert work.node.action.server == "files"
