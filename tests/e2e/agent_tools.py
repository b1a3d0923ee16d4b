"""A bundle whose agent comments on a board, and what is seen of it from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.contract.agents.model_server import ModelServer, Reply
from tests.support import Done, Project

KEY = "sk-test-very-secret"
TOOLS = """\
board:
  operations:
    comment:
      description: Write a comment.
      inputs: {body: {type: string, description: What it says}, number?: integer}
      output: {id: integer}
      effect: write
      undo: delete
    delete: {inputs: {id: integer}, effect: idempotent}
    read: {inputs: {}, effect: read}
    fail: {inputs: {}, effect: read}
    look: {inputs: {body: string}, effect: read}
    careful: {inputs: {body: string}, effect: write, check: look}
"""
BOARD = """\
import json, os, pathlib, sys, time
board = pathlib.Path("board.log")
board.touch()
verb, *words = sys.argv[1:]
given = dict(word[2:].split("=", 1) for word in words)
lines = board.read_text().splitlines()
def note(**more):
    with board.open("a") as file:
        file.write(json.dumps({"verb": verb, **given, "key": os.environ["AIWORKFLOW_KEY"], **more}) + "\\n")
if verb == "look":
    found = [one for one in map(json.loads, lines) if one["key"] == os.environ["AIWORKFLOW_KEY"]]
    print(json.dumps(found[0] if found else None))
    sys.exit()
if verb == "fail":
    print("the board is closed", file=sys.stderr)
    sys.exit(3)
note()
pause = pathlib.Path("pause." + verb)
if pause.exists():
    pathlib.Path("paused").touch()
    time.sleep(60)
if verb == "comment" or verb == "careful":
    print(json.dumps({"id": len(lines) + 1}))
elif verb == "read":
    print("all is quiet")
"""
HEAD = 'allow: {write: [board.comment, board.careful, board.delete], paths: ["out/**"]}\n'


def bundle(project: Project, settings: str, rest: str = "", head: str = "") -> None:
    """A bundle `flow` whose step `review` has the settings."""
    body = f"## Review\n\n```yaml step\nid: review\n{settings}```\n\nReview it.\n\n{rest}"
    project.workflow(body, head=HEAD + head, board=BOARD)
    project.write("bundles/flow/tools.yaml", TOOLS)


def env(server: ModelServer) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": KEY}


def run(project: Project, server: ModelServer, *words: str) -> Done:
    return project.run("run", "flow", "--agent", "anthropic/m1", "--json", *words, **env(server))


def board(project: Project) -> list[dict[str, Any]]:
    """What the tool was called for, in order."""
    path = project.root / "board.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wire(name: str) -> str:
    """A tool's name as it goes over the wire."""
    return name.replace(".", "_")


def calls(*asked: tuple[str, dict[str, Any]], text: str = "") -> Reply:
    """A turn that asks for calls."""
    return Reply(text, [(wire(name), arguments) for name, arguments in asked])


def results(request: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of calls that an Anthropic request ends with."""
    return [
        one for one in request["body"]["messages"][-1]["content"] if one["type"] == "tool_result"
    ]


def text_of(result: dict[str, Any]) -> str:
    content = result["content"]
    return content if isinstance(content, str) else "".join(one["text"] for one in content)


def exists(path: Path) -> bool:
    return path.exists()
