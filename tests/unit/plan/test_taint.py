"""Rule 11: no path from text of outside to a secret, a host or a write."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiworkflow.plan import Plan, compile_plan
from aiworkflow.plan.codec import plan_from_json, plan_to_json
from tests.unit.plan.documents import (
    agent,
    compiled,
    does,
    findings,
    group,
    plan,
    read,
    read_with_tools,
    said,
    shown,
    step,
)

SECRET = 'env: {T: "{{ secrets.TOKEN }}"}\n'
HEAD = (
    "allow: {secrets: [TOKEN], network: [example.org], write: [git.commit, git.branch, mcp:m/x], "
    'paths: ["out/**"]}\n'
)
HOOK = HEAD + "on: {webhook: {path: /hook, verify: {github: HOOK}}}\n"


def filled(schema: str = "string", value: str = "{{ trigger.body.x }}") -> str:
    """A head whose input `x` is filled by a trigger."""
    trigger = f'on: {{webhook: {{path: /h, verify: {{github: H}}, inputs: {{x: "{value}"}}}}}}\n'
    return HEAD + f"inputs: {{x: {schema}, mine: {{type: string, default: a}}}}\n" + trigger


def commits(value: str, settings: str = "", id_: str = "sink", level: int = 2) -> str:
    """A write that is given a value."""
    return does(id_, f'{settings}uses: git.commit\nwith: {{message: "{value}"}}\n', level)


FETCH = does("fetch", "uses: http.get\nwith: {url: https://example.org/x}\n")
TAINT = "AW710 git.commit"


# -- sources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "value"),
    [
        ("", "{{ trigger.body.text }}"),
        ("", "{{ trigger }}"),
        ("", "{{ trigger[run.id] }}"),
        ("", "{{ trigger.body.n | default('x') }}"),
        (FETCH, "{{ steps.fetch.output.body }}"),
        (FETCH, "{{ steps.fetch.output }}"),
        (FETCH, "{{ steps.fetch | to_json }}"),
        (step("a"), "{{ steps.a.error.message }}"),
        (step("a"), "{{ steps.a.error }}"),
        (does("m", "uses: mcp:m/x\n"), "{{ steps.m.output }}"),
        (does("w", "wait: {event: paid}\n"), "{{ steps.w.output.text }}"),
    ],
)
def test_what_comes_from_outside_is_found_where_it_reaches_a_write(before: str, value: str) -> None:
    assert findings(before + commits(value), HOOK) == [TAINT]


@pytest.mark.parametrize(
    "value",
    [
        "{{ trigger.type }}",
        "{{ steps.a.status }}",
        "{{ steps.a.error.kind }}",
        "{{ steps.a.error.exit_code }}",
        "{{ steps.a.output }}",
        "{{ steps.q.output.text }}",
        "{{ run.id }}",
        "{{ inputs.mine }}",
    ],
)
def test_what_does_not_come_from_outside_is_trusted(value: str) -> None:
    asked = does("q", "ask: {fields: {text: string}}\n", prose="What about {{ trigger.body.x }}?")
    head = HOOK + "inputs: {mine: {type: string, default: x}}\n"
    assert findings(step("a") + asked + commits(value), head) == []


def test_an_input_is_trusted_unless_a_trigger_fills_it_from_its_event() -> None:
    assert findings(commits("{{ inputs.x }}"), filled()) == [TAINT]
    assert findings(commits("{{ inputs.mine }}"), filled()) == []
    assert findings(commits("{{ inputs.x }}"), filled(value="fixed")) == []
    assert findings(commits("{{ inputs.x }}"), filled(value="{{ trigger.type }}")) == []


def test_reading_any_input_may_be_reading_the_one_that_is_filled() -> None:
    assert findings(commits("{{ inputs[inputs.mine] }}"), filled()) == [TAINT]
    assert findings(commits("{{ inputs | to_json }}"), filled()) == [TAINT]


# -- flow ------------------------------------------------------------------------------------------


def through(middle: str, value: str) -> list[str]:
    return findings(FETCH + middle + commits(value), HOOK)


BODY = "{{ steps.fetch.output.body }}"


@pytest.mark.parametrize(
    ("middle", "value"),
    [
        (agent("b", f"Sum up {BODY}."), "{{ steps.b.output }}"),
        (step("b", f'with: {{x: "{BODY}"}}\n'), "{{ steps.b.output }}"),
        (step("b", f'env: {{X: "{BODY}"}}\n'), "{{ steps.b.output }}"),
        (group("g", f'env: {{X: "{BODY}"}}\n', step("b", level=3)), "{{ steps.b.output }}"),
        (step("b", "each: steps.fetch.output.items\n"), "{{ steps.b.output }}"),
        (group("g", "each: steps.fetch.output.items\n", step("b", level=3)), "{{ steps.g.output }}"),
        (group("g", "", agent("b", f"On {BODY}", level=3)), "{{ steps.g.output.b }}"),
        (group("g", "", agent("b", f"On {BODY}", level=3)), "{{ steps.g.output }}"),
        (group("g", f'result: "{BODY}"\n', step("b", level=3)), "{{ steps.g.output }}"),
        (agent("b", "{% for x in steps.fetch.output.items %}{{ x.name }}{% endfor %}"), "{{ steps.b.output }}"),
        (agent("b", f"On {BODY}") + agent("c", "On {{ steps.b.output }}"), "{{ steps.c.output }}"),
    ],
)  # fmt: skip
def test_distrust_flows_through_steps(middle: str, value: str) -> None:
    assert through(middle, value) == [TAINT]


@pytest.mark.parametrize(
    ("middle", "value"),
    [
        (agent("b", "{% if steps.fetch.output.ok %}Yes{% endif %}"), "{{ steps.b.output }}"),
        (step("b", "if: steps.fetch.output.body == 'x'\n"), "{{ steps.b.output }}"),
        (agent("b", "{{ steps.fetch.output.body | length }}"), "{{ steps.b.output }}"),
        ("", "{{ 'a' if steps.fetch.output.body == 'x' else 'b' }}"),
        ("", "{{ steps.fetch.output.items | length }}"),
        ("", "{{ ['a', 'b'][steps.fetch.output.body | int] }}"),
        ("", "{{ steps.fetch.output.body is string }}"),
        ("", "{{ not steps.fetch.output.body }}"),
        (agent("b", f"On {BODY}") + step("c"), "{{ steps.c.output }}"),
        (group("g", "", agent("b", f"On {BODY}", level=3), step("c", level=3)), "{{ steps.g.output.c }}"),
        (step("b", f'env: {{X: "{BODY}"}}\n') + step("c", "env: {Y: '1'}\n"), "{{ steps.c.output }}"),
    ],
)  # fmt: skip
def test_only_values_carry_trust(middle: str, value: str) -> None:
    assert through(middle, value) == []


@pytest.mark.parametrize(
    "value",
    [
        "{{ steps.fetch.output.body if run.id else '' }}",
        "{{ steps.fetch.output.body or '' }}",
        "{{ 'x' | default(steps.fetch.output.body) }}",
        "{{ 'no' | int(steps.fetch.output.body) }}",
        "{{ [steps.fetch.output.body] | join }}",
        "{{ {'a': steps.fetch.output.body}.a }}",
        "{{ 'x' ~ steps.fetch.output.body }}",
        "{{ steps.fetch.output.body[:3] }}",
        "{{ steps.fetch.output.items | map('name') | join(',') }}",
    ],
)
def test_whatever_lets_text_through_carries_it(value: str) -> None:
    assert through("", value) == [TAINT]


def test_distrust_flows_through_state_and_back_through_rounds() -> None:
    state = HOOK + "state: {note: {reduce: last}, other: {reduce: last}}\n"
    body = FETCH + does("s", f'set: {{note: "{BODY}"}}\n')
    assert findings(body + commits("{{ state.note }}"), state) == [TAINT]
    assert findings(body + commits("{{ state }}"), state) == [TAINT]
    assert findings(body + commits("{{ state.other }}"), state) == []
    rounds = group(
        "g",
        "until: round > 2\nmax_rounds: 3\n",
        commits("{{ steps.late.output }}", level=3),
        agent("late", "On {{ trigger.body }}", level=3),
    )
    assert TAINT in findings(rounds, HOOK)


def test_distrust_flows_through_env_that_reads_env() -> None:
    head = HOOK + 'env: {A: "{{ trigger.body.x }}", B: fine}\n'
    inner = commits("{{ env.C }}", 'env: {D: "{{ env.C }}"}\n', level=3)
    assert findings(group("g", 'env: {C: "{{ env.A }}"}\n', inner), head) == [TAINT]
    plain = group("g", 'env: {C: "{{ env.B }}"}\n', agent("a", "On {{ env.C }}", level=3))
    assert findings(plain + commits("{{ steps.a.output }}", "env: {A: mine}\n"), head) == []
    assert findings(commits("{{ env.A }}", "env: {A: mine}\n"), head) == []


def test_a_script_is_given_all_inputs() -> None:
    assert findings(step("a", SECRET, "echo hello"), filled()) == ["AW710 Step a"]
    assert findings(step("a", SECRET, "echo hello"), filled("a | b")) == []
    body = step("a") + commits("{{ steps.a.output }}")
    assert findings(body, filled()) == [TAINT]


def test_a_tool_is_given_its_arguments_only(tmp_path: Path) -> None:
    body = does("a", "uses: github.show\nwith: {number: 3}\n") + commits(
        "{{ steps.a.output.title }}"
    )
    assert shown(compiled(read_with_tools(tmp_path, body, filled()))[1]) == []


# -- what lifts distrust ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "bounded"),
    [
        ("integer", True),
        ("low | high", True),
        ("boolean", True),
        ("{type: string, pattern: '^[a-z0-9-]+$'}", True),
        ("string", False),
        ("any", False),
        ("[string]", False),
    ],
)
def test_a_bounded_input_lifts_distrust(schema: str, bounded: bool) -> None:
    found = findings(commits("{{ inputs.x }}"), filled(schema))
    assert found == ([] if bounded else [TAINT])


def test_a_bounded_output_lifts_distrust_also_of_one_field() -> None:
    output = "output: {score: integer, note: string}\n"
    judged = FETCH + agent("b", f"Judge {BODY}", output)
    assert findings(judged + commits("{{ steps.b.output.score }}"), HOOK) == []
    assert findings(judged + commits("{{ steps.b.output.note }}"), HOOK) == [TAINT]
    assert findings(judged + commits("{{ steps.b.output }}"), HOOK) == [TAINT]
    many = FETCH + agent("b", f"Judge {BODY}", output + "each: range(3)\n")
    assert findings(many + commits("{{ steps.b.output[0].score }}"), HOOK) == []
    assert findings(many + commits("{{ steps.b.output[0].note }}"), HOOK) == [TAINT]
    bounded = FETCH + agent("b", f"Judge {BODY}", "output: {score: integer, level: low | high}\n")
    assert findings(bounded + commits("{{ steps.b.output }}"), HOOK) == []


def test_approval_of_exactly_this_lifts_distrust() -> None:
    assert findings(FETCH + commits(BODY, "approve: true\n"), HOOK) == []
    assert (
        findings(FETCH + step("a", SECRET + f'approve: true\nwith: {{x: "{BODY}"}}\n'), HOOK) == []
    )


def test_approval_of_an_earlier_step_does_not_make_its_output_trusted() -> None:
    asked = agent("b", f"On {BODY}", "approve: true\nagent: ollama\n")
    body = FETCH + asked + commits("{{ steps.b.output }}")
    assert findings(body, HOOK) == [TAINT]


# -- sinks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sink", "place"),
    [
        (commits(BODY), "git.commit"),
        (does("s", f'uses: file.write\nwith: {{path: out/x, content: "{BODY}"}}\n'), "file.write"),
        (does("s", f'uses: http.get\nwith: {{url: "{BODY}"}}\n'), "http.get"),
        (does("s", f'uses: mcp:m/x\nwith: {{a: "{BODY}"}}\n'), "mcp:m/x"),
        (step("s", SECRET + f'with: {{x: "{BODY}"}}\n'), "Step s"),
        (step("s", f'effect: write\nwith: {{x: "{BODY}"}}\n'), "Step s"),
        (agent("s", f"On {BODY}", "tools: [git.status]\n"), "Step s"),
        (agent("s", "Look", f'tools: [git.status]\nfiles: ["{BODY}"]\n'), "Step s"),
        (group("g", SECRET, step("s", f'env: {{X: "{BODY}"}}\n', level=3)), "Step s"),
        (does("s", SECRET + f'uses: git.diff\nwith: {{base: "{BODY}"}}\n'), "git.diff"),
    ],
)  # fmt: skip
def test_what_has_power_is_a_sink(sink: str, place: str) -> None:
    assert findings(FETCH + sink, HOOK) == [f"AW710 {place}"]


@pytest.mark.parametrize(
    "harmless",
    [
        agent("s", f"On {BODY}"),
        step("s", f'with: {{x: "{BODY}"}}\n'),
        does("s", f'uses: git.diff\nwith: {{base: "{BODY}"}}\n'),
        does("s", f'uses: template.render\nwith: {{template: a.md, values: {{x: "{BODY}"}}}}\n'),
        does("s", "ask: {fields: {go: boolean}}\n", prose=f"Is {BODY} right?"),
    ],
)
def test_what_has_no_power_may_read_anything(harmless: str) -> None:
    assert findings(FETCH + harmless, HOOK) == []


def test_the_undo_of_a_step_is_a_sink_too() -> None:
    undo = f'uses: git.branch\nwith: {{name: x}}\nundo: {{uses: git.branch, with: {{name: "{BODY}"}}}}\n'
    assert findings(FETCH + does("s", undo), HOOK) == ["AW710 git.branch"]
    assert findings(FETCH + does("s", "approve: true\n" + undo), HOOK) == []
    own = 'uses: git.branch\nwith: {name: x}\nundo: {uses: git.branch, with: {name: "{{ output.name }}"}}\n'
    assert findings(FETCH + does("s", own), HOOK) == []


def test_the_finding_shows_the_way_from_the_source_to_the_sink() -> None:
    body = agent("sum", "On {{ trigger.body.text }}") + commits("{{ steps.sum.output }}")
    (found,) = compiled(read(body, HOOK))[1]
    assert said(found) == TAINT
    assert found.message == "text from outside reaches `sink`, which has something to write"
    assert [label.text for label in found.labels] == [
        "`trigger` comes from outside",
        "`sum` reads it, and its output may carry it",
    ]
    assert (
        found.labels[0].place.source.text[found.labels[0].place.span.start :].startswith("trigger")
    )


def test_a_long_way_is_shown_from_both_ends() -> None:
    body = agent("a0", "On {{ trigger.body.text }}")
    body += "".join(agent(f"a{n}", f"On {{{{ steps.a{n - 1}.output }}}}") for n in range(1, 12))
    (found,) = compiled(read(body + commits("{{ steps.a11.output }}"), HOOK))[1]
    texts = [label.text for label in found.labels]
    assert texts[0] == "`trigger` comes from outside"
    assert texts[-1].startswith("`a11` reads it")
    assert len(texts) == 6


def test_the_power_is_named() -> None:
    (found,) = compiled(read(FETCH + step("s", SECRET + f'with: {{x: "{BODY}"}}\n'), HOOK))[1]
    assert "has the secret `TOKEN`" in found.message
    (found,) = compiled(read(FETCH + agent("s", f"On {BODY}", "tools: [git.log]\n"), HOOK))[1]
    assert found.message.endswith("which has tools")


# -- called workflows ------------------------------------------------------------------------------


WAITS = does("w", "wait: {event: paid}\n")


def called(kid: Plan | None) -> list[str]:
    """What is found where the output of a called workflow reaches a write."""
    assert kid is not None
    body = does("k", "workflow: ../kid\n") + commits("{{ steps.k.output.text }}")
    reading = read(body, HEAD)
    assert reading.workflow is not None
    compile_plan(reading.workflow, reading.report, {"../kid": kid})
    return [f"{said(one)}: {one.labels[0].text}" for one in reading.report.sorted()]


@pytest.mark.parametrize(
    ("kid", "brings"),
    [
        (WAITS, "what an outside event says"),
        (does("w", "uses: mcp:m/x\n"), "text from an MCP server"),
        (FETCH.replace("fetch", "w"), "text from the network"),
    ],
)
def test_what_a_called_workflow_brings_from_outside_is_found(kid: str, brings: str) -> None:
    assert called(plan(kid, HEAD)) == [f"{TAINT}: `k` brings {brings}"]


def test_it_is_found_through_several_calls_and_in_a_plan_that_was_kept() -> None:
    kid = plan(WAITS)
    reading = read(does("w", "workflow: ../grandkid\n"))
    assert reading.workflow is not None
    above = compile_plan(reading.workflow, reading.report, {"../grandkid": kid})
    assert above is not None
    assert called(above) == [f"{TAINT}: `k` brings what an outside event says"]
    assert called(plan_from_json(plan_to_json(above))) == called(above)
    assert called(plan(step("w"))) == []


# -- prompts ---------------------------------------------------------------------------------------


def test_values_from_outside_are_fenced_in_prompts_and_others_are_not() -> None:
    prompt = (
        "{{ inputs.mine }} {{ inputs.x }} {{ inputs.x | length }} {{ steps.fetch.output.body }}"
        "{% if inputs.x %}{{ run.id }}{% endif %}{% for i in trigger.body %}{{ i }}{% endfor %}"
    )
    found = plan(FETCH + agent("a", prompt) + agent("b", "{{ run.id }}"), filled())
    assert found.nodes["a"].fenced == {1, 3, 5}
    assert found.nodes["b"].fenced == frozenset()
