"""What a run may cost, before it starts: shown, and asked for above a threshold."""

from __future__ import annotations

import asyncio
import sys

import pytest

import aiworkflow
from tests.contract.agents.model_server import ModelServer
from tests.e2e.test_breakpoints import Terminal
from tests.support import Project, group, script

CONFIG = """agent: paid/m1
agents:
  paid: {{api: anthropic, url: "{url}", max_tokens: 10, price: {{input: 0, output: 100000}}}}
  odd: {{api: anthropic, url: "{url}", model: m3, key: ODD_KEY}}
"""


def asks(id_: str, settings: str = "", level: int = 2) -> str:
    block = f"```yaml step\nid: {id_}\n{settings}```"
    return f"{'#' * level} Ask {id_}\n\n{block}\n\nSay something.\n\n"


def set_up(project: Project, url: str = "http://127.0.0.1:9", more: str = "") -> None:
    project.write(".aiworkflow/config.yaml", CONFIG.format(url=url) + more)


# each of 4 × 2 rounds × (1 + 1) attempts, and one more; an answer is a dollar at most
NESTED = group(
    "g",
    "until: steps.last.output == 'y'\nmax_rounds: 2\n",
    asks("a", "each: inputs.names\nmax_items: 4\nretry: 1\n", level=3),
    script("last", "echo y", level=3),
) + asks("b")


def test_the_bound_is_exact_for_each_times_until_times_retry(project: Project) -> None:
    set_up(project)
    project.workflow(NESTED, head="inputs: {names: [string]}\n")
    cost = project.run("bundle", "info", "flow", "--json").json["cost"]
    assert cost["most_usd"] == 4 * 2 * 2 + 1
    first = cost["steps"][0]
    assert first["step"] == "a"
    assert first["factors"] == [["rounds", 2], ["items", 4], ["attempts", 2]]
    assert first["attempt"]["most_usd"] == 1
    given = ("--inputs", "in.json")
    project.write("in.json", '{"names": ["x", "y", "z"]}')
    done = project.run("run", "flow", "--dry-run", *given, "--json")
    assert done.json["cost"]["most_usd"] == 3 * 2 * 2 + 1, "three names are known to be three"
    text = project.run("run", "flow", "--dry-run", *given).out
    assert "cost       at most $13.0000" in text
    assert "a  2 rounds × 3 items × 2 attempts × (505 + 10 tokens) of paid/m1 = $12.0000" in text
    assert "cost       at most $17.0000" in project.run("bundle", "info", "flow").out


def test_a_bundle_without_agents_has_no_line_of_cost(project: Project) -> None:
    project.workflow(script("a", "true"))
    assert "cost" not in project.run("bundle", "info", "flow").out
    assert project.run("bundle", "info", "flow", "--json").json["cost"]["most_usd"] == 0


def test_what_is_not_known_is_said(project: Project) -> None:
    set_up(project)
    project.workflow(asks("a") + asks("b", "agent: odd\n"))
    text = project.run("bundle", "info", "flow").out
    assert "cost       $1.0000 and more, of unknown price" in text
    assert "`b`: the price of `odd/m3` is not known" in text


def test_the_agent_of_the_command_line_is_the_one_that_counts(project: Project) -> None:
    set_up(project)
    project.workflow(asks("a", "agent: odd\n"))
    done = project.run("run", "flow", "--dry-run", "--agent", "paid/m1", "--json", ODD_KEY="k")
    assert done.json["cost"]["most_usd"] == 1


def test_called_workflows_count_with_their_own_budget(project: Project) -> None:
    set_up(project)
    project.workflow(asks("a", "retry: 3\n"), name="child", head="budget: {usd: 2.5}\n")
    calls = "## Call\n\n```yaml step\nid: call\nworkflow: ../child\neach: '[1, 2]'\n```\n\n"
    project.workflow(calls + asks("own"))
    cost = project.run("bundle", "info", "flow", "--json").json["cost"]
    assert cost["most_usd"] == 2 * 2.5 + 1
    assert [one["step"] for one in cost["steps"]] == ["call/a", "own"]


