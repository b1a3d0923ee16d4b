"""Agents for trying things out: `echo` by the command, functions by the Python API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import aiworkflow
from tests.support import Project

ASK = "## Ask\n\n```yaml step\nid: ask\n{settings}```\n\nSay {{{{ inputs.word }}}}.\n\n"
HEAD = "agent: {agent}\ninputs: {{word: {{type: string, default: hello}}}}\n"


def bundle(project: Project, agent: str, settings: str = "") -> str:
    return project.workflow(ASK.format(settings=settings), head=HEAD.format(agent=agent))


def ask(project: Project, agent: str, settings: str = "") -> Any:
    bundle(project, agent, settings)
    done = project.run("run", "flow", "--json")
    assert done.out, done.err
    return done.json["steps"]["ask"]


def test_echo_needs_no_set_up(project: Project) -> None:
    found = ask(project, "echo")
    assert (found["status"], found["output"], found["agent"]) == ("succeeded", "Say hello.", "echo")


def test_echo_gives_the_smallest_object_that_fits(project: Project) -> None:
    found = ask(project, "echo", "output: {score: integer, verdict: good | bad}\n")
    assert found["output"] == {"score": 0, "verdict": "good"}


def test_echo_is_set_in_the_settings(project: Project) -> None:
    project.write(
        ".aiworkflow/config.yaml",
        "agents:\n  short: {echo: {text: in short}, price: {input: 1000, output: 1000}}\n"
        "  slow: {echo: {seconds: 60}}\n  down: {echo: {fail: unavailable}}\n",
    )
    found = ask(project, "short")
    assert (found["output"], found["cost_usd"]) == ("in short", pytest.approx(0.005))
    assert ask(project, "slow", "timeout: 50ms\n")["error"]["kind"] == "timeout"
    found = ask(project, "[down, short]")
    assert (found["output"], found["attempts"]) == ("in short", 2)


def test_an_agent_has_one_way_to_be_reached(project: Project) -> None:
    bundle(project, "both")
    project.write(".aiworkflow/config.yaml", "agents:\n  both: {api: ollama, echo: {}}\n")
    done = project.run("run", "flow")
    assert "exactly one of `api`, `cli`, `acp`, `echo`" in done.err


def test_a_function_is_an_agent(project: Project, monkeypatch: Any) -> None:
    bundle(project, "mine", "output: {words: integer}\n")

    async def mine(task: Any, emit: Any) -> str:
        return f'{{"words": {len(task.prompt.split())}}}'

    async def main() -> Any:
        connected = aiworkflow.connect(project.root, agents={"mine": mine}, environ=project.env)
        async with connected as client:
            run = await client.start(str(project.root / "bundles/flow"))
            return await run.result()

    result = asyncio.run(main())
    assert result.steps["ask"].output == {"words": 2}
    done = project.run("run", "flow")
    assert done.code == 2
    assert "there is no agent `mine`" in done.err
