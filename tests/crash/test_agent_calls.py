"""Killed with `kill -9` while an agent calls tools: nothing answered is called again, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contract.agents.model_server import ModelServer
from tests.e2e.agent_tools import board, bundle, calls, env, results, text_of
from tests.support import ROOT, Project

KILL_AT = str(ROOT / "tests/crash/kill_at.py")


def killed_in(project: Project, server: ModelServer, verb: str) -> None:
    """Run the bundle and kill the command while the board is at work on a call."""
    project.write(f"pause.{verb}", "")
    running = project.start("run", "flow", "--agent", "anthropic/m1", **env(server))
    paused = project.root / "paused"
    deadline = time.monotonic() + 60
    while not paused.exists():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    (project.root / f"pause.{verb}").unlink()
    paused.unlink()


def resume(project: Project, server: ModelServer) -> object:
    return project.run("runs", "resume", "last", "--json", **env(server))


def new(folder: Path, settings: str, head: str = "") -> Project:
    project = Project(folder, git=False)
    bundle(project, settings, head=head)
    return project


def test_a_read_that_was_cut_off_is_made_again_with_its_key(tmp_path: Path) -> None:
    project = new(tmp_path, "tools: [board.comment, board.read]\n")
    turn = calls(("board.comment", {"body": "one"}), text="First a comment.")
    with ModelServer([turn, calls(("board.read", {})), "done"]) as server:
        killed_in(project, server, "read")
        done = project.run("runs", "resume", "last", "--json", **env(server))
        assert done.code == 0, done.out + done.err
        assert len(server.requests) == 3
        said = server.requests[2]["body"]["messages"]
        assert [one["role"] for one in said] == ["user", "assistant"] * 2 + ["user"]
        assert "First a comment." in str(said[1])
        assert text_of(results(server.requests[2])[0]) == "all is quiet"
    comment, read, again = board(project)
    assert (comment["verb"], read["verb"], again["verb"]) == ("comment", "read", "read")
    assert read["key"] == again["key"]
    found = done.json["steps"]["review"]["calls"]
    assert [one["attempts"] for one in found] == [1, 2]
    assert [one["status"] for one in found] == ["succeeded", "succeeded"]


def test_a_write_that_was_cut_off_is_in_doubt_and_a_person_settles_it(tmp_path: Path) -> None:
    project = new(tmp_path, "tools: [board.comment]\n")
    with ModelServer([calls(("board.comment", {"body": "one"})), "done"]) as server:
        killed_in(project, server, "comment")
        done = project.run("runs", "resume", "last", "--json", **env(server))
        assert done.code == 3, done.out + done.err
        assert done.json["waiting_for"] == [{"kind": "in_doubt", "step": "review/call[1]"}]
        assert len(server.requests) == 1
        settled = project.run(
            "runs", "resolve", "last", "review/call[1]", "done", "--output", '{"id": 7}', "--json",
            **env(server),
        )  # fmt: skip
        assert settled.code == 0, settled.out + settled.err
        done = project.run("runs", "resume", "last", "--json", **env(server))
        assert text_of(results(server.requests[1])[0]) == '{"id": 7}'
    assert len(board(project)) == 1


def test_a_write_that_a_person_says_did_not_happen_is_made_with_its_key(tmp_path: Path) -> None:
    project = new(tmp_path, "tools: [board.comment]\n")
    with ModelServer([calls(("board.comment", {"body": "one"})), "done"]) as server:
        killed_in(project, server, "comment")
        assert project.run("runs", "resume", "last", **env(server)).code == 3
        settled = project.run("runs", "resolve", "last", "review/call[1]", "redo", **env(server))
        assert settled.code == 0, settled.out + settled.err
        assert text_of(results(server.requests[1])[0]) == '{"id": 2}'
    one, again = board(project)
    assert one["key"] == again["key"]


def test_the_tools_own_look_settles_a_write_without_a_person(tmp_path: Path) -> None:
    project = new(tmp_path, "tools: [board.careful]\n")
    with ModelServer([calls(("board.careful", {"body": "one"})), "done"]) as server:
        killed_in(project, server, "careful")
        done = project.run("runs", "resume", "last", "--json", **env(server))
        assert done.code == 0, done.out + done.err
        assert len(server.requests) == 2
        assert '"body": "one"' in text_of(results(server.requests[1])[0])
    assert len(board(project)) == 1


def test_killed_at_every_commit_a_run_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    answers = [
        calls(("board.comment", {"body": "one"}), ("board.read", {})),
        calls(("board.comment", {"body": "two"})),
        "done",
    ]
    for number in range(1, 30):
        moment = "before" if number % 2 else "after"
        project = new(tmp_path / str(number), "tools: [board.comment, board.read]\n")
        with Answers(answers) as server:
            words = [sys.executable, KILL_AT, str(number), moment, "run", "flow"]
            done = subprocess.run(
                [*words, "--agent", "anthropic/m1", "--json"],
                cwd=project.root,
                env={**project.env, **env(server)},
                capture_output=True,
                text=True,
            )
            if done.returncode == 0:
                return
            assert done.returncode == -signal.SIGKILL, done.stderr
            check_resumed(project, server, f"{moment} {number}")
    pytest.fail("the run never ends")


class Answers(ModelServer):
    """Answers by what was said so far, as a model does, not by how often it was asked."""

    def answer(self, http: object, body: dict[str, object], answer: object) -> None:
        messages = body["messages"]
        assert isinstance(messages, list)
        turn = sum(one["role"] == "assistant" for one in messages)
        super().answer(http, body, self.answers[turn])  # type: ignore[arg-type]


def check_resumed(project: Project, server: ModelServer, where: str) -> None:
    for _ in range(4):
        if not (project.root / ".aiworkflow/state/journal.db").exists():
            return
        done = project.run("runs", "resume", "last", "--json", **env(server))
        if done.code == 0:
            break
        if done.code == 2:  # killed before it began
            if "there are no runs" in done.out:
                return
            assert "nothing to resume" in done.out, (where, done.out)
            break
        assert done.code == 3, (where, done.out, done.err)
        (wait,) = done.json["waiting_for"]
        step = ["--step", wait["step"], "--json"]
        key = project.run("runs", "inspect", "last", *step).json["step"]["key"]
        verdict = "done" if any(one["key"] == key for one in board(project)) else "redo"
        words = ["--output", '{"id": 1}'] if verdict == "done" else []
        project.run("runs", "resolve", "last", wait["step"], verdict, *words, **env(server))
    found = run_result(project)
    assert found["steps"]["review"]["output"] == "done", where
    assert [one["status"] for one in found["steps"]["review"]["calls"]] == ["succeeded"] * 3, where
    bodies = [one["body"] for one in board(project) if one["verb"] == "comment"]
    assert bodies == ["one", "two"], where


def run_result(project: Project) -> dict[str, dict[str, dict[str, object]]]:
    found: dict[str, dict[str, dict[str, object]]] = project.run(
        "runs", "show", "last", "--json"
    ).json
    return found
