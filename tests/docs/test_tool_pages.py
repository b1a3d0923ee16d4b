"""The pages about MCP servers and tools that stay: their examples are read and run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, Project

HOW_TO = ROOT / "docs" / "how-to"


def blocks(page: str, language: str) -> list[str]:
    text = (HOW_TO / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("language", "ending"), [("python", "py"), ("javascript", "js")])
def test_a_tool_that_stays(tmp_path: Path, language: str, ending: str) -> None:
    project = Project(tmp_path)
    project.workflow("## A\n\n```yaml step\nuses: words.count\nwith: {text: one two three}\n```\n")
    (declared,) = blocks("keep-a-tool-alive.md", "yaml")
    (code,) = blocks("keep-a-tool-alive.md", language)
    project.write("bundles/flow/tools.yaml", declared)
    project.write(f"bundles/flow/tools/words.{ending}", code)
    done = project.run("run", "flow", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["steps"]["a"]["output"] == {"words": 3}


def test_the_servers_of_the_page_are_settings_that_hold(tmp_path: Path) -> None:
    project = Project(tmp_path)
    config, call, allow = blocks("use-mcp-servers.md", "yaml")
    project.write(".aiworkflow/config.yaml", config)
    call = call.replace("{{ steps.sum.output }}", "{{ inputs.text }}")
    head = f"inputs: {{text: string}}\n{allow}"
    project.workflow(f"## A\n\n```yaml step\n{call}```\n", head=head)
    done = project.run("bundle", "validate", "flow")
    assert done.code == 0, done.err
    project.workflow(f"## A\n\n```yaml step\n{call}```\n", head="inputs: {text: string}\n")
    done = project.run("bundle", "validate", "flow")
    assert "`mcp:files/write_file` writes, and `allow.write` does not name it" in done.err
    assert "secret `FILES_TOKEN`" in done.err


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    project = Project(tmp_path)
    server = f"{{command: {sys.executable}, args: [{ROOT / 'tests/mcp_old_server.py'}], effect: {{echo: read}}}}"
    project.write(".aiworkflow/config.yaml", f"mcp: {{servers: {{files: {server}}}}}\n")
    (lines,) = blocks("use-mcp-servers.md", "console")
    for line in lines.splitlines():
        words = line.removeprefix("$ aiworkflow ").split()
        words = [word.replace("read_file", "echo").replace("write_file", "echo") for word in words]
        words = [word.replace("--path=", "--text=") for word in words]
        done = project.run(*words)
        assert done.code == 0, (line, done.out + done.err)
