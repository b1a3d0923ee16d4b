"""Steps that share a session, through the command: what each agent is reminded of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.agents.model_server import ModelServer
from tests.e2e.agent_tools import BOARD, HEAD, TOOLS, calls, env, run
from tests.support import Project, script


def ask(id_: str, prompt: str, settings: str = "session: talk\n", level: int = 2) -> str:
    marks = "#" * level
    return f"{marks} Step {id_}\n\n```yaml step\nid: {id_}\n{settings}```\n\n{prompt}\n\n"


def bundle(project: Project, *steps: str, head: str = "") -> None:
    project.workflow("".join(steps), head=HEAD + head, board=BOARD)
    project.write("bundles/flow/tools.yaml", TOOLS)


def said(server: ModelServer, at: int = -1) -> list[str]:
    """What a request to the model held, message by message."""
    found = []
    for message in server.requests[at]["body"]["messages"]:
        content = message["content"]
        if not isinstance(content, str):
            content = " ".join(str(one.get("text", one.get("content", ""))) for one in content)
        found.append(f"{message['role']}: {content}".strip())
    return found


def test_steps_of_a_session_go_on_with_one_conversation(project: Project) -> None:
    apart = ask("apart", "Who are you?", "")
    bundle(project, ask("one", "Sketch it."), apart, ask("two", "Name it."))
    with ModelServer(["a bridge", "nobody", "Bridget"]) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        assert said(server, 1) == ["user: Who are you?"]
        assert said(server) == ["user: Sketch it.", "assistant: a bridge", "user: Name it."]
    given = project.run("runs", "inspect", "last", "--step", "two", "--json").json["step"]
    assert [one["text"] for one in given["arguments"]["history"]] == ["Sketch it.", "a bridge"]


def test_a_session_goes_over_agents_and_holds_their_calls(project: Project) -> None:
    bundle(
        project,
        ask("one", "Look around.", "session: talk\ntools: [board.read]\nagent: anthropic/m1\n"),
        ask("two", "Sum up.", "session: talk\nagent: openai/m2\n"),
    )
    with (
        ModelServer([calls(("board.read", {})), "quiet here"]) as first,
        ModelServer(["all quiet"]) as second,
    ):
        done = project.run(
            "run", "flow", "--json", **env(first),
            OPENAI_BASE_URL=second.url, OPENAI_API_KEY="sk-another-secret",
        )  # fmt: skip
        assert done.code == 0, done.out + done.err
        text = json.dumps(second.requests[0]["body"]["messages"])
        for one in ("Look around.", "board", "all is quiet", "quiet here", "Sum up."):
            assert one in text, text


def test_the_next_agent_in_line_gets_the_conversation_too(project: Project) -> None:
    bundle(
        project,
        ask("one", "Sketch it.", "session: talk\nagent: openai/m2\n"),
        ask("two", "Name it.", "session: talk\nagent: [anthropic/m1, openai/m2]\n"),
    )
    down = (529, {}, '{"error": {"message": "overloaded"}}')
    with ModelServer([down]) as first, ModelServer(["a bridge", "Bridget"]) as second:
        done = project.run(
            "run", "flow", "--json", **env(first),
            OPENAI_BASE_URL=second.url, OPENAI_API_KEY="sk-another-secret",
        )  # fmt: skip
        assert done.code == 0, done.out + done.err
        assert said(second) == ["user: Sketch it.", "assistant: a bridge", "user: Name it."]


def test_the_oldest_exchanges_are_left_out_and_the_first_prompt_stays(project: Project) -> None:
    steps = [ask(f"s{n}", f"Question {n}. " + "blah " * 40) for n in range(6)]
    bundle(project, *steps, head="sessions: {talk: {tokens: 200}}\n")
    with ModelServer([f"answer {n}" for n in range(6)]) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        found = said(server)
    assert found[0].startswith("user: Question 0.")
    assert found[1] == "assistant: [what came next is left out]"
    assert found[2].startswith("user: Question 4.")
    assert found[3] == "assistant: answer 4"
    assert found[4].startswith("user: Question 5.")
    assert len(found) == 5


def test_a_session_goes_on_after_a_resume(project: Project) -> None:
    gate = script("gate", "test -e open")
    bundle(project, ask("one", "Sketch it."), gate, ask("two", "Name it."))
    with ModelServer(["a bridge", "Bridget"]) as server:
        assert run(project, server).code == 1
        project.write("open", "")
        done = project.run("runs", "resume", "last", "--json", **env(server))
        assert done.code == 0, done.out + done.err
        assert said(server) == ["user: Sketch it.", "assistant: a bridge", "user: Name it."]


def test_a_fork_goes_on_with_what_it_has_taken_over(project: Project) -> None:
    bundle(project, ask("one", "Sketch it."), ask("two", "Name it."), ask("three", "Sign it."))
    with ModelServer(["a bridge", "Bridget", "Anna", "Brigitte", "Bob"]) as server:
        assert run(project, server).code == 0
        done = project.run("runs", "fork", "last", "--from", "two", "--json", **env(server))
        assert done.code == 0, done.out + done.err
        assert said(server) == [
            "user: Sketch it.",
            "assistant: a bridge",
            "user: Name it.",
            "assistant: Brigitte",
            "user: Sign it.",
        ]


def test_what_is_done_again_is_not_remembered(project: Project) -> None:
    checks = script(
        "check",
        "test -e again || { touch again; exit 1; }",
        "on_error: {goto: one, max_visits: 3}\n",
    )
    bundle(project, ask("zero", "Begin."), ask("one", "Sketch it."), checks, ask("two", "Name it."))
    with ModelServer(["begun", "a bridge", "a tower", "Tim"]) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        assert said(server, 2) == ["user: Begin.", "assistant: begun", "user: Sketch it."]
        assert said(server) == [
            "user: Begin.",
            "assistant: begun",
            "user: Sketch it.",
            "assistant: a tower",
            "user: Name it.",
        ]


def test_what_was_taken_back_is_not_remembered(project: Project) -> None:
    body = (
        "## Try\n\n```yaml step\nid: try\non_error: rollback\nretry: {times: 1, base: 0s}\n```\n\n"
        + ask("one", "Write it.", "session: talk\ntools: [board.comment]\n", level=3)
        + "### Check\n\n```bash step id=check\ntest -e again || { touch again; exit 1; }\n```\n\n"
    )
    bundle(project, body, ask("two", "Name it."))
    answers = [
        calls(("board.comment", {"body": "first"})),
        "written",
        calls(("board.comment", {"body": "second"})),
        "written anew",
        "Bridget",
    ]
    with ModelServer(answers) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        assert said(server, 2) == ["user: Write it."]
        assert "first" not in json.dumps(server.requests[-1]["body"])
        assert "written anew" in said(server)[-2]


def test_rounds_of_a_loop_go_on_with_the_conversation(project: Project) -> None:
    body = "## Loop\n\n```yaml step\nid: rounds\nuntil: round == 2\nmax_rounds: 3\n```\n\n"
    bundle(project, body + ask("draft", "Draft {{ round }}.", level=3))
    with ModelServer(["one", "two"]) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        assert said(server) == ["user: Draft 1.", "assistant: one", "user: Draft 2."]


def test_the_turns_of_a_step_are_bounded(project: Project) -> None:
    bundle(project, ask("one", "Look around.", "tools: [board.read]\nturns: 3\n"))
    with ModelServer([calls(("board.read", {}))]) as server:
        done = run(project, server)
        assert done.code == 1
        assert done.json["error"]["kind"] == "limit"
        assert "3 turns" in done.json["error"]["message"]
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("steps", "head", "says"),
    [
        (
            [ask("one", "A."), ask("two", "B.", "session: talk\nneeds: []\n")],
            "",
            "`one` and `two` may run at the same time, and both have the session `talk`",
        ),
        (
            [ask("one", "A {{ item }}.", "session: talk\neach: range(3)\n")],
            "",
            "several items at once would go on with the session `talk`",
        ),
        ([ask("one", "A.")], "sessions: {tlak: {tokens: 1k}}\n", "no step has `session: tlak`"),
    ],
)
def test_a_session_is_one_thing_after_the_other(
    project: Project, steps: list[str], head: str, says: str
) -> None:
    bundle(project, *steps, head=head)
    done = project.run("bundle", "validate", "flow")
    assert done.code == 2
    assert says in done.err + done.out


def found(project: Project) -> list[Any]:
    listed: list[Any] = project.run("bundle", "validate", "flow", "--json").json["diagnostics"]
    return [one["code"] for one in listed if one["severity"] == "error"]


def test_text_from_outside_taints_the_rest_of_a_session(project: Project) -> None:
    get = "## Get\n\n```yaml step\nid: get\nuses: http.get\nwith: {url: https://x.org/}\n```\n\n"
    head = "on: {schedule: '0 9 * * *'}\n"
    tools = "session: talk\ntools: [board.comment]\n"
    page = "Read {{ steps.get.output }}."
    project_head = HEAD.replace("write:", "network: [x.org], write:") + head
    for order, expected in (
        ([get, ask("one", page), ask("two", "Act.", tools)], ["AW710"]),
        ([get, ask("one", page, "session: other\n"), ask("two", "Act.", tools)], []),
        ([ask("two", "Act.", tools), get, ask("one", page)], []),
    ):
        project.workflow("".join(order), head=project_head, board=BOARD)
        project.write("bundles/flow/tools.yaml", TOOLS)
        assert found(project) == expected, order
