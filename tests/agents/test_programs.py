"""Codex, Gemini CLI, Copilot, OpenCode and Aider themselves, headless, before a model on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.agents import (
    CLI_PROGRAMS,
    AgentError,
    AskedAgain,
    Consumed,
    Surroundings,
    Task,
    open_agent,
    resolve_agent,
)
from aiworkflow.bundle.workflow import AgentSpec
from aiworkflow.expr import Integer, ObjectOf, Property
from tests.agents.programs import (
    KEY,
    PATH,
    PROGRAMS,
    Program,
    asking_for_notes,
    exhaustive,
    installed,
)
from tests.contract.agents.brain import Asked, Brain, Turn
from tests.contract.agents.suite import NOTE, Toolbox
from tests.support import Project

SCORE = ObjectOf({"score": Property(Integer())})


@pytest.fixture(params=PROGRAMS, ids=lambda one: one.name)
def program(request: pytest.FixtureRequest) -> Program:
    found: Program = request.param
    installed(found.name)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / "project")
    found.env["PATH"] = PATH
    found.write(".gitignore", ".home/\n.aiworkflow/state/\n")
    found.write("a.txt", "one\n")
    found.git("add", "-A")
    found.git("commit", "-qm", "first")
    return found


class Stand:
    """A program before a model, as the adapter sees it."""

    def __init__(self, program: Program, project: Project, brain: Brain) -> None:
        self.brain = brain
        self.cwd = project.root
        self.groups: list[int] = []
        self.log: list[str] = []
        environ = {**project.env, "OWN_KEY": KEY}
        said = {"cli": program.name, "model": program.model, "key": "OWN_KEY"}
        config = resolve_agent(
            AgentSpec("mine"), {"mine": {**said, "url": brain.url + program.path}}, environ
        )

        @contextlib.contextmanager
        def process(group: int) -> Iterator[None]:
            self.groups.append(group)
            yield

        scratch = project.root.parent / "scratch"
        around = Surroundings(environ, scratch, process, None, self.log.append)
        self.agent = open_agent(config, KEY, around)

    def left(self) -> list[str]:
        """What still runs of all that was begun."""
        listed = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True)
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        return [" ".join(row) for row in rows if int(row[0]) in self.groups and row[1][0] != "Z"]


def test_it_edits_files_and_is_counted(program: Program, project: Project) -> None:
    file = project.root / "b.txt"
    with Brain(program.script(file, "two", Turn("Done."))) as brain:
        project.write(
            ".aiworkflow/config.yaml",
            f"agents: {{mine: {{cli: {program.name}, model: {program.model}, key: OWN_KEY, "
            f"url: '{brain.url}{program.path}', price: {{input: 10, cached: 10, output: 10}}}}}}\n",
        )
        body = "## Ask\n\n```yaml step\nid: ask\nagent: mine\n```\n\nWrite two into b.txt.\n"
        bundle = project.workflow(body, head="allow: {paths: [b.txt]}\n")
        done = project.run("run", bundle, "--json", OWN_KEY=KEY, timeout=120)
        assert done.code == 0, done.out + done.err
        step = done.json["steps"]["ask"]
        assert file.read_text().strip() == "two"
        assert "Write two into b.txt." in brain.asked[-1].prompt
        turns = 1 if program.name == "aider" else 2
        assert (step["tokens"]["input"], step["tokens"]["output"]) == (100 * turns, 7 * turns)
        assert step["cost_usd"] == pytest.approx(107 * turns * 10 / 1e6)
        assert step["output"] == ("Done." if turns == 2 else "b.txt\n```\ntwo\n```")
        assert all(KEY in one.headers[program.header] for one in brain.asked)
    log = project.run("runs", "log", done.json["run"], "ask").out
    assert "[changed: b.txt]" in log
    kept = [path for path in (project.root / ".aiworkflow").rglob("*") if path.is_file()]
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]
    assert KEY not in log + done.out + done.err


@exhaustive
def test_it_only_reads_and_is_asked_again(program: Program, project: Project) -> None:
    file = project.root / "b.txt"
    script = program.script(file, "two", Turn("I am not sure."), Turn('{"score": 7}'))
    with Brain(script) as brain:
        stand = Stand(program, project, brain)
        events: list[Any] = []
        task = Task("Score a.txt.", SCORE, 100, cwd=project.root)
        answer = asyncio.run(stand.agent.perform(task, events.append))
        assert answer.value == {"score": 7}
        asks = [one for one in events if isinstance(one, AskedAgain)]
        # Aider has no tools: what it would write is its first answer
        assert (answer.turns, len(asks)) == ((3, 2) if program.name == "aider" else (2, 1))
        assert answer.consumed.output_tokens == 21
        assert "does not fit" in brain.asked[-1].prompt
        tools = {tool for one in brain.asked for tool in one.tools}
        assert not tools & {"google_web_search", "web_fetch", "webfetch", "web_search", "create"}
        assert "Score a.txt." in brain.asked[-1].prompt  # the session, or all told again
    assert not file.exists()
    assert project.git("status", "--porcelain") == ""
    assert stand.left() == []


def test_it_calls_the_tools_that_it_is_handed(program: Program, project: Project) -> None:
    if program.name == "aider":
        pytest.skip("it has no tools")
    box = Toolbox()
    with Brain(asking_for_notes) as brain:
        stand = Stand(program, project, brain)
        task = Task("Note milk.", None, 100, cwd=project.root, tools=(NOTE,), call=box.call)
        answer = asyncio.run(stand.agent.perform(task, lambda _: None))
        offered = {tool for one in brain.asked for tool in one.tools}
    assert answer.text.strip() == "Done.", offered
    assert box.made == [("notes.add", {"text": "milk"})], offered
    assert "noted notes.add" in "".join(brain.asked[-1].results)
    assert stand.left() == []


def test_cancelling_ends_it(program: Program, project: Project) -> None:
    with Brain([Turn(hang=True)]) as brain:
        stand = Stand(program, project, brain)

        async def go() -> None:
            task = asyncio.ensure_future(
                stand.agent.perform(Task("Wait.", cwd=project.root), lambda _: None)
            )
            await asyncio.to_thread(brain.waiting.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(go())
        assert brain.asked
        assert stand.left() == []


@exhaustive
def test_its_death_leaves_doubt(program: Program, project: Project) -> None:
    with Brain([Turn(hang=True)]) as brain:
        stand = Stand(program, project, brain)

        async def go() -> None:
            task = asyncio.ensure_future(
                stand.agent.perform(Task("Wait.", cwd=project.root, may_edit=True), lambda _: None)
            )
            await asyncio.to_thread(brain.waiting.wait, 60)
            os.killpg(stand.groups[-1], signal.SIGKILL)
            with pytest.raises(AgentError) as raised:
                await task
            assert (raised.value.kind, raised.value.in_doubt) == ("cut_off", True)
            assert "was killed by signal 9" in raised.value.message

        asyncio.run(go())
        assert stand.left() == []


@exhaustive
def test_a_wrong_key_is_said(program: Program, project: Project) -> None:
    with Brain([Turn("invalid key", status=401)]) as brain:
        stand = Stand(program, project, brain)
        with pytest.raises(AgentError) as raised:
            asyncio.run(stand.agent.perform(Task("Hello.", cwd=project.root), lambda _: None))
    assert raised.value.kind == "auth"
    assert raised.value.consumed == Consumed()
    assert raised.value.hint is not None
    assert "key: VARIABLE" in raised.value.hint
    assert KEY not in raised.value.message


def test_doctor_tells_their_versions(project: Project) -> None:
    names = {CLI_PROGRAMS[one.name]: installed(one.name) for one in PROGRAMS}
    done = project.run("doctor", "--json", timeout=120)
    checks = {check["check"]: check for check in done.json["checks"]}
    for name, where in names.items():
        check = checks[f"program {name}"]
        assert check["status"] == "ok", check
        version, _, rest = check["text"].partition(": ")
        assert any(c.isdigit() for c in version)
        assert rest.startswith(where)
    assert checks["optional agents"]["text"] == "not installed: claude-code, cursor"


def test_the_model_on_loopback_says_what_it_is_told() -> None:
    """The other tests mean little if this server answers in forms that no server has."""
    import urllib.request

    def ask(url: str, body: Any) -> str:
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "x"})
        with urllib.request.urlopen(request) as answer:
            return str(answer.read().decode())

    turn = Turn("Hi.", [("t", {"a": 1})])

    def turns(asked: Asked) -> Turn:
        return turn

    with Brain(turns) as brain:
        chat = json.loads(ask(f"{brain.url}/v1/chat/completions", {"messages": []}))
        assert chat["choices"][0]["message"]["content"] == "Hi."
        assert json.loads(
            chat["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
        ) == {"a": 1}
        stream = ask(f"{brain.url}/v1/chat/completions", {"messages": [], "stream": True})
        assert stream.endswith("data: [DONE]\n\n")
        responses = json.loads(ask(f"{brain.url}/v1/responses", {"input": "x"}))
        assert [item["type"] for item in responses["output"]] == ["message", "function_call"]
        gemini = json.loads(ask(f"{brain.url}/v1beta/models/m:generateContent", {"contents": []}))
        assert gemini["candidates"][0]["content"]["parts"][1]["functionCall"]["name"] == "t"