def test_past_runs_say_what_is_usual(project: Project) -> None:
    project.workflow(asks("a", "each: inputs.names\n"), head="inputs: {names: [string]}\n")
    with ModelServer(["fine"]) as server:
        set_up(project, server.url)
        for count in (1, 1, 3):
            names = '["x"' + ', "y"' * (count - 1) + "]"
            assert project.run("run", "flow", "-i", f"names={names}").code == 0
    past = project.run("bundle", "info", "flow", "--json").json["cost"]["past"]
    assert past == {"runs": 3, "p50_usd": 0.7, "p90_usd": 2.1}
    text = project.run("bundle", "info", "flow").out
    assert "past: half ≤ $0.7000, nine of ten ≤ $2.1000 (3 runs)" in text


def test_above_the_threshold_a_run_is_refused_unless_agreed_to(project: Project) -> None:
    project.workflow(asks("a") + asks("b"))
    with ModelServer(["fine"]) as server:
        set_up(project, server.url, "budget: {ask_above: 1.5}\n")
        done = project.run("run", "flow")
        assert done.code == 4
        assert "a run of bundles/flow may cost $2.0000, and above $1.5 is asked" in done.err
        assert "agree with --yes" in done.err
        assert project.run("runs", "list", "--json").json["runs"] == []
        assert server.requests == []
        error = project.run("run", "flow", "--json").json["error"]
        assert error["code"] == "cost-not-agreed"
        assert project.run("run", "flow", "--yes").code == 0
        # what is bounded below the threshold is not asked about
        set_up(project, server.url, "budget: {ask_above: 1.75, usd: 1.72}\n")
        assert project.run("run", "flow").code == 0
        set_up(project, server.url, "budget: {ask_above: 2}\n")
        assert project.run("run", "flow").code == 0


def test_what_nobody_knows_the_price_of_is_asked_about_too(project: Project) -> None:
    set_up(project, more="budget: {ask_above: 100}\n")
    project.workflow(asks("a", "agent: odd\n"))
    done = project.run("run", "flow", ODD_KEY="k")
    assert done.code == 4
    assert "nobody knows how much, of unknown price" in done.err


def test_a_batch_counts_all_its_runs(project: Project) -> None:
    project.workflow(asks("a"), head="inputs: {n: integer}\n")
    project.write("in.jsonl", '{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    with ModelServer(["fine"]) as server:
        set_up(project, server.url, "budget: {ask_above: 2.5}\n")
        done = project.run("run", "flow", "--batch", "in.jsonl")
        assert done.code == 4
        assert "3 runs of bundles/flow may cost $3.0000" in done.err
        assert server.requests == []
        assert project.run("run", "flow", "--batch", "in.jsonl", "--yes").code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_on_a_terminal_it_is_asked(project: Project) -> None:
    project.workflow(asks("a") + asks("b"))
    with ModelServer(["fine"]) as server:
        set_up(project, server.url, "budget: {ask_above: 1.5}\n")
        terminal = Terminal(project, "run", "flow")
        assert "at most $2.0000" in terminal.until("start? [y]es, Enter for no: ")
        terminal.type("")
        terminal.until("nothing was started")
        assert terminal.process.wait(30) == 4
        terminal = Terminal(project, "run", "flow")
        terminal.until("start? [y]es, Enter for no: ")
        terminal.type("y")
        assert terminal.end() == 0
        assert len(server.requests) == 2


def test_the_same_from_python(project: Project) -> None:
    set_up(project)
    project.workflow(asks("a", "each: inputs.names\n"), head="inputs: {names: [string]}\n")

    async def use() -> float | None:
        async with aiworkflow.connect(project.root) as client:
            return client.outlay("flow", {"names": ["x", "y"]}).bound.total.most_usd

    assert asyncio.run(use()) == 2
