"""Tools of MCP servers in the hands of an agent: told by the server, journalled like any other call."""

from __future__ import annotations

import json

import pytest

from tests.contract.agents.model_server import ModelServer, Reply
from tests.e2e.agent_tools import env, results, text_of
from tests.e2e.test_mcp import config
from tests.support import Project

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


def test_a_question_of_the_server_is_that_of_the_call_it_came_in(project: Project) -> None:
    config(project, "effect: {ask: read, refuse: read}")
    asked = Reply("", [("mcp_t_ask", {}), ("mcp_t_refuse", {})])
    done, requests = ask(project, '"mcp:t/ask", "mcp:t/refuse"', [asked, "neither"])
    assert done.code == 0, done.out + done.err
    question, refusal = (text_of(one) for one in results(requests[1]))
    assert "asked a person for “Which street?”" in question
    assert "person" not in refusal
    assert "no such customer" in refusal
