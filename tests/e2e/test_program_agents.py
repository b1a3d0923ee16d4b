"""Agents that are programs, driven by the command line: what they may do, what they did, how they fail."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import Project

FAKE = Path(__file__).parents[1] / "contract" / "agents" / "fake_program.py"
ROWS = """
      - {match: {type: delta}, delta: text}
      - {match: {type: message}, text: text}
      - {match: {type: error}, error: message}
      - {match: {type: usage}, usage: {input: input, cached: cached, output: output}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / "project")
    found.write(".gitignore", ".home/\n")
    found.write("a.txt", "one\n")
    found.git("add", "-A")
    found.git("commit", "-qm", "first")
    return found


def agent(
    project: Project, *words: str, more: str = "", cli: str = "", modes: str = "[read, edit]"
) -> None:
    command = json.dumps([sys.executable, str(FAKE), *words])
    project.write(
        ".aiworkflow/config.yaml",
        f"agents:\n  mine:\n{more}    cli:\n      command: {command}\n      output: jsonl\n"
        f"      modes: {modes}\n{cli}      arguments: [{{when: edit, words: [--yes]}}, {{when: read, words: [--safe]}}]\n"
        f"      rows:{ROWS}",
    )  # fmt: skip


def ask(project: Project, settings: str = "", head: str = "", prompt: str = "Say hello.") -> str:
    block = f"```yaml step\nid: ask\nagent: mine\n{settings}```\n\n"
    return project.workflow(f"## Ask\n\n{block}{prompt}\n", head=head)


def step(done: Any) -> Any:
    return done.json["steps"]["ask"]


def test_a_program_answers_and_its_tokens_are_priced(project: Project) -> None:
    agent(project, "greet", more="    model: m1\n    price: {input: 10, cached: 1, output: 100}\n")
    done = project.run("run", ask(project), "--json")
    assert done.code == 0, done.err
    assert step(done)["output"] == "Hello, wörld! ✓"
    assert step(done)["agent"] == "mine/m1"
    assert step(done)["cost_usd"] == pytest.approx((60 * 10 + 40 * 1 + 7 * 100) / 1e6)


def test_an_object_is_read_out_of_what_it_says(project: Project) -> None:
    agent(project, "score")
    done = project.run("run", ask(project, "output: {score: integer}\n"), "--json")
    assert step(done)["output"] == {"score": 7}


def test_it_only_reads_unless_the_step_is_allowed_files(project: Project) -> None:
    agent(project, "tell")

    def words(settings: str = "", head: str = "") -> Any:
        done = project.run("run", ask(project, settings, head), "--json")
        assert done.code == 0, done.out + done.err
        return json.loads(step(done)["output"])["words"]

    allowed = "allow: {paths: ['src/**']}\n"
    assert words() == ["--safe"]
    assert words(head=allowed) == ["--yes"]
    assert words("effect: read\n", head=allowed) == ["--safe"]
    assert words("allow: {paths: []}\n", head=allowed) == ["--safe"]
    agent(project, "tell", more="    mode: read\n")
    assert words(head=allowed) == ["--safe"]


def test_the_plan_says_what_it_may_do(project: Project) -> None:
    agent(project, "say")

    def effect(head: str = "") -> Any:
        done = project.run("bundle", "info", ask(project, head=head), "--json")
        return next(one for one in done.json["steps"] if one["id"] == "ask")["effect"]

    assert effect() == "read"
    assert effect("allow: {paths: ['src/**']}\n") == "write"
    agent(project, "say", more="    mode: read\n")
    assert effect("allow: {paths: ['src/**']}\n") == "read"


def test_what_nothing_keeps_from_writing_needs_to_be_allowed(project: Project) -> None:
    agent(project, "say", modes="[edit]")
    done = project.run("bundle", "validate", ask(project))
    assert done.code == 2
    assert "AW705" in done.out + done.err
    assert "`allow.paths` names no place" in done.out + done.err
    done = project.run(
        "bundle", "validate", ask(project, "effect: read\n", "allow: {paths: [a]}\n")
    )
    assert "AW701" in done.out + done.err
    assert "mode: read" in done.out + done.err
    assert project.run("run", ask(project, head="allow: {paths: ['**']}\n")).code == 0
    agent(project, "say", modes="[edit]", more="    mode: read\n")
    assert project.run("run", ask(project)).code == 0


def test_text_from_outside_must_not_steer_one_that_edits(project: Project) -> None:
    agent(project, "say")
    on = "on: {webhook: {path: /x, verify: {github: S}, inputs: {note: '{{ trigger.body.note }}'}}}\n"
    head = f"inputs: {{note: {{type: string, default: ''}}}}\n{on}"
    bundle = ask(project, head=head, prompt="Do {{ inputs.note }}")
    assert "AW710" not in project.run("bundle", "validate", bundle).out
    bundle = ask(project, head=head + "allow: {paths: ['**']}\n", prompt="Do {{ inputs.note }}")
    done = project.run("bundle", "validate", bundle)
    assert "AW710" in done.out + done.err
    assert "which has files to edit" in done.out + done.err


