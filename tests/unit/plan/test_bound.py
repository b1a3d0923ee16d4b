"""The most that a plan can cost: figures by hand, for each thing that multiplies them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from aiworkflow.bundle import read_document
from aiworkflow.bundle.policies import Budget
from aiworkflow.bundle.workflow import AgentSpec
from aiworkflow.engine.carried import Json
from aiworkflow.plan import Plan, compile_plan
from aiworkflow.plan.bound import Bound, Tariff, Terms, bound, most_tokens

PRICES = {
    "a": Tariff("a/m", 100, 1.0, 10.0),
    "b": Tariff("b/m", 100, 2.0, 20.0),
    "free": Tariff("free/m", 100, 0.0, 0.0),
    "odd": Tariff("odd/m", 100),
    "self": Tariff(
        "self", 100, 1.0, 1.0, unbounded="it decides itself how often it asks its model"
    ),
}
PROMPT = "Say something."


def tariff(spec: AgentSpec) -> Tariff:
    return PRICES[spec.name]


def plan_of(body: str, head: str = "agent: a\n") -> Plan:
    reading = read_document(
        f"---\nname: flow\ndescription: T.\n{head}---\n\n# T\n\n{body}", name="flow"
    )
    assert reading.workflow is not None, reading.report.sorted()
    plan = compile_plan(reading.workflow, reading.report, {})
    assert not reading.report.has_errors, [str(x.message) for x in reading.report.sorted()]
    assert plan is not None
    return plan


def bound_of(body: str, head: str = "agent: a\n", **terms: object) -> Bound:
    inputs: Mapping[str, Json] = terms.pop("inputs", {})  # type: ignore[assignment]
    return bound(plan_of(body, head), Terms(tariff, (AgentSpec("a"),), inputs, **terms))  # type: ignore[arg-type]


def asks(id_: str, settings: str = "", level: int = 2, prompt: str = PROMPT) -> str:
    return f"{'#' * level} S {id_}\n\n```yaml step\nid: {id_}\n{settings}```\n\n{prompt}\n\n"


def group(id_: str, settings: str, *steps: str) -> str:
    return f"## G {id_}\n\n```yaml step\nid: {id_}\n{settings}```\n\n" + "".join(steps)


ASKED, ANSWERED = most_tokens(len(PROMPT), 100, is_checked=False)
ONE = (ASKED * 1 + ANSWERED * 10) / 1_000_000  # dollars of one attempt of `a`


def test_one_attempt_is_its_prompt_and_its_longest_answer() -> None:
    assert (int(len(PROMPT) / 2.5) + 500, 100) == (ASKED, ANSWERED)
    found = bound_of(asks("x"))
    assert found.total.most_usd == pytest.approx(ONE)
    assert (found.total.input_tokens, found.total.output_tokens) == (ASKED, ANSWERED)
    assert found.steps[0].notes == ()


def test_an_answer_that_is_checked_may_be_asked_for_three_times() -> None:
    asked, answered = most_tokens(len(PROMPT), 100, is_checked=True)
    assert (asked, answered) == (ASKED * 3 + 100 + 200, 300)
    found = bound_of(asks("x", "output: {n: integer}\n"))
    assert found.total.most_usd == pytest.approx((asked + answered * 10) / 1_000_000)


def test_items_rounds_attempts_and_visits_multiply() -> None:
    body = group(
        "g",
        "until: steps.x.output == 'y'\nmax_rounds: 3\n",
        asks("x", "each: inputs.files\nmax_items: 5\nretry: 2\n", level=3),
        asks("z", "on_error: {goto: x, max_visits: 4}\n", level=3),
    )
    body = body.replace("steps.x.output == 'y'", "steps.z.output == 'y'")
    found = bound_of(body, "agent: a\ninputs: {files: [string]}\n")
    x, z = found.steps
    assert x.factors == (("rounds", 3), ("visits", 4), ("items", 5), ("attempts", 3))
    assert x.total.attempts == 3 * 4 * 5 * 3
    assert z.total.attempts == 3 * 4
    assert found.total.attempts == 3 * 4 * 5 * 3 + 3 * 4
    assert found.total.most_usd == pytest.approx(ONE * (180 + 12))


def test_a_list_that_is_known_counts_as_it_is() -> None:
    literal = bound_of(asks("x", "each: \"['p', 'q']\"\n"))
    assert literal.total.attempts == 2
    head = "agent: a\ninputs: {files: [string]}\n"
    given = bound_of(asks("x", "each: inputs.files\n"), head, inputs={"files": ["p", "q", "r"]})
    assert given.total.attempts == 3
    open_ = bound_of(asks("x", "each: inputs.files\n"), head, max_items=50)
    assert open_.total.attempts == 50
    assert "limits.max_items" in open_.steps[0].notes[0]


def test_of_an_else_chain_the_dearest_branch_counts() -> None:
    head = "agent: a\ninputs: {n: integer}\n"
    body = (
        asks("x", "if: inputs.n > 5\n")
        + asks("y", "else: true\nif: inputs.n > 3\nretry: 1\n")
        + asks("z", "else: true\n")
    )
    assert bound_of(body, head).total.attempts == 2
    assert len(bound_of(body, head).steps) == 3


def test_when_one_agent_is_down_each_may_be_paid() -> None:
    found = bound_of(asks("x", "agent: [a, b]\nretry: 1\n"))
    assert found.total.attempts == 4
    assert found.total.most_usd == pytest.approx(ONE * 3 * 2)
    assert found.steps[0].factors == (("attempts", 2), ("agents", 2))


def test_of_two_side_by_side_only_one_is_asked() -> None:
    found = bound_of(asks("x", "agent: {ab: {a: 0.5, b: 0.5}}\n"))
    assert found.total.attempts == 1
    alone = [bound_of(asks("x", f"agent: {name}\n")).total.most_usd for name in "ab"]
    assert found.total.most_usd == max(one for one in alone if one is not None)


def test_budgets_cap_what_is_below_them() -> None:
    tiny = ONE / 2
    assert bound_of(
        asks("x", f"budget: {{usd: {tiny:.9f}}}\nretry: 9\n")
    ).total.most_usd == pytest.approx(tiny)
    many = group(
        "g", f"budget: {{usd: {ONE * 2:.9f}}}\n", *(asks(f"x{n}", level=3) for n in range(9))
    )
    assert bound_of(many + asks("y")).total.most_usd == pytest.approx(ONE * 3)
    of_run = bound_of(asks("x") + asks("y"), budget=Budget(usd=ONE))
    assert of_run.total.most_usd == pytest.approx(ONE)
    tokens = bound_of(asks("x"), "agent: a\nbudget: {tokens: 300}\n").total
    assert (tokens.input_tokens, tokens.output_tokens) == (200, 100)


def test_a_price_that_is_not_known_is_never_nothing() -> None:
    found = bound_of(asks("x") + asks("y", "agent: odd\n"), budget=Budget(usd=1))
    assert found.total.most_usd is None
    assert found.total.usd == pytest.approx(ONE)
    assert found.total.unknown == ("`y`: the price of `odd/m` is not known",)
    assert bound_of(asks("x", "agent: free\n")).total.most_usd == 0


def test_what_has_no_bound_says_so_unless_a_budget_holds_it() -> None:
    body = asks("x", "agent: self\n")
    found = bound_of(body)
    assert found.total.most_usd is None
    assert found.total.unbounded == ("`x`: it decides itself how often it asks its model",)
    assert bound_of(body, budget=Budget(usd=2)).total.most_usd == 2


def test_prompts_are_as_long_as_is_known(tmp_path: Path) -> None:
    head = "agent: a\ninputs: {text: string, n: integer, mode: low | high}\n"

    def size(prompt: str, **terms: object) -> int:
        found = bound_of(asks("y") + asks("x", prompt=prompt), head, **terms)
        return found.steps[1].each.input_tokens

    def tokens(bytes_: int) -> int:
        return most_tokens(bytes_, 100, is_checked=False)[0]

    assert size("Say {{ inputs.text }}!", inputs={"text": "abc"}) == tokens(8)
    assert size("Say {{ inputs.n }}!") == tokens(5 + 30)
    assert size("Say {{ inputs.mode }}!") == tokens(5 + 4)
    assert size("Say {{ inputs.text }}!", prompt_bytes=1000) == tokens(1000)
    assert size("Say {{ steps.y.output }}!") == tokens(5 + 100 * 5)
    assert size("{% if inputs.n > 3 %}abc{% else %}a{% endif %}") == tokens(3)
    listed = "{% for one in [1, 2, 3] %}abc{% endfor %}{{ inputs.n }}"
    assert size(listed) == tokens(9 + 30)
    found = bound_of(asks("x", prompt="Say {{ inputs.text }}!"), head)
    assert found.steps[0].notes == (
        "the prompt may be 1,000,000 bytes long (`limits.prompt`): inputs.text",
    )


def test_images_and_conversations_are_sent_too() -> None:
    two = bound_of(asks("x", "files: [a.png, b.png]\n")).total
    assert two.input_tokens == most_tokens(len(PROMPT), 100, is_checked=False, images=2)[0]
    head = "agent: a\ninputs: {shots: [string]}\n"
    open_ = bound_of(asks("x", 'files: ["{{ inputs.shots }}"]\n'), head).total
    assert open_.input_tokens == most_tokens(len(PROMPT), 100, is_checked=False, images=20)[0]
    given: dict[str, Json] = {"shots": ["a.png", "b.png"]}
    known = bound_of(asks("x", 'files: ["{{ inputs.shots }}"]\n'), head, inputs=given).total
    assert known.input_tokens == two.input_tokens
    said = bound_of(asks("x", "session: talk\n") + asks("y", "session: talk\n")).total
    assert said.input_tokens == 2 * (ASKED + 50_000)


def test_of_agents_that_are_chosen_from_each_may_be_asked() -> None:
    both = bound_of(asks("x", "agent: {choose: cheapest, among: [a, b]}\n")).total
    assert both.most_usd == pytest.approx(ONE * 3)
    only = f"agent: {{choose: cheapest, among: [a, b, odd], max_usd: {ONE * 1.5:.9f}}}\n"
    assert bound_of(asks("x", only)).total.most_usd == pytest.approx(ONE)
    every = (AgentSpec("a"), AgentSpec("b"))
    found = bound_of(asks("x", "agent: {choose: fastest}\n"), every=every)
    assert found.total.most_usd == pytest.approx(ONE * 3)
