"""An MCP server for tests, as a program: `python tests/mcp_servers.py [streamable-http PORT]`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ToolAnnotations,
)

DESCRIPTION = os.environ.get("TEST_DESCRIPTION", "Add two numbers.")
server = MCPServer("test", log_level="CRITICAL")


@server.tool(description=DESCRIPTION, annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    print("adding", file=sys.stderr, flush=True)
    return a + b


@server.tool(structured_output=False)
def say(text: str) -> str:
    return text


@server.tool(structured_output=False)
def note(path: str, text: str) -> str:
    with Path(path).open("a") as file:
        file.write(text + "\n")
    return "noted"


@server.tool(structured_output=False)
def whoami() -> dict[str, object]:
    names = ("TOKEN", "INHERITED", "HOME")
    return {
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        **{name: os.environ.get(name) for name in names},
        **{name: value for name, value in os.environ.items() if name.startswith("TEST_")},
    }


@server.tool()
def refuse() -> str:
    raise ToolError("no such customer")


@server.tool()
def die(path: str) -> str:
    with Path(path).open("a") as file:
        file.write("died\n")
    os._exit(3)


@server.tool()
async def hang(path: str) -> str:
    Path(path).write_text(str(os.getpid()))
    await asyncio.sleep(1000)
    return ""


@server.tool(structured_output=False)
def flood(size: int) -> str:
    return "x" * size


@server.tool()
def picture() -> Image:
    return Image(data=b"\x89PNG", format="png")


@server.tool(structured_output=False)
async def ask(context: Context) -> str | InputRequiredResult:
    if context.input_responses is None:
        schema = {"type": "object", "properties": {"street": {"type": "string"}}}
        asked = ElicitRequestFormParams(message="Which street?", requested_schema=schema)
        return InputRequiredResult(input_requests={"q": ElicitRequest(params=asked)})
    raise ToolError(f"the person said {context.input_responses['q'].action}")


@server.tool(structured_output=False)
def heard(context: Context) -> dict[str, str | None]:
    found = {name.lower(): value for name, value in (context.headers or {}).items()}
    return {name: found.get(name) for name in ("authorization", "x-team", "user-agent")}


@server.tool()
async def slow(context: Context) -> str:
    await context.report_progress(1, 2, "half")
    return "done"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[2]), host="127.0.0.1")
    else:
        server.run()
