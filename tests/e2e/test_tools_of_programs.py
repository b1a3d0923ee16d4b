"""The tools of a step in the hands of a program: each call is one like those of an agent over an API."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent_tools import BOARD, HEAD, TOOLS, board
from tests.e2e.test_agent_tools import wait_for
from tests.e2e.test_mcp import SERVER
from tests.support import Done, Project, script

CONTRACT = Path(__file__).parents[1] / "contract/agents"
ROWS = "[{match: {type: message}, text: text}, {match: {type: error}, error: message}]"


def acp(project: Project, *, mode: str = "read") -> str:
    trace = project.root.parent / "trace"
    return (
        f"{{acp: {{command: [{sys.executable}, {CONTRACT / 'acp_program.py'}],"
        f" env: {{ACP_TRACE: {trace}}}}}, mode: {mode}}}"
    )


def cli(project: Project, *script: Any, tools: bool = True) -> str:
    plan, heard = project.root.parent / "plan.json", project.root.parent / "heard"
    plan.write_text(json.dumps(script))
    words = [sys.executable, str(CONTRACT / "scripted_program.py"), str(plan), str(heard)]
    able = "abilities: [tools], " if tools else ""
    return (
        f"{{cli: {{command: {json.dumps(words)}, output: jsonl, modes: [read], {able}rows: {ROWS},"
        ' arguments: [{when: tools, words: [--mcp, "{tools}"]}]}}'
    )


def settings(project: Project, more: str = "", **agents: str) -> None:
    listed = "".join(f"  {name}: {said}\n" for name, said in agents.items())
    project.write(".aiworkflow/config.yaml", f"agents:\n{listed}{more}")


def bundle(project: Project, prompt: str, said: str, rest: str = "", head: str = "") -> None:
    body = f"## Review\n\n```yaml step\nid: review\n{said}```\n\n{prompt}\n\n{rest}"
    project.workflow(body, head=HEAD + head, board=BOARD)
    project.write("bundles/flow/tools.yaml", TOOLS)


def run(project: Project, agent: str = "told", *words: str, **env: str) -> Done:
    return project.run("run", "flow", "--agent", agent, "--json", *words, **env)


def calls(done: Done) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = done.json["steps"]["review"]["calls"]
    return found


def comment(body: str) -> str:
    return f"call board_comment {json.dumps({'body': body})}"


def test_a_program_over_acp_calls_the_tools_it_is_handed(project: Project) -> None:
    settings(project, told=acp(project))
    bundle(project, comment("hello"), "tools: [board.comment, file.read]\n")
    done = run(project)
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["review"]["output"] == '{"id": 1}'
    (call,) = calls(done)
    assert (call["path"], call["tool"], call["with"]) == (
        "review/call[1]",
        "board.comment",
        {"body": "hello"},
    )
    assert (call["status"], call["output"], call["effect"]) == ("succeeded", {"id": 1}, "write")
    (made,) = board(project)
    assert (made["verb"], made["body"]) == ("comment", "hello")
    looked = project.run("runs", "inspect", "last", "--events", "100").out
    assert 'started  review/call[1]  board.comment {"body":"hello"}, write' in looked
    assert not list((project.root / ".aiworkflow/state").rglob("shown")), "the token is gone"


def test_a_headless_program_calls_them_too_several_at_once(project: Project) -> None:
    asked = [["board.comment", {"body": f"n{n}"}] for n in range(3)]
    settings(project, told=cli(project, {"calls": asked}, "done"))
    bundle(project, "Review it.", "tools: [board.comment]\n")
    done = run(project)
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["review"]["output"] == "done"
    assert sorted(one["body"] for one in board(project)) == ["n0", "n1", "n2"]
    assert len({one["key"] for one in board(project)}) == 3
    assert [one["status"] for one in calls(done)] == ["succeeded"] * 3


def test_its_calls_are_taken_back_with_the_run(project: Project) -> None:
    settings(project, told=acp(project))
    prompt = f"{comment('one')}\n{comment('two')}"
    rest = script("boom", "exit 1")
    bundle(project, prompt, "tools: [board.comment]\n", rest, "on_error: rollback\n")
    done = run(project)
    assert done.json["status"] == "rolled_back", done.out + done.err
    assert [(one["verb"], one.get("id")) for one in board(project)] == [
        ("comment", None),
        ("comment", None),
        ("delete", "2"),
        ("delete", "1"),
    ]
    assert done.json["standing"] == []


def test_what_is_not_allowed_is_refused_and_told(project: Project) -> None:
    settings(project, told=acp(project))
    prompt = (
        'call file_write {"path": "secret.txt", "content": "x"}\ncall board_comment {"text": "no"}\n'
        "call board_destroy\ncall board_fail"
    )
    bundle(project, prompt, "tools: [file.write, board.comment, board.fail]\n")
    done = run(project)
    assert done.code == 0, done.out + done.err
    said = [json.loads(line) for line in (project.root.parent / "trace").read_text().splitlines()]
    write, misfit, unknown, fail = [one["text"] for one in said if one["what"] == "called"]
    assert "allow" in write
    assert "do not fit the tool's schema" in misfit
    assert "there is no tool `board_destroy`; tools are: file_write, board_comment" in unknown
    assert "the board is closed" in fail or "exit" in fail
    assert not (project.root / "secret.txt").exists()
    assert board(project) == []
    assert [one["status"] for one in calls(done)] == ["failed", "failed"]


@pytest.mark.parametrize("kind", ["acp", "cli"])
def test_a_kill_in_the_middle_repeats_no_call(project: Project, kind: str) -> None:
    asked = [["board.comment", {"body": "one"}]], [["board.careful", {"body": "two"}]]
    prompt = f'{comment("one")}\ncall board_careful {{"body": "two"}}'
    told = acp(project) if kind == "acp" else cli(project, *({"calls": a} for a in asked), "done")
    settings(project, told=told)
    bundle(project, prompt, "tools: [board.comment, board.careful]\n")
    project.write("pause.careful", "")
    running = project.start("run", "flow", "--agent", "told", "--json")
    wait_for(project.root / "paused")
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    (project.root / "pause.careful").unlink()
    (project.root.parent / "heard").unlink(missing_ok=True)  # the program begins anew
    done = project.run("runs", "resume", "last", "--json")
    assert done.code == 0, done.out + done.err
    made = [(one["verb"], one["body"]) for one in board(project) if one["verb"] != "look"]
    assert made == [("comment", "one"), ("careful", "two")], "`careful` has a check: it was done"
    assert [one["status"] for one in calls(done)] == ["succeeded", "succeeded"]


def test_a_step_whose_time_is_up_while_a_tool_writes_is_in_doubt(project: Project) -> None:
    settings(project, told=acp(project))
    bundle(project, comment("one"), "tools: [board.comment]\ntimeout: 6s\n")
    project.write("pause.comment", "")
    done = run(project)
    assert done.code == 3, done.out + done.err
    assert done.json["waiting_for"] == [{"kind": "in_doubt", "step": "review/call[1]"}]


def test_the_budget_holds_between_calls(project: Project) -> None:
    settings(project, told=acp(project))
    prompt = "cost 5\n" + "\n".join(comment(f"n{n}") for n in range(4))
    bundle(project, prompt, "tools: [board.comment]\nbudget: {usd: 1}\n")
    done = run(project)
    assert done.code == 4, done.out + done.err
    assert done.json["error"]["kind"] == "budget"
    assert board(project) == []


def test_tools_of_mcp_servers_are_handed_on(project: Project) -> None:
    server = f"{{command: {sys.executable}, args: [{SERVER}], effect: {{add: read}}}}"
    settings(project, f"mcp: {{servers: {{t: {server}}}}}\n", told=acp(project))
    bundle(project, 'call mcp_t_add {"a": 2, "b": 3}', 'tools: ["mcp:t/add"]\n')
    done = run(project)
    assert done.code == 0, done.out + done.err
    (call,) = calls(done)
    assert (call["tool"], call["effect"], call["status"]) == ("mcp:t/add", "read", "succeeded")
    assert call["output"]["result"] == 5


def test_a_secret_reaches_the_tool_and_nobody_else(project: Project) -> None:
    settings(project, told=acp(project))
    bundle(project, "call board_comment {}\nenv BOARD_TOKEN", "tools: [board.comment]\n")
    project.write(
        "bundles/flow/tools/board.py", "import os\nprint('token', os.environ['BOARD_TOKEN'])\n"
    )
    project.write(
        "bundles/flow/tools.yaml",
        "board: {operations: {comment: {inputs: {}, effect: read, secrets: [BOARD_TOKEN]}}}\n",
    )
    path = project.root / "bundles/flow/workflow.md"
    path.write_text(path.read_text().replace(HEAD, "allow: {secrets: [BOARD_TOKEN]}\n"))
    done = run(project, BOARD_TOKEN="tok-4711-very-secret")  # noqa: S106
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["review"]["output"] == "token ***BOARD_TOKEN=None"
    assert "tok-4711" not in (project.root.parent / "trace").read_text()


def test_a_program_that_takes_no_tools_is_refused_before_anything_starts(project: Project) -> None:
    settings(project, told=acp(project), plain=cli(project, "never", tools=False))
    bundle(project, "say fine", "tools: [board.comment]\n", head="agent: [plain, told]\n")
    done = run(project, "plain")
    assert done.code == 2
    assert "step `review` has `tools`, and none of its agents takes them" in done.out
    assert (
        "agent `plain` cannot be handed `tools`; use an agent over an API or over ACP" in done.out
    )
    assert project.run("runs", "list", "--json").json["runs"] == []
    done = project.run("run", "flow", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["review"]["agent"] == "told", "the one that takes none is passed over"


def test_a_run_with_such_calls_becomes_a_case(project: Project) -> None:
    settings(project, told=acp(project))
    bundle(project, comment("hello"), "tools: [board.comment]\n")
    done = run(project)
    assert done.code == 0, done.out + done.err
    added = project.run("bundle", "test", "add", "last", "--name", "called")
    assert added.code == 0, added.out + added.err
    (project.root / "board.log").unlink()
    tested = project.run("bundle", "test", "flow", "--json")
    assert tested.code == 0, tested.out + tested.err
    assert board(project) == []
