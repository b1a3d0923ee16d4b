"""The Python API: what `import aiworkflow` offers, as the documents promise it."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import Any

import pytest

import aiworkflow
from aiworkflow import WorkflowBuilder
from tests.contract.agents.model_server import ModelServer
from tests.support import Project, script

HEAD = 'inputs: {base: {type: string, default: main}}\noutputs: {a: "{{ steps.a.output }}"}\n'


def test_a_run_is_started_followed_and_has_a_result(project: Project) -> None:
    project.workflow(script("a", 'echo "on $INPUT_BASE"'), head=HEAD)

    async def use() -> tuple[list[int], aiworkflow.RunResult]:
        async with aiworkflow.connect(project.root) as client:
            run = await client.start("bundles/flow", {"base": "dev"})
            seen = [seq async for seq, _ in run.events()]
            return seen, await run.result()

    # a path is taken from where the process stands, a name from the project
    here = Path.cwd()
    os.chdir(project.root)
    try:
        seen, result = asyncio.run(use())
    finally:
        os.chdir(here)
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) >= 3
    assert result.status == "succeeded"
    assert result.outputs == {"a": "on dev"}
    assert result.steps["a"].output == "on dev"
    assert result.cost == 0.0


def test_run_is_the_synchronous_shortcut(project: Project) -> None:
    project.workflow(script("a", 'echo "on $INPUT_BASE"'), head=HEAD)
    result = aiworkflow.run(project.root / "bundles/flow", project=project.root)
    assert result.outputs == {"a": "on main"}
    failed = script("a", "exit 3")
    project.workflow(failed, name="bad")
    result = aiworkflow.run("bad", project=project.root)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.exit_code == 3


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        (float("nan"), "nan, which is no number of JSON"),
        ([{1}], "set, which JSON does not have"),
        (b"x", "bytes, which JSON does not have"),
    ],
)
def test_what_json_does_not_have_is_no_input(project: Project, odd: Any, says: str) -> None:
    project.workflow(script("a", "echo 1"), head="inputs: {base: any}\n")
    with pytest.raises(aiworkflow.AIWorkflowError, match=f"`base`: it holds {says}"):
        aiworkflow.run("flow", {"base": odd}, project=project.root)


def test_wrong_inputs_and_broken_bundles_are_raised(project: Project) -> None:
    project.workflow(script("a", "echo 1"), head=HEAD)
    with pytest.raises(aiworkflow.AIWorkflowError, match="`bsae` is not an input"):
        aiworkflow.run("flow", {"bsae": 1}, project=project.root)
    with pytest.raises(aiworkflow.AIWorkflowError, match="no bundle `nothing`"):
        aiworkflow.run("nothing", project=project.root)
    gc.collect()  # what was begun and not ended would be warned of here, and fail the test


def test_a_built_workflow_runs_like_a_bundle(project: Project) -> None:
    built = (
        WorkflowBuilder("etl", description="Sums.")
        .input("n", "integer", default=3)
        .script("get", 'printf "%s\\n" "$INPUT_N" \'```\'', output="lines")
        .script("skip", "exit 1", if_="inputs.n > 5")
        .tool("look", "file.glob", {"pattern": "*.txt"})
        .output("got", "{{ steps.get.output }}")
        .build()
    )
    project.write("a.txt", "x")
    result = aiworkflow.run(built, {"n": 4}, project=project.root)
    assert result.status == "succeeded", result.error
    assert result.outputs == {"got": ["4", "```"]}
    assert result.steps["skip"].status == "skipped"
    assert "a.txt" in str(result.steps["look"].output)


def test_a_builder_without_steps_is_refused() -> None:
    with pytest.raises(aiworkflow.AIWorkflowError, match="no steps"):
        WorkflowBuilder("empty").build()


def test_an_agent_step_of_a_built_workflow(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = (
        WorkflowBuilder("ask", agent="anthropic/m1")
        .script("get", "echo facts")
        .agent("sum", "Summarise {{ steps.get.output }}")
        .build()
    )
    with ModelServer(["in short"]) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test-1234")
        result = aiworkflow.run(built, project=project.root)
        assert result.steps["sum"].output == "in short"
        assert result.steps["sum"].agent == "anthropic/m1"
        assert "facts" in str(server.requests[0]["body"]["messages"])


def test_a_closed_client_leaves_a_run_that_goes_on_later(project: Project) -> None:
    project.workflow(script("a", "echo 1") + script("b", "[ -e go ] || sleep 30", "effect: read\n"))

    async def begin() -> str:
        async with aiworkflow.connect(project.root) as client:
            run = await client.start("flow")
            async for _, event in run.events():
                if getattr(event, "path", "") == "b":
                    break
            return run.id

    async def go_on(run: str) -> aiworkflow.RunResult:
        async with aiworkflow.connect(project.root) as client:
            assert client.run(run).look().status == "running"
            return await (await client.resume(run)).result()

    run = asyncio.run(begin())
    project.write("go", "")
    result = asyncio.run(go_on(run))
    assert result.status == "succeeded"
    assert result.steps["a"].attempts == 1


def test_several_runs_at_once_share_a_client(project: Project) -> None:
    project.workflow(script("a", 'echo "$INPUT_BASE"'), head=HEAD)

    async def use() -> list[object]:
        async with aiworkflow.connect(project.root, journal="memory") as client:
            runs = [await client.start("flow", {"base": str(n)}) for n in range(5)]
            return [(await run.result()).outputs["a"] for run in runs]

    assert asyncio.run(use()) == ["0", "1", "2", "3", "4"]