def test_what_it_changed_stands_in_the_log(project: Project) -> None:
    agent(project, "edit")
    bundle = ask(project, head="allow: {paths: ['*.txt']}\n")
    done = project.run("run", bundle, "--json")
    assert done.code == 0, done.out + done.err
    said = project.run("runs", "log", done.json["run"], "ask")
    assert "[changed: a.txt, new.txt]" in said.out + said.err


def test_what_it_may_not_change_is_a_failure(project: Project) -> None:
    agent(project, "edit")
    done = project.run("run", ask(project, head="allow: {paths: [a.txt]}\n"), "--json")
    assert done.code == 1
    assert step(done)["error"]["kind"] == "permission"
    assert "`allow.paths` does not name: new.txt" in step(done)["error"]["message"]


def test_what_it_may_not_change_is_found_although_it_failed(project: Project) -> None:
    agent(project, "edit-and-fail")
    bundle = ask(project, "retry: {times: 2, base: 10ms}\n", "allow: {paths: [a.txt]}\n")
    done = project.run("run", bundle, "--json")
    assert done.code == 1, done.out + done.err
    assert step(done)["error"]["kind"] == "permission"
    assert "`allow.paths` does not name: new.txt" in step(done)["error"]["message"]
    assert step(done)["attempts"] == 1


def test_it_runs_in_the_step_s_folder(project: Project) -> None:
    agent(project, "tell")
    (project.root / "src").mkdir()
    done = project.run("run", ask(project, "cwd: src\n"), "--json")
    assert json.loads(step(done)["output"])["cwd"] == str(project.root / "src")
    agent(project, "edit")
    settings = "cwd: src\nallow: {paths: ['src/**']}\n"
    done = project.run("run", ask(project, settings, "allow: {paths: ['src/**']}\n"), "--json")
    assert done.code == 0, done.out
    assert (project.root / "src" / "new.txt").read_text() == "new"


def test_death_while_it_edits_leaves_the_step_in_doubt(project: Project) -> None:
    agent(project, "die")
    done = project.run("run", ask(project, head="allow: {paths: ['**']}\n"), "--json")
    assert done.code == 3, done.out + done.err
    assert "in_doubt" in json.dumps(done.json)
    done = project.run("run", ask(project), "--json")
    assert done.code == 1
    assert step(done)["error"]["kind"] == "cut_off"


@pytest.mark.parametrize(
    ("way", "kind", "says"),
    [
        (("garbage",), "bad_output", "said nothing that can be understood"),
        (("flood",), "limit", "more than 50000000 bytes"),
        (("error", "429 Too Many Requests"), "rate_limit", "429 Too Many Requests"),
        (("hang", "pids"), "timeout", "did not end within 1 s"),
    ],
)
def test_each_failure_is_one_of_the_step(
    project: Project, way: tuple[str, ...], kind: str, says: str
) -> None:
    agent(project, *way)
    done = project.run("run", ask(project, "timeout: 1s\n" if way[0] == "hang" else ""), "--json")
    assert done.code == 1
    assert step(done)["error"]["kind"] == kind
    assert says in step(done)["error"]["message"]


def test_a_key_is_in_nothing_that_is_kept(project: Project) -> None:
    secret = "k3y-of-mine-0123456789"
    env = "      env: [{when: key, set: {AGENT_KEY: '{key}'}}]\n"
    agent(project, "secret", more="    key: OWN_KEY\n", cli=env)
    done = project.run("run", ask(project), "--json", OWN_KEY=secret)
    assert step(done)["output"] == "It is ***"
    agent(project, "secret", cli="      passes: [AGENT_KEY, USE_IT]\n")
    done = project.run("run", ask(project), "--json", AGENT_KEY=secret, USE_IT="is")
    assert step(done)["output"] == "It is ***"  # what is named like no key is no secret
    kept = [path for path in (project.root / ".aiworkflow").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if secret.encode() in path.read_bytes()]
    assert secret not in project.run("runs", "log", done.json["run"], "ask").out


def test_the_next_agent_is_asked_when_a_program_is_down(project: Project) -> None:
    agent(project, "error", "503 unavailable")
    config = project.root / ".aiworkflow/config.yaml"
    config.write_text(config.read_text() + f"  other: {{cli: {{command: [{sys.executable}, {FAKE}, say], output: jsonl, modes: [read], rows: [{{match: {{type: message}}, text: text}}]}}}}\n")  # fmt: skip
    body = "## Ask\n\n```yaml step\nid: ask\nagent: [mine, other]\n```\n\nHello.\n"
    done = project.run("run", project.workflow(body), "--json")
    assert step(done)["agent"] == "other", done.out


def test_interrupting_a_run_ends_the_program(project: Project) -> None:
    pids = project.root.parent / "pids"
    agent(project, "hang", str(pids))
    running = project.start("run", ask(project))
    while not (pids.exists() and pids.read_text().strip()):
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    running.communicate()
    for pid in pids.read_text().split():
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX"
