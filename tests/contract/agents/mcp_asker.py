"""How a program that is an agent calls the tools it is handed: as MCP programs do, with the library only.

`call(program, [(name, arguments), …])` begins the server, greets it, lists its tools, makes all calls at
once, and gives what they came to as texts, in order.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from typing import Any


class Server:
    """The MCP server, begun as an agent does: with an environment of its own, as some do."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": "/nowhere"},
        )
        self.number = 0
        about = {"name": "asker", "version": "1"}
        given = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": about}
        self.greeting = self.wait(self.ask("initialize", given))
        self.say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def say(self, message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: Any = None) -> int:
        self.number += 1
        message = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params or {}}
        self.say(message)
        return self.number

    def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def wait(self, number: int) -> Any:
        while (heard := self.hear()).get("id") != number:
            pass
        return heard.get("result", heard.get("error"))

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


def wire(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def call(program: str, calls: Sequence[tuple[str, Any]]) -> list[str]:
    server = Server(program)
    server.wait(server.ask("tools/list"))
    numbers = [
        server.ask("tools/call", {"name": wire(name), "arguments": arguments})
        for name, arguments in calls
    ]
    found: dict[int, Any] = {}
    while len(found) < len(numbers):
        heard = server.hear()
        found[heard["id"]] = heard
    server.end()
    return [_text(found[number]) for number in numbers]


def _text(heard: Any) -> str:
    if "error" in heard:
        return f"error: {heard['error']['message']}"
    return "".join(one["text"] for one in heard["result"]["content"])
