"""A stored plan is the plan: everything comes back, whatever it holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.diagnostics import Fragment, Report
from aiworkflow.expr import parse_expression
from aiworkflow.expr import tree as t
from aiworkflow.plan import Plan, UnknownPlan, plan_from_json, plan_to_json, seal
from aiworkflow.plan.digest import plan_digest
from aiworkflow.plan.unparse import unparse
from tests.unit.plan.documents import (
    agent,
    compiled,
    does,
    group,
    plan,
    read_with_tools,
    shown,
    step,
)

EVERYTHING = (
    step("script", 'env: {A: "{{ run.id }}", B: "1"}\nwith: {x: [1, {y: "{{ inputs.n }}"}]}\ncwd: src\n')
    + step("typed", "output: {a: low | high, b?: [integer?], c: {type: string, pattern: '^a$'}}\n")
    + step("lines", "output: lines\ntimeout: 5m\non_error: continue\nallow: {network: [a.org]}\n")
    + does("tool", "uses: github.show\nwith: {number: 3}\n")
    + does("built", 'uses: http.get\nwith: {url: "https://a.org/{{ inputs.n }}"}\ntimeout: 10s\n')
    + does("mcp", "uses: mcp:files/read\nwith: {path: x}\n")
    + agent("agent", "{% if inputs.n > 1 %}A{% elif inputs.n %}B{% else %}C{% endif %}"
            "{% for x in steps.built.output.items %}- {{ x }}{% else %}none{% endfor %}",
            "agent: ollama/llama3\n")
    + agent("sees", "Look", 'files: [a.png, "{{ inputs.n }}.png"]\n')
    + agent("talk", "Look.", "tools: [git.diff, github.show]\nturns: 7\nsession: talk\n")
    + group("rounds", 'until: round > 2\nmax_rounds: 3\nresult: "{{ steps.inner.output }}"\n',
            step("inner", level=3))
    + group("any", "parallel: any\n", step("p", level=3), step("q", level=3))
    + does("set", "each: range(3)\nas: i\nmax_parallel: 2\nrate: 30/m\nmax_items: 9\nif: i > 1\n"
           'set: {seen: "{{ i }}"}\n')
    + does("ask", "ask: {fields: {go: boolean, why?: string}, by: [lead], expires: 24h}\n", prose="Go, {{ run.id }}?")
    + does("pause", "wait: 10m\n")
    + does("moment", 'wait: {at: "{{ run.started }}"}\n')
    + does("event", "wait: {event: paid, match: trigger.body.n == inputs.n, timeout: 1d}\n")
    + does("gate", "approve: true\n", prose="Sure?")
    + does("child", 'workflow: ../other\nwith: {n: "{{ inputs.n }}"}\n')
    + step("one", 'if: run.id == "1"\n')
    + step("two", "else: true\n")
    + step("last", "finally: true\n")
)  # fmt: skip
HEAD = (
    "inputs: {n: {type: integer, default: 1, minimum: 0, description: How many}}\n"
    "state: {seen: {reduce: append}, best: {reduce: max, by: score}}\n"
    'allow: {network: [a.org], write: ["mcp:files/*"]}\n'
    "sessions: {talk: {tokens: 9k}}\n"
    "concurrency: {key: 'k-{{ inputs.n }}', overlap: queue}\n"
    "agent: anthropic/claude\ntimeout: 1h\nenv: {LEVEL: '3'}\nversion: 1.0.0\n"
    'outputs: {a: "{{ steps.typed.output.a }}", b: "n = {{ inputs.n }}", c: [1, two]}\n'
    "on: {webhook: {path: /h, verify: {github: H}}}\n"
)


@pytest.fixture
def everything(tmp_path: Path) -> Plan:
    reading = read_with_tools(tmp_path, EVERYTHING, HEAD)
    found, problems = compiled(reading)
    assert found is not None, shown(problems)
    assert reading.workflow is not None
    return seal(found, reading.workflow)


def test_every_kind_of_step_comes_back(everything: Plan) -> None:
    data = json.loads(json.dumps(plan_to_json(everything), allow_nan=False))
    back = plan_from_json(data)
    assert plan_to_json(back) == data
    assert list(back.nodes) == list(everything.nodes)
    for name, node in everything.nodes.items():
        other = back.nodes[name]
        for field in dataclasses.fields(node):
            if field.name not in {"action", "condition", "each", "env", "operation", "handed"}:
                assert getattr(other, field.name) == getattr(node, field.name), (name, field.name)
        assert type(other.action) is type(node.action)
        assert other.kind is node.kind
    assert back.digest == everything.digest
    assert plan_digest(back) == everything.digest


def test_the_plan_itself_comes_back(everything: Plan) -> None:
    back = plan_from_json(plan_to_json(everything))
    for name in ("name", "title", "version", "inputs", "state", "agents", "allow", "timeout_s",
                 "effect", "document"):  # fmt: skip
        assert getattr(back, name) == getattr(everything, name), name
    assert dict(back.files) == dict(everything.files)
    assert dict(back.tools) == dict(everything.tools)


def test_a_plan_says_its_format_and_a_newer_one_is_refused(everything: Plan) -> None:
    data = plan_to_json(everything)
    assert data["format"] == 1
    with pytest.raises(UnknownPlan, match="of format 2, and this version of aiworkflow reads 1"):
        plan_from_json({**data, "format": 2})


def test_labels_come_back_and_change_the_digest() -> None:
    one, other = (plan(step("a"), head) for head in ("", "runs_on: [gpu, linux]\n"))
    back = plan_from_json(json.loads(json.dumps(plan_to_json(other))))
    assert (one.runs_on, back.runs_on) == ((), ("gpu", "linux"))
    assert plan_digest(one) != plan_digest(back)


def test_a_map_that_looks_like_an_expression_stays_a_map() -> None:
    found = plan(step("a", 'with: {x: {"$": "inputs.n", "$$": [1], "$map": {}}}\n'))
    back = plan_from_json(json.loads(json.dumps(plan_to_json(found))))
    action = back.nodes["a"].action
    assert action == found.nodes["a"].action


def test_digests_do_not_depend_on_where_it_was_stored(everything: Plan) -> None:
    assert "tmp" not in json.dumps(plan_to_json(everything))


# -- expressions as text ---------------------------------------------------------------------------

NAMES = st.sampled_from(["inputs", "steps", "item", "a", "b2"])
ATOMS = st.one_of(
    NAMES,
    st.integers(0, 10**20).map(str),
    st.floats(0, 1e9, allow_nan=False).map(repr).filter(lambda text: "e" not in text),
    st.sampled_from(
        ["true", "false", "none", "''", '"q"', "'a\\nb'", "'ü😀'", r"'\\'", "[]", "{}"]
    ),
)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.builds("{0}.f".format, NAMES),
        st.builds("({0})[{1}]".format, inner, inner),
        st.builds("({0})[1:{1}]".format, inner, inner),
        st.builds("({0})['x y']".format, inner),
        st.builds("not ({0})".format, inner),
        st.builds("-({0})".format, inner),
        st.builds(
            lambda p, op: f"({p[0]}) {op} ({p[1]})",
            pair,
            st.sampled_from(
                ["+", "-", "*", "/", "//", "%", "**", "and", "or", "~", "==", "<", "in", "not in"]
            ),
        ),
        st.builds("({0}) < ({1}) <= 3".format, inner, inner),
        st.builds("({0}) if ({1}) else ({2})".format, inner, inner, inner),
        st.builds("({0}) if ({1})".format, inner, inner),
        st.builds("[{0}, {1}]".format, inner, inner),
        st.builds("{{'k': {0}}}".format, inner),
        st.builds("({0}) | default({1})".format, inner, inner),
        st.builds("({0}) | join(by=',')".format, inner),
        st.builds("({0}) is defined".format, inner),
        st.builds("({0}) is not none".format, inner),
        st.builds("range({0})".format, inner),
    )


def spanless(value: object) -> object:
    """A tree without the places of its parts."""
    if hasattr(value, "__record__"):
        named = {
            name: spanless(getattr(value, name))
            for name in value.__record__
            if name not in {"start", "end", "at"}
        }
        return (type(value).__name__, named)
    if isinstance(value, list | tuple):
        return [spanless(item) for item in value]
    if isinstance(value, float | int) and not isinstance(value, bool):
        return (type(value).__name__, value)
    return value


@given(st.recursive(ATOMS, compound, max_leaves=12))
@settings(max_examples=300, deadline=None)
def test_an_expression_as_text_parses_to_the_same_tree(text: str) -> None:
    first = parse_expression(Fragment.of(text), Report())
    if first is None:  # a constant that can be seen to fail
        return
    written = unparse(first.tree)
    again = parse_expression(Fragment.of(written), Report())
    assert again is not None, written
    assert spanless(again.tree) == spanless(first.tree)
    assert unparse(again.tree) == written


@given(st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back(text: str) -> None:
    written = unparse(t.Literal(text, 0, 0))
    written.encode()  # what is stored is UTF-8
    found = parse_expression(Fragment.of(written), Report())
    assert found is not None
    assert isinstance(found.tree, t.Literal)
    assert found.tree.value == text


def test_every_form_of_tree_is_written() -> None:
    forms = {
        "a": t.Name, "a.b": t.Field, "a[0]": t.Item, "a[1:2]": t.Slice, "-a": t.Unary, "a + b": t.Binary,
        "a < b": t.Compare, "a if b else c": t.Conditional, "[a]": t.ListLiteral,
        "{'a': a}": t.ObjectLiteral, "a ~ b": t.Concat, "a | upper": t.Filter, "a is string": t.Test,
        "range(3)": t.Call, "1": t.Literal,
    }  # fmt: skip
    for text, form in forms.items():
        found = parse_expression(Fragment.of(text), Report())
        assert found is not None
        assert isinstance(found.tree, form)
        again = parse_expression(Fragment.of(unparse(found.tree)), Report())
        assert again is not None
        assert spanless(again.tree) == spanless(found.tree)
