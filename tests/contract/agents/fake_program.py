"""A program that is an agent, as good or bad as it is told: `fake_program.py WAY [ARGUMENT…]`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def say(**row: object) -> None:
    print(json.dumps(row), flush=True)


def answer(text: str, **usage: object) -> None:
    say(type="session", id="s-1")
    for at in range(0, len(text), 5):
        say(type="delta", text=text[at : at + 5])
    say(type="message", text=text)
    say(type="usage", **(usage or {"input": 100, "cached": 40, "output": 7}))


def main(way: str, *rest: str) -> int:
    prompt = sys.stdin.read()
    match way:
        case "say":
            answer(rest[0] if rest else "Hello, wörld! ✓")
        case "greet":
            answer("Hello, wörld! ✓")
        case "tell":  # what it was given
            answer(
                json.dumps(
                    {
                        "prompt": prompt,
                        "words": rest,
                        "cwd": os.getcwd(),
                        "environment": dict(os.environ),
                        "home": sorted(
                            str(path.relative_to(os.environ["HOME"]))
                            for path in Path(os.environ["HOME"]).rglob("*")
                            if path.is_file()
                        ),
                    }
                )
            )
        case "score":  # right only when asked again
            answer('Well:\n```json\n{"score": 7}\n```' if "does not fit" in prompt else "seven")
        case "never":
            answer("no json at all")
        case "garbage":
            sys.stdout.buffer.write(
                os.urandom(100_000) + b"\n" + b'{"type": "message", "text"\n' * 50
            )
        case "flood":
            line = b'{"type": "delta", "text": "' + b"x" * 1_000_000 + b'"}\n'
            for _ in range(100):
                sys.stdout.buffer.write(line)
            answer("done")
        case "one-line":
            sys.stdout.buffer.write(b'{"type": "message", "text": "' + b"x" * 30_000_000)
            print(flush=True)
            answer("after it")
        case "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            Path(rest[0]).write_text(f"{os.getpid()} {child.pid}")
            say(type="delta", text="I think")
            time.sleep(600)
        case "die":
            Path("half.txt").write_text("half")
            say(type="delta", text="I beg")
            say(type="usage", input=100, cached=0, output=3)
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            print("Error: " + rest[1], file=sys.stderr)
            return int(rest[0])
        case "error":
            say(type="error", message=rest[0])
            return 1
        case "absurd":
            answer("fine", **json.loads(rest[0]))
        case "empty":
            say(type="usage", input=1, cached=0, output=0)
        case "edit":
            Path("new.txt").write_text("new")
            Path("a.txt").write_text("changed")
            say(type="call", id="c1", name="write", arguments={"path": "new.txt"})
            say(type="done", id="c1", text="written")
            answer("Done.")
        case "edit-and-fail":
            Path("new.txt").write_text("new")
            say(type="error", message="Overloaded")
            return 1
        case "secret":
            print("the key is " + os.environ.get("AGENT_KEY", ""), file=sys.stderr)
            answer("It is " + os.environ.get("AGENT_KEY", ""))
        case _:
            return 64
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
