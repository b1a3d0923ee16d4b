"""Tools that stay alive between calls, by the command: in Python and in JavaScript, and when they fail."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support import Project

PYTHON = """
import json, os, sys, time
count = 0
for line in sys.stdin:
    asked = json.loads(line)
    count += 1
    given, method = asked["params"], asked["method"]
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    if method == "count":
        answer["result"] = {"count": count, "pid": os.getpid(), "given": given}
    elif method == "about":
        names = ("LEVEL", "TOKEN", "INHERITED", "AIWORKFLOW_KEY")
        answer["result"] = {"meta": asked["meta"], "env": {n: os.environ.get(n) for n in names}}
    elif method == "noisy":
        print("no message", flush=True)
        print("on standard error", file=sys.stderr, flush=True)
        note = {"jsonrpc": "2.0", "method": "log", "params": {"text": "half done"}}
        print(json.dumps(note), flush=True)
        answer["result"] = "done"
    elif method == "fail":
        answer["error"] = {"code": -32000, "message": "no such issue"}
    elif method == "die":
        with open("died", "a") as file:
            file.write("x")
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(4)
    elif method == "hang":
        with open("pid", "w") as file:
            file.write(str(os.getpid()))
        time.sleep(1000)
    elif method == "flood":
        answer["result"] = "x" * 5_000_000
    elif method == "add":
        answer["result"] = (given.get("current") or 3) + sum(given["values"])
    print(json.dumps(answer), flush=True)
"""
NODE = """
const lines = require('readline').createInterface({input: process.stdin});
let count = 0;
lines.on('line', line => {
  const {id, method, params} = JSON.parse(line);
  count += 1;
  console.log(JSON.stringify({jsonrpc: '2.0', id, result: {count, method, params, pid: process.pid}}));
});
"""
TOOLS = """t:
  protocol: jsonrpc
  effect: read
  operations:
    count: {inputs: {n?: integer}}
    about: {}
    noisy: {output: text}
    fail: {}
    die: {}
    hang: {}
    flood: {}
    add: {}
    write_and_die: {effect: write}
    secret: {secrets: [TOKEN]}
