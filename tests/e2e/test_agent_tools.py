"""Tools in the hands of an agent, through the command: calls are made, recorded, limited, undone."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contract.agents.model_server import ModelServer, Reply
from tests.e2e.agent_tools import TOOLS, board, bundle, calls, env, results, run, text_of
from tests.support import Project, script


def test_an_agent_calls_the_tools_it_is_handed(project: Project) -> None:
    bundle(project, "tools: [board.comment, file.read]\n")
    project.write("notes.txt", "mind the gap")
    answers = [
        calls(
            ("file.read", {"path": "notes.txt"}), ("board.comment", {"body": "hello", "number": 3})
        ),
        "done",
    ]
    with ModelServer(answers) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        assert done.json["steps"]["review"]["output"] == "done"
        first, second = server.requests
        offered = {one["name"]: one for one in first["body"]["tools"]}
        assert [*offered] == ["board_comment", "file_read"]
        body = offered["board_comment"]["input_schema"]["properties"]["body"]
        assert body == {"type": "string", "description": "What it says"}
        assert offered["board_comment"]["description"] == "Write a comment."
        read, comment = results(second)
        assert text_of(read) == "mind the gap"
        assert text_of(comment) == '{"id": 1}'
    (call,) = board(project)
    assert (call["verb"], call["body"], call["number"]) == ("comment", "hello", "3")


def test_calls_are_shown_with_what_they_came_to(project: Project) -> None:
    bundle(project, "tools: [board.comment, board.fail]\n")
    answers = [calls(("board.comment", {"body": "hello"})), calls(("board.fail", {})), "done"]
    with ModelServer(answers) as server:
        done = run(project, server)
    assert done.code == 0, done.out + done.err
    comment, fail = done.json["steps"]["review"]["calls"]
    assert comment["path"] == "review/call[1]"
    assert (comment["tool"], comment["with"]) == ("board.comment", {"body": "hello"})
    assert (comment["status"], comment["output"], comment["effect"]) == (
        "succeeded",
        {"id": 1},
        "write",
    )
    assert fail["status"] == "failed"
    assert fail["error"]["kind"] == "exit"
    assert "seconds" in fail
    shown = project.run("runs", "show", "last").out
    assert '✓ call[1]  board.comment {"body":"hello"}' in shown
    assert "✗ call[2]  board.fail" in shown
    looked = project.run("runs", "inspect", "last", "--events", "100").out
    assert 'started  review/call[1]  board.comment {"body":"hello"}, write' in looked
    assert "review/call[2]  failed" in looked
    detail = project.run("runs", "inspect", "last", "--step", "review/call[1]", "--json").json
    assert detail["step"]["arguments"]["with"] == {"body": "hello"}
    assert detail["step"]["undo_arguments"] == {"uses": "board.delete", "with": {"id": 1}}


def test_a_failure_and_a_refusal_are_answers_to_the_agent(project: Project) -> None:
    bundle(project, "tools: [board.fail, file.write, board.comment]\n")
    answers = [
        calls(("board.fail", {}), ("file.write", {"path": "secret.txt", "content": "x"})),
        calls(("board.comment", {"text": "no such argument"}), ("board.destroy", {})),
        "done",
    ]
    with ModelServer(answers) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        failed, refused = results(server.requests[1])
        assert failed["is_error"]
        assert refused["is_error"]
        assert "the board is closed" in text_of(failed) or "exit" in text_of(failed)
        assert "allow" in text_of(refused)
        misfit, unknown = results(server.requests[2])
        assert "body" in text_of(misfit)
        assert "there is no tool" in text_of(unknown)
    assert not (project.root / "secret.txt").exists()
    assert board(project) == []
    statuses = [one["status"] for one in done.json["steps"]["review"]["calls"]]
    assert statuses == ["failed", "failed"]


def test_calls_of_one_turn_run_at_once(project: Project) -> None:
    bundle(project, "tools: [board.comment]\n")
    answers = [calls(*(("board.comment", {"body": f"n{n}"}) for n in range(4))), "done"]
    with ModelServer(answers) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        assert len(results(server.requests[1])) == 4
    assert sorted(one["body"] for one in board(project)) == ["n0", "n1", "n2", "n3"]
    assert len({one["key"] for one in board(project)}) == 4


def test_calls_are_taken_back_with_the_run_the_last_first(project: Project) -> None:
    bundle(
        project,
        "tools: [board.comment, file.write]\n",
        script("boom", "exit 1"),
        head="on_error: rollback\n",
    )
    project.write("out/a.txt", "before")
    answers = [
        calls(("board.comment", {"body": "one"})),
        calls(("file.write", {"path": "out/a.txt", "content": "after"})),
        calls(("board.comment", {"body": "two"})),
        "done",
    ]
    with ModelServer(answers) as server:
        done = run(project, server)
    assert done.code == 1
    assert done.json["status"] == "rolled_back", done.out + done.err
    assert [(one["verb"], one.get("id")) for one in board(project)] == [
        ("comment", None),
        ("comment", None),
        ("delete", "2"),
        ("delete", "1"),
    ]
    assert (project.root / "out/a.txt").read_text() == "before"
    assert [one["undone"] for one in done.json["steps"]["review"]["calls"]] == [True] * 3
    assert done.json["standing"] == []


def test_calls_of_a_step_that_fails_are_taken_back_too(project: Project) -> None:
    bundle(project, "tools: [board.comment]\n", head="on_error: rollback\n")
    refusal = (400, {}, '{"error": {"message": "no more"}}')
    with ModelServer([calls(("board.comment", {"body": "one"})), refusal]) as server:
        done = run(project, server)
    assert done.json["status"] == "rolled_back", done.out + done.err
    assert [one["verb"] for one in board(project)] == ["comment", "delete"]


def test_an_effect_with_no_way_back_is_said_to_stand(project: Project) -> None:
    bundle(
        project,
        "tools: [board.careful]\n",
        script("boom", "exit 1"),
        head="on_error: rollback\n",
    )
    with ModelServer([calls(("board.careful", {"body": "one"})), "done"]) as server:
        done = run(project, server)
    assert done.json["standing"] == ["review/call[1]"], done.out + done.err


def test_another_attempt_goes_on_where_the_last_one_broke_off(project: Project) -> None:
    bundle(project, "tools: [board.comment]\nretry: {times: 1, base: 0s}\n")
    down = (529, {}, '{"error": {"message": "overloaded"}}')
    answers = [calls(("board.comment", {"body": "one"}), text="Let me see."), down, "done"]
    with ModelServer(answers) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        assert done.json["steps"]["review"]["attempts"] == 2
        said = server.requests[-1]["body"]["messages"]
        assert [one["role"] for one in said] == ["user", "assistant", "user"]
        assert "Let me see." in str(said[1])
        assert text_of(results(server.requests[-1])[0]) == '{"id": 1}'
    assert len(board(project)) == 1


def test_a_tool_that_fails_again_and_again_is_left_alone(project: Project) -> None:
    bundle(project, "tools: [http.get]\n", head="")
    project.write(
        "bundles/flow/workflow.md",
        (project.root / "bundles/flow/workflow.md")
        .read_text()
        .replace("paths:", "network: [127.0.0.1], paths:"),
    )
    project.write(".aiworkflow/config.yaml", "breaker: {threshold: 2, cool_down: 1h}\n")
    ask = calls(("http.get", {"url": "http://127.0.0.1:9/"}))
    with ModelServer([ask, ask, ask, "done"]) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        assert "circuit breaker of host:127.0.0.1:9 is open" in text_of(
            results(server.requests[3])[0]
        )


def test_secrets_reach_the_tool_and_nothing_else(project: Project) -> None:
    leak = "import os; print('token', os.environ['BOARD_TOKEN'])"
    body = "## Review\n\n```yaml step\nid: review\ntools: [leaky]\n```\n\nReview it.\n\n"
    project.workflow(body, head="allow: {secrets: [BOARD_TOKEN]}\n", leaky=leak)
    project.write(
        "bundles/flow/tools.yaml", "leaky: {inputs: {}, secrets: [BOARD_TOKEN], effect: read}\n"
    )
    secret = "tok-123456-very-secret"
    with ModelServer([calls(("leaky", {})), "done"]) as server:
        done = project.run(
            "run", "flow", "--agent", "anthropic/m1", "--json", **env(server), BOARD_TOKEN=secret
        )
        assert done.code == 0, done.out + done.err
        assert text_of(results(server.requests[1])[0]) == "token ***"
    for path in project.root.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_a_secret_of_an_earlier_process_is_hidden_after_a_resume(project: Project) -> None:
    secret = "tok-987654-very-secret"
    before = script(
        "before", 'printf %s "$T" > left.txt', 'env: {T: "{{ secrets.BOARD_TOKEN }}"}\n'
    )
    review = "## Review\n\n```yaml step\nid: review\ntools: [file.read]\n```\n\nReview it.\n\n"
    body = before + script("gate", "test -e open") + review
    project.workflow(body, head="allow: {secrets: [BOARD_TOKEN]}\n")
    with ModelServer([calls(("file.read", {"path": "left.txt"})), "done"]) as server:
        given = {**env(server), "BOARD_TOKEN": secret}
        assert project.run("run", "flow", "--agent", "anthropic/m1", **given).code == 1
        project.write("open", "")
        done = project.run("runs", "resume", "last", "--json", **given)
        assert done.code == 0, done.out + done.err
        assert text_of(results(server.requests[1])[0]) == "***"
    (project.root / "left.txt").unlink()
    for path in project.root.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_step_that_is_another_now_has_its_calls_taken_back_and_is_done_again(
    project: Project,
) -> None:
    bundle(project, "tools: [board.comment]\n", script("gate", "test -e open"))
    project.git("add", "-A")
    project.git("commit", "-qm", "one")
    answers = [
        calls(("board.comment", {"body": "old"})),
        "done",
        calls(("board.comment", {"body": "new"})),
        "done anew",
    ]
    with ModelServer(answers) as server:
        assert run(project, server).code == 1
        text = (project.root / "bundles/flow/workflow.md").read_text()
        project.write("bundles/flow/workflow.md", text.replace("Review it.", "Review it well."))
        project.git("commit", "-qam", "two")
        project.write("open", "")
        looked = project.run("runs", "resume", "last", "--on", "HEAD", **env(server))
        assert "undo" in looked.out + looked.err
        assert len(board(project)) == 1
        done = project.run(
            "runs", "resume", "last", "--on", "HEAD", "--yes", "--json", **env(server)
        )
        assert done.code == 0, done.out + done.err
    assert [(one["verb"], one.get("body")) for one in board(project)] == [
        ("comment", "old"),
        ("delete", None),
        ("comment", "new"),
    ]
    paths = [one["path"] for one in done.json["steps"]["review"]["calls"]]
    assert paths == ["review/call[1]", "review/call[2]"]
    statuses = [one["status"] for one in done.json["steps"]["review"]["calls"]]
    assert statuses == ["succeeded", "succeeded"]


def test_what_was_consumed_counts_although_a_call_is_in_doubt(project: Project) -> None:
    bundle(project, "tools: [board.slow]\n")
    project.write(
        "bundles/flow/tools.yaml", TOOLS + "    slow: {inputs: {}, effect: write, timeout: 1s}\n"
    )
    project.write("bundles/flow/workflow.md", _allowing(project, "board.slow"))
    project.write("pause.slow", "")
    with ModelServer([calls(("board.slow", {})), "done"]) as server:
        done = run(project, server)
        assert done.code == 3, done.out + done.err
        assert done.json["waiting_for"] == [{"kind": "in_doubt", "step": "review/call[1]"}]
        assert done.json["steps"]["review"]["tokens"]["output"] > 0
        said = project.run("runs", "resolve", "last", "review", "done", "--output", "1")
        assert said.code == 2
        assert "in doubt: `review/call[1]`" in said.err
        settled = project.run("runs", "resolve", "last", "review/call[1]", "failed", **env(server))
        assert settled.code == 0, settled.out + settled.err
        assert results(server.requests[1])[0]["is_error"]


def _allowing(project: Project, operation: str) -> str:
    text = (project.root / "bundles/flow/workflow.md").read_text()
    return text.replace("write: [", f"write: [{operation}, ")


def test_a_cancel_ends_a_call_that_is_under_way(project: Project) -> None:
    bundle(project, "tools: [board.read]\n")
    project.write("pause.read", "")
    with ModelServer([calls(("board.read", {})), "done"]) as server:
        running = project.start("run", "flow", "--agent", "anthropic/m1", "--json", **env(server))
        wait_for(project.root / "paused")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
        assert running.returncode == 130, out + err
        (project.root / "pause.read").unlink()
        shown = project.run("runs", "show", "last", "--json").json["steps"]["review"]
        assert shown["status"] == "cancelled"
        assert [one["status"] for one in shown["calls"]] == ["cancelled"]
        done = project.run("runs", "resume", "last", "--json", **env(server))
        assert done.code == 0, done.out + done.err


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_agent_that_calls_on_and_on_stays_within_the_budget(project: Project) -> None:
    bundle(project, "tools: [file.read]\nturns: 1000\nbudget: {tokens: 700}\n")
    project.write("a.txt", "x")
    with ModelServer([calls(("file.read", {"path": "a.txt"}))]) as server:
        project.write(
            ".aiworkflow/config.yaml",
            f"agents: {{small: {{api: anthropic, url: '{server.url}', model: m1, max_tokens: 50}}}}\n",
        )
        done = project.run("run", "flow", "--agent", "small", "--json")
        assert done.code == 4, done.out + done.err
        assert done.json["error"]["kind"] == "budget"
        assert "asks for more calls" in done.json["error"]["message"]
        used = done.json["steps"]["review"]["tokens"]
        assert used["input"] + used["output"] < 700 + 100
        assert 2 < len(server.requests) < 100


def test_a_step_whose_time_is_up_while_it_reads_has_failed(project: Project) -> None:
    bundle(project, "tools: [board.read]\ntimeout: 6s\n")
    project.write("pause.read", "")
    with ModelServer([calls(("board.read", {})), "done"]) as server:
        done = run(project, server)
        assert done.code == 1, done.out + done.err
        assert done.json["error"]["kind"] == "timeout"
        assert [one["status"] for one in done.json["steps"]["review"]["calls"]] == ["cancelled"]


def test_a_step_whose_time_is_up_while_it_writes_is_in_doubt(project: Project) -> None:
    bundle(project, "tools: [board.comment]\ntimeout: 6s\n")
    project.write("pause.comment", "")
    with ModelServer([calls(("board.comment", {"body": "one"})), "done"]) as server:
        done = run(project, server)
        assert done.code == 3, done.out + done.err
        assert done.json["waiting_for"] == [{"kind": "in_doubt", "step": "review/call[1]"}]


def test_items_that_run_at_once_have_calls_of_their_own(project: Project) -> None:
    bundle(project, "tools: [board.comment]\neach: range(3)\n")

    class ByPrompt(ModelServer):
        """Calls once in each conversation."""

        def answer(self, http: Any, body: dict[str, Any], answer: Any) -> None:
            told = len(body["messages"]) > 1
            super().answer(http, body, "done" if told else answer)

    with ByPrompt([calls(("board.comment", {"body": "one"}))]) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
    paths = [done.json["steps"][f"review[{n}]"]["calls"][0]["path"] for n in range(3)]
    assert paths == [f"review[{n}]/call[1]" for n in range(3)]
    assert len({one["key"] for one in board(project)}) == 3


def test_what_a_provider_signs_goes_back_to_it_in_the_next_attempt(project: Project) -> None:
    bundle(project, "tools: [board.comment]\nretry: {times: 1, base: 0s}\n")
    sign = {"google": {"thought_signature": "c2lnbmVk"}}
    turn = Reply(calls=[("board_comment", {"body": "one"})], signature=sign)
    down = (503, {}, '{"error": {"message": "overloaded"}}')
    with ModelServer([turn, down, "done"]) as server:
        done = project.run(
            "run", "flow", "--agent", "openai/m1", "--json",
            OPENAI_BASE_URL=server.url, OPENAI_API_KEY="sk-another-secret",
        )  # fmt: skip
        assert done.code == 0, done.out + done.err
        assert done.json["steps"]["review"]["attempts"] == 2
        (call,) = server.requests[-1]["body"]["messages"][1]["tool_calls"]
        assert call["extra_content"] == sign


@pytest.mark.parametrize(
    "arguments", ['{"body": NaN}', '{"body": "\\ud800"}', '{"number": 1e400, "body": "x"}']
)
def test_arguments_that_no_journal_can_hold_are_refused(project: Project, arguments: str) -> None:
    bundle(project, "tools: [board.comment]\n")
    with ModelServer([Reply("", [("board_comment", arguments)]), "done"]) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        (refused,) = results(server.requests[1])
    assert "the arguments are not one JSON object" in text_of(refused)
    assert board(project) == []


def test_half_a_sign_in_an_answer_is_no_fault_of_ours(project: Project) -> None:
    bundle(project, "tools: [board.comment]\n")
    with ModelServer(["half \ud800 of it"]) as server:
        done = run(project, server)
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["review"]["output"] == "half \ufffd of it"
