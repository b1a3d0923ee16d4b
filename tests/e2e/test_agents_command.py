"""`agents list`, `check` and `show`: what is known of agents, through the command."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.agents.model_server import ModelServer
from tests.support import Project

ASK = "## Ask\n\n```yaml step\nid: ask\n```\n\nSay hello.\n\n"
CONFIG = """agents:
  mine: {{api: anthropic, url: "{url}", model: m1, key: MY_KEY, price: {{input: 1000, output: 1000}}}}
  dead: {{api: ollama, url: "http://127.0.0.1:1", model: m2}}
  down: {{echo: {{fail: unavailable}}}}
breaker: {{threshold: 1, cool_down: 1h}}
"""


def config(project: Project, server: ModelServer) -> None:
    project.env["MY_KEY"] = "sk-very-secret"
    project.write(".aiworkflow/config.yaml", CONFIG.format(url=server.url))


def listed(project: Project, *words: str) -> dict[str, Any]:
    done = project.run("agents", "list", "--json", *words)
    assert done.code == 0, done.err
    return {one["agent"]: one for one in done.json["agents"]}


def test_all_agents_are_listed_with_what_they_are(project: Project) -> None:
    with ModelServer(["hi"]) as server:
        config(project, server)
        project.write("bin/codex", "#!/bin/sh\n", executable=True)
        project.env["PATH"] = f"{project.root}/bin:{project.env['PATH']}"
        found = listed(project)
        assert {"mine", "dead", "down", "anthropic", "openai", "ollama", "echo"} <= found.keys()
        mine = found["mine"]
        assert (mine["kind"], mine["api"], mine["model"]) == ("api", "anthropic", "m1")
        assert mine["key"] == {"variable": "MY_KEY", "is_set": True}
        assert mine["price"] == {"input": 1000, "output": 1000}
        assert "structured" in mine["abilities"]
        assert mine["usable"]
        assert found["openai"]["key"] == {"variable": "OPENAI_API_KEY", "is_set": False}
        assert "OPENAI_API_KEY is not set" in found["openai"]["problem"]
        assert found["codex"]["origin"] == str(project.root / "bin/codex")
        done = project.run("agents", "list")
        assert "mine" in done.out
        assert "very-secret" not in done.out + done.err
    assert not (project.root / ".aiworkflow/state").exists(), "to look makes no journal"


def test_what_runs_measure_is_shown(project: Project) -> None:
    project.workflow(ASK)
    with ModelServer(["hi"]) as server:
        config(project, server)
        for agent in ("mine", "mine", "down"):
            project.run("run", "flow", "--agent", agent)
        found = listed(project)
        measured = found["mine"]["measured"]["mine/m1"]
        assert (measured["attempts"], measured["success"]) == (2, 1.0)
        assert measured["median_seconds"] > 0
        assert measured["tokens_per_second"] > 0
        assert measured["mean_cost_usd"] > 0
        assert found["down"]["measured"]["down"]["failures"] == {"unavailable": 1}
        assert "left alone for" in found["down"]["breaker"]
        shown = project.run("agents", "show", "mine").out
        assert "MY_KEY, set" in shown
        assert "input $1000, output $1000 for a million tokens" in shown
        assert "measured here, mine/m1\n  attempts     2\n  answered     100%" in shown
        assert "left alone" in project.run("agents", "show", "down").out


def test_check_asks_whether_they_answer(project: Project) -> None:
    with ModelServer(["hi"]) as server:
        config(project, server)
        done = project.run("agents", "check", "--json")
        assert done.code == 1
        found = {one["agent"]: one for one in done.json["agents"]}
        assert found["mine/m1"]["usable"]
        assert "127.0.0.1:1 cannot be reached" in found["dead/m2"]["problem"]
        assert not found["openai"]["usable"]
        assert server.requests == [], "nothing that costs was asked"
        assert project.run("agents", "check", "mine").code == 0
        assert project.run("agents", "check", "dead").code == 1
        assert project.run("agents", "check", "openai/m").code == 1
        quiet = project.run("agents", "check", "-q")
        assert "dead" in quiet.out
        assert "mine" not in quiet.out


def test_without_settings_nothing_is_wrong(project: Project) -> None:
    done = project.run("agents", "check", "--json")
    assert (done.code, done.json["ok"]) == (0, True)


def test_an_unknown_agent_is_said(project: Project) -> None:
    done = project.run("agents", "show", "anthropc")
    assert done.code == 2
    assert "there is no agent `anthropc`" in done.err
    assert "did you mean `anthropic`?" in done.err


@pytest.mark.parametrize(
    ("head", "words", "says"),
    [
        ("agent: anthropc/m\n", (), "step `say` asks it, as the workflow says"),
        ("", ("--agent", "anthropc/m"), "step `say` asks it, as --agent or a setting says: aiw"),
    ],
)
def test_whoever_names_an_agent_that_is_not_there_is_told_where(
    project: Project, head: str, words: tuple[str, ...], says: str
) -> None:
    project.workflow("## Say\n\nSay hello.\n\n```yaml step\nid: say\n```\n", head=head)
    done = project.run("run", "flow", *words)
    assert (done.code, f"  help: {says}" in done.err) == (2, True), done.err
