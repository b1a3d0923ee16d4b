"""`aiworkflow cost report`, against a model server: 7 tokens of an answer at ten cents each are 0.7."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import aiworkflow
from aiworkflow.observe.costs import CostReport
from tests.contract.agents.model_server import ModelServer, Reply
from tests.support import ROOT, Project, group, script

CONFIG = """agent: paid/m1
agents:
  paid: {{api: anthropic, url: "{url}", max_tokens: 10, price: {{input: 0, output: 100000}}}}
  cheap: {{api: anthropic, url: "{url}", model: m2, price: {{input: 0, output: 10000}}}}
  odd: {{api: anthropic, url: "{url}", model: m3}}
"""
ADD = """import sys
given = dict(one[2:].split("=", 1) for one in sys.argv[1:])
print(int(given["a"]) + int(given["b"]))
"""
KILL_AT = str(Path(ROOT) / "tests/crash/kill_at.py")


def asks(id_: str, settings: str = "", level: int = 2) -> str:
    block = f"```yaml step\nid: {id_}\n{settings}```"
    return f"{'#' * level} Ask {id_}\n\n{block}\n\nSay something.\n\n"


def set_up(project: Project, server: ModelServer) -> None:
    project.write(".aiworkflow/config.yaml", CONFIG.format(url=server.url))


def report(project: Project, *words: str) -> Any:
    done = project.run("cost", "report", "--json", *words)
    assert done.code == 0, done.err
    return done.json


def rows(project: Project, *words: str) -> list[tuple[Any, ...]]:
    """Values, attempts and cost of each row."""
    found = report(project, *words)
    return [
        (*(row[level] for level in found["by"]), row["attempts"], round(row["cost_usd"], 6))
        for row in found["rows"]
    ]


def test_costs_are_added_up_by_every_level(project: Project) -> None:
    project.workflow(asks("a") + asks("b", "agent: cheap\n"), name="one")
    project.workflow(asks("a"), name="two")
    with ModelServer(["fine"]) as server:
        set_up(project, server)
        first = project.run("run", "one", "--json", AIWORKFLOW_ACTOR="ann").json["run"]
        second = project.run("run", "two", "--json", AIWORKFLOW_ACTOR="bob").json["run"]
    assert rows(project) == [("bundles/one", 2, 0.77), ("bundles/two", 1, 0.7)]
    assert rows(project, "--by", "step") == [("a", 2, 1.4), ("b", 1, 0.07)]
    assert rows(project, "--by", "agent") == [("paid", 2, 1.4), ("cheap", 1, 0.07)]
    assert rows(project, "--by", "model") == [("m1", 2, 1.4), ("m2", 1, 0.07)]
    assert rows(project, "--by", "user") == [("ann", 2, 0.77), ("bob", 1, 0.7)]
    assert rows(project, "--by", "run") == [(first, 2, 0.77), (second, 1, 0.7)]
    day = time.strftime("%Y-%m-%d", time.gmtime())
    assert rows(project, "--by", "day") == [(day, 3, 1.47)]
    assert rows(project, "--by", "bundle,step") == [
        ("bundles/one", "a", 1, 0.7),
        ("bundles/two", "a", 1, 0.7),
        ("bundles/one", "b", 1, 0.07),
    ]
    total = report(project)["total"]
    assert total == {
        "runs": 2,
        "attempts": 3,
        "failed": 0,
        "input_tokens": 45,
        "cached_tokens": 15,
        "output_tokens": 21,
        "cost_usd": 1.47,
        "failed_usd": 0.0,
        "unknown_price": 0,
        "lost": 0,
    }
    # only some of it
    assert rows(project, "--bundle", "two") == [("bundles/two", 1, 0.7)]
    assert rows(project, "--by", "step", "--agent", "cheap") == [("b", 1, 0.07)]
    assert rows(project, "--model", "m2") == [("bundles/one", 1, 0.07)]
    assert rows(project, "--user", "bob") == [("bundles/two", 1, 0.7)]
    assert rows(project, "--step", "b") == [("bundles/one", 1, 0.07)]
    assert rows(project, "--run", "last") == [("bundles/two", 1, 0.7)]
    assert rows(project, "--since", "7d") == rows(project)
    assert rows(project, "--until", "1d") == []
    assert rows(project, "--since", "2020-01-01", "--until", "2020-12-31") == []


def test_it_is_a_table_or_csv_too(project: Project) -> None:
    project.workflow(asks("a") + asks("b", "agent: odd\n"))
    assert "no agent was asked" in project.run("cost", "report").out
    with ModelServer(["fine"]) as server:
        set_up(project, server)
        project.run("run", "flow")
    table = project.run("cost", "report", "--by", "step").out.splitlines()
    assert table[0].split() == [
        "STEP",
        "RUNS",
        "ATTEMPTS",
        "FAILED",
        "INPUT",
        "CACHED",
        "OUTPUT",
        "COST",
    ]
    assert table[1].split() == ["a", "1", "1", "0", "15", "5", "7", "$0.7000"]
    assert "unknown; 1 attempt of unknown price" in table[2]
    assert "at least $0.7000; 1 attempt of unknown price" in table[3]
    text = project.run("cost", "report", "--by", "bundle,step", "--csv").out
    found = list(csv.DictReader(io.StringIO(text)))
    assert [row["step"] for row in found] == ["a", "b"]
    assert [row["unknown_price"] for row in found] == ["0", "1"]
    assert found[0]["cost_usd"] == "0.7"


def test_attempts_that_failed_were_paid_for_too(project: Project) -> None:
    settings = "output: {score: integer}\nretry: {times: 1, base: 1ms}\n"
    project.workflow(asks("a", settings))
    with ModelServer(["no", "no", "no", {"score": 1}]) as server:
        set_up(project, server)
        done = project.run("run", "flow", "--json")
    assert done.code == 0, done.err
    row = report(project)["rows"][0]
    assert (row["attempts"], row["failed"]) == (2, 1)
    assert row["cost_usd"] == pytest.approx(done.json["cost_usd"])
    assert row["failed_usd"] == pytest.approx(2.1)
    assert "$2.1000 of it for attempts that failed" in project.run("cost", "report").out


def test_what_never_came_to_an_agent_has_no_unknown_price(project: Project) -> None:
    project.workflow(asks("a"))
    with ModelServer([(401, {}, "{}")]) as server:
        set_up(project, server)
        assert project.run("run", "flow").code == 1
    row = report(project)["rows"][0]
    assert (row["attempts"], row["failed"], row["cost_usd"], row["unknown_price"]) == (1, 1, 0, 0)


def test_child_runs_count_once_and_under_who_called_them(project: Project) -> None:
    project.workflow(asks("a") + asks("b"), name="child")
    calls = "## Call\n\n```yaml step\nid: call\nworkflow: ../child\n```\n\n"
    project.workflow(asks("own") + calls)
    with ModelServer(["fine"]) as server:
        set_up(project, server)
        done = project.run("run", "flow", "--json")
    assert done.json["cost_usd"] == pytest.approx(2.1)
    assert rows(project, "--by", "bundle") == [("bundles/flow", 3, 2.1)]
    assert rows(project, "--by", "run") == [(done.json["run"], 3, 2.1)]
    assert rows(project, "--by", "step") == [
        ("call/a", 1, 0.7),
        ("call/b", 1, 0.7),
        ("own", 1, 0.7),
    ]


def test_what_is_used_again_or_taken_over_is_not_paid_twice(project: Project) -> None:
    project.workflow(asks("a", "cache: true\n") + script("ok", "[ -e go ]") + asks("z"))
    with ModelServer(["fine"]) as server:
        set_up(project, server)
        assert project.run("run", "flow").code == 1
        assert project.run("run", "flow").code == 1  # `a` from the cache
        assert rows(project) == [("bundles/flow", 1, 0.7)]
        project.write("go", "")
        assert project.run("runs", "resume", "last").code == 0
        assert rows(project, "--by", "step") == [("a", 1, 0.7), ("z", 1, 0.7)]
        assert project.run("runs", "fork", "last", "--from", "z").code == 0
        assert len(server.requests) == 3
    assert rows(project, "--by", "step") == [("z", 2, 1.4), ("a", 1, 0.7)]
    # undoing takes back nothing of it, and pruning runs forgets nothing of it
    done = project.run("journal", "prune", "--status", "succeeded", "--status", "failed")
    assert done.code == 0, done.err
    assert rows(project, "--by", "step") == [("z", 2, 1.4), ("a", 1, 0.7)]
    assert project.run("journal", "check").code == 0


def test_items_of_an_each_are_one_row(project: Project) -> None:
    project.workflow(group("g", "each: \"['x', 'y', 'z']\"\n", asks("a", level=3)))
    with ModelServer(["fine"]) as server:
        set_up(project, server)
        assert project.run("run", "flow").code == 0
    assert rows(project, "--by", "step") == [("a", 3, 2.1)]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_report_is_exact_after_a_kill_at_any_commit(project: Project, when: str) -> None:
    project.workflow(asks("a") + asks("b") + script("end", "true"))
    with ModelServer(["fine"]) as server:
        set_up(project, server)
        for number in range(1, 40, 1 if "EXHAUSTIVE" in os.environ else 2):
            killed = subprocess.run(
                [sys.executable, KILL_AT, str(number), when, "run", "flow"],
                cwd=project.root,
                env=project.env,
                capture_output=True,
                timeout=60,
            )
            if killed.returncode != -signal.SIGKILL:
                break
            if project.run("runs", "list", "--json").json["runs"]:
                project.run("runs", "resume", "last")
    found = report(project, "--by", "run")
    listed = {row["run"]: row for row in project.run("runs", "list", "--json").json["runs"]}
    assert number > 3
    for row in found["rows"]:
        assert row["cost_usd"] == pytest.approx(listed[row["run"]]["cost_usd"])
        assert row["attempts"] == 2 + row["unknown_price"], "a lost attempt has no known price"
    total = found["total"]
    assert total["attempts"] >= len(server.requests), "nothing that was asked is missing"
    assert total["attempts"] - total["unknown_price"] == 2 * len(found["rows"])


def test_a_run_that_goes_on_after_a_stop_adds_to_its_page(project: Project) -> None:
    project.workflow(asks("a") + asks("b", "approve: true\nagent: paid/m1\n"))
    with ModelServer(["fine"]) as server:
        set_up(project, server)
        assert project.run("run", "flow").code == 3
        assert rows(project) == [("bundles/flow", 1, 0.7)]
        assert project.run("approvals", "approve", "last").code == 0
    assert rows(project) == [("bundles/flow", 2, 1.4)]


def test_an_attempt_that_was_broken_off_has_an_unknown_price(project: Project) -> None:
    project.workflow(asks("a", "timeout: 500ms\n"))
    with ModelServer(["hang"]) as server:
        set_up(project, server)
        assert project.run("run", "flow").code == 1
    row = report(project, "--by", "agent,model")["rows"][0]
    assert (row["agent"], row["model"], row["unknown_price"]) == ("paid", "m1", 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--by", "bundel"), "costs cannot be added up by `bundel`"),
        (("--by", "day,day"), "names a level twice"),
        (("--since", "yesterday"), "--since: `yesterday` is no day"),
        (("--since", "2027-01-31", "--until", "2027-01-01"), "before it begins"),
        (("--csv", "--json"), "the report is printed once"),
    ],
)
def test_what_cannot_be_reported_is_said(
    project: Project, words: tuple[str, ...], said: str
) -> None:
    done = project.run("cost", "report", *words)
    assert done.code == 2
    assert said in done.err + done.out


def test_the_same_from_python(project: Project) -> None:
    project.workflow(asks("a"))
    with ModelServer(["fine"]) as server:
        set_up(project, server)

        async def use() -> CostReport:
            async with aiworkflow.connect(project.root) as client:
                await (await client.start("flow")).result()
                return client.costs(by=("agent", "model"), only={"bundle": ["flow"]})

        found = asyncio.run(use())
    assert [(row.values, row.spending.cost_usd) for row in found.rows] == [(("paid", "m1"), 0.7)]


def test_an_attempt_that_calls_tools_is_one_attempt(project: Project) -> None:
    tools = "add:\n  inputs: {a: integer, b: integer}\n  effect: read\n  description: Adds.\n"
    project.workflow(asks("a", "tools: [add]\n"), add=ADD)
    project.write("bundles/flow/tools.yaml", tools)
    calls = [("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})]
    with ModelServer([Reply(calls=calls), "Three and seven."]) as server:
        set_up(project, server)
        done = project.run("run", "flow", "--json")
        assert done.code == 0, done.err
        assert len(server.requests) == 2
    row = report(project, "--by", "step,agent,model")["rows"][0]
    assert (row["step"], row["agent"], row["model"]) == ("a", "paid", "m1")
    assert (row["attempts"], row["unknown_price"], row["input_tokens"]) == (1, 0, 30)
    assert row["cost_usd"] == pytest.approx(done.json["cost_usd"])
