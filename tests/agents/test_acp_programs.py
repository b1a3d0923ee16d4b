"""Codex, Gemini CLI, Copilot and OpenCode themselves, over ACP, before a model on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.agents import (
    AgentError,
    Answer,
    Consumed,
    PermissionRequest,
    Surroundings,
    Task,
    open_agent,
    resolve_agent,
)
from aiworkflow.bundle.workflow import AgentSpec
from aiworkflow.tools.offspring import group_lives
from tests.agents.programs import asking_for_notes, exhaustive
from tests.contract.agents.brain import Asked, Brain, Turn
from tests.contract.agents.suite import NOTE, Toolbox
from tests.support import Project

BIN = Path(__file__).parents[2] / ".agents/node_modules/.bin"
PATH = os.pathsep.join([str(BIN), os.environ["PATH"]])
KEY = "sk-planted-secret-key"
PATCH = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: {name}\n+{text}\n*** End Patch\nEOF\n"
ESCALATED = {"sandbox_permissions": "require_escalated", "justification": "to make it"}


@dataclass(frozen=True)
class Program:
    """One of them.

    Attributes:
        path: what its base URL has after the host.
        write, command: the calls by which its model has it write a file, or run a command.
        cached: tokens of 40 that it tells of.
    """

    name: str
    program: str
    model: str
    path: str
    write: Callable[[Path, str], tuple[str, dict[str, Any]]]
    command: Callable[[str], tuple[str, dict[str, Any]]]
    cached: int = 40


PROGRAMS = (
    Program(
        "codex",
        "codex-acp",
        "m1",
        "/v1",
        lambda file, text: ("exec_command", {"cmd": PATCH.format(name=file.name, text=text)}),
        lambda line: ("exec_command", {"cmd": line, **ESCALATED}),
    ),
    Program(
        "gemini",
        "gemini",
        "gemini-2.5-flash",
        "",
        lambda file, text: ("write_file", {"file_path": str(file), "content": f"{text}\n"}),
        lambda line: ("run_shell_command", {"command": line}),
        cached=0,  # it does not tell
    ),
    Program(
        "copilot",
        "copilot",
        "m1",
        "/v1",
        lambda file, text: ("create", {"path": str(file), "file_text": f"{text}\n"}),
        lambda line: ("bash", {"command": line, "description": "it", "mode": "sync"}),
    ),
    Program(
        "opencode",
        "opencode",
        "m1",
        "/v1",
        lambda file, text: ("write", {"filePath": str(file), "content": f"{text}\n"}),
        lambda line: ("bash", {"command": line, "description": "it"}),
    ),
)


@pytest.fixture(params=PROGRAMS, ids=lambda one: one.name)
def program(request: pytest.FixtureRequest) -> Program:
    found: Program = request.param
    if shutil.which(found.program, path=str(BIN)) is None:
        reason = f"{found.program} is not installed: make agents"
        if os.environ.get("AGENTS_INSTALLED"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / "project")
    found.env["PATH"] = PATH
    found.env["OWN_KEY"] = KEY
    found.write(".gitignore", ".home/\n.aiworkflow/state/\n")
    return found


def turns(*given: Turn) -> Callable[[Asked], Turn]:
    """What the model says, one turn after the other; titles that are asked for beside do not count."""

    def turn(asked: Asked) -> Turn:
        if not asked.tools:
            return Turn("A title")
        at = len(asked.results) + asked.prompt.count("Your answer does not fit")
        return given[min(at, len(given) - 1)]

    return turn


def settings(program: Program, brain: Brain) -> dict[str, Any]:
    url = brain.url + program.path
    return {"acp": program.name, "model": program.model, "url": url, "key": "OWN_KEY"}


class Bench:
    """A program before a model, as the adapter sees it."""

    def __init__(self, program: Program, project: Project, brain: Brain) -> None:
        said = settings(program, brain)
        config = resolve_agent(AgentSpec("mine"), {"mine": said}, project.env)
        self.cwd = project.root
        self.groups: list[int] = []
        self.asked: list[PermissionRequest] = []
        self.events: list[Any] = []
        self.log: list[str] = []

        @contextlib.contextmanager
        def process(group: int) -> Iterator[None]:
            self.groups.append(group)
            yield

        scratch = project.root.parent / "scratch"
        around = Surroundings(project.env, scratch, process, None, self.log.append)
        self.agent = open_agent(config, KEY, around)

    async def permit(self, request: PermissionRequest) -> bool:
        self.asked.append(request)
        return True

    async def perform(self, prompt: str, **task: Any) -> Answer:
        task = {"cwd": self.cwd, "may_edit": True, "permit": self.permit, **task}
        return await self.agent.perform(Task(prompt, timeout_s=100.0, **task), self.events.append)

    def is_gone(self) -> bool:
        return not any(group_lives(group) for group in self.groups)


# -- through the command --------------------------------------------------------------------------


def run(project: Project, program: Program, brain: Brain, body: str, head: str = "") -> Any:
    config = {"agent": "mine", "agents": {"mine": settings(program, brain)}}
    project.write(".aiworkflow/config.yaml", json.dumps(config))
    project.workflow(f"## Ask\n\n```yaml step\nid: ask\n{body}", head=head)
    project.git("add", "-A")
    project.git("commit", "-qm", "as it is")
    done = project.run("run", "flow", "--json", timeout=120)
    written = [one for one in project.root.rglob("*") if one.is_file()]
    assert not any(KEY.encode() in one.read_bytes() for one in written)
    assert KEY not in done.out + done.err
    return done


def test_it_edits_what_the_workflow_allows(program: Program, project: Project) -> None:
    file = project.root / "made.txt"
    with Brain(turns(Turn("I write.", [program.write(file, "made")]), Turn("Done."))) as brain:
        head = 'allow: {paths: ["*.txt"]}\n'
        done = run(project, program, brain, "```\n\nWrite made.txt.\n", head)
        assert done.code == 0, done.out + done.err
        asked = [one for one in brain.asked if one.tools]
    assert file.read_text() == "made\n"
    ended = done.json["steps"]["ask"]
    assert ended["output"] == "Done."
    assert ended["agent"] == f"mine/{program.model}"
    assert ended["tokens"]["input"] >= 100
    assert any("Write made.txt." in one.prompt for one in asked)
    log = project.run("runs", "log", "last", "ask").out
    assert "[allow: edit " in log
    assert "[changed: made.txt]" in log


@exhaustive
def test_it_leaves_alone_what_a_step_may_only_read(program: Program, project: Project) -> None:
    file = project.root / "made.txt"
    with Brain(turns(Turn("I write.", [program.write(file, "made")]), Turn("Done."))) as brain:
        done = run(project, program, brain, "```\n\nWrite made.txt.\n")
    assert not file.exists()
    assert done.code in {0, 1}, done.out + done.err  # some stop when they are refused
    if done.code:
        assert done.json["steps"]["ask"]["error"]["kind"] == "permission"
    log = project.run("runs", "log", "last", "ask").out
    assert "the step may not edit files" in log


@exhaustive
def test_an_object_is_asked_for_again_in_the_same_session(
    program: Program, project: Project
) -> None:
    with Brain(turns(Turn('{"score": "high"}'), Turn('Here it is: {"score": 7}'))) as brain:
        done = run(project, program, brain, "output: {score: integer}\n```\n\nScore it.\n")
        assert done.code == 0, done.out + done.err
        last = brain.asked[-1]
    assert done.json["steps"]["ask"]["output"] == {"score": 7}
    assert "`score`: must be a whole number" in last.prompt
    assert "Score it." in last.prompt


# -- as the adapter sees it -----------------------------------------------------------------------


@exhaustive
def test_usage_is_told_with_the_cached_tokens_in_it(program: Program, project: Project) -> None:
    with Brain(turns(Turn("Hello."))) as brain:
        bench = Bench(program, project, brain)
        answer = asyncio.run(bench.perform("Say hello."))
    assert answer.text == "Hello."
    assert answer.consumed == Consumed(100, program.cached, 7)
    assert answer.model == program.model
    assert bench.is_gone()


@exhaustive
def test_a_command_is_asked_for(program: Program, project: Project) -> None:
    calls = [program.command("touch made")]
    with Brain(turns(Turn("I run.", calls), Turn("Done."))) as brain:
        bench = Bench(program, project, brain)
        assert asyncio.run(bench.perform("Make it.")).text == "Done."
    assert [(one.kind, one.command) for one in bench.asked] == [("execute", "touch made")]
    assert (project.root / "made").exists()


def test_it_calls_the_tools_that_it_is_handed_without_a_question(
    program: Program, project: Project
) -> None:
    box = Toolbox()
    with Brain(asking_for_notes) as brain:
        bench = Bench(program, project, brain)
        answer = asyncio.run(
            bench.perform("Note milk.", tools=(NOTE,), call=box.call, may_edit=False)
        )
        offered = {tool for one in brain.asked for tool in one.tools}
    assert answer.text.strip() == "Done.", offered
    assert box.made == [("notes.add", {"text": "milk"})], (offered, bench.asked)
    assert bench.asked == []
    assert "noted notes.add" in "".join(brain.asked[-1].results)
    assert bench.is_gone()


@exhaustive
def test_a_session_goes_on(program: Program, project: Project) -> None:
    with Brain(turns(Turn("Hello."))) as brain:
        bench = Bench(program, project, brain)
        first = asyncio.run(bench.perform("My name is Ada."))
        known = {"session": first.session, "history": first.messages}
        again = asyncio.run(bench.perform("Who am I?", **known))
        last = brain.asked[-1]
    if program.name != "gemini":  # it does not find what it has just put away: it is told again
        assert again.session == first.session
    assert "My name is Ada." in last.prompt


def test_a_cancelled_one_is_gone(program: Program, project: Project) -> None:
    async def cancel(bench: Bench, brain: Brain) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(bench.perform("Say hello."))
            while not brain.waiting.is_set():
                await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with Brain(turns(Turn("Hello.", hang=True))) as brain:
        bench = Bench(program, project, brain)
        asyncio.run(cancel(bench, brain))
        assert bench.is_gone()


@exhaustive
def test_one_that_is_killed_is_cut_off_and_in_doubt(program: Program, project: Project) -> None:
    async def failing(bench: Bench) -> AgentError:
        with pytest.raises(AgentError) as raised:
            await bench.perform("Say hello.")
        return raised.value

    async def kill(bench: Bench, brain: Brain) -> AgentError:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(failing(bench))
            while not brain.waiting.is_set():
                await asyncio.sleep(0.05)
            os.kill(bench.groups[0], signal.SIGKILL)
        return task.result()

    with Brain(turns(Turn("Hello.", hang=True))) as brain:
        bench = Bench(program, project, brain)
        error = asyncio.run(kill(bench, brain))
    assert error.kind == "cut_off"
    assert error.in_doubt
    assert bench.is_gone()


@exhaustive
def test_a_look_finds_its_version(program: Program, project: Project) -> None:
    with Brain(turns(Turn("Hello."))) as brain:
        standing = asyncio.run(Bench(program, project, brain).agent.check())
        assert brain.asked == []
    assert standing.problem == ""
    assert standing.version[0].isdigit()
