"""What docs/how-to/use-an-agent-over-acp.md says is done as it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

from aiworkflow.agents.acp.profiles import PROFILES
from aiworkflow.bundle.keys_config import ACP_PROGRAMS
from tests.support import ROOT, Project

PAGE = (ROOT / "docs/how-to/use-an-agent-over-acp.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PROGRAM = ROOT / "tests/contract/agents/acp_program.py"
STEP = "## Ask\n\n```yaml step\nid: ask\nagent: mine\n```\n\nsay Hello.\n"


def test_the_table_names_what_is_known() -> None:
    rows = re.findall(r"^\| `(\S+)` \| `([^`]+)` \| (.*) \|$", PAGE, re.MULTILINE)
    found = {name: (command, hint.strip("`")) for name, command, hint in rows}
    known = {name: (" ".join(one.command), one.hint) for name, one in PROFILES.items()}
    assert found == known
    assert set(ACP_PROGRAMS) == set(PROFILES)


def test_the_settings_are_settings(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for block in (one for one in BLOCKS if "agents:" in one):
        names = yaml.safe_load(block)["agents"]
        project.write(".aiworkflow/config.yaml", block)
        for name in names:
            flow = project.workflow(STEP.replace("mine", name), head="allow: {paths: [x]}\n")
            done = project.run("bundle", "validate", flow)
            assert done.code == 0, done.out + done.err


def test_a_program_of_one_s_own_is_begun_as_it_says(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    (block,) = (one for one in BLOCKS if "my-agent" in one)
    project.write(".aiworkflow/config.yaml", block)
    text = f'#!/bin/sh\nexec {sys.executable} {PROGRAM} "$@"\n'
    project.write("bin/my-agent", text, executable=True)
    flow = project.workflow(STEP, head="allow: {paths: ['src/**']}\n")
    path = f"{project.root}/bin:{project.env['PATH']}"
    done = project.run("run", flow, "--json", PATH=path, MY_KEY="my-own-secret")
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["ask"]["output"] == "Hello."
