"""Compiling: whatever reading gives, the answer is a plan or findings, and never a crash."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiworkflow.bundle.workflow import AgentSpec, Group, Kind
from aiworkflow.diagnostics import Report
from aiworkflow.plan import (
    compile_plan,
    describe_plan,
    draw_dot,
    draw_mermaid,
    draw_terminal,
    plan_from_json,
    plan_to_json,
    refusals,
    seal,
)
from tests.unit.plan.documents import (
    agent,
    compiled,
    document,
    does,
    findings,
    group,
    plan,
    read,
    said,
    step,
)


def test_the_workflow_itself_is_the_group_without_a_name() -> None:
    found = plan(step("a") + group("g", "", step("b", level=3)))
    assert found.root.id == ""
    assert found.root.children == ("a", "g")
    assert list(found.nodes) == ["", "a", "g", "b"]
    assert found.nodes["g"].children == ("b",)
    assert [found.nodes[name].parent for name in ("a", "g", "b")] == ["", "", "g"]
    action = found.nodes["g"].action
    assert isinstance(action, Group)
    assert action.steps == ()


def test_an_agent_step_without_an_agent_has_that_of_the_frontmatter() -> None:
    found = plan(agent("a", "Do.") + agent("b", "Do.", "agent: codex\n"), "agent: ollama/x\n")
    assert found.nodes["a"].action.agents == (AgentSpec("ollama", "x"),)  # type: ignore[union-attr]
    assert found.nodes["b"].action.agents == (AgentSpec("codex"),)  # type: ignore[union-attr]


def test_an_if_that_names_the_item_is_asked_per_item() -> None:
    for condition, per_item in (("item > 1", True), ("index > 1", True), ("run.id", False)):
        found = plan(step("a", f"each: range(3)\nif: {condition}\n"))
        assert found.nodes["a"].per_item is per_item
    inner = step("a", "if: item > 1\n", level=3)
    assert plan(group("g", "each: range(3)\n", inner)).nodes["a"].per_item is False


def test_a_plan_with_errors_is_none_and_one_with_warnings_is_a_plan() -> None:
    found, problems = compiled(read(step("a", "if: steps.x.output\n")))
    assert found is None
    assert problems
    body = step("a", 'if: run.id == "1"\n') + step("b", 'with: {x: "{{ steps.a.output.y }}"}\n')
    found, problems = compiled(read(body))
    assert found is not None
    assert [one.code for one in problems] == ["AW116"]


def test_errors_of_all_passes_are_found_together() -> None:
    body = (
        step("a", "needs: [zzz]\n")
        + does("b", "uses: nothing.at\n")
        + does("c", "set: {x: 1}\n")
        + does("d", 'uses: git.commit\nwith: {message: "{{ steps.e.output }}"}\n')
        + step("e")
    )
    codes = [one.partition(" ")[0] for one in findings(body)]
    assert codes == ["AW103", "AW110", "AW124", "AW702", "AW109"]


@pytest.mark.parametrize(
    ("body", "head", "expected"),
    [
        (step("a", "runs_on: gpu\n"), "", ["AW901 runs_on"]),
        (does("a", "wait: {event: x, match: run.id}\n"), "", []),
        (step("a"), "sandbox: container\n", ["AW901 sandbox"]),
        (group("g", "", step("a", "sandbox: container\n", level=3)), "", ["AW901 sandbox"]),
        (
            step("a", "runs_on: gpu\n") + step("b", "sandbox: container\n"),
            "",
            ["AW901 runs_on", "AW901 sandbox"],
        ),
        (step("a", "on_error: continue\n"), "", []),
    ],
)
def test_what_is_not_built_yet_is_refused_by_name(
    body: str, head: str, expected: list[str]
) -> None:
    reading = read(body, head)
    assert compiled(reading)[0] is not None
    assert reading.workflow is not None
    refused = refusals(reading.workflow)
    assert [said(one) for one in refused] == expected
    for one in refused:
        assert "cannot be executed by this version yet" in one.message


def test_a_step_knows_the_line_of_its_code_and_of_its_heading() -> None:
    text = document(step("a", code="echo `step`\necho 2"))
    node = plan(step("a", code="echo `step`\necho 2")).nodes["a"]
    lines = text.split("\n")
    assert lines[node.line - 1] == "## Step a"
    assert lines[node.code_line - 1] == "```bash step"
    assert plan(agent("b", "Do.")).nodes["b"].code_line == 0


def test_deep_chains_and_wide_groups_are_no_trouble() -> None:
    chain = "".join(
        step(f"s{n}", f'with: {{x: "{{{{ steps.s{n - 1}.output }}}}"}}\n' if n else "")
        for n in range(300)
    )
    began = time.process_time()
    found = plan(chain)
    assert len(found.nodes) == 301
    assert time.process_time() - began < 10  # of the processor: others may be busy too
    nested = "".join(group(f"g{n}", "", level=n) for n in range(2, 6)) + step("a", level=6)
    assert plan(nested).nodes["a"].parent == "g5"


def test_ten_steps_compile_in_a_millisecond() -> None:
    body = step("s0", "output: {z: string}\n") + "".join(
        step(f"s{n}", f'with: {{a: "{{{{ steps.s{n - 1}.output.z }}}}"}}\noutput: {{z: string}}\n')
        for n in range(1, 10)
    )
    workflow = read(body).workflow
    assert workflow is not None
    best = 1.0
    for _ in range(30):
        began = time.process_time()
        assert compile_plan(workflow, Report()) is not None
        best = min(best, time.process_time() - began)
    assert best < 0.002  # some 0.3 ms; twice the room for slow machines


# -- anything at all -------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "g", "inputs", "nope"])
READINGS = st.sampled_from(
    [
        "steps.{0}.output", "steps.{0}.output.x.y", "steps.{0}.error.message", "steps[{0}]", "steps", "state.{0}",
        "state", "inputs.{0}", "inputs[{0}]", "env.{0}", "env", "trigger.body", "item.{0}", "{0}", "index", "round",
        "run.id", "output.{0}", "secrets.{0}", "steps.{0} | to_json", "item", "[item, round] | join",
    ]
)  # fmt: skip
EXPRESSIONS = st.builds(lambda form, name: form.format(name), READINGS, NAMES)
LINES = st.one_of(
    st.builds("if: {0}\n".format, EXPRESSIONS),
    st.builds("needs: [{0}]\n".format, NAMES),
    st.builds("each: {0}\n".format, EXPRESSIONS),
    st.builds('env: {{A: "{{{{ {0} }}}}", b: "x"}}\n'.format, EXPRESSIONS),
    st.builds('result: "{{{{ {0} }}}}"\n'.format, EXPRESSIONS),
    st.builds("until: {0}\nmax_rounds: 2\n".format, EXPRESSIONS),
    st.sampled_from(
        [
            "else: true\n", "finally: true\n", "parallel: true\n", "parallel: any\n", "on_error: continue\n",
            "approve: true\n", "effect: read\n", "allow: {}\n", "allow: {network: [a.org]}\n", "as: b\n",
            "output: {x: {y: integer}}\n", "output: lines\n", "timeout: 5s\n", "max_parallel: 1\n",
        ]
    ),
)  # fmt: skip
ACTIONS = st.one_of(
    st.just("script"),
    st.builds("agent {0}".format, EXPRESSIONS),
    st.builds('uses: git.commit\nwith: {{message: "{{{{ {0} }}}}"}}\n'.format, EXPRESSIONS),
    st.builds('uses: http.get\nwith: {{url: "https://a.org/{{{{ {0} }}}}"}}\n'.format, EXPRESSIONS),
    st.builds('set: {{a: "{{{{ {0} }}}}"}}\n'.format, EXPRESSIONS),
    st.builds('workflow: ../x\nwith: {{a: "{{{{ {0} }}}}"}}\n'.format, EXPRESSIONS),
    st.builds("wait: {{event: e, match: {0}}}\n".format, EXPRESSIONS),
    st.just("group"),
)


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """A document of steps that are right and wrong in all manner of ways."""
    text = ""
    level = 2
    for id_ in draw(st.permutations(["a", "b", "c", "g"])):
        action = draw(ACTIONS)
        kept = {line.partition(":")[0]: line for line in draw(st.lists(LINES, max_size=3))}
        lines = "".join(kept.values())
        if action == "script":
            text += step(id_, lines, level=level)
        elif action.startswith("agent"):
            text += agent(id_, f"On {{{{ {action.partition(' ')[2]} }}}}.", lines, level=level)
        elif action == "group":
            text += does(id_, lines, level)
            level = min(level + 1, 6)
        else:
            text += does(id_, lines + action, level)
        if draw(st.booleans()):
            level = max(2, level - 1)
    return text


HEADS = st.sampled_from(
    [
        "",
        "inputs: {a: string, b: [{x: integer}]}\nstate: {a: {reduce: append}}\nenv: {A: '1'}\n",
        'allow: {network: [a.org], write: [git.commit], secrets: [a]}\nenv: {A: "{{ env.A }}"}\n',
        'on: {webhook: {path: /h, verify: {github: H}, inputs: {a: "{{ trigger.body }}"}}}\n'
        "inputs: {a: string}\nallow: {write: [git.commit]}\noutputs: {z: '{{ steps.c.output }}'}\n",
    ]
)


@given(bodies(), HEADS)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_read_compiles_or_is_reported(body: str, head: str) -> None:
    reading = read(body, head)
    if reading.workflow is None:
        return
    found = compile_plan(reading.workflow, reading.report)
    assert (found is None) == reading.report.has_errors
    for one in reading.report:
        assert one.place.line >= 1
    refusals(reading.workflow)
    if found is None:
        return
    whole = seal(found, reading.workflow)
    back = plan_from_json(plan_to_json(whole))
    assert plan_to_json(back) == plan_to_json(whole)
    assert describe_plan(whole)["digest"] == whole.digest
    for text in (draw_mermaid(whole), draw_dot(whole), draw_terminal(whole)):
        assert text.endswith("\n")
    for node in whole.nodes.values():
        siblings = whole.nodes[node.parent].children if node.id else ()
        assert set(node.after) <= set(siblings) - {node.id}
        assert set(node.otherwise) <= set(node.after)
        assert (node.kind is Kind.GROUP) == isinstance(node.action, Group)


def test_a_workflow_found_broken_while_reading_is_looked_through_all_the_same() -> None:
    reading = read(step("a", "timout: 3\n") + step("b", "if: steps.c.output\n"))
    assert reading.workflow is not None
    assert compile_plan(reading.workflow, reading.report) is None
    assert [one.code for one in reading.report] == ["AW501", "AW103"]
