"""Budgets hold around agents that call tools again and again, also of those that go on together."""

from __future__ import annotations

from tests.contract.agents.model_server import ModelServer
from tests.e2e.agent_tools import calls
from tests.support import Project

STEP = "```yaml step\nid: {id}\ntools: [file.read]\nturns: 60\n```\n\nRead on.\n\n"
AGAIN = calls(("file.read", {"path": "a.txt"}))
PRICE = "price: {input: 1, output: 10}"
EXCHANGE = (15 + 7 * 10) / 1_000_000  # at most: what is cached is in the 15


def agents(project: Project, server: ModelServer, price: str, more: str = "") -> None:
    project.write("a.txt", "x")
    about = f"api: anthropic, url: '{server.url}', max_tokens: 50"
    project.write(
        ".aiworkflow/config.yaml",
        f"agents:\n  small: {{{about}, model: m1, {price}}}\n"
        f"  dear: {{{about}, model: m2, {PRICE}}}\n{more}",
    )


def test_loops_that_go_on_together_stay_within_one_budget(project: Project) -> None:
    steps = "".join(f"### S{n}\n\n" + STEP.format(id=f"s{n}") for n in range(4))
    body = f"## All\n\n```yaml step\nid: all\nparallel: true\n```\n\n{steps}"
    project.workflow(body, head="budget: {usd: 0.006}\n")
    with ModelServer([AGAIN]) as server:
        agents(project, server, PRICE)
        done = project.run("run", "flow", "--agent", "small", "--json")
        assert done.code == 4, done.out + done.err
        assert done.json["error"]["kind"] == "budget"
        # each may have had one exchange under way when it was used up
        assert len(server.requests) * EXCHANGE < 0.006 + 2 * 4 * EXCHANGE


def test_an_agent_of_unknown_price_does_not_loop_past_a_budget(project: Project) -> None:
    project.workflow("## Review\n\n" + STEP.format(id="review"), head="budget: {usd: 0.002}\n")
    with ModelServer([AGAIN]) as server:
        agents(project, server, "headers: {}")
        done = project.run("run", "flow", "--agent", "small", "--json")
        assert done.code == 4, done.out + done.err
        assert done.json["error"]["kind"] == "budget"
        assert len(server.requests) < 60


def test_what_the_project_may_spend_today_ends_a_loop(project: Project) -> None:
    project.workflow("## Review\n\n" + STEP.format(id="review"))
    with ModelServer([AGAIN]) as server:
        agents(project, server, PRICE, "budget: {daily: 0.0025}\n")
        done = project.run("run", "flow", "--agent", "small", "--json")
        assert done.code == 4, done.out + done.err
        assert done.json["error"]["kind"] == "budget"
        assert len(server.requests) * EXCHANGE < 0.0025 + 2 * EXCHANGE
