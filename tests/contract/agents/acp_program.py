"""A program that speaks the Agent Client Protocol, by the package's own agent side.

What it does stands in the prompt, one order a line; other lines are for nobody:

    say TEXT · fs-read PATH · fs-write PATH TEXT · ask KIND PATH · command LINE · usage IN CACHED OUT TOTAL
    meta IN OUT · cost USD · stop REASON · crash · hang · nonsense · flood · plan · recall · env NAME
    write-self PATH TEXT · fail CODE TEXT · think · call TOOL ARGUMENTS (in JSON)

It writes a line of JSON for each thing that happens to it into the file $ACP_TRACE.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from acp import RequestError, run_agent
from acp import schema as s
from acp.helpers import (
    plan_entry,
    start_tool_call,
    text_block,
    tool_content,
    update_agent_message_text,
    update_agent_thought_text,
    update_plan,
    update_tool_call,
)
from mcp_asker import call
from scripted_program import note

SCRIPT = os.environ.get("ACP_SCRIPT", "")
MODE = os.environ.get("ACP_MODE", "")


def trace(what: str, **more: Any) -> None:
    path = os.environ.get("ACP_TRACE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, **more}) + "\n")


class Program:
    def __init__(self) -> None:
        self.client: Any = None
        self.cancelled = asyncio.Event()
        self.said: dict[str, list[str]] = {}
        self.model = "small"
        self.calls = 0
        self.server = ""

    def on_connect(self, conn: Any) -> None:
        self.client = conn

    async def initialize(self, protocol_version: int, **more: Any) -> s.InitializeResponse:
        trace("initialize", version=protocol_version)
        return s.InitializeResponse(
            protocol_version=99 if MODE == "future" else protocol_version,
            agent_capabilities=s.AgentCapabilities(
                load_session=True, prompt_capabilities=s.PromptCapabilities(image=MODE == "eyes")
            ),
            agent_info=s.Implementation(name="told", version="1.2.3"),
            auth_methods=[s.AuthMethodAgent(id="key", name="Key")] if MODE == "auth" else [],
        )

    def options(self) -> list[Any]:
        options = [s.SessionConfigSelectOption(value=one, name=one) for one in ("small", "large")]
        return [
            s.SessionConfigOptionSelect(
                id="model",
                name="Model",
                category="model",
                type="select",
                current_value=self.model,
                options=options,
            )
        ]

    async def new_session(self, cwd: str, **more: Any) -> s.NewSessionResponse:
        self.serve(more)
        trace("new", cwd=cwd, env=sorted(os.environ), home=os.environ.get("HOME"))
        if MODE == "auth":
            raise RequestError.auth_required({"message": "log in first"})
        id_ = f"session-{os.getpid()}"
        self.said[id_] = []
        return s.NewSessionResponse(session_id=id_, config_options=self.options())

    async def load_session(self, cwd: str, session_id: str, **more: Any) -> s.LoadSessionResponse:
        self.serve(more)
        trace("load", session=session_id)
        if session_id != "kept":
            raise RequestError.resource_not_found(session_id)
        self.said[session_id] = ["an old word"]
        await self.tell(session_id, update_agent_message_text("an old word"))
        return s.LoadSessionResponse(config_options=self.options())

    def serve(self, more: dict[str, Any]) -> None:
        for one in more.get("mcp_servers") or ():
            assert (one.name, one.args, one.env) == ("aiworkflow", [], [])
            self.server = one.command

    async def set_config_option(self, config_id: str, session_id: str, value: Any, **_: Any) -> Any:
        trace("option", id=config_id, value=value)
        self.model = str(value)
        return s.SetSessionConfigOptionResponse(config_options=self.options())

    async def cancel(self, session_id: str, **_: Any) -> None:
        trace("cancel")
        self.cancelled.set()

    async def tell(self, session: str, update: Any) -> None:
        await self.client.session_update(session_id=session, update=update)

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> s.PromptResponse:
        text = "\n".join(one.text for one in prompt if hasattr(one, "text"))
        trace("prompt", text=text, kinds=[one.type for one in prompt], pid=os.getpid())
        self.said[session_id].append(text)
        answer: dict[str, Any] = {"stop_reason": "end_turn"}
        if SCRIPT:
            return s.PromptResponse(**answer, **await self.scripted(session_id, text))
        if "does not fit" in text:
            await self.tell(session_id, update_agent_message_text('{"n": 2}'))
            return s.PromptResponse(**answer)
        for line in text.splitlines():
            verb, _, rest = line.strip().partition(" ")
            do = getattr(self, "do_" + verb.replace("-", "_"), None)
            if do is not None:
                answer.update(await do(session_id, rest) or {})
        return s.PromptResponse(**answer)

    # -- the script of the contract's suite --

    async def scripted(self, session: str, text: str) -> dict[str, Any]:
        script = json.loads(Path(SCRIPT).read_text())
        turn = note(os.environ["ACP_HEARD"], text)
        while isinstance(one := script[min(turn, len(script) - 1)], dict) and "calls" in one:
            called = await asyncio.to_thread(call, self.server, one["calls"])
            turn = note(os.environ["ACP_HEARD"], "\n".join(called))
        match script[min(turn, len(script) - 1)]:
            case {"claims": count}:
                await self.do_say(session, "begun")
                names = ("input_tokens", "cached_read_tokens", "output_tokens", "total_tokens")
                return {"usage": s.Usage.model_construct(**dict.fromkeys(names, count))}
            case "hang":
                await self.do_say(session, "begun")
                await asyncio.sleep(600)
            case "flood":
                await self.do_flood(session, "")
            case "nonsense":
                await self.do_nonsense(session, "")
            case "cut":
                await self.do_say(session, "I beg")
                os.kill(os.getpid(), signal.SIGKILL)
            case "auth" | "rate_limit" | "unavailable" as kind:
                texts = {"auth": "401 wrong key", "rate_limit": "429 slow down"}
                raise RequestError(-32603, texts.get(kind, "503"))
            case str() as said:
                await self.do_say(session, said)
            case value:
                await self.do_say(session, json.dumps(value))
        return await self.do_usage(session, "15 5 7 22")

    # -- orders --

    async def do_say(self, session: str, rest: str) -> None:
        for at in range(0, len(rest), 5):
            await self.tell(session, update_agent_message_text(rest[at : at + 5]))

    async def do_call(self, session: str, rest: str) -> None:
        name, _, arguments = rest.partition(" ")
        called = await asyncio.to_thread(call, self.server, [(name, json.loads(arguments or "{}"))])
        trace("called", text=called[0])
        await self.do_say(session, called[0])

    async def do_think(self, session: str, rest: str) -> None:
        await self.tell(session, update_agent_thought_text("hm"))

    async def do_plan(self, session: str, rest: str) -> None:
        await self.tell(session, update_plan([plan_entry("look", status="completed")]))

    async def do_recall(self, session: str, rest: str) -> None:
        await self.do_say(session, f"I recall: {' / '.join(self.said[session][:-1])}")

    async def do_env(self, session: str, rest: str) -> None:
        await self.do_say(session, f"{rest}={os.environ.get(rest)}")

    async def do_model(self, session: str, rest: str) -> None:
        await self.do_say(session, f"I am {self.model}")

    async def do_fs_read(self, session: str, rest: str) -> None:
        try:
            found = await self.client.read_text_file(session_id=session, path=rest)
            await self.do_say(session, f"read: {found.content}")
        except RequestError as error:
            await self.do_say(session, f"no: {error}")

    async def do_fs_write(self, session: str, rest: str) -> None:
        path, _, text = rest.partition(" ")
        try:
            await self.client.write_text_file(session_id=session, path=path, content=text)
            await self.do_say(session, "written")
        except RequestError as error:
            await self.do_say(session, f"no: {error}")

    async def do_write_self(self, session: str, rest: str) -> None:
        path, _, text = rest.partition(" ")
        Path(path).write_text(text)

    async def call(self, session: str, title: str, kind: Any, **more: Any) -> bool:
        self.calls += 1
        id_ = f"call-{self.calls}"
        await self.tell(session, start_tool_call(id_, title, kind=kind, status="pending", **more))
        found = await self.client.request_permission(
            session_id=session,
            tool_call=s.ToolCallUpdate(tool_call_id=id_),
            options=[
                s.PermissionOption(option_id="y", name="Yes", kind="allow_once"),
                s.PermissionOption(option_id="n", name="No", kind="reject_once"),
            ],
        )
        granted = getattr(found.outcome, "option_id", "") == "y"
        trace("answer", title=title, outcome=found.outcome.outcome, granted=granted)
        await self.tell(
            session,
            update_tool_call(
                id_,
                status="completed" if granted else "failed",
                content=[tool_content(text_block("done" if granted else "refused"))],
            ),
        )
        return granted

    async def do_ask(self, session: str, rest: str) -> None:
        kind, _, path = rest.partition(" ")
        granted = await self.call(
            session, f"{kind} {path}", kind, locations=[s.ToolCallLocation(path=path)]
        )
        if granted and kind == "edit":
            await self.client.write_text_file(session_id=session, path=path, content="edited")
        await self.do_say(session, "granted" if granted else "refused")

    async def do_want(self, session: str, rest: str) -> None:
        await self.call(session, "Edit", "edit", locations=[s.ToolCallLocation(path=rest)])

    async def do_command(self, session: str, rest: str) -> None:
        granted = await self.call(session, f"Run {rest}", "execute", raw_input={"command": rest})
        await self.do_say(session, "granted" if granted else "refused")

    async def do_usage(self, session: str, rest: str) -> dict[str, Any]:
        given, cached, output, total = (int(one) for one in rest.split())
        return {
            "usage": s.Usage(
                input_tokens=given,
                cached_read_tokens=cached,
                output_tokens=output,
                total_tokens=total,
            )
        }

    async def do_meta(self, session: str, rest: str) -> dict[str, Any]:
        given, output = (int(one) for one in rest.split())
        counts = {"input_tokens": given, "output_tokens": output}
        return {"field_meta": {"quota": {"token_count": counts}}}

    async def do_cost(self, session: str, rest: str) -> None:
        cost = s.Cost(amount=float(rest), currency="USD")
        await self.tell(
            session, s.UsageUpdate(session_update="usage_update", used=5, size=10, cost=cost)
        )

    async def do_stop(self, session: str, rest: str) -> dict[str, Any]:
        return {"stop_reason": rest}

    async def do_crash(self, session: str, rest: str) -> None:
        print("out of luck", file=sys.stderr, flush=True)
        os._exit(3)

    async def do_leave(self, session: str, rest: str) -> None:
        subprocess.Popen(["sleep", "600"])  # with our standard output

    async def do_die(self, session: str, rest: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def do_hang(self, session: str, rest: str) -> None:
        if rest == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        trace("hangs", pid=os.getpid())
        await self.cancelled.wait()
        if rest == "deaf":
            await asyncio.sleep(600)

    async def do_fail(self, session: str, rest: str) -> None:
        code, _, text = rest.partition(" ")
        raise RequestError(int(code), text)

    async def do_nonsense(self, session: str, rest: str) -> None:
        os.set_blocking(1, True)
        for _ in range(100):
            os.write(1, b"what a lovely day\n")

    async def do_flood(self, session: str, rest: str) -> None:
        os.set_blocking(1, True)
        piece = b"x" * 1_000_000
        for _ in range(100):
            os.write(1, piece)


def main() -> None:
    trace("begin", argv=sys.argv[1:])
    if MODE == "silent":
        signal.pause()
    if MODE == "babble":
        while True:
            print("Welcome! This is no protocol.", flush=True)
    if MODE == "broken":
        print("cannot find my own feet", file=sys.stderr)
        raise SystemExit(7)
    asyncio.run(run_agent(Program()))


main()
