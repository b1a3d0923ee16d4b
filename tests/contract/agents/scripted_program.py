"""A program that is an agent and answers by a script: `scripted_program.py SCRIPT HEARD [--mcp SERVER]`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from mcp_asker import call


def say(**row: object) -> None:
    print(json.dumps(row), flush=True)


def answer(text: str, usage: Any = None) -> None:
    for at in range(0, len(text), 5):
        say(type="delta", text=text[at : at + 5])
    say(type="message", text=text)
    say(type="usage", **(usage or {"input": 15, "cached": 5, "output": 7}))


def note(heard: str, text: str) -> int:
    """Write down what was heard; how often that was done before."""
    with Path(heard).open("a+") as file:
        file.seek(0)
        turn = file.read().count("\0")
        file.write(text + "\0\n")
    return turn


def main(plan: str, heard: str) -> int:
    if plan == "--version":
        print("scripted 1.0")
        return 0
    script = json.loads(Path(plan).read_text())
    turn = note(heard, sys.stdin.read())
    while isinstance(one := script[min(turn, len(script) - 1)], dict) and "calls" in one:
        turn = note(heard, "\n".join(call(sys.argv[4], one["calls"])))
    match script[min(turn, len(script) - 1)]:
        case {"claims": count}:
            answer("begun", dict.fromkeys(("input", "cached", "output", "cost"), count))
        case "hang":
            say(type="delta", text="begun")
            time.sleep(600)
        case "flood":
            for _ in range(100):
                print("x" * 1_000_000)
        case "nonsense":
            print("<html>not what you think</html>")
        case "cut":
            say(type="delta", text="I beg")
            os.kill(os.getpid(), signal.SIGKILL)
        case "auth" | "rate_limit" | "unavailable" as kind:
            texts = {"auth": "401 wrong key", "rate_limit": "429 slow down", "unavailable": "503"}
            say(type="error", message=texts[kind])
            return 1
        case str() as text:
            answer(text)
        case value:
            answer(json.dumps(value))
    return 0


if __name__ == "__main__":
    sys.exit(
        main(*sys.argv[1:3])
        if len(sys.argv) > 2 and sys.argv[-1] != "--version"
        else main("--version", "")
    )