"""


def step(id_: str, uses: str, more: str = "") -> str:
    return f"## {id_}\n\n```yaml step\nid: {id_}\nuses: {uses}\n{more}```\n\n"


@pytest.fixture
def place(tmp_path: Path) -> Project:
    return Project(tmp_path / "p")


def bundle(project: Project, body: str, *, head: str = "", tools: str = TOOLS) -> None:
    project.workflow(body, head=head, t=PYTHON)
    project.write("bundles/flow/tools.yaml", tools)


def run(project: Project, code: int = 0, **env: str) -> dict:
    done = project.run("run", "bundles/flow", "--json", **env)
    assert done.code == code, done.out + done.err
    return done.json["steps"]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_one_program_for_all_calls_of_a_run(place: Project) -> None:
    bundle(place, step("a", "t.count", "with: {n: 1}\n") + step("b", "t.count"))
    found = run(place)
    first, second = found["a"]["output"], found["b"]["output"]
    assert (first["count"], first["given"]) == (1, {"n": 1})
    assert (second["count"], second["given"]) == (2, {})
    assert first["pid"] == second["pid"]
    assert gone(first["pid"])


def test_calls_of_a_loop_share_it_too(place: Project) -> None:
    bundle(place, step("a", "t.count", "each: range(20)\nwith: {n: '{{ item }}'}\n"))
    found = run(place)["a"]["output"]
    assert [one["given"]["n"] for one in found] == list(range(20))
    assert len({one["pid"] for one in found}) == 1


def test_a_tool_in_javascript(place: Project) -> None:
    place.workflow(step("a", "js.go", "with: {n: 1}\n") + step("b", "js.go"))
    place.write("bundles/flow/tools/js.js", NODE)
    place.write(
        "bundles/flow/tools.yaml", "js: {protocol: jsonrpc, operations: {go: {effect: read}}}\n"
    )
    found = run(place)
    assert found["a"]["output"]["params"] == {"n": 1}
    assert (found["b"]["output"]["count"], found["b"]["output"]["method"]) == (2, "go")


def test_what_a_call_is_told_and_the_environment_of_the_program(place: Project) -> None:
    bundle(place, step("a", "t.about", "env: {LEVEL: '3'}\n"))
    found = run(place, INHERITED="no")["a"]["output"]
    assert found["env"] == {"LEVEL": "3", "TOKEN": None, "INHERITED": None, "AIWORKFLOW_KEY": None}
    assert (found["meta"]["step"], found["meta"]["attempt"]) == ("a", 1)
    assert len(found["meta"]["key"]) > 20


def test_arguments_are_checked_before_anything_is_asked(place: Project) -> None:
    head = "inputs: {n: {type: any, default: many}}\n"
    bundle(place, step("a", "t.count", "with: {n: '{{ inputs.n }}'}\n"), head=head)
    error = run(place, 1)["a"]["error"]
    assert error["kind"] == "input"
    assert "`t.count` was not started: `n` must be a whole number" in error["message"]


def test_a_secret_makes_it_a_program_of_its_own(place: Project) -> None:
    tools = TOOLS.replace("count: {", "other: {secrets: [TOKEN]}\n    count: {")
    code = PYTHON.replace('method == "count"', 'method in ("count", "other")')
    head = "allow: {secrets: [TOKEN]}\n"
    place.workflow(step("a", "t.count") + step("b", "t.other"), head=head, t=code)
    place.write("bundles/flow/tools.yaml", tools)
    found = run(place, TOKEN="hush-hush-3")
    assert found["a"]["output"]["pid"] != found["b"]["output"]["pid"]


def test_its_output_is_checked_against_what_is_declared(place: Project) -> None:
    bundle(place, step("a", "t.count", "output: {count: string}\n"))
    error = run(place, 1)["a"]["error"]
    assert error["kind"] == "output"


def test_what_it_says_beside_the_answer_is_the_log(place: Project) -> None:
    bundle(place, step("a", "t.noisy"))
    assert run(place)["a"]["output"] == "done"
    log = place.run("runs", "log", "last", "a").out
    assert "[no JSON-RPC message: no message]" in log
    assert "half done" in log
    assert "on standard error" in log


def test_a_failure_that_it_reports(place: Project) -> None:
    bundle(place, step("a", "t.fail"))
    error = run(place, 1)["a"]["error"]
    assert (error["kind"], error["message"]) == ("tool", "tool `t` failed: no such issue")


def test_it_dies_and_is_begun_again(place: Project) -> None:
    bundle(place, step("a", "t.die", "on_error: continue\n") + step("b", "t.count"))
    found = run(place)
    error = found["a"]["error"]
    assert error["kind"] == "unavailable"
    assert error["message"] == "tool `t` has ended with exit code 4: out of memory"
    assert found["b"]["output"]["count"] == 1


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ('b\'1, "result": "\\xff"}\'', "wrote an answer that cannot be read: 'utf-8' codec can't"),
        ('b\'1, "result": \' + b"[" * 100000', "wrote an answer that cannot be read: maximum"),
        ('b\'null, "error": {"message": "what?"}}\'', 'an error of no call: {"message": "what?"}'),
    ],
)
def test_an_answer_that_nobody_can_read_ends_the_call(place: Project, rest: str, said: str) -> None:
    """It has no time limit: it would wait for ever."""
    place.workflow(
        step("a", "t.go"),
        head="allow: {write: [t.go]}\n",
        t="import sys\n"
        "for line in sys.stdin:\n"
        f'    sys.stdout.buffer.write(b\'{{"jsonrpc": "2.0", "id": \' + {rest} + b\'\\n\')\n'
        "    sys.stdout.flush()\n",
    )
    tools = "t: {protocol: jsonrpc, operations: {go: {effect: write}}}\n"
    place.write("bundles/flow/tools.yaml", tools)
    done = place.run("run", "bundles/flow", "--json")
    assert done.code == 3, done.out + done.err
    assert done.json["status"] == "waiting"  # for a person to say what became of the write
    assert said in done.json["steps"]["a"]["error"]["message"]


def test_a_write_that_is_lost_in_the_middle_is_in_doubt(place: Project) -> None:
    tools = TOOLS.replace("die: {}", "die: {effect: write}")
    bundle(place, step("a", "t.die"), head="allow: {write: [t.die]}\n", tools=tools)
    done = place.run("run", "bundles/flow", "--json")
    assert done.json["steps"]["a"]["status"] == "in_doubt"
    assert (place.root / "died").read_text() == "x"


def test_time_is_up_and_what_hangs_is_ended(place: Project) -> None:
    bundle(place, step("a", "t.hang", "timeout: 1s\non_error: continue\n") + step("b", "t.count"))
    found = run(place)
    assert found["a"]["error"]["message"] == "`t.hang` did not end within 1 s"
    assert gone(int((place.root / "pid").read_text()))
    assert found["b"]["output"]["count"] == 1


def test_cancelling_ends_it_within_a_second(place: Project) -> None:
    bundle(place, step("a", "t.hang"))
    running = place.start("run", "bundles/flow")
    give_up = time.monotonic() + 30
    while not ((place.root / "pid").exists() and (place.root / "pid").read_text()):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    assert gone(int((place.root / "pid").read_text()))


def test_a_flood_is_a_failure_of_the_step(place: Project) -> None:
    place.write(".aiworkflow/config.yaml", "limits: {output: 100kB}\n")
    bundle(place, step("a", "t.flood", "on_error: continue\n") + step("b", "t.count"))
    found = run(place)
    assert found["a"]["error"]["message"] == "tool `t` wrote a line of more than 100000 bytes"
    assert found["b"]["output"]["count"] == 1


def test_it_can_be_a_reducer(place: Project) -> None:
    body = "## a\n\n```yaml step\nset: {total: '{{ 4 }}'}\n```\n\n"
    head = "state: {total: {reduce: t.add}}\noutputs: {total: '{{ state.total }}'}\n"
    bundle(place, body, head=head)
    done = place.run("run", "bundles/flow", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["outputs"] == {"total": 7}


def test_nothing_of_it_is_left_after_a_kill(place: Project) -> None:
    bundle(place, step("a", "t.hang"))
    running = place.start("run", "bundles/flow")
    give_up = time.monotonic() + 30
    while not ((place.root / "pid").exists() and (place.root / "pid").read_text()):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    pid = int((place.root / "pid").read_text())
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate(timeout=30)
    (place.root / "bundles/flow/tools/t.py").write_text(PYTHON)
    resumed = place.start("runs", "resume", "last")
    while (place.root / "pid").read_text() in {"", str(pid)}:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert gone(pid)
    os.killpg(resumed.pid, signal.SIGTERM)
    resumed.communicate(timeout=30)
    assert json.loads((place.root / "pid").read_text()) != pid


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ("NaN", "the output holds nan, which is no number of JSON"),
        ("[1e400]", "the output holds inf, which is no number of JSON"),
        ('{"a": "\\ud800"}', "the output holds half a surrogate pair"),
        ("[" * 200 + "]" * 200, "the output is nested more than 100 levels deep"),
    ],
)
def test_a_result_that_no_journal_can_hold_is_a_failure_of_the_step(
    tmp_path: Path, result: str, why: str
) -> None:
    project = Project(tmp_path / "p")
    code = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    number = json.loads(line)['id']\n"
        f'    print(\'{{"jsonrpc": "2.0", "id": %d, "result": \' % number + {result!r} + \'}}\', flush=True)\n'
    )
    project.workflow("## A\n\n```yaml step\nid: a\nuses: odd.get\n```\n", odd=code)
    operations = "{get: {inputs: {}, effect: read}}"
    project.write(
        "bundles/flow/tools.yaml", f"odd: {{protocol: jsonrpc, operations: {operations}}}\n"
    )
    done = project.run("run", "flow", "--json")
    assert done.code == 1, done.out + done.err
    error = done.json["steps"]["a"]["error"]
    assert error["kind"] == "output"
    assert why in error["message"]
