"""MCP servers that ask a person in the middle of a call: the question is an open wait of the step."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.api_server import until
from tests.e2e.test_mcp import free_port, http_server
from tests.support import COMMAND, ROOT, Project

SERVER = str(ROOT / "tests" / "mcp_asking.py")
PROTOCOLS = pytest.mark.parametrize("protocol", ["new", "old"])


@pytest.fixture
def place(tmp_path: Path) -> Project:
    return Project(tmp_path / "p")


def trace_of(project: Project) -> Path:
    return project.root.parent / "trace"


def traced(project: Project, what: str) -> list[dict[str, Any]]:
    path = trace_of(project)
    lines = path.read_text().splitlines() if path.exists() else []
    return [one for one in map(json.loads, lines) if one["what"] == what]


def flow(
    project: Project, protocol: str, tool: str = "book", *, effect: str = "", more: str = ""
) -> None:
    known = f", effect: {{{tool}: {effect}}}" if effect else ""
    args = json.dumps([SERVER, str(trace_of(project)), protocol])
    project.write(
        ".aiworkflow/config.yaml",
        f"mcp:\n  servers:\n    s: {{command: {sys.executable}, args: {args}{known}}}\n",
    )
    project.workflow(
        f"## Book\n\n```yaml step\nid: book\nuses: mcp:s/{tool}\n{more}```\n",
        head=f'allow: {{write: ["mcp:s/{tool}"]}}\n',
    )


def asked(project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.run("approvals", "list", "--json").json["approvals"]
    return found


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert out, err
    found: dict[str, Any] = json.loads(out)
    return found


# -- a run that stays -----------------------------------------------------------------------------


@PROTOCOLS
def test_an_answer_from_elsewhere_reaches_the_living_session(place: Project, protocol: str) -> None:
    flow(place, protocol)
    process = place.start("run", "flow", "--wait", "--json")
    [wait] = until(lambda: asked(place))
    assert (wait["step"], wait["kind"], wait["message"]) == ("book", "ask", "Which room?")
    assert wait["title"] == "MCP server `s` asks"
    assert wait["fields"]["room"] == "blue | red"
    assert "waits for an answer" in place.run("runs", "show", "last").out
    shown = place.run("runs", "show", "last", "--json").json
    assert shown["waiting_for"] == [{"kind": "ask", "step": "book"}]
    done = place.run("runs", "answer", "last/book", "-f", "room=blue", "--json", USER="anna")
    assert done.code == 0, done.out + done.err
    result = ended(process)
    assert result["status"] == "succeeded"
    assert result["steps"]["book"]["output"] == {"book": [{"room": "blue", "seats": 4}]}
    assert result["steps"]["book"]["attempts"] == 1
    assert len(traced(place, "begin")) == 1
    assert asked(place) == []


@PROTOCOLS
def test_a_no_is_told_to_the_server(place: Project, protocol: str) -> None:
    flow(place, protocol)
    process = place.start("run", "flow", "--wait", "--json")
    until(lambda: asked(place))
    assert place.run("runs", "answer", "last", "--decline", USER="anna").code == 0
    error = ended(process)["steps"]["book"]["error"]
    assert error["kind"] == "rejected"
    assert error["message"].startswith("`mcp:s/book` was refused by anna: ")
    assert "no book: decline" in error["message"]
    assert traced(place, "effect") == []


def test_time_that_people_take_does_not_count(place: Project) -> None:
    flow(place, "old", more="timeout: 3s\n")
    process = place.start("run", "flow", "--wait", "--json")
    until(lambda: asked(place))
    time.sleep(3.5)
    assert place.run("runs", "answer", "last", "-f", "room=red").code == 0
    assert ended(process)["status"] == "succeeded"


# -- a run that parks -----------------------------------------------------------------------------


@PROTOCOLS
def test_a_parked_call_is_made_again_with_the_answer(place: Project, protocol: str) -> None:
    flow(place, protocol)
    done = place.run("run", "flow", "--json")
    assert done.code == 3, done.out + done.err
    assert done.json["waiting_for"] == [{"kind": "ask", "step": "book"}]
    [begun] = traced(place, "begin")
    until(lambda: not Path(f"/proc/{begun['pid']}").exists())
    wrong = place.run("runs", "answer", "last", "-f", "room=green", "-f", "seats=0")
    assert wrong.code == 2
    assert "`room`: must be one of blue, red, not `green`" in wrong.err
    answered = place.run("runs", "answer", "last", "-f", "room=red", "-f", "catering=yes", "--json")
    assert answered.code == 0, answered.out + answered.err
    assert answered.json["steps"]["book"]["output"] == {
        "book": [{"room": "red", "seats": 4, "catering": True}]
    }
    assert len(traced(place, "begin")) == 2
    assert len(traced(place, "told")) == len(traced(place, "effect")) == 1
    assert answered.json["steps"]["book"]["attempts"] == 2


@PROTOCOLS
def test_answers_are_given_again_in_their_order(place: Project, protocol: str) -> None:
    flow(place, protocol, "twice")
    assert place.run("run", "flow").code == 3
    assert place.run("runs", "answer", "last", "-f", "n=1").code == 3
    assert [one["message"] for one in asked(place)] == ["Second?"]
    done = place.run("runs", "answer", "last", "-f", "n=2", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["book"]["output"] == {"twice": [{"n": 1}, {"n": 2}]}
    assert len(traced(place, "effect")) == 1


def test_an_address_is_shown_and_accepted(place: Project) -> None:
    flow(place, "old", "visit")
    assert place.run("run", "flow").code == 3
    shown = place.run("approvals", "show", "last").out
    assert "Sign in" in shown
    assert "Open https://x.example/in" in shown
    done = place.run("runs", "answer", "last", "--json")
    assert done.code == 0, done.out + done.err
    assert [one["told"] for one in traced(place, "told")] == [[{"action": "accept"}]]


def test_a_call_that_is_refused_until_an_address_was_opened(place: Project) -> None:
    flow(place, "old", "signin", effect="write")
    assert place.run("run", "flow").code == 3
    assert "Open https://x.example" in place.run("approvals", "show", "last").out
    again = place.run("runs", "answer", "last")  # but nobody has signed in
    assert again.code == 3, again.out + again.err
    trace_of(place).with_name("signed-in").touch()
    done = place.run("runs", "answer", "last", "--json")
    assert done.code == 0, done.out + done.err
    assert len(traced(place, "effect")) == 1
    trace_of(place).with_name("signed-in").unlink()
    assert place.run("run", "flow").code == 3
    refused = place.run("runs", "answer", "last", "--decline", "--json", USER="anna")
    assert refused.json["steps"]["book"]["error"]["kind"] == "rejected"


def test_a_question_that_is_cancelled_with_its_run(place: Project) -> None:
    flow(place, "old", effect="write")
    assert place.run("run", "flow").code == 3
    assert place.run("runs", "cancel", "last").code == 0
    shown = place.run("runs", "show", "last", "--json").json
    assert shown["status"] == "cancelled"
    assert shown["steps"]["book"]["status"] == "cancelled"
    assert asked(place) == []


def test_a_person_at_the_terminal_is_asked(place: Project) -> None:
    flow(place, "old")
    head, tail = pty.openpty()
    ran = subprocess.Popen(
        [*COMMAND, "run", "flow"],
        cwd=place.root,
        env={**place.env, "TERM": "dumb"},
        stdin=tail,
        stderr=tail,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(tail)
    seen = ""
    replies = [("[a]nswer", b"a\n"), ("room (", b"red\n"), ("seats (", b"\n")]
    replies += [("catering (", b"no\n"), ("price (", b"\n")]
    while replies:
        assert select.select([head], [], [], 60)[0]
        seen += os.read(head, 10_000).decode()
        if replies[0][0] in seen:
            os.write(head, replies.pop(0)[1])
            seen = ""
    with contextlib.suppress(OSError):  # the other side has closed
        while os.read(head, 10_000):
            pass
    ran.communicate(timeout=60)
    os.close(head)
    assert ran.returncode == 0
    [told] = traced(place, "told")
    content = {"room": "red", "seats": 4, "catering": False}
    assert told["told"] == [{"action": "accept", "content": content}]


# -- a process that dies --------------------------------------------------------------------------


@PROTOCOLS
@pytest.mark.parametrize("effect", ["destructive", "read"])
def test_a_killed_run_still_asks_and_is_in_no_doubt(
    place: Project, protocol: str, effect: str
) -> None:
    flow(place, protocol, effect=effect)
    process = place.start("run", "flow", "--wait", "--json")
    until(lambda: asked(place))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = place.run("runs", "answer", "last", "-f", "room=blue", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["status"] == "succeeded"
    assert len(traced(place, "effect")) == 1


def test_a_killed_run_that_is_taken_up_waits(place: Project) -> None:
    flow(place, "new")
    process = place.start("run", "flow", "--wait", "--json")
    until(lambda: asked(place))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    taken = place.run("runs", "resume", "last", "--json")
    assert taken.code == 3, taken.out + taken.err
    assert taken.json["waiting_for"] == [{"kind": "ask", "step": "book"}]
    assert place.run("runs", "answer", "last", "-f", "room=blue").code == 0


# -- servers that ask for what is not to be asked ---------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        ("nested", "for `at`, which is no text, number, choice or yes or no"),
        ("huge", "for 5000 values; 30 are the most"),
    ],
)
def test_what_no_person_can_be_asked_is_declined(place: Project, tool: str, reason: str) -> None:
    flow(place, "old", tool)
    done = place.run("run", "flow", "--json")
    assert done.code == 1
    error = done.json["steps"]["book"]["error"]
    assert error["kind"] == "input"
    assert error["message"].startswith(f"`mcp:s/{tool}` asked a person {reason}: ")


def test_what_is_called_like_a_secret_is_in_no_log_and_no_output(place: Project) -> None:
    flow(place, "old", "login")
    assert place.run("run", "flow").code == 3
    done = place.run("runs", "answer", "last", "-f", "password=hunter2-and-more", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["book"]["output"] == {"login": [{"password": "***"}]}
    for words in (("runs", "log", "last", "book"), ("runs", "show", "last", "--json")):
        said = place.run(*words)
        assert "hunter2" not in said.out + said.err
    assert "Your password?" not in place.run("runs", "log", "last", "book").out


# -- tests of bundles -------------------------------------------------------------------------------


def test_what_was_asked_is_recorded_and_asked_again_in_a_test(place: Project) -> None:
    flow(place, "old", "twice")
    assert place.run("run", "flow").code == 3
    assert place.run("runs", "answer", "last", "-f", "n=1", USER="anna").code == 3
    assert place.run("runs", "answer", "last", "-f", "n=2", USER="anna").code == 0
    added = place.run("bundle", "test", "add", "last", "--name", "booked")
    assert added.code == 0, added.out + added.err
    case = place.root / "bundles/flow/tests/booked"
    assert "Second?" in (case / "asked/book.yaml").read_text()
    assert "answer" in (case / "case.yaml").read_text()
    begun = len(traced(place, "begin"))
    tested = place.run("bundle", "test", "flow")
    assert tested.code == 0, tested.out + tested.err
    assert len(traced(place, "begin")) == begun  # no server was begun
    text = (case / "case.yaml").read_text()
    (case / "case.yaml").write_text(text.replace('"n": 2', '"n": two'))
    assert "must be" in place.run("bundle", "test", "flow").out
    (case / "case.yaml").write_text(text[: text.index("people:")] + text[text.index("started:") :])
    silent = place.run("bundle", "test", "flow")
    assert silent.code == 1
    assert "`book` (ask)" in silent.out


def test_a_server_over_http_asks_and_is_called_again(place: Project) -> None:
    port = free_port()
    with http_server(port):
        place.write(
            ".aiworkflow/config.yaml",
            f"mcp:\n  servers:\n    s: {{url: 'http://127.0.0.1:{port}/mcp', effect: {{ask: read}}}}\n",
        )
        place.workflow(
            "## Ask\n\n```yaml step\nid: ask\nuses: mcp:s/ask\n```\n",
            head="allow: {network: [127.0.0.1]}\n",
        )
        assert place.run("run", "flow").code == 3
        done = place.run("runs", "answer", "last", "-f", "street=Long", "--json")
    assert done.code == 1
    assert "the person said accept" in done.json["steps"]["ask"]["error"]["message"]
    assert done.json["steps"]["ask"]["error"]["kind"] == "tool"
