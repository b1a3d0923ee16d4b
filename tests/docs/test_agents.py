"""The examples of the pages about agents are right, and do what the pages say."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import aiworkflow
from tests.support import ROOT, Project

PAGES = [ROOT / "docs/how-to" / name for name in ("choose-an-agent.md", "use-an-agent.md")]
EXAMPLES = [
    (page.stem, block)
    for page in PAGES
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize(("page", "block"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_settings_are_read_without_a_finding(tmp_path: Path, page: str, block: str) -> None:
    project = Project(tmp_path)
    settings = block
    if block.startswith("agents:"):
        project.write(".aiworkflow/config.yaml", block)
        settings = ""
    inputs = "inputs: {customer: {type: string, default: anna}}\n"
    project.workflow(f"## Ask\n\n```yaml step\nid: ask\n{settings}```\n\nHi\n", head=inputs)
    done = project.run("bundle", "validate", "flow", "--json")
    assert (done.code, done.json["diagnostics"]) == (0, []), (page, done.out)
    told = project.run("doctor", "--json").json["checks"]
    assert [one for one in told if one["check"] == "settings" and one["status"] != "ok"] == []


def test_commands_exist(tmp_path: Path) -> None:
    project = Project(tmp_path)
    text = PAGES[0].read_text()
    lines = re.findall(r"^aiworkflow (agents \w+)", text, re.MULTILINE)
    assert {"agents list", "agents bench", "agents compare"} <= set(lines)
    for line in lines:
        assert project.run(*line.split(), "--help").code == 0


def test_a_function_is_an_agent_as_the_page_says(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow("## Ask\n\n```yaml step\nid: ask\n```\n\nHi\n", head="agent: mine\n")
    code = re.search(
        r"^```python\n(.*?)^async with", PAGES[1].read_text(), re.DOTALL | re.MULTILINE
    )
    assert code is not None
    names: dict[str, Any] = {}
    exec(code.group(1), names)

    async def main() -> Any:
        agents = {"mine": names["mine"]}
        async with aiworkflow.connect(tmp_path, agents=agents, environ=project.env) as client:
            run = await client.start(str(tmp_path / "bundles/flow"))
            return await run.result()

    assert asyncio.run(main()).steps["ask"].output == "you asked: Hi"
