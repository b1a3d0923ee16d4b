"""A program that speaks the Agent Client Protocol and asks before all it does: `acp_asking.py FOLDER`.

Its prompt says what it does, a line each: `run COMMAND` or `edit PATH`. FOLDER/trace has a line of JSON
for each thing that happens; with `keeps` as second word its sessions are kept in FOLDER and gone on with.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from acp import RequestError, run_agent
from acp import schema as s
from acp.helpers import start_tool_call, update_agent_message_text, update_tool_call

FOLDER = Path(sys.argv[1])
KEEPS = "keeps" in sys.argv[2:]


def trace(what: str, **more: Any) -> None:
    with (FOLDER / "trace").open("a") as file:
        file.write(json.dumps({"what": what, "pid": os.getpid(), **more}) + "\n")


class Program:
    def __init__(self) -> None:
        self.client: Any = None
        self.calls = 0

    def on_connect(self, conn: Any) -> None:
        self.client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> s.InitializeResponse:
        return s.InitializeResponse(
            protocol_version=protocol_version,
            agent_capabilities=s.AgentCapabilities(load_session=KEEPS),
            agent_info=s.Implementation(name="asking", version="1"),
        )

    async def new_session(self, cwd: str, **_: Any) -> s.NewSessionResponse:
        trace("new")
        return s.NewSessionResponse(session_id=f"kept-{os.getpid()}")

    async def load_session(self, cwd: str, session_id: str, **_: Any) -> s.LoadSessionResponse:
        if not (FOLDER / session_id).exists():
            raise RequestError.resource_not_found(session_id)
        trace("load")
        return s.LoadSessionResponse()

    async def cancel(self, session_id: str, **_: Any) -> None:
        trace("cancel")

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> s.PromptResponse:
        text = "\n".join(one.text for one in prompt if hasattr(one, "text"))
        trace("prompt", text=text)
        kept = FOLDER / session_id
        if "You were interrupted" in text:
            orders = json.loads(kept.read_text())
        else:
            lines = [line.strip() for line in text.splitlines()]
            orders = [one for one in lines if one.startswith(("run ", "edit "))]
        done = []
        while orders:
            kept.write_text(json.dumps(orders))
            outcome = await self.ask(session_id, *orders[0].split(" ", 1))
            if outcome == "cancelled":
                return s.PromptResponse(stop_reason="cancelled")
            done.append(outcome)
            orders.pop(0)
        said = update_agent_message_text(", ".join(done) or "nothing")
        await self.client.session_update(session_id=session_id, update=said)
        return s.PromptResponse(stop_reason="end_turn")

    async def ask(self, session: str, verb: str, what: str) -> str:
        self.calls += 1
        id_ = f"call-{self.calls}"
        more: dict[str, Any] = {"kind": "execute", "raw_input": {"command": what}}
        if verb == "edit":
            change = s.FileEditToolCallContent(type="diff", path=what, old_text="", new_text="new")
            more = {
                "kind": "edit",
                "locations": [s.ToolCallLocation(path=what)],
                "content": [change],
            }
        call = start_tool_call(id_, f"{verb} it", status="pending", **more)
        await self.client.session_update(session_id=session, update=call)
        trace("ask", what_for=what)
        found = await self.client.request_permission(
            session_id=session,
            tool_call=s.ToolCallUpdate(tool_call_id=id_),
            options=[
                s.PermissionOption(option_id="y", name="Yes", kind="allow_once"),
                s.PermissionOption(option_id="n", name="No", kind="reject_once"),
            ],
        )
        if found.outcome.outcome == "cancelled":
            trace("cancelled")
            return "cancelled"
        granted = getattr(found.outcome, "option_id", "") == "y"
        trace("granted" if granted else "refused", what_for=what)
        if granted and verb == "edit":
            await self.client.write_text_file(session_id=session, path=what, content="new")
        status: Any = "completed" if granted else "failed"
        await self.client.session_update(
            session_id=session, update=update_tool_call(id_, status=status)
        )
        return "granted" if granted else "refused"


asyncio.run(run_agent(Program()))
