"""`aiworkflow cost diff`: two versions of a bundle on the inputs of recorded runs.

The model server says 15 tokens for whatever it is sent and answers with 7: at a dollar and at two dollars
a thousand a recorded attempt costs 0.029, and a prompt twice as long 0.044.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.agents.model_server import ModelServer
from tests.support import Project, group, script

CONFIG = """agent: paid/m1
agents:
  paid: {{api: anthropic, url: "{url}", max_tokens: 10, price: {{input: 1000, output: 2000}}}}
  cheap: {{api: anthropic, url: "{url}", model: m2, price: {{input: 100, output: 200}}}}
  odd: {{api: anthropic, url: "{url}", model: m3}}
"""
PROMPT = "Say what {{ inputs.what }} is.\n"
HEAD = "inputs: {what: {type: string, default: rain}}\n"


def asks(id_: str, prompt: str = PROMPT, settings: str = "", level: int = 2) -> str:
    block = f"```yaml step\nid: {id_}\n{settings}```"
    return f"{'#' * level} Ask {id_}\n\n{block}\n\n{prompt}\n\n"


def commit(project: Project, body: str, name: str) -> None:
    project.workflow(body, head=HEAD)
    project.git("add", "bundles")
    project.git("commit", "-q", "-m", name)
    project.git("tag", name)


def record(project: Project, *inputs: str) -> None:
    with ModelServer(["fine"]) as server:
        project.write(".aiworkflow/config.yaml", CONFIG.format(url=server.url))
        for what in inputs:
            done = project.run("run", "flow", "-i", f"what={what}")
            assert done.code == 0, done.err


def diff(project: Project, *words: str) -> Any:
    done = project.run("cost", "diff", *words, "--json")
    assert done.code == 0, done.err
    return done.json


def steps(found: Any) -> dict[str, Any]:
    return {one["step"]: one for one in found["steps"]}


def test_a_longer_prompt_costs_more_in_proportion(project: Project) -> None:
    commit(project, asks("a") + asks("b"), "one")
    record(project, "rain", "sunshine")
    commit(project, asks("a", f"{PROMPT}\n{PROMPT}") + asks("b"), "two")
    found = diff(project, "one", "two")
    both = steps(found)
    assert both["b"]["status"] == "same"
    assert both["b"]["old"] == both["b"]["new"]
    assert both["b"]["old"]["input_tokens"] == 30
    assert both["b"]["old"]["cost_usd"] == pytest.approx(2 * 0.029)
    a = both["a"]
    assert (a["status"], a["ran"], a["old"]["input_tokens"]) == ("changed", 2, 30)
    lengths = [len(f"Say what {what} is.") for what in ("rain", "sunshine")]
    expected = sum(15 * (2 * length + 2) / length for length in lengths)
    assert a["new"]["input_tokens"] == round(expected)
    assert a["new"]["output_tokens"] == 14
    total = found["total"]
    assert total["old_usd"] == pytest.approx(4 * 0.029)
    more = (a["new"]["input_tokens"] - 30) * 0.001
    assert total["difference_usd"] == pytest.approx(more)
    # the same with the working tree, and the other way round
    assert diff(project, "one")["total"] == total
    assert diff(project, "two", "one")["total"]["difference_usd"] == pytest.approx(-more)
    assert len(found["runs"]) == 2
    assert len(diff(project, "one", "two", "--runs", "1")["runs"]) == 1
    assert len(diff(project, "one", "two", "--run", "last")["runs"]) == 1


def test_prompts_are_rendered_with_what_was_recorded_at_that_moment(project: Project) -> None:
    notes = "state: {seen: {reduce: append}}\n"
    body = group(
        "g",
        "until: round > 2\nmax_rounds: 3\n",
        '### Note\n\n```yaml step\nid: note\nset: {seen: "12345"}\n```\n\n',
        asks("a", "Seen: {{ state.seen | join(',') }}.", level=3),
    )
    project.workflow(body, head=HEAD + notes)
    project.git("add", "bundles")
    project.git("commit", "-q", "-m", "one")
    record(project, "rain")
    project.workflow(
        body.replace("Seen: {{", "Seen: {{ state.seen | join(',') }}{{"), head=HEAD + notes
    )
    a = steps(diff(project, "HEAD"))["a"]
    lengths = [(7 + 6 * n - 1, 6 * n - 1) for n in (1, 2, 3)]  # `Seen: .` and so many fives
    assert a["ran"] == 3
    assert a["new"]["input_tokens"] == round(sum(15 * (one + more) / one for one, more in lengths))


def test_new_and_gone_steps_and_other_agents_are_listed(project: Project) -> None:
    commit(project, asks("a") + asks("b") + script("end", "echo done"), "one")
    record(project, "rain")
    after = asks("a", settings="agent: cheap\n") + script("end", "echo done")
    after += asks("c", "Say {{ inputs.what }} and {{ steps.end.output }}.")
    after += asks("d", "Say {{ steps.c.output }}.", "agent: odd\n")
    commit(project, after, "two")
    found = diff(project, "one", "two")
    both = steps(found)
    assert {step: one["status"] for step, one in both.items()} == {
        "a": "changed",
        "b": "gone",
        "c": "new",
        "d": "new",
    }
    assert both["a"]["new"]["cost_usd"] == pytest.approx(0.0029)
    assert any("taken to use as many tokens" in note for note in both["a"]["notes"])
    assert both["c"]["new"]["input_tokens"] == round(len("Say rain and done.") / 4)
    assert both["c"]["new"]["cost_usd"] is None
    assert any("cannot be made of what was recorded" in note for note in both["d"]["notes"])
    assert found["total"]["without"] == ["c", "d"]
    assert found["total"]["old_usd"] == pytest.approx(0.058)
    assert found["total"]["new_usd"] == pytest.approx(0.0029)


def test_it_is_a_table_or_markdown(project: Project) -> None:
    commit(project, asks("a") + asks("b"), "one")
    record(project, "rain")
    commit(project, asks("a"), "two")
    text = project.run("cost", "diff", "one", "two").out
    assert "bundles/flow: one → two, 1 recorded run" in text
    assert [line.split() for line in text.splitlines() if line.startswith("b ")] == [
        ["b", "gone", "1", "15", "→", "-", "7", "→", "-", "$0.0290", "→", "-", "-0.0290"]
    ]
    assert "-0.0290 (-50.0%)" in text
    marked = project.run("cost", "diff", "one", "two", "--format", "markdown").out
    assert "### Cost of `bundles/flow`: one → two" in marked
    assert "| b | gone | 1 | 15 → - | 7 → - | $0.0290 → - | -0.0290 |" in marked


def test_a_changed_each_is_said_to_be_taken_as_before(project: Project) -> None:
    commit(project, asks("a", settings="each: '[1, 2]'\n"), "one")
    record(project, "rain")
    commit(project, asks("a", settings="each: '[1, 2, 3]'\nretry: 2\n"), "two")
    a = steps(diff(project, "one", "two"))["a"]
    assert a["ran"] == 2
    assert "its `each` differs; it is taken to run, and to answer, as before" in a["notes"]
    assert "its `retry` differs; it is taken to run, and to answer, as before" in a["notes"]


def test_what_cannot_be_compared_is_said(project: Project) -> None:
    commit(project, asks("a"), "one")
    project.write(".aiworkflow/config.yaml", CONFIG.format(url="http://127.0.0.1:9"))
    for words, said in (
        (("one",), "no recorded run of bundles/flow that succeeded has asked an agent"),
        (("nowhere",), "there is no revision `nowhere`"),
        (("one", "--format", "html"), "there is no format `html`"),
        (("one", "--runs", "many"), "`--runs` takes a whole number"),
        (("one", "--bundle", "other"), "there is no bundle `other`"),
    ):
        done = project.run("cost", "diff", *words)
        assert (done.code, said in done.err) == (2, True), done.err
    project.workflow(asks("a"), name="second")
    done = project.run("cost", "diff", "one")
    assert "give --bundle BUNDLE" in done.err
    assert "bundles here: flow, second" in done.err
