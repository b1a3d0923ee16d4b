"""Cases of agents that call tools, and of conversations: recorded and replayed."""

from __future__ import annotations

import pytest

from tests.contract.agents.model_server import ModelServer
from tests.support import Project, script

boards = pytest.importorskip("tests.e2e.agent_tools")
board, bundle, calls, run = boards.board, boards.bundle, boards.calls, boards.run


def test_calls_of_an_agent_are_replayed_with_what_they_came_to(project: Project) -> None:
    bundle(project, "tools: [board.comment, board.fail, file.read]\n")
    project.write("notes.txt", "mind the gap")
    answers = [
        calls(("file.read", {"path": "notes.txt"}), ("board.comment", {"body": "hello"})),
        calls(("board.fail", {})),
        "done",
    ]
    with ModelServer(answers) as server:
        done = run(project, server, "--record", "calls")
    assert done.code == 0, done.out + done.err
    assert "does not replay" not in done.err
    folder = project.root / "bundles/flow/tests/calls"
    answer = (folder / "answers/review.md").read_text()
    assert "{tool: board.comment, with: {body: hello}}" in answer or "tool: board.comment" in answer
    assert (
        folder / "answers/review/call[2].yaml"
    ).read_text() == "with: {body: hello}\noutput: {id: 1}\n"
    assert "review/call[2]: board.comment" in (folder / "expect.yaml").read_text().replace('"', "")
    (project.root / "notes.txt").unlink()
    before = board(project)
    tested = project.run("bundle", "test", "flow")
    assert tested.code == 0, tested.out + tested.err
    assert board(project) == before
    path = folder / "answers/review.md"
    path.write_text(path.read_text().replace("hello", "bye"))
    out = project.run("bundle", "test", "flow").out
    assert "review/call[2]: what it is given is not the one of answers/review/call[2].yaml" in out


def test_calls_that_are_taken_back_are_replayed(project: Project) -> None:
    bundle(
        project, "tools: [board.comment]\n", script("bad", "exit 4"), head="on_error: rollback\n"
    )
    with ModelServer([calls(("board.comment", {"body": "hello"})), "done"]) as server:
        done = run(project, server, "--record", "undone")
    assert done.code == 1, done.out + done.err
    assert "does not replay" not in done.err, done.err
    tested = project.run("bundle", "test", "flow")
    assert tested.code == 0, tested.out + tested.err


def test_a_conversation_is_replayed(project: Project) -> None:
    body = "".join(
        f"## S{n}\n\n```yaml step\nid: s{n}\nsession: talk\n```\n\nSay {n}.\n\n" for n in (1, 2)
    )
    project.workflow(body, head="outputs: {o: '{{ steps.s2.output }}'}\n")
    with ModelServer(["one", "two"]) as server:
        done = run(project, server, "--record", "talk")
    assert done.code == 0, done.out + done.err
    assert "does not replay" not in done.err, done.err
    tested = project.run("bundle", "test", "flow")
    assert tested.code == 0, tested.out + tested.err
