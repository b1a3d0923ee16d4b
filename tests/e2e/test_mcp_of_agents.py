"""Tools of MCP servers in the hands of an agent: told by the server, journalled like any other call."""

from __future__ import annotations

import json
import sys

import pytest

from tests.contract.agents.model_server import ModelServer, Reply
from tests.e2e.agent_tools import env, results, text_of
from tests.e2e.test_mcp import SERVER, config
from tests.support import ROOT, Project

REVIEW = "## Review\n\n```yaml step\nid: review\ntools: [{tools}]\n```\n\nReview it.\n"


@pytest.fixture
def place(project: Project) -> Project:
    config(project, 'effect: {add: read, say: read, "*": write, note: write}')
    return project


def ask(project: Project, tools: str, answers: list[object], head: str = ""):
    project.workflow(REVIEW.format(tools=tools), head=head)
    with ModelServer(answers) as server:
        done = project.run("run", "flow", "--agent", "anthropic/m1", "--json", **env(server))
        return done, server.requests


def test_an_agent_calls_what_a_server_offers(place: Project) -> None:
    answers = [Reply("", [("mcp_t_add", {"a": 2, "b": 3})]), "it is five"]
    done, requests = ask(place, '"mcp:t/add"', answers)
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["review"]["output"] == "it is five"
    (told,) = requests[0]["body"]["tools"]
    assert told["description"] == "Add two numbers."
    assert told["input_schema"]["required"] == ["a", "b"]
    (result,) = results(requests[1])
    assert json.loads(text_of(result))["result"] == 5
    (call,) = done.json["steps"]["review"]["calls"]
    assert (call["tool"], call["effect"], call["status"]) == ("mcp:t/add", "read", "succeeded")
    assert "mcp:t/add" in place.run("runs", "show", "last").out


def test_a_pattern_hands_over_all_that_fits_and_writes_need_permission(place: Project) -> None:
    done, _ = ask(place, '"mcp:t/*"', ["nothing"])
    assert done.code == 2
    assert "`mcp:t/*` writes, and `allow.write` does not name it" in done.out + done.err
    note = Reply("", [("mcp_t_note", {"path": "notes.txt", "text": "seen"})])
    done, requests = ask(place, '"mcp:t/*"', [note, "noted"], 'allow: {write: ["mcp:t/*"]}\n')
    assert done.code == 0, done.out + done.err
    assert {"mcp_t_add", "mcp_t_note"} <= {one["name"] for one in requests[0]["body"]["tools"]}
    assert (place.root / "notes.txt").read_text() == "seen\n"
    (call,) = done.json["steps"]["review"]["calls"]
    assert (call["tool"], call["effect"]) == ("mcp:t/note", "write")


def test_a_failure_of_its_tool_is_an_answer_to_the_agent(place: Project) -> None:
    answers = [Reply("", [("mcp_t_add", {"a": "two"})]), "it cannot be added"]
    done, requests = ask(place, '"mcp:t/add"', answers)
    assert done.code == 0, done.out + done.err
    (result,) = results(requests[1])
    assert result["is_error"]


def test_a_server_that_does_not_answer_fails_the_step(place: Project) -> None:
    config(place, gone="{command: /bin/false, effect: {x: read}}")
    done, requests = ask(place, '"mcp:gone/x"', ["never asked"])
    assert done.code == 1
    assert requests == []
    error = done.json["steps"]["review"]["error"]
    assert error["kind"] == "unavailable"
    assert "`gone`" in error["message"]


def test_a_secret_that_a_server_puts_into_a_description_is_hidden(project: Project) -> None:
    secret = "tok-4711-very-secret"
    said = 'env: {TEST_DESCRIPTION: "Add for {{ secrets.BOARD_TOKEN }}"}, effect: {add: read}'
    config(project, said)
    project.workflow(REVIEW.format(tools='"mcp:t/add"'), head="allow: {secrets: [BOARD_TOKEN]}\n")
    with ModelServer(["it is five"]) as server:
        given = {**env(server), "BOARD_TOKEN": secret}
        done = project.run("run", "flow", "--agent", "anthropic/m1", "--json", **given)
        assert done.code == 0, done.out + done.err
        assert server.requests[0]["body"]["tools"][0]["description"] == "Add for ***"
    for path in project.root.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_what_an_agent_called_is_replayed_without_the_server(place: Project) -> None:
    place.workflow(REVIEW.format(tools='"mcp:t/*"'), head='allow: {write: ["mcp:t/*"]}\n')
    calls = [("mcp_t_add", {"a": 2, "b": 3}), ("mcp_t_note", {"path": "notes.txt", "text": "seen"})]
    with ModelServer([Reply("", calls), "noted"]) as server:
        done = place.run(
            "run", "flow", "--agent", "anthropic/m1", "--record", "calls", **env(server)
        )
    assert done.code == 0, done.err
    assert "does not replay" not in done.err
    expected = (place.root / "bundles/flow/tests/calls/expect.yaml").read_text().replace('"', "")
    assert "review/call[2]: mcp:t/note" in expected
    assert "review/call[1]" not in expected  # it only reads
    (place.root / "notes.txt").unlink()
    tested = place.run("bundle", "test", "flow")
    assert tested.code == 0, tested.out + tested.err
    assert not (place.root / "notes.txt").exists()
    page = place.root / "bundles/flow/workflow.md"
    page.write_text(page.read_text().replace("mcp:t/*", "mcp:t/note"))
    assert "called `mcp:t/add` when it was recorded" in place.run("bundle", "test", "flow").out


