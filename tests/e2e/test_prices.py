"""What a run costs by the price list, through the command, before a model server on loopback."""

from __future__ import annotations

import pytest

from tests.contract.agents.model_server import ModelServer, Reply
from tests.support import Project

ASK = "## Ask\n\n```yaml step\nid: ask\n```\n\nSay hello.\n"
SONNET = "anthropic/claude-sonnet-4-5"


def keys(server: ModelServer) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "sk-x"}


def test_a_known_model_has_its_cost_with_nothing_set(project: Project) -> None:
    project.workflow(ASK)
    with ModelServer(["hello"]) as server:
        done = project.run("run", "flow", "--json", "--agent", SONNET, **keys(server))
        assert done.code == 0, done.out + done.err
    step = done.json["steps"]["ask"]
    assert step["tokens"] == {"input": 15, "cached": 5, "output": 7}
    assert step["cost_usd"] == pytest.approx(10 * 3e-6 + 5 * 0.3e-6 + 7 * 15e-6)
    assert done.json["cost_usd"] == pytest.approx(step["cost_usd"], abs=1e-6)


def test_what_is_written_to_the_cache_is_dearer(project: Project) -> None:
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 100, "output_tokens": 7}
    project.workflow(ASK)
    with ModelServer([Reply("hello", usage=usage)]) as server:
        done = project.run("run", "flow", "--json", "--agent", SONNET, **keys(server))
    cost = done.json["steps"]["ask"]["cost_usd"]
    assert cost == pytest.approx(10 * 3e-6 + 100 * 3.75e-6 + 7 * 15e-6)


def test_a_model_nobody_knows_has_no_cost(project: Project) -> None:
    project.workflow(ASK)
    with ModelServer(["hello"]) as server:
        done = project.run("run", "flow", "--json", "--agent", "anthropic/m1", **keys(server))
    assert done.json["steps"]["ask"]["cost_usd"] is None
    assert (done.json["cost_usd"], done.json["unknown_price"]) == (0.0, 1)


def test_a_run_says_how_far_its_cost_is_known(project: Project) -> None:
    again = ASK.replace("## Ask", "## Again").replace("id: ask", f"id: again\nagent: {SONNET}")
    with ModelServer(["hello"]) as server:
        project.workflow(ASK)
        none = project.run("run", "flow", "--agent", "anthropic/m1", **keys(server))
        assert none.err.rstrip().endswith("cost unknown"), none.err
        project.workflow(ASK + again, head="agent: anthropic/m1\n")
        some = project.run("run", "flow", **keys(server))
        assert "at least $0.0001" in some.err, some.err
        all_ = project.run("run", "flow", "--agent", SONNET, "--json", **keys(server))
        assert all_.json["unknown_price"] == 0


def test_the_price_list_bounds_what_may_begin(project: Project) -> None:
    project.workflow(ASK, head="budget: {usd: 0.01}\n")  # 4096 tokens at 15 dollars are 6 cents
    with ModelServer(["hello"]) as server:
        done = project.run("run", "flow", "--json", "--agent", SONNET, **keys(server))
        assert server.requests == []
    assert done.json["error"]["kind"] == "budget"


@pytest.mark.parametrize(
    ("other", "begins"),
    [
        ("{api: anthropic, model: claude-sonnet-4-5}", False),
        ("{api: anthropic, model: m2, price: {input: 3, output: 15}}", False),
        ("{api: anthropic, model: m2}", True),
    ],
)
def test_an_unknown_price_counts_as_the_dearest_that_is_known(
    project: Project, other: str, begins: bool
) -> None:
    project.workflow(ASK, head="budget: {usd: 0.01}\n")
    with ModelServer(["hello"]) as server:
        config = (
            f'agents:\n  mine: {{api: openai, url: "{server.url}", model: m1}}\n  other: {other}\n'
        )
        project.write(".aiworkflow/config.yaml", config)
        done = project.run("run", "flow", "--json", "--agent", "mine", **keys(server))
        assert (len(server.requests) == 1) == begins
    assert (done.code == 0) == begins


@pytest.mark.parametrize("claim", [-1_000_000, 10**18, "many"])
def test_an_absurd_usage_report_neither_credits_nor_empties_a_budget(
    project: Project, claim: object
) -> None:
    usage = dict.fromkeys(("input_tokens", "output_tokens", "cache_read_input_tokens"), claim)
    two = ASK + ASK.replace("Ask", "Again").replace("ask", "again")
    project.workflow(two, head="budget: {usd: 0.25}\n")
    with ModelServer([Reply("hello", usage=usage)]) as server:
        done = project.run("run", "flow", "--json", "--agent", SONNET, **keys(server))
    assert done.code == 1, done.out + done.err
    error = done.json["steps"]["ask"]["error"]
    assert error["kind"] == "bad_output"
    assert "reports a usage that cannot be: `cache_read_input_tokens` is" in error["message"]
    assert 0 < done.json["cost_usd"] < 0.25, "what can be true is paid, and nothing else"
