"""The page about webhooks: its examples are right, its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from aiworkflow.bundle.readers_on import TRIGGERS
from aiworkflow.bundle.readers_on_webhook import VERIFY
from tests.support import Project, script

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "start-runs-by-webhook.md"
TEXT = PAGE.read_text()
HEADS = [block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "on:" in block]
STEPS = re.findall(r"```yaml step\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_the_frontmatter_on_the_page_is_valid(project: Project, head: str) -> None:
    project.workflow(script("a", "true"), head=head)
    checked = project.run("bundle", "validate", "flow", "--json")
    assert checked.json["valid"], checked.out


def test_the_waiting_step_on_the_page_is_valid(project: Project) -> None:
    (step,) = STEPS
    deploy = script("deploy", "echo '{}'", "output: {id: integer}\n")
    body = f"{deploy}## Wait\n\n```yaml step\n{step}```\n"
    project.workflow(body, head="on: {webhook: {path: /h, verify: {github: S}}}\n")
    checked = project.run("bundle", "validate", "flow", "--json")
    assert checked.json["valid"], checked.out


def test_the_settings_of_the_server_on_the_page_are_known(project: Project) -> None:
    (block,) = (one for one in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "serve:" in one)
    assert yaml.safe_load(block)["serve"]["webhooks"]
    project.write(".aiworkflow/config.yaml", block)
    project.workflow(script("a", "true"))
    checked = project.run("bundle", "validate", "flow", "--json")
    assert checked.json["diagnostics"] == []


def test_the_page_names_every_sender_and_every_setting() -> None:
    for scheme in (*VERIFY.rows, "none"):
        assert f"`{{{scheme}: " in TEXT or f"| `{scheme}`" in TEXT, scheme
    record, _ = TRIGGERS["webhook"]
    for key in record.keys:
        assert key.name in TEXT, key.name
    for name in ("body", "headers", "event", "action", "delivery", "path", "query", "at", "type"):
        assert f"`trigger.{name}`" in TEXT
