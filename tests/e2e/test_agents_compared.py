"""`agents bench`, `compare` and `report`: agents beside each other, through ordinary runs."""

from __future__ import annotations

from typing import Any

from tests.support import Project

CONFIG = """agents:
  good: {echo: {text: '{"score": 8}'}, price: {input: 100, output: 100}}
  poor: {echo: {text: '{"score": 2}'}, price: {input: 1}}
  bad: {echo: {fail: refused}}
  judge: {echo: {text: '{"score": 7, "why": "short"}'}}
agent: good
breaker: {threshold: 0}
"""
SCORED = (
    "## Ask\n\n```yaml step\nid: ask\noutput: {score: integer}\n```\n\nScore {{ inputs.word }}.\n\n"
)
HEAD = (
    "inputs: {word: {type: string, default: x}}\n"
    'outputs: {score: "{{ steps.ask.output.score }}"}\nagent: bad\n'
)


def bundle(project: Project, body: str = SCORED, head: str = HEAD) -> None:
    project.write(".aiworkflow/config.yaml", CONFIG)
    project.workflow(body, head=head)


def by_agent(found: Any) -> dict[str, Any]:
    return {one["agent"]: one for one in found["agents"]}


def test_agents_are_compared_on_the_same_inputs(project: Project) -> None:
    bundle(project)
    words = ("agents", "compare", "flow", "--agents", "good,poor,bad", "--runs", "4")
    done = project.run(*words, "--input", "word=y", "--json")
    assert done.code == 0, done.err
    found = by_agent(done.json)
    good, poor, bad = found["good"], found["poor"], found["bad"]
    assert (good["runs"], good["succeeded"], good["score"]["value"]) == (4, 4, 8)
    assert good["success"]["low"] < 0.6 < good["success"]["high"] == 1
    assert good["cost_usd"]["value"] > 0
    assert good["seconds"]["low"] <= good["seconds"]["value"] <= good["seconds"]["high"]
    assert (poor["score"]["value"], poor["cost_usd"]) == (2, None)
    assert (bad["succeeded"], bad["seconds"]) == (0, None)
    assert bad["errors"] == ["`bad` is set to fail: refused"]
    runs = project.run("runs", "list", "--json", "--limit", "50").json["runs"]
    assert len(runs) == 12
    table = project.run(*words).out
    assert "100% [51% to 100%]" in table
    assert "8.00 [8.00 to 8.00]" in table


def test_a_judge_scores_what_came_out(project: Project) -> None:
    body = "## Ask\n\n```yaml step\nid: ask\n```\n\nSay {{ inputs.word }}.\n\n"
    bundle(project, body, "inputs: {word: {type: string, default: x}}\n")
    words = ("agents", "compare", "flow", "--agents", "good,poor", "-n", "2", "--json")
    assert by_agent(project.run(*words).json)["good"]["score"] is None
    done = project.run(*words, "--judge", "judge")
    assert by_agent(done.json)["good"]["score"]["value"] == 7
    judged = project.run("runs", "show", "last", "--json").json
    assert judged["steps"]["judge"]["agent"] == "judge"


def test_nothing_is_started_when_an_agent_cannot_be_used(project: Project) -> None:
    bundle(project)
    done = project.run("agents", "compare", "flow", "--agents", "good,openai/m")
    assert done.code == 2
    assert "OPENAI_API_KEY is not set" in done.err
    assert project.run("runs", "list", "--json").json["runs"] == []
    assert project.run("agents", "compare", "flow", "--agents", ",").code == 2
    done = project.run("agents", "compare", "flow", "--agents", "good", "--input", "no=1")
    assert done.code == 2


def test_the_agent_of_the_command_line_is_stronger_than_that_of_the_bundle(
    project: Project,
) -> None:
    bundle(project)
    assert "bad" in project.run("run", "flow").err
    done = project.run("run", "flow", "--agent", "good", "--json")
    assert done.json["steps"]["ask"]["agent"] == "good"
    own = SCORED.replace("id: ask\n", "id: ask\nagent: bad\n")
    bundle(project, own, "inputs: {word: {type: string, default: x}}\n")
    assert project.run("run", "flow", "--agent", "good").code == 0


def test_a_bench_says_what_it_may_cost_before_anybody_is_asked(project: Project) -> None:
    bundle(project)
    done = project.run("agents", "bench", "good", "poor")
    assert done.code == 4
    assert "this asks good, poor 3 times each, and may cost up to $" in done.err
    assert "the price of poor is not known" in done.err
    assert "agree to it: --yes" in done.err
    assert project.run("runs", "list", "--json").json["runs"] == []


def test_a_bench_measures_and_what_it_measures_counts(project: Project) -> None:
    bundle(project)
    done = project.run("agents", "bench", "good", "bad", "--yes", "-n", "2", "--json")
    assert done.code == 0, done.err
    found = by_agent(done.json)
    assert (found["good"]["runs"], found["good"]["success"]["value"]) == (2, 1.0)
    assert found["good"]["tokens_per_second"] > 0
    assert found["bad"]["success"]["value"] == 0
    listed = by_agent(project.run("agents", "list", "--json").json)
    assert listed["good"]["measured"]["good"]["attempts"] == 2
    assert listed["bad"]["measured"]["bad"]["failures"] == {"refused": 2}
    assert "good" in project.run("agents", "bench", "--yes", "-n", "1").out


def test_without_an_agent_there_is_nothing_to_measure(project: Project) -> None:
    done = project.run("agents", "bench", "--yes")
    assert done.code == 2
    assert "no agent in the settings that can be used here" in done.err


def test_a_report_puts_the_arms_beside_each_other(project: Project) -> None:
    body = (
        "## Ask\n\n```yaml step\nid: ask\noutput: {score: integer}\non_error: continue\n"
        "agent: {ab: {good: 0.5, bad: 0.5}, key: '{{ item }}'}\neach: range(20)\n```\n\nHi\n\n"
    )
    bundle(project, body, "")
    assert "no run of bundles/flow has a step" in project.run("agents", "report", "flow").out
    project.run("run", "flow")
    project.run("run", "flow")
    done = project.run("agents", "report", "flow", "--json")
    assert done.code == 0, done.err
    (arms,) = done.json["steps"].values()
    assert list(done.json["steps"]) == ["ask"]
    good, bad = {one["agent"]: one for one in arms}["good"], arms[0]
    assert good["runs"] + bad["runs"] == 40
    assert good["runs"] % 2 == 0, "the same key, the same arm in both runs"
    assert (good["success"]["value"], bad["success"]["value"]) == (1.0, 0.0)
    assert good["score"]["value"] == 8
    assert good["cost_usd"]["value"] > 0
    assert project.run("agents", "report", "flow", "--limit", "1", "--json").json != done.json
    text = project.run("agents", "report", "flow").out
    assert text.startswith("ask\n  AGENT")
