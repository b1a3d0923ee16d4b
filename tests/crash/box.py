"""A tool that keeps a ledger of what it has really done, and drivers that are disturbed at a commit."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.forking import forks, must_be_fresh
from tests.support import Done, Project, group, script

KILL_AT = Path(__file__).with_name("kill_at.py")

# `put` has no way to be repeated; `find` looks for what a key has put. `take` may be called again, and so
# may `send`, which knows its key. `drop` is a `put` that nothing can look for.
BOX = """import fcntl, json, os, sys
args = dict(word[2:].split("=", 1) for word in sys.argv[2:])
verb, key = sys.argv[1], os.environ["AIWORKFLOW_KEY"]
with open(os.environ["LEDGER"], "a+") as ledger:
    fcntl.flock(ledger, fcntl.LOCK_EX)
    ledger.seek(0)
    lines = ledger.read().splitlines()
    if verb == "find":
        found = [line.split()[2] for line in lines if line.startswith(f"put {key} ")]
        print(json.dumps({"name": found[0]} if found else None))
    elif verb in {"put", "drop"} or (verb == "send" and not any(key in line for line in lines)):
        print(f"put {key} {args['name']}", file=ledger, flush=True)
        print("it is in the box", file=sys.stderr)
        print(json.dumps({"name": args["name"]}))
    elif verb == "send":
        print(json.dumps({"name": args["name"]}))
    elif f"take {args['name']}" not in lines:
        print(f"take {args['name']}", file=ledger, flush=True)
"""
TOOLS = """box:
  operations:
    put: {effect: write, inputs: {name: string}, output: {name: string}, check: find, undo: take}
    find: {effect: read, inputs: {name: string}}
    take: {effect: idempotent, inputs: {name: string}}
    send: {effect: idempotent, inputs: {name: string}, output: {name: string}}
    drop: {effect: write, inputs: {name: string}, output: {name: string}}
"""
HEAD = (
    'allow: {write: [box.put, box.take, box.send, box.drop]}\nenv: {LEDGER: "ledger"}\n'
    "state: {log: {reduce: append}}\n"
)


def put(id_: str, more: str = "", level: int = 2, name: str = "", verb: str = "put") -> str:
    return (
        f"{'#' * level} Put {id_}\n\n```yaml step\nid: {id_}\nuses: box.{verb}\n"
        f'with: {{name: "{name or id_}"}}\n{more}```\n\n'
    )


# A short run for faults of which there are many: calls with and without a key, a large output, a log.
SHORT = (
    put("first")
    + put("second", verb="send")
    + script("big", "echo it is big >&2; printf %050000d 7", "effect: read\n")
    + group("both", "parallel: true\n", put("left", level=3), put("right", level=3, verb="send"))
    + put("last")
)
SHORT_HEAD = """outputs:
  size: "{{ steps.big.output | length }}"
  both: "{{ steps.both.output }}"
"""
SHORT_OUTPUTS = {"size": 50000, "both": {"left": {"name": "left"}, "right": {"name": "right"}}}
SHORT_ONCE = Counter(["first", "second", "left", "right", "last"])
BLIND = put("first", verb="drop") + put("second", verb="drop")


def project_with(folder: Path, body: str, head: str = "") -> Project:
    project = Project(folder, git=False)
    project.workflow(body, head=HEAD + head, box=BOX)
    project.write("bundles/flow/tools.yaml", TOOLS)
    return project


def short(folder: Path) -> Project:
    return project_with(folder, SHORT, SHORT_HEAD)


def assert_done_once(done: Done, project: Project, where: object = "") -> None:
    """The short run ended as an undisturbed one."""
    assert done.code == 0, f"{where}: {done.out}{done.err}"
    assert done.json["status"] == "succeeded", where
    assert done.json["outputs"] == SHORT_OUTPUTS, where
    assert ledger(project)[0] == SHORT_ONCE, where


def killed(project: Project, at: int, moment: str, *words: str) -> subprocess.CompletedProcess[str]:
    given = [str(at), moment, *words]
    if must_be_fresh(words, project.env):
        return subprocess.run(
            [sys.executable, str(KILL_AT), *given],
            cwd=project.root,
            env=project.env,
            capture_output=True,
            text=True,
            timeout=120,
        )
    done = forks().run(given, project.root, project.env, "", 120, KILL_AT)
    return subprocess.CompletedProcess(given, *done)


def ledger(project: Project) -> tuple[Counter[str], Counter[str]]:
    lines = (project.root / "ledger").read_text().splitlines()
    puts = Counter(line.split()[2] for line in lines if line.startswith("put "))
    takes = Counter(line.split()[1] for line in lines if line.startswith("take "))
    return puts, takes
