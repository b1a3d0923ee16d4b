"""The pages on writing a workflow and on settings: their examples are run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.docs.test_examples import DOCS, commands
from tests.support import Project


def documents(page: str) -> list[str]:
    text = (DOCS / page).read_text()
    return re.findall(r"^````markdown\n(.*?)^````", text, re.DOTALL | re.MULTILINE)


def test_the_workflow_that_is_written_does_what_the_page_says(tmp_path: Path) -> None:
    page = "how-to/write-a-workflow.md"
    survey, improve = documents(page)
    project = Project(tmp_path)
    project.write("bundles/survey/workflow.md", survey)
    for name in ("one", "two", "three", "four"):
        project.write(f"bundles/{name}.txt", "")
    for line in commands(DOCS / page):
        done = project.run(*shlex.split(line)[1:], AIWORKFLOW_ACTOR="ann")
        assert done.code == 0, (line, done.err)
    assert done.out == "report: bundles: more than 3 files\n"
    lost = project.run("run", "survey", "-i", 'folders=["bundles", "nowhere"]', "--json")
    assert lost.json["outputs"]["report"] == "bundles: no more than 1000 files"

    head = (
        "---\nname: limerick\ndescription: x\nagent: echo\ninputs: {topic: string}\n---\n\n# L\n\n"
    )
    project.write("bundles/limerick/workflow.md", head + improve)
    done = project.run("run", "limerick", "-i", "topic=bees", "--json")
    assert done.json["error"]["kind"] == "rounds"
    first, second = (done.json["steps"][f"improve#{round_}.draft"]["output"] for round_ in (1, 2))
    assert "criticised" not in first
    assert "criticised so:" in second


def test_settings_stand_where_the_page_says(tmp_path: Path) -> None:
    text = (DOCS / "how-to/change-settings.md").read_text()
    (config,) = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    project = Project(tmp_path)
    project.run("workflow", "create", "my-first", "--bundle", "-o", "bundles")
    project.write(".aiworkflow/config.yaml", config)
    for line in commands(DOCS / "how-to/change-settings.md"):
        assert project.run(*shlex.split(line)[1:]).code == 0, line
    assert [*(project.root / "docs/runs").glob("*.md")]
    shown = project.run("bundle", "info", "my-first", "--settings", AIWORKFLOW_AGENT="echo").out
    assert re.search(r"^agent +echo +environment \(AIWORKFLOW_AGENT\)$", shown, re.MULTILINE)
    assert re.search(r"^timeout +2h +project's config.yaml", shown, re.MULTILINE)