def booking(project: Project, tools: str) -> None:
    trace = project.root.parent / "trace"
    args = json.dumps([str(ROOT / "tests" / "mcp_asking.py"), str(trace)])
    project.write(
        ".aiworkflow/config.yaml",
        f"mcp:\n  servers:\n    s: {{command: {sys.executable}, args: {args}, effect: {{count: read}}}}\n",
    )
    project.workflow(
        REVIEW.format(tools=tools), head='allow: {write: ["mcp:s/book", "mcp:s/login"]}\n'
    )


def acted(project: Project, what: str) -> int:
    return (project.root.parent / "trace").read_text().count(f'"what": "{what}"')


def test_a_question_in_a_call_of_an_agent_waits_and_the_agent_goes_on(project: Project) -> None:
    booking(project, '"mcp:s/book", "mcp:s/count"')
    asked = Reply("", [("mcp_s_book", {}), ("mcp_s_count", {})])
    with ModelServer([asked, "booked"]) as server:
        words = "run", "flow", "--agent", "anthropic/m1", "--json"
        done = project.run(*words, **env(server))
        assert done.code == 3, done.out + done.err
        [wait] = done.json["waiting_for"]
        assert wait["kind"] == "ask"
        path = wait["step"]
        assert path.startswith("review/call[")
        again = project.run(
            "runs", "answer", f"last/{path}", "-f", "room=red", "--json", **env(server)
        )
        assert again.code == 0, again.out + again.err
        assert again.json["steps"]["review"]["output"] == "booked"
        assert len(server.requests) == 2  # the turn that asked for the calls is not asked for again
        booked, counted = (text_of(one) for one in results(server.requests[1]))
        assert json.loads(booked) == {"book": [{"room": "red", "seats": 4}]}
        assert counted == "counted"
    assert acted(project, "effect") == 1
    assert acted(project, "count") == 1


def test_an_answer_reaches_the_call_of_an_agent_that_waits(project: Project) -> None:
    booking(project, '"mcp:s/login"')
    with ModelServer([Reply("", [("mcp_s_login", {})]), "in"]) as server:
        words = "run", "flow", "--agent", "anthropic/m1", "--json", "--wait"
        process = project.start(*words, **env(server))
        while not project.run("approvals", "list", "--json").json["approvals"]:
            assert process.poll() is None
        answered = project.run("runs", "answer", "last", "-f", "password=hunter2-and-more")
        assert answered.code == 0, answered.err
        out, err = process.communicate(timeout=60)
        assert json.loads(out)["steps"]["review"]["output"] == "in", out + err
        (told,) = results(server.requests[1])
        assert json.loads(text_of(told)) == {"login": [{"password": "***"}]}
        assert "Your password?" not in json.dumps(server.requests)


def test_what_a_called_workflow_says_of_its_own_server_holds_in_its_cases(
    project: Project,
) -> None:
    project.workflow("## Call\n\n```yaml step\nid: call\nworkflow: ../inner\n```\n")
    project.workflow(REVIEW.format(tools='"mcp:t/add"'), name="inner")
    server = f"{{command: {sys.executable}, args: [{SERVER}], effect: {{add: read}}}}"
    project.write("bundles/inner/config.yaml", f"mcp: {{servers: {{t: {server}}}}}\n")
    answers = [Reply("", [("mcp_t_add", {"a": 2, "b": 3})]), "it is five"]
    with ModelServer(answers) as model:
        done = project.run("run", "flow", "--agent", "anthropic/m1", "--json", **env(model))
    assert done.code == 0, done.out + done.err
    added = project.run("bundle", "test", "add", "last", "--name", "inner", "--json")
    assert added.json["replays"] is True, added.out + added.err
    expected = (project.root / "bundles/flow/tests/inner/expect.yaml").read_text()
    assert "effects: {}" in expected, expected
