"""The long form of `agent`: one of several is chosen, for a reason that stands in the record."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.support import Project

ASK = "## Ask\n\n```yaml step\nid: ask\n{settings}```\n\nSay hello.\n\n"
CONFIG = """agents:
  small: {echo: {text: small}, price: {input: 1, output: 1}, quality: 0.3, speed: 10, able: tools}
  large: {echo: {text: large}, price: {input: 9, output: 9}, quality: 0.9, speed: 20, able: [tools, vision]}
  free: {echo: {text: free}, price: {input: 0, output: 0}, quality: 0.1, speed: 1, able: files}
  vague: {echo: {text: vague}, price: {input: 1}, quality: 0.2}
  down: {echo: {fail: unavailable}, price: {input: 0, output: 0}}
breaker: {threshold: 0}
"""
THREE = "among: [small, large, free]"


def run(project: Project, agent: str, settings: str = "", head: str = "") -> Any:
    project.write(".aiworkflow/config.yaml", CONFIG)
    project.workflow(ASK.format(settings=f"agent: {agent}\n" * bool(agent) + settings), head=head)
    return project.run("run", "flow", "--json")


def ask(project: Project, agent: str, settings: str = "", head: str = "") -> Any:
    done = run(project, agent, settings, head)
    assert done.out, done.err
    return done.json["steps"]["ask"]


@pytest.mark.parametrize(
    ("form", "first", "why"),
    [
        ("choose: cheapest", "free", "cheapest of 3 (free $0.0000, small $0.0"),
        ("choose: best", "large", "best of 3 (large 0.90, small 0.30, free 0.10)"),
        ("choose: fastest", "large", "fastest of 3 (large 25 s, small 50 s"),
        ("choose: priority", "small", "priority of 3"),
        ("choose: balanced", "large", "balanced of 3"),
        ("choose: least_loaded", "small", "least loaded of 3 (small 0 under way"),
        ("choose: cheapest, able: tools", "small", "cheapest of 2"),
        ("choose: cheapest, able: [tools, vision]", "large", "cheapest of 1"),
        ("choose: best, max_usd: 0.01", "small", "best of 2"),
        ("choose: cheapest, prefer: large", "large", "preferred"),
        ("choose: cheapest, avoid: [free]", "small", "cheapest of 3"),
    ],
)
def test_an_agent_is_chosen(project: Project, form: str, first: str, why: str) -> None:
    found = ask(project, f"{{{form}, {THREE}}}")
    assert found["output"] == first
    assert why in found["chosen"]
    assert why in project.run("runs", "show", "last").out
    events = project.run("runs", "inspect", "last", "--at", "ask", "--events", "20").out
    assert f"by {first} ({found['chosen']}" in events


def test_without_among_all_that_the_settings_name_are_looked_at(project: Project) -> None:
    found = ask(project, "{choose: best}")
    assert found["output"] == "large"
    assert "best of 5" in found["chosen"]


def test_what_is_measured_counts(project: Project) -> None:
    for _ in range(3):
        assert ask(project, "vague")["output"] == "vague"
    found = ask(project, "{choose: fastest, among: [large, vague]}")
    assert found["output"] == "vague", "its answers were faster than 20 tokens a second"


def test_the_next_in_the_order_is_asked_when_the_first_is_down(project: Project) -> None:
    found = ask(project, "{choose: cheapest, among: [large, down, small]}")
    assert (found["output"], found["attempts"]) == ("small", 2)
    assert found["chosen"].startswith("cheapest, place 2 of 3 (small $0.0")
    assert found["chosen"].endswith("; after down: unavailable")


def test_when_nobody_fits_it_is_said_why(project: Project) -> None:
    found = ask(project, "{choose: best, among: [small, vague], able: vision, max_usd: 0.1}")
    assert found["status"] == "failed"
    assert found["error"]["kind"] == "no_agent"
    assert "small: it cannot do vision" in found["error"]["message"]
    done = run(project, "{choose: best, among: [anthropic/m, openai/m]}")
    assert done.code == 2
    assert "ANTHROPIC_API_KEY is not set" in done.out


def test_one_that_cannot_be_used_here_is_left_out(project: Project) -> None:
    assert ask(project, "{choose: priority, among: [anthropic/m, small]}")["output"] == "small"


def test_turns_and_lots(project: Project) -> None:
    items = "each: range(12)\n"
    for way in ("round_robin", "random"):
        done = run(project, f"{{choose: {way}, {THREE}}}", items)
        assert done.code == 0, done.err
        made = Counter(str(one) for one in done.json["steps"]["ask"]["output"])
        if way == "round_robin":
            assert set(made.values()) == {4}
        assert len(made) > 1


def test_a_choice_is_not_made_again(project: Project) -> None:
    """What was chosen stands in the journal: another look at the run says the same."""
    found = ask(project, f"{{choose: random, {THREE}}}")
    project.write(".aiworkflow/config.yaml", "agents: {}\n")
    again = project.run("runs", "show", "last", "--json").json["steps"]["ask"]
    assert (again["agent"], again["chosen"]) == (found["agent"], found["chosen"])


def test_the_workflow_and_the_settings_choose_for_steps_that_do_not(project: Project) -> None:
    head = f"agent: {{choose: best, {THREE}}}\n"
    assert ask(project, "", head=head)["output"] == "large"
    assert ask(project, "free", head=head)["output"] == "free"
    project.write(".aiworkflow/config.yaml", CONFIG + "agent: {choose: cheapest, avoid: down}\n")
    project.workflow(ASK.format(settings=""))
    assert project.run("run", "flow", "--json").json["steps"]["ask"]["output"] == "free"


def test_ab_is_sticky_by_its_key(project: Project) -> None:
    settings = "each: range(40)\n"
    done = run(project, '{ab: {small: 0.5, large: 0.5}, key: "{{ item % 4 }}"}', settings)
    assert done.code == 0, done.err + done.out
    made = done.json["steps"]["ask"]["output"]
    assert all(made[n] == made[n % 4] for n in range(40))
    assert done.json["steps"]["ask[0]"]["chosen"] == "ab, 50% of the steps"
    done = run(project, "{ab: {small: 0.75, large: 0.25}}", settings)
    made = Counter(done.json["steps"]["ask"]["output"])
    assert made["small"] > made["large"] > 0


def test_an_arm_that_fails_is_not_replaced(project: Project) -> None:
    found = ask(project, "{ab: {down: 1, small: 0}}", "retry: {times: 2, base: 1ms}\n")
    assert (found["status"], found["attempts"]) == ("failed", 3)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("{choose: cheepest}", "`cheapest`"),
        ("{among: [a]}", "exactly one of `choose`, `ab`"),
        ("{choose: best, ab: {a: 1, b: 1}}", "exactly one of `choose`, `ab`"),
        ("{ab: {a: 1}}", "two agents or more"),
        ("{ab: {a: 0, b: 0}}", "two agents or more"),
        ("{choose: best, able: [walking]}", "`vision`"),
        ('{ab: {a: 1, b: 1}, key: "{{ inputs.nothing }}"}', "no input is declared"),
    ],
)
def test_a_mistake_is_said_before_anything_runs(project: Project, form: str, says: str) -> None:
    done = run(project, form)
    assert done.code == 2
    assert says in done.out


def test_a_key_has_its_place_on_a_step(project: Project) -> None:
    done = run(project, "", head='agent: {ab: {a: 1, b: 1}, key: "{{ run.id }}"}\n')
    assert done.code == 2
    assert "its place on a step" in done.out


def test_choose_says_who_would_be_asked_and_why(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", CONFIG)
    one = ASK.format(settings=f"agent: {{choose: cheapest, {THREE}}}\n")
    two = ASK.format(settings="agent: small\n").replace("id: ask\n", "id: two\n")
    able = "agent: {choose: best, among: [small, free], able: vision}\n"
    none = ASK.format(settings=able).replace("id: ask\n", "id: nobody\n")
    project.workflow(one + two + none)
    done = project.run("agents", "choose", "flow", "--json")
    assert done.code == 0, done.err
    first, second, third = done.json["steps"]
    assert [row["agent"] for row in first["agents"]] == ["free", "small", "large"]
    assert first["agents"][1]["why"].startswith("cheapest, place 2 of 3 (small $")
    assert first["agents"][2]["at_most_usd"] > 0
    assert [row["agent"] for row in second["agents"]] == ["small"]
    assert "small: it cannot do vision" in third["problem"]
    text = project.run("agents", "choose", "flow").out
    assert "  1. free  cheapest of 3 (free $0.0000" in text
    assert not (project.root / ".aiworkflow/state").exists(), "to look makes no journal"


def test_a_choice_outlives_a_crash(project: Project) -> None:
    """The one that was chosen goes on, though another would be chosen now."""
    config = CONFIG.replace("{text: large}", "{text: large, seconds: 600}")
    project.write(".aiworkflow/config.yaml", config)
    project.workflow(ASK.format(settings=f"agent: {{choose: best, {THREE}}}\n"))

    def until_attempt(number: int, *words: str) -> Any:
        process = project.start(*words)
        found: Any = {}
        while found.get("attempts", 0) < number and process.poll() is None:
            shown = project.run("runs", "show", "last", "--json")
            found = shown.json.get("steps", {}).get("ask", {}) if shown.code != 2 else {}
        process.kill()
        process.communicate()
        return found

    before = until_attempt(1, "run", "flow")
    assert before["chosen"].startswith("best of 3 (large")
    after = until_attempt(2, "runs", "resume", "last")
    assert (after["attempts"], after["chosen"]) == (2, before["chosen"])
