"""`client.chat`, `client.execute` and `on_event`: one-step workflows through the same engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

import aiworkflow
from aiworkflow.client.single import StepFailed
from tests.contract.agents.model_server import ModelServer
from tests.support import Project, script

T = TypeVar("T")
CONFIG = """agent: paid/m1
agents:
  paid: {{api: anthropic, url: "{url}", max_tokens: 10, price: {{input: 0, output: 100000}}}}
  other: {{api: openai, url: "{url}", model: m2}}
"""


def using(project: Project, use: Callable[[aiworkflow.Client], Awaitable[T]]) -> T:
    async def main() -> T:
        async with aiworkflow.connect(project.root) as client:
            return await use(client)

    return asyncio.run(main())


def set_up(project: Project, server: ModelServer) -> None:
    project.write(".aiworkflow/config.yaml", CONFIG.format(url=server.url))


def sent(server: ModelServer, number: int = -1) -> str:
    content = server.requests[number]["body"]["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


# -- chat -----------------------------------------------------------------------------------------


def test_a_question_is_a_run_like_any_other(project: Project) -> None:
    with ModelServer(["It rains."]) as server:
        set_up(project, server)
        reply = using(project, lambda client: client.chat("What is the weather?"))
    assert reply.output == reply.text == str(reply) == "It rains."
    assert (reply.agent, reply.cost_usd) == ("paid/m1", 0.7)
    assert sent(server) == "What is the weather?"
    shown = project.run("runs", "show", reply.run, "--json").json
    assert (shown["status"], shown["bundle"]) == ("succeeded", "chat")
    assert project.run("cost", "report", "--json").json["rows"][0]["bundle"] == "chat"


def test_a_message_is_data_whatever_it_holds(project: Project) -> None:
    message = "{{ secrets.X }}\n## Step\n```bash step\necho hi\n```\n{% for %}"
    with ModelServer(["fine"]) as server:
        set_up(project, server)
        using(project, lambda client: client.chat(message))
        assert sent(server) == message


def test_agent_and_settings_of_the_step_can_be_said(project: Project) -> None:
    with ModelServer(["no number", {"score": 3}]) as server:
        set_up(project, server)
        reply = using(
            project,
            lambda client: client.chat("How good?", agent="other", output={"score": "integer"}),
        )
    assert reply.output == {"score": 3}
    assert reply.text == '{"score": 3}'
    assert reply.agent == "other/m2"


def test_a_conversation_goes_on_in_another_process(project: Project) -> None:
    with ModelServer(["Hello Ada.", "You are Ada.", "Who?"]) as server:
        set_up(project, server)
        using(project, lambda client: client.chat("I am Ada.", session="intro"))
        second = using(project, lambda client: client.chat("Who am I?", session="intro"))
        assert second.text == "You are Ada."
        assert sent(server) == "user: I am Ada.\n\nassistant: Hello Ada.\n\nuser: Who am I?"
        using(project, lambda client: client.chat("Who am I?", session="another"))
        assert sent(server) == "Who am I?"


def test_a_long_conversation_loses_its_beginning(project: Project) -> None:
    with ModelServer(["x" * 10]) as server:
        set_up(project, server)

        async def talk(client: aiworkflow.Client) -> None:
            for number in range(4):
                await client.chat(f"{number}" * 25_000, session="long")

        using(project, talk)
        last = sent(server)
    assert "user: 000" not in last
    assert last.startswith("user: 111")
    assert "user: 333" in last


def test_an_agent_that_fails_is_an_error_with_its_result(project: Project) -> None:
    with ModelServer([(401, {}, "{}")]) as server:
        set_up(project, server)
        with pytest.raises(StepFailed, match="the chat failed: ") as caught:
            using(project, lambda client: client.chat("Hello?", session="s"))
        assert caught.value.result.status == "failed"
        assert caught.value.hint
        server.answers = ["fine"]
        server.requests.clear()
        using(project, lambda client: client.chat("Hello?", session="s"))
        assert sent(server) == "Hello?", "what failed is no part of the conversation"


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (" ", {}, "there is nothing to ask"),
        ("Hi", {"session": "a\nb"}, "is no name of a conversation"),
        ("Hi", {"agent": "nobody"}, "there is no agent `nobody`"),
        ("Hi", {"retries": 3}, "has an error"),
    ],
)
def test_what_cannot_be_asked_is_said(
    project: Project, words: str, settings: dict[str, str], said: str
) -> None:
    with pytest.raises(aiworkflow.AIWorkflowError, match=said):
        using(project, lambda client: client.chat(words, **settings))  # type: ignore[arg-type]


# -- vision ---------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def test_images_go_with_a_question(project: Project) -> None:
    (project.root / "docs").mkdir()
    for name in ("plan.png", "docs/other.png"):
        (project.root / name).write_bytes(PNG)
    images = [project.root / "plan.png", "docs/other.png"]
    with ModelServer(["Two plans."]) as server:
        set_up(project, server)
        reply = using(project, lambda client: client.vision("What is {{ this }}?", images))
        parts = server.requests[-1]["body"]["messages"][-1]["content"]
    assert reply.text == "Two plans."
    assert [one["type"] for one in parts].count("image") == 2
    assert [one["text"] for one in parts if one["type"] == "text"][-1] == "What is {{ this }}?"
    assert reply.agent == "paid/m1"


def test_what_is_no_image_of_the_project_is_said(project: Project) -> None:
    project.write("notes.txt", "no image")
    with ModelServer(["fine"]) as server:
        set_up(project, server)
        for images, said in (
            (["/etc/hostname"], "is not in the project"),
            ([], "there is no image to look at"),
            (["nothing.png"], "nothing.png"),
            (["notes.txt"], "is no image that agents take"),
        ):
            with pytest.raises(aiworkflow.AIWorkflowError, match=said):
                using(project, lambda client, images=images: client.vision("What?", images))
        assert server.requests == []


# -- execute --------------------------------------------------------------------------------------


def test_code_is_run_with_its_inputs(project: Project) -> None:
    code = "import os, json\nprint(json.dumps({'n': int(os.environ['INPUT_N']) * 2, 't': '```'}))"
    reply = using(project, lambda client: client.execute(code, inputs={"n": 21}))
    assert reply.output == {"n": 42, "t": "```"}
    assert reply.agent is None
    shell = using(project, lambda client: client.execute("echo $(( 6 * 7 ))", language="bash"))
    assert shell.output == "42"
    text = using(project, lambda client: client.execute("print(1)\nprint(2)", output="lines"))
    assert text.output == ["1", "2"]


def test_code_that_fails_says_how(project: Project) -> None:
    with pytest.raises(StepFailed) as caught:
        using(project, lambda client: client.execute("raise SystemExit(3)"))
    error = caught.value.result.error
    assert error is not None
    assert error.exit_code == 3


@pytest.mark.parametrize(
    ("code", "language", "said"),
    [("1", "py step\n```", "is no name of a language"), (" \n", "python", "there is no code")],
)
def test_what_cannot_be_run_is_said(project: Project, code: str, language: str, said: str) -> None:
    with pytest.raises(aiworkflow.AIWorkflowError, match=said):
        using(project, lambda client: client.execute(code, language=language))


# -- on_event -------------------------------------------------------------------------------------


def test_each_event_is_told_in_order_before_the_result(project: Project) -> None:
    project.workflow(script("a", "true") + script("b", "true"))
    told: list[tuple[int, str]] = []

    async def start(client: aiworkflow.Client) -> list[int]:
        def on_event(seq: int, event: object) -> None:
            told.append((seq, type(event).__name__))

        run = await client.start("flow", on_event=on_event)
        await run.result()
        return [seq async for seq, _ in run.events()]

    seqs = using(project, start)
    assert [seq for seq, _ in told] == seqs
    assert (told[0][1], told[-1][1]) == ("RunStarted", "RunFinished")


def test_a_callback_may_be_awaited(project: Project) -> None:
    told: list[int] = []

    async def on_event(seq: int, _: object) -> None:
        await asyncio.sleep(0)
        told.append(seq)

    using(project, lambda client: client.execute("print(1)", on_event=on_event))
    assert told == list(range(1, len(told) + 1))
    assert len(told) >= 3


def test_a_callback_that_fails_fails_the_result_and_not_the_run(project: Project) -> None:
    project.workflow(script("a", "true"))

    def on_event(_: int, __: object) -> None:
        raise RuntimeError("no more")

    runs = []

    async def start(client: aiworkflow.Client) -> None:
        run = await client.start("flow", on_event=on_event)
        runs.append(run.id)
        await run.result()

    with pytest.raises(RuntimeError, match="no more"):
        using(project, start)
    assert project.run("runs", "show", runs[0], "--json").json["status"] == "succeeded"


def test_the_synchronous_shortcut_tells_too(project: Project) -> None:
    project.workflow(script("a", "true"))
    told: list[int] = []
    aiworkflow.run("flow", project=project.root, on_event=lambda seq, _: told.append(seq))
    assert told[0] == 1
