"""What docs/how-to/start-runs-from-a-queue.md says is done as it says."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.docs.test_examples import commands, shell
from tests.support import ROOT, Project

PAGE = ROOT / "docs/how-to/start-runs-from-a-queue.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
STEP = "## Pack\n\n```bash step\ntrue\n```\n"


def test_the_entries_are_right_and_the_commands_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert len(BLOCKS) == 6
    for head in BLOCKS:
        flow = project.workflow(STEP, head=head)
        done = project.run("bundle", "validate", flow)
        assert done.code == 0, done.out + done.err
    project.workflow(STEP, head=BLOCKS[0])
    lines = commands(PAGE)
    assert len(lines) == 7
    for line in lines:
        done = shell(project, line)
        assert done.returncode == 0, (line, done.stderr)
    assert "removed 2 messages" in done.stdout


def test_every_setting_is_told() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    from aiworkflow.bundle.readers_on import TRIGGERS

    assert rows == [row.name for row in TRIGGERS["queue"][0].keys]
    assert all(isinstance(yaml.safe_load(block), dict) for block in BLOCKS)
