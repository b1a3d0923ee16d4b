"""What docs/how-to/use-a-coding-agent.md says is done as it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

from aiworkflow.agents import CLI_PROGRAMS, PROGRAMS
from tests.support import ROOT, Project

PAGE = (ROOT / "docs/how-to/use-a-coding-agent.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
MINE = f"""#!{sys.executable}
import json, sys
prompt = sys.stdin.read()
print(json.dumps({{"type": "start", "id": "s1"}}))
print(json.dumps({{"type": "text", "text": "I look."}}))
print(json.dumps({{"type": "tool", "id": "1", "tool": "look", "input": {{}}}}))
print(json.dumps({{"type": "text", "text": f"{{sys.argv[1:]}} {{prompt}}"}}))
print(json.dumps({{"type": "end", "tokens": {{"in": 10, "out": 3}}}}))
"""
STEP = "## Ask\n\n```yaml step\nid: ask\nagent: mine\n```\n\nHello.\n"


def test_the_table_names_what_is_known() -> None:
    rows = re.findall(r"^\| `(\S+)` \| `(\S+)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert {name: program for name, program, _ in rows} == dict(CLI_PROGRAMS)
    for _, program, install in rows:
        assert install.strip("`") in PROGRAMS[program]


def test_the_named_agents_are_settings(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (block,) = (one for one in BLOCKS if "reviewer" in one)
    project.write(".aiworkflow/config.yaml", block)
    for name, said in yaml.safe_load(block)["agents"].items():
        flow = project.workflow(STEP.replace("agent: mine", f"agent: {name}"))
        done = project.run("run", flow, TEAM_KEY="k")
        assert done.code == 2
        assert f"needs the program `{CLI_PROGRAMS[said['cli']]}`" in done.err


def test_the_own_profile_works(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (block,) = (one for one in BLOCKS if "my-agent" in one)
    project.write(".aiworkflow/config.yaml", block)
    project.write("bin/my-agent", MINE, executable=True)
    path = f"{project.root}/bin:{project.env['PATH']}"
    done = project.run("run", project.workflow(STEP), "--json", PATH=path)
    assert done.code == 0, done.out + done.err
    step = done.json["steps"]["ask"]
    assert step["output"] == "['--json', '--model', 'large'] Hello."
    assert step["agent"] == "mine/large"
    assert (step["tokens"]["input"], step["tokens"]["output"]) == (10, 3)
    allowed = project.workflow(STEP, head="allow: {paths: ['src/**']}\n")
    done = project.run("run", allowed, "--json", PATH=path)
    assert "'--write'" in done.json["steps"]["ask"]["output"]
