"""The MCP server of an attempt: who is let in, what is made once, and what is left in the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.agents import (
    AgentError,
    AgentEvent,
    Called,
    Surroundings,
    Task,
    ToolCall,
    ToolResult,
)
from aiworkflow.agents.handed import handing, is_handed
from tests.contract.agents.mcp_asker import Server, call
from tests.contract.agents.suite import NOTE, READ, Toolbox, tool

TOOLS = (NOTE, READ)


LOG: list[str] = []


def around(folder: Path) -> Surroundings:
    LOG.clear()
    return Surroundings({}, folder, lambda _: contextlib.nullcontext(), None, LOG.append)


def serve(
    folder: Path,
    use: Callable[[str], Any],
    call: Callable[[ToolCall], Awaitable[ToolResult]],
    tools: Any = TOOLS,
    **task: Any,
) -> tuple[Any, list[AgentEvent]]:
    """What a program that is begun in a thread gives, while the tools are served."""
    events: list[AgentEvent] = []

    async def go() -> Any:
        asked = Task("x", tools=tools, call=call, **task)
        async with handing(asked, events.append, around(folder)) as program:
            return await asyncio.to_thread(use, program)

    return asyncio.run(go()), events


def test_a_task_without_tools_has_no_server(tmp_path: Path) -> None:
    found, _ = serve(tmp_path, lambda program: program, Toolbox().call, tools=())
    assert found == ""
    assert not list(tmp_path.iterdir())


def test_tools_are_listed_and_called_and_nothing_is_left(tmp_path: Path) -> None:
    def use(program: str) -> Any:
        folder = Path(program).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        server = Server(program)
        listed = server.wait(server.ask("tools/list"))["tools"]
        pong = server.wait(server.ask("ping"))
        none = server.wait(server.ask("resources/list"))
        server.end()
        return server.greeting, listed, pong, none

    (greeting, listed, pong, none), _ = serve(tmp_path, use, Toolbox().call)
    assert greeting["protocolVersion"] == "2025-06-18"
    assert greeting["capabilities"] == {"tools": {}}
    assert [one["name"] for one in listed] == ["notes_add", "mcp_files_read"]
    assert listed[0]["description"] == "Does notes.add."
    assert listed[0]["inputSchema"]["required"] == ["text"]
    assert pong == {}
    assert none["code"] == -32601
    assert not list(tmp_path.iterdir())


def test_a_program_that_never_asks_is_noted_in_the_log(tmp_path: Path) -> None:
    serve(tmp_path, lambda program: None, Toolbox().call)
    assert LOG == ["\n[it has never asked which tools the step has]\n"]


def test_events_tell_of_calls(tmp_path: Path) -> None:
    box = Toolbox()
    found, events = serve(
        tmp_path, lambda program: call(program, [("notes.add", {"text": "milk"})]), box.call
    )
    assert LOG == []
    assert found == ["noted notes.add"]
    assert box.made == [("notes.add", {"text": "milk"})]
    begun, ended = (one for one in events if isinstance(one, Called))
    assert (begun.call.name, begun.result) == ("notes.add", None)
    assert ended.result is not None
    assert ended.result.text == "noted notes.add"


@pytest.mark.parametrize("token", [b"", b"wrong\n", b"0" * 64 + b"\n", b"\xff" * 100_000 + b"\n"])
def test_who_does_not_know_the_token_is_not_let_in(tmp_path: Path, token: bytes) -> None:
    def use(program: str) -> bytes:
        line = socket.socket(socket.AF_UNIX)
        line.connect(str(Path(program).parent / "s"))
        hello = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "notes_add"}}
        try:
            line.sendall(token + json.dumps(hello).encode() + b"\n")
            line.shutdown(socket.SHUT_WR)
            return line.recv(100)
        except OSError:
            return b""
        finally:
            line.close()

    box = Toolbox()
    heard, _ = serve(tmp_path, use, box.call)
    assert heard == b""
    assert box.made == []


def test_a_call_that_was_given_up_is_answered_and_not_made_twice(tmp_path: Path) -> None:
    going = asyncio.Event()
    made: list[dict[str, Any]] = []

    async def slow(one: ToolCall) -> ToolResult:
        made.append(dict(one.arguments))
        if one.arguments["text"] == "slow":
            await going.wait()
        return ToolResult(f"number {len(made)}")

    def use(program: str) -> list[Any]:
        asked = {"name": "notes_add", "arguments": {"text": "slow"}}
        server = Server(program)
        given_up = server.ask("tools/call", asked)
        server.say(
            {
                "jsonrpc": "2.0",
                "method": "notifications/cancelled",
                "params": {"requestId": given_up},
            }
        )
        again = server.ask("tools/call", asked)
        server.wait(server.ask("ping"))
        server.end()  # and so is that one
        anew = Server(program)
        third = anew.ask("tools/call", asked)
        other = anew.wait(
            anew.ask("tools/call", {"name": "notes_add", "arguments": {"text": "go"}})
        )
        loop.call_soon_threadsafe(going.set)
        last = anew.wait(third)
        fresh = anew.wait(anew.ask("tools/call", asked))
        anew.end()
        assert again == given_up + 1
        return [one["content"][0]["text"] for one in (other, last, fresh)]

    async def run() -> Any:
        nonlocal loop
        loop = asyncio.get_running_loop()
        task = Task("x", tools=TOOLS, call=slow)
        async with handing(task, lambda _: None, around(tmp_path)) as program:
            return await asyncio.to_thread(use, program)

    loop: Any = None
    assert asyncio.run(run()) == ["number 2", "number 2", "number 3"]
    assert [one["text"] for one in made] == ["slow", "go", "slow"]


@pytest.mark.parametrize(
    "line",
    [
        b"no json", b"[1]", b"5", b'{"id": 1}', b'{"id": {}, "method": "ping"}', b"\xff\xfe", b"[" * 100_000,
        b'{"id": 1, "method": "tools/call", "params": {"name": 5}}',
        b'{"id": 1, "method": "tools/call", "params": {"name": "notes_add", "arguments": [1]}}',
        b'{"id": 1, "method": "tools/call", "params": 7}', b'{"method": "tools/call"}',
        b'{"result": 1}', b'{"id": 1, "method": "notifications/cancelled"}', b"x" * 17_000_000,
    ],
    ids=range(14),
)  # fmt: skip
def test_nonsense_does_no_harm(tmp_path: Path, line: bytes) -> None:
    def use(program: str) -> Any:
        server = Server(program)
        assert server.process.stdin is not None
        with contextlib.suppress(OSError):  # a line without end is not listened to
            os.write(server.process.stdin.fileno(), line + b"\n")
        server.process.terminate()
        server.end()
        return call(program, [("notes.add", {"text": "still"})])

    box = Toolbox()
    found, _ = serve(tmp_path, use, box.call)
    assert found == ["noted notes.add"]
    assert len(box.made) == 1


def test_a_failure_of_ours_ends_the_attempt(tmp_path: Path) -> None:
    async def breaks(one: ToolCall) -> ToolResult:
        raise AgentError("budget", "nothing is left")

    with pytest.raises(AgentError, match="nothing is left"):
        serve(tmp_path, lambda program: _begun(program), breaks)
    assert not list(tmp_path.iterdir())


def _begun(program: str) -> None:
    server = Server(program)
    server.ask("tools/call", {"name": "notes_add", "arguments": {"text": "x"}})
    assert server.process.stdout is not None
    assert server.process.stdout.read() == "", "the connection is closed"
    server.end()


def test_calls_are_awaited_when_the_program_has_ended_but_not_for_ever(tmp_path: Path) -> None:
    ended: list[str] = []

    async def late(one: ToolCall) -> ToolResult:
        await asyncio.sleep(0.2)
        ended.append(one.name)
        return ToolResult("done")

    def leaves(program: str) -> None:
        server = Server(program)
        server.ask("tools/call", {"name": "notes_add", "arguments": {"text": "x"}})
        server.wait(server.ask("ping"))
        server.end()

    serve(tmp_path, leaves, late)
    assert ended == ["notes.add"]

    async def hangs(one: ToolCall) -> ToolResult:
        await asyncio.Event().wait()
        return ToolResult("never")

    with pytest.raises(AgentError) as failed:
        serve(tmp_path, leaves, hangs, timeout_s=0.5)
    assert (failed.value.kind, failed.value.in_doubt) == ("timeout", True)


def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    found, _ = serve(
        folder, lambda program: call(program, [("notes.add", {"text": "x"})]), Toolbox().call
    )
    assert found == ["noted notes.add"]


def test_names_stay_short_and_apart(tmp_path: Path) -> None:
    long = tuple(tool(f"mcp:{'long' * 20}/{letter}") for letter in "ab")

    def use(program: str) -> list[str]:
        server = Server(program)
        listed = server.wait(server.ask("tools/list"))["tools"]
        server.end()
        return [one["name"] for one in listed]

    found, _ = serve(tmp_path, use, Toolbox().call, tools=long)
    assert len(set(found)) == 2
    assert all(len(one) <= 44 for one in found)


@pytest.mark.parametrize(
    ("title", "is_one"),
    [
        ("mcp__aiworkflow__notes_add", True),
        ("mcp_aiworkflow_notes_add", True),
        ("aiworkflow_notes_add", True),
        ("Tool: aiworkflow/notes_add", True),
        ("notes_add (aiworkflow MCP Server)", True),
        ("mcp.aiworkflow.notes_add", True),
        ("notes_add", False),
        ("mcp__aiworkflow__notes_delete", False),
        ("mcp__other__notes_add", False),
        ("mcp__aiworkflow__notes_add; rm -rf /", False),
        ("rm -rf / # mcp__aiworkflow__notes_add", False),
        ("mcp__aiworkflow__notes_add\nrm", False),
        ("", False),
    ],
)
def test_a_permission_to_call_a_handed_tool_is_known_by_its_name_alone(
    title: str, is_one: bool
) -> None:
    assert is_handed(title, TOOLS) == is_one
