"""What the tools of MCP servers are to an agent."""

from __future__ import annotations

import asyncio
import sys
from types import MappingProxyType

import pytest

from aiworkflow.bundle.servers import McpServer
from aiworkflow.bundle.workflow import Effect, ToolCall
from aiworkflow.steps.contract import StepError
from aiworkflow.steps.mcp import handed, perform_mcp
from aiworkflow.tools.mcp.offers import Offers
from aiworkflow.tools.resident import Residents
from tests.support import ROOT


def test_tools_of_a_server_are_handed_to_an_agent_and_called(bench):
    server = McpServer(
        "old",
        command=sys.executable,
        args=(str(ROOT / "tests" / "mcp_old_server.py"),),
        effects=MappingProxyType({"echo": Effect.READ}),
    )

    async def run():
        async with Residents() as residents:
            offers = Offers({"old": server}, residents, bench.root / "memory")
            work, ports = bench.work(ToolCall("any", "")), bench.ports()
            found = await handed(["github.comment", "mcp:old/*"], work, ports, offers)
            assert [one.spec.name for one in found] == ["mcp:old/echo", "mcp:old/ask"]
            assert [one.node.effect for one in found] == [Effect.READ, Effect.DESTRUCTIVE]
            assert found[0].spec.description == "Say it again."
            assert "text" in found[0].spec.parameters["properties"]
            assert len(await handed(["mcp:old/e*"], work, ports, offers)) == 1
            assert await handed(["github.comment"], work, ports, offers) == ()
            call = bench.work(found[0].node.action, {"text": "hi"})
            outcome = await perform_mcp(call, ports, offers)
            assert outcome.output == {"given": {"text": "hi"}, "key": "the-key"}
            with pytest.raises(StepError, match="there is no MCP server `nwe`"):
                await handed(["mcp:nwe/*"], work, ports, offers)

    asyncio.run(run())


def test_a_server_that_never_says_which_tools_it_has(bench):
    """An agent is told so, and a write that was never sent is not in doubt."""
    server = McpServer(
        "old",
        command=sys.executable,
        args=(str(ROOT / "tests" / "mcp_old_server.py"), "secretive"),
        timeout_s=2,
    )

    async def run():
        async with Residents() as residents:
            offers = Offers({"old": server}, residents, bench.root / "memory")
            work, ports = bench.work(ToolCall("any", "")), bench.ports()
            with pytest.raises(StepError, match="did not say within 2 s what it offers") as told:
                await handed(["mcp:old/*"], work, ports, offers)
            assert told.value.kind == "unavailable"
            call = bench.work(ToolCall("echo", "", server="old"), {"text": "hi"})
            with pytest.raises(StepError, match="did not end within 2 s") as failed:
                await perform_mcp(call, ports, offers)
            assert (failed.value.kind, failed.value.in_doubt) == ("timeout", False)

    asyncio.run(run())
