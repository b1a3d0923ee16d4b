"""What docs/how-to/use-the-http-api.md shows is done as it says, against a real server."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.api_server import serving
from tests.support import ROOT, Project, script

pytest.importorskip("uvicorn")

PAGE = (ROOT / "docs/how-to/use-the-http-api.md").read_text()
BLOCKS = re.findall(r"^```(console|python)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_is_true(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    project = Project(tmp_path / "project")
    project.workflow(script("one", "true"), name="code-review", head="inputs: {base: string}\n")
    consoles = [text for kind, text in BLOCKS if kind == "console"]
    made = re.search(r"^\$ aiworkflow (token create .*)$", consoles[0], re.MULTILINE)
    assert made is not None
    token = project.run(*made[1].split(), "-q").out.strip()
    with serving(project) as server:
        env = {**project.env, "AIWORKFLOW_TOKEN": token}
        curls = [text for text in consoles if text.startswith("$ curl")]
        assert len(curls) == 2
        for text in curls:
            command = text.removeprefix("$ ").split("\nid: 1")[0].split("\n{")[0]
            command = command.replace("localhost:8080", f"localhost:{server.port}")
            done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            if "RUN" not in env:
                started = json.loads(done.stdout)
                assert started.keys() == {"run", "new", "status"}
                env["RUN"] = started["run"]
            else:
                assert done.stdout.rstrip().splitlines()[-2] == "event: end"
        lines = re.findall(r"^\$ aiworkflow (.*)$", consoles[-1], re.MULTILINE)
        for line in lines:
            away = {"AIWORKFLOW_SERVER": server.url, "AIWORKFLOW_TOKEN": token}
            assert project.run(*line.split(), **away).code == 0
        code = next(text for kind, text in BLOCKS if kind == "python")
        code = code.replace("https://workflows.example.org", server.url)
        body = "".join(f"    {line}\n" for line in code.splitlines())
        scope: dict[str, object] = {}
        exec(f"import aiworkflow\nasync def main(token):\n{body}    return result\n", scope)
        result = asyncio.run(scope["main"](token))  # type: ignore[operator]
        assert result.status == "succeeded"


def test_every_command_of_the_page_can_be_done_at_a_server() -> None:
    from aiworkflow.cli.there import THERE

    told = PAGE.partition("## From the command line")[2].partition("## From Python")[0]
    for words in THERE:
        assert words.split()[-1] in told, words
