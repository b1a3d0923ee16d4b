"""An MCP server that asks people in the middle of its calls: `mcp_asking.py TRACE [old]`.

With `old` it speaks the older protocol, in which a call stays open while the server asks. What happens
to it stands in the file TRACE, a line of JSON each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TRACE = Path(sys.argv[1])
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "room": {"type": "string", "title": "The room", "enum": ["blue", "red"]},
        "seats": {"type": "integer", "minimum": 1, "default": 4},
        "catering": {"type": "boolean"},
        "price": {"type": "number", "description": "At most"},
    },
    "required": ["room", "seats"],
}
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "book": ("Which room?", FORM),
    "twice": ("First?", {"type": "object", "properties": {"n": {"type": "integer"}}}),
    "login": (
        "Your password?",
        {
            "type": "object",
            "properties": {"password": {"type": "string"}},
            "required": ["password"],
        },
    ),
    "nested": (
        "Where?",
        {"type": "object", "properties": {"at": {"type": "object", "properties": {}}}},
    ),
    "huge": (
        "x" * 100_000,
        {"type": "object", "properties": {f"f{n}": {"type": "string"} for n in range(5000)}},
    ),
}


def trace(what: str, **more: object) -> None:
    with TRACE.open("a") as file:
        file.write(json.dumps({"what": what, "pid": os.getpid(), **more}) + "\n")


def acted(tool: str, told: list[dict[str, Any]]) -> tuple[str, bool]:
    """What a call comes to once people have said something; whether it failed."""
    trace("told", tool=tool, told=told)
    if any(one["action"] != "accept" for one in told):
        return f"no {tool}: {told[-1]['action']}", True
    trace("effect", tool=tool)
    return json.dumps({tool: [one.get("content") for one in told]}), False


def questions(tool: str) -> list[tuple[str, dict[str, Any]]]:
    if tool == "twice":
        return [FORMS["twice"], ("Second?", FORMS["twice"][1])]
    return [FORMS[tool]] if tool in FORMS else []


# -- the older protocol, by hand ------------------------------------------------------------------


def send(**message: object) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def heard() -> dict[str, Any]:
    while True:
        line = sys.stdin.readline()
        if not line:
            trace("left")
            raise SystemExit
        message = json.loads(line)
        if "result" in message or "error" in message:
            return message


def call(id_: object, tool: str) -> None:
    trace("call", tool=tool)
    page = TRACE.with_name("signed-in")
    if tool == "signin" and not page.exists():
        address = {
            "mode": "url",
            "message": "Sign in",
            "url": "https://x.example",
            "elicitationId": "1",
        }
        send(id=id_, error={"code": -32042, "message": "no", "data": {"elicitations": [address]}})
        return
    told = []
    if tool == "visit":
        asked: list[dict[str, Any]] = [
            {
                "mode": "url",
                "message": "Sign in",
                "url": "https://x.example/in",
                "elicitationId": "1",
            }
        ]
    else:
        asked = [{"message": text, "requestedSchema": form} for text, form in questions(tool)]
    for number, params in enumerate(asked):
        send(id=f"q{number}", method="elicitation/create", params=params)
        told.append(heard().get("result", {"action": "error"}))
    text, failed = acted(tool, told)
    send(id=id_, result={"content": [{"type": "text", "text": text}], "isError": failed})


def old() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        method, id_ = message.get("method"), message.get("id")
        if method == "initialize":
            send(
                id=id_,
                result={
                    "protocolVersion": message["params"]["protocolVersion"],
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "asking", "version": "1"},
                },
            )
        elif method == "tools/list":
            names = [*FORMS, "visit", "signin"]
            schema = {"type": "object"}
            send(id=id_, result={"tools": [{"name": n, "inputSchema": schema} for n in names]})
        elif method == "tools/call":
            call(id_, message["params"]["name"])
        elif id_ is not None and method is not None:
            send(id=id_, error={"code": -32601, "message": "no such method"})


# -- the newer one: the call ends with the question, and is made again with the answer -------------


def new() -> None:
    from mcp.server.mcpserver import Context, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult

    server = MCPServer("asking", log_level="CRITICAL")

    def asking(tool: str) -> Any:
        async def ask(context: Context) -> Any:
            trace("call", tool=tool)
            if context.input_responses is None:
                asked = {
                    str(number): ElicitRequest(
                        params=ElicitRequestFormParams(message=text, requested_schema=form)
                    )
                    for number, (text, form) in enumerate(questions(tool))
                }
                return InputRequiredResult(input_requests=asked)
            told = [one.model_dump(exclude_none=True) for one in context.input_responses.values()]
            text, failed = acted(tool, told)
            if failed:
                raise ToolError(text)
            return text

        ask.__name__ = tool
        ask.__annotations__ = {"context": Context, "return": Any}
        return ask

    for name in FORMS:
        server.tool(name=name, structured_output=False)(asking(name))

    @server.tool(structured_output=False)
    async def count() -> str:
        time.sleep(0)
        trace("count")
        return "counted"

    server.run()


if __name__ == "__main__":
    trace("begin")
    (old if "old" in sys.argv[2:] else new)()
