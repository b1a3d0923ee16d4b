"""Steps that a program does over the Agent Client Protocol, through the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import Done, Project, script

PROGRAM = Path(__file__).parents[1] / "contract/agents/acp_program.py"


def trace(project: Project) -> Path:
    return project.root.parent / "trace"


def configure(project: Project, more: str = "", *, env: str = "") -> None:
    project.write(
        ".aiworkflow/config.yaml",
        "agent: told\nagents:\n  told:\n"
        f"    acp: {{command: [{sys.executable}, {PROGRAM}],"
        f" env: {{ACP_TRACE: {trace(project)}{env}}}}}\n{more}",
    )


def step(prompt: str, settings: str = "") -> str:
    return f"## Ask\n\n```yaml step\nid: ask\n{settings}```\n\n{prompt}\n"


def run(project: Project, prompt: str, settings: str = "", *, head: str = "") -> Done:
    project.workflow(step(prompt, settings), head=head)
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "as it is")
    return project.run("run", "flow", "--json")


def log(project: Project) -> str:
    done = project.run("runs", "log", "last", "ask")
    return done.out + done.err


READS = "    mode: read\n"
HEAD = 'allow: {paths: ["notes/**"]}\n'


def ended(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = done.json["steps"]["ask"]
    return found


def test_an_answer_is_the_output_and_its_use_is_counted(project: Project) -> None:
    configure(project, READS)
    done = run(project, "say in short\nusage 100 40 7 107")
    assert done.code == 0, done.out + done.err
    assert ended(done)["output"] == "in short"
    assert ended(done)["agent"] == "told"
    assert ended(done)["tokens"] == {"input": 100, "cached": 40, "output": 7}


def test_an_object_is_checked(project: Project) -> None:
    configure(project, READS)
    done = run(project, 'say {"n": "five"}', "output: {n: integer}\n")
    assert ended(done)["output"] == {"n": 2}


def test_files_that_the_workflow_allows_are_edited(project: Project) -> None:
    configure(project)
    done = run(project, "ask edit notes/a.txt", head=HEAD)
    assert done.code == 0, done.out + done.err
    assert (project.root / "notes/a.txt").read_text() == "edited"
    assert "[allow: edit notes/a.txt]" in log(project)
    assert "[changed: notes/a.txt]" in log(project)


def test_files_that_it_does_not_allow_are_left_alone(project: Project) -> None:
    configure(project)
    done = run(project, "ask edit src/a.txt", head=HEAD)
    assert ended(done)["output"] == "refused"
    assert not (project.root / "src").exists()
    assert "`allow: paths` covers `notes/**`" in log(project)


def test_a_step_that_only_reads_edits_and_runs_nothing(project: Project) -> None:
    configure(project, READS + "    permit: {execute: allow}\n")
    done = run(project, "ask edit notes/a.txt\ncommand make\nask read a.txt")
    assert done.code == 0, done.out + done.err
    answers = [json.loads(line) for line in trace(project).read_text().splitlines()]
    assert [one["granted"] for one in answers if one["what"] == "answer"] == [False, False, True]
    assert "[deny: edit notes/a.txt: the step may not edit files" in log(project)
    assert "[deny: execute make: the step may not run commands" in log(project)


@pytest.mark.parametrize(
    ("permit", "answer", "said"),
    [
        ("", "refused", "[deny: execute make: the settings say `permit: {execute: deny}`]"),
        ("    permit: {execute: allow}\n", "granted", "[allow: execute make]"),
    ],
)
def test_commands_run_where_the_settings_say_so(
    project: Project, permit: str, answer: str, said: str
) -> None:
    configure(project, permit)
    done = run(project, "command make", head=HEAD)
    assert done.code == 0, done.out + done.err
    assert ended(done)["output"] == answer
    assert said in log(project)


def test_reading_and_editing_can_be_denied_too(project: Project) -> None:
    configure(project, "    permit: {read: deny, edit: deny}\n")
    done = run(project, f"ask edit notes/a.txt\nfs-read {project.root}/a.txt", head=HEAD)
    assert done.code == 0, done.out + done.err
    assert not (project.root / "notes").exists()
    assert "[deny: read a.txt: the settings say `permit: {read: deny}`]" in log(project)


def test_a_change_that_was_not_asked_for_fails_the_step(project: Project) -> None:
    configure(project)
    done = run(project, "write-self sneaky.txt x\nsay done", head=HEAD)
    assert done.code != 0
    assert ended(done)["error"]["kind"] == "permission"
    assert "sneaky.txt" in ended(done)["error"]["message"]


@pytest.mark.parametrize(
    ("prompt", "kind", "said"),
    [
        ("crash", "cut_off", "ended with exit code 3: out of luck"),
        ("nonsense", "bad_output", "does not speak the Agent Client Protocol"),
        ("flood", "limit", "more than 16 MB"),
        ("fail -32603 HTTP 429 slow down", "rate_limit", "slow down"),
    ],
)
def test_a_program_that_fails_fails_the_step_and_no_more(
    project: Project, prompt: str, kind: str, said: str
) -> None:
    configure(project, READS)
    done = run(project, prompt)
    assert done.code == 1
    assert ended(done)["error"]["kind"] == kind
    assert said in ended(done)["error"]["message"]
    assert "Traceback" not in done.err
    assert project.run("runs", "list", "--json").json["runs"][0]["status"] == "failed"


def test_a_crash_of_a_step_that_edits_leaves_it_in_doubt(project: Project) -> None:
    configure(project)
    done = run(project, "ask edit notes/a.txt\ncrash", head=HEAD)
    assert done.code == 3
    assert ended(done)["status"] == "in_doubt"


def test_a_program_that_hangs_ends_with_the_step_s_time(project: Project) -> None:
    configure(project, READS)
    done = run(project, "hang", "timeout: 6s\n")
    assert done.code == 1
    assert ended(done)["error"]["kind"] == "timeout"


def test_its_key_is_in_nothing_that_is_written(project: Project) -> None:
    configure(project, READS + "    key: TOLD_KEY\n", env=', MY_KEY: "{key}"')
    project.workflow(step("env MY_KEY"))
    done = project.run("run", "flow", "--json", TOLD_KEY="k-very-secret-1")
    assert done.code == 0, done.out + done.err
    assert ended(done)["output"] == "MY_KEY=***"
    written = [one for one in project.root.rglob("*") if one.is_file()]
    assert not any(b"k-very-secret-1" in one.read_bytes() for one in written)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("acp: nobody", "one of `gemini`, `codex`, `copilot`, `opencode`"),
        ("acp: {command: []}", "at least"),
        ("acp: {env: {A: b}}", "needs `command`"),
        ("acp: gemini\n    permit: {edit: maybe}", "one of `allow`, `ask`, `deny`"),
    ],
)
def test_a_mistake_in_the_settings_is_said_before_anything_starts(
    project: Project, config: str, said: str
) -> None:
    project.write(".aiworkflow/config.yaml", f"agent: a\nagents:\n  a:\n    {config}\n")
    project.workflow(step("say hi"))
    done = project.run("run", "flow")
    assert done.code == 2
    assert said in done.out + done.err


def test_a_known_program_that_is_not_installed_says_how_to_get_it(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "agents: {g: {acp: goose}}\n")
    project.workflow(script("get", "true") + step("say hi"))
    done = project.run("run", "flow", "--agent", "g")
    assert done.code == 2  # before anything starts
    assert "agent `g` needs `goose`, which is not there" in done.out + done.err
    assert "block.github.io/goose" in done.out + done.err
