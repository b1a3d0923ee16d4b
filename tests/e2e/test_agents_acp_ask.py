"""Programs over the Agent Client Protocol under `permit: {…: ask}`: a person is asked while they wait."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.api_server import until
from tests.e2e.test_serve import Server, submit
from tests.support import Project

PROGRAM = Path(__file__).parents[1] / "contract/agents/acp_asking.py"
HEAD = 'allow: {paths: ["notes/**"]}\n'
SESSIONS = pytest.mark.parametrize("keeps", ["keeps", ""])


def flow(
    project: Project, prompt: str, *, keeps: str = "", permit: str = "execute: ask", more: str = ""
) -> None:
    folder = project.root.parent / "program"
    folder.mkdir(exist_ok=True)
    command = json.dumps([sys.executable, str(PROGRAM), str(folder), *keeps.split()])
    project.write(
        ".aiworkflow/config.yaml",
        f"agent: told\nagents:\n  told:\n    acp: {{command: {command}}}\n"
        f"    permit: {{{permit}}}\n{more}",
    )
    project.workflow(f"## Ask\n\n```yaml step\nid: ask\n```\n\n{prompt}\n", head=HEAD)
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "as it is")


def traced(project: Project, what: str) -> list[dict[str, Any]]:
    path = project.root.parent / "program/trace"
    lines = path.read_text().splitlines() if path.exists() else []
    return [one for one in map(json.loads, lines) if one["what"] == what]


def asked(project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.run("approvals", "list", "--json").json["approvals"]
    return found


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert out, err
    found: dict[str, Any] = json.loads(out)["steps"]["ask"]
    return found


def killed_while_asking(project: Project) -> None:
    process = project.start("run", "flow", "--wait", "--json")
    until(lambda: asked(project))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def log(project: Project) -> str:
    done = project.run("runs", "log", "last", "ask")
    return done.out + done.err


# -- a run that stays -----------------------------------------------------------------------------


def test_an_approval_moves_the_open_session(project: Project) -> None:
    flow(project, "run make all\nrun make test")
    process = project.start("run", "flow", "--wait", "--json")
    [wait] = until(lambda: asked(project))
    assert (wait["kind"], wait["step"]) == ("approve", "ask")
    assert wait["message"] == "May `told` run make all?"
    assert wait["arguments"] == {"kind": "execute", "command": "make all"}
    approved = project.run("approvals", "approve", "last", USER="anna")
    assert approved.code == 0, approved.err
    [wait] = until(lambda: [one for one in asked(project) if "make test" in one["message"]])
    assert project.run("approvals", "reject", "last", "--comment", "no time").code == 0
    step = ended(process)
    assert step["output"] == "granted, refused"
    assert step["attempts"] == 1
    assert len(traced(project, "new")) == 1
    said = log(project)
    assert "[approved by anna]" in said
    assert "[rejected by tester: no time]" in said
    events = project.run("runs", "inspect", "last", "--events", "50").out
    assert "approve by anna" in events


def test_an_edit_is_shown_with_its_files_and_the_digest_of_its_changes(project: Project) -> None:
    flow(project, "edit notes/a.txt", permit="edit: ask")
    assert project.run("run", "flow").code == 3
    shown = project.run("approvals", "show", "last").out
    assert "May `told` edit notes/a.txt?" in shown
    assert "sha256:" in shown
    assert not (project.root / "notes").exists()
    done = project.run("approvals", "approve", "last", "--json")
    assert done.code == 0, done.out + done.err
    assert (project.root / "notes/a.txt").read_text() == "new"


def test_nobody_says_anything_in_time(project: Project) -> None:
    flow(project, "run make", permit="execute: ask, expires: 1s")
    done = project.run("run", "flow", "--wait", "--json")
    assert done.code == 1
    assert done.json["steps"]["ask"]["error"]["kind"] == "expired"
    assert "whether `told` may execute make" in done.json["steps"]["ask"]["error"]["message"]


def test_only_those_who_are_named_may_say_so(project: Project) -> None:
    flow(project, "run make", permit="execute: ask, by: [lead]", more="roles: {lead: [anna]}\n")
    assert project.run("run", "flow").code == 3
    assert project.run("approvals", "approve", "last", USER="carl").code == 4
    assert project.run("approvals", "approve", "last", USER="anna").code == 0


# -- a run that parks, or dies ----------------------------------------------------------------------


@SESSIONS
def test_what_was_approved_is_not_asked_for_again(project: Project, keeps: str) -> None:
    flow(project, "run make all\nrun make test", keeps=keeps)
    done = project.run("run", "flow", "--json")
    assert done.code == 3, done.out + done.err
    assert done.json["waiting_for"] == [{"kind": "approve", "step": "ask"}]
    assert len(traced(project, "cancelled")) == 1
    assert project.run("approvals", "approve", "last").code == 3
    done = project.run("approvals", "approve", "last", "--json")
    assert done.code == 0, done.out + done.err
    expected = "granted" if keeps else "granted, granted"
    assert done.json["steps"]["ask"]["output"] == expected
    assert done.json["steps"]["ask"]["attempts"] == 3
    assert len(traced(project, "load")) == (2 if keeps else 0)


@SESSIONS
def test_a_run_that_was_killed_while_it_asked(project: Project, keeps: str) -> None:
    flow(project, "run make", keeps=keeps)
    killed_while_asking(project)
    done = project.run("approvals", "approve", "last", "--json", USER="anna")
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["ask"]["output"] == "granted"
    assert len(traced(project, "load")) == (1 if keeps else 0)
    assert len(traced(project, "granted")) == 1


def test_a_rejection_after_a_kill_is_handed_to_the_agent(project: Project) -> None:
    flow(project, "run make")
    killed_while_asking(project)
    done = project.run("approvals", "reject", "last", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["ask"]["output"] == "refused"


def test_what_is_cancelled_while_it_asks_is_in_no_doubt(project: Project) -> None:
    flow(project, "run make")
    process = project.start("run", "flow", "--wait", "--json")
    until(lambda: asked(project))
    assert project.run("runs", "cancel", "last").code == 0
    assert ended(process)["status"] == "cancelled"
    assert asked(project) == []


def test_an_approval_is_recorded_and_given_again_in_a_test(project: Project) -> None:
    flow(project, "run make")
    assert project.run("run", "flow").code == 3
    assert project.run("approvals", "reject", "last", "--comment", "no").code == 0
    added = project.run("bundle", "test", "add", "last", "--name", "refused")
    assert added.code == 0, added.out + added.err
    case = project.root / "bundles/flow/tests/refused"
    assert "run make" in (case / "asked/ask.yaml").read_text()
    begun = len(traced(project, "new"))
    tested = project.run("bundle", "test", "flow")
    assert tested.code == 0, tested.out + tested.err
    assert len(traced(project, "new")) == begun


# -- under `serve` ----------------------------------------------------------------------------------


def test_a_server_keeps_the_session_open_and_lets_it_go_when_it_stops(project: Project) -> None:
    flow(project, "run make all\nrun make test\nrun make docs", keeps="keeps")
    submit(project)
    server = Server(project)
    try:
        for _ in range(2):
            [wait] = until(lambda: asked(project))
            assert project.run("approvals", "approve", wait["approval"]).code == 0
            until(lambda one=wait: [w for w in asked(project) if w["message"] != one["message"]])
        assert len(traced(project, "granted")) == 2
        assert len(traced(project, "new")) == 1
        assert server.end() == 0
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()
    shown = project.run("runs", "show", "last", "--json").json
    assert (shown["status"], shown["steps"]["ask"]["status"]) == ("waiting", "waiting")
    assert len(traced(project, "cancelled")) == 1
    done = project.run("approvals", "approve", "last", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["ask"]["attempts"] == 2
    assert len(traced(project, "load")) == 1
