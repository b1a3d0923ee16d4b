"""Each change of a workflow is told in its own words, and risks are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiworkflow.plan import seal
from aiworkflow.plan.meaning import Side, differences, nothing_like
from aiworkflow.plan.wording import line_diff, template_text, word_diff
from tests.unit.plan.documents import (
    TOOLS,
    agent,
    compiled,
    does,
    group,
    read,
    read_with_tools,
    step,
)

A = step("a", code="echo 1")
ASK = agent(
    "ask", "Please be brief about {{ steps.a.output }} and nothing else.", "agent: openai/m1\n"
)
SAY = does("say", "uses: github.comment\nwith: {body: hello}\napprove: true\n")
HEAD = "allow: {write: [github.comment], secrets: [GITHUB_TOKEN]}\n"
GROUP = group("g", "parallel: true\n", step("x", level=3), step("y", level=3))


def side(folder: Path, body: str, head: str = HEAD, **files: str) -> Side:
    found = read_with_tools(folder, body, head, **files)
    plan, problems = compiled(found)
    assert plan is not None, problems
    assert found.workflow is not None
    return Side(seal(plan, found.workflow), found.workflow)


def told(tmp_path: Path, old: tuple[str, str], new: tuple[str, str], **files: str) -> list[str]:
    found = differences(side(tmp_path / "old", *old), side(tmp_path / "new", *new, **files))
    return [f"{'!' if one.risk else ''}{one.kind}: {one.text}" for one in found]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (A + ASK + SAY, A + ASK + SAY, []),
        (A, A + step("b"), ["!steps: `b` is new: a script (bash) (write)"]),
        (A + step("b"), A, ["steps: `b` is gone: a script (bash)"]),
        (A, step("z", code="echo 1"), ["steps: `a` is called `z` now", "prose: headings of `z`"]),
        (A, step("a", code="echo 2"), ["!scripts: `a`: its code (bash)"]),
        (A + step("b"), step("b") + A, ["order: `b` does not wait for `a` any more", "order: `a` waits for `b` now"]),
        (A + step("b", "needs: []\n"), A + step("b"), ["order: `b` waits for `a` now"]),
        (A + ASK, A + ASK.replace("brief", "short"), ["prompts: `ask`: its prompt"]),
        (A + ASK, A + ASK.replace("openai/m1", "[openai/m2, ollama/x]"), ["agents: `ask`: `openai/m1` → `openai/m2`, `ollama/x`"]),
        (SAY, SAY.replace("approve: true\n", ""), ["!approvals: `say` does not ask for consent any more"]),
        (SAY.replace("approve: true\n", ""), SAY, ["approvals: `say` asks for consent now"]),
        (SAY, SAY.replace("approve: true", "approve: {by: lead}"), None),
        (SAY, SAY.replace("hello", "bye"), ["settings: `say`: `with.body` `\"hello\"` → `\"bye\"`"]),
        (A, step("a", "timeout: 5m\n", "echo 1"), ["settings: `a`: `timeout` none → `\"5m\"`"]),
        (A, step("a", "budget: {usd: 2}\n", "echo 1"), ["budgets: `a`: budget.usd none → `2.0`"]),
        (step("a", "budget: {usd: 2}\n"), step("a", "budget: {usd: 3}\n"), ["!budgets: `a`: budget.usd `2.0` → `3.0`"]),
        (step("a", "effect: read\n"), step("a", "effect: destructive\n"), ["!effects: `a`: read → destructive"]),
        (step("a", "effect: write\n"), step("a", "effect: read\n"), ["effects: `a`: write → read"]),
        (step("a"), step("a", "env: {T: '{{ secrets.GITHUB_TOKEN }}'}\n"), None),
        (GROUP, GROUP.replace("parallel: true", "parallel: any"), None),
        (
            GROUP,
            group("g", "parallel: true\n", step("x", level=3)) + step("y"),
            ["steps: `y` is in the workflow itself now, and was in `g`", "order: `y` waits for `g` now"],
        ),
        (A.replace("Step a", "Another"), A, ["prose: headings of `a`"]),
        (SAY, SAY.replace("github.comment", "github.show").replace("{body: hello}", "{number: 1}"), None),
    ],
)  # fmt: skip
def test_a_change_of_steps_is_told(
    tmp_path: Path, old: str, new: str, said: list[str] | None
) -> None:
    found = told(tmp_path, (old, HEAD), (new, HEAD))
    if said is None:
        return_kinds = {one.partition(":")[0] for one in found}
        assert return_kinds, "something differs"
        expected = {
            "by: lead": {"!approvals"},
            "secrets.": {"!secrets", "settings"},
            "any": {"order", "settings"},
            "github.show": {"secrets", "effects", "tools", "settings"},
        }
        (wanted,) = [kinds for mark, kinds in expected.items() if mark in new and mark not in old]
        assert return_kinds == wanted, found
    else:
        assert found == said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (HEAD, HEAD.replace("[GITHUB_TOKEN]", "[GITHUB_TOKEN, OTHER]"), ["!secrets: allow.secrets + `OTHER`"]),
        ("allow: {network: [a.example, b.example]}\n", "allow: {network: [b.example]}\n", ["network: allow.network − `a.example`"]),
        ("", "allow: {network: [a.example]}\n", None),
        ("inputs: {x: string}\n", "inputs: {x: integer, y: string?}\n", ["inputs: `x`: string, required → integer, required", "inputs: `y` is new, optional: string?"]),
        ("inputs: {x: {type: string, default: a}}\n", "inputs: {x: {type: string, default: b}}\n", ["inputs: `x`: default `\"a\"` → `\"b\"`"]),
        ("outputs: {o: '{{ steps.a.output }}'}\n", "outputs: {p: '{{ steps.a.output }}'}\n", ["outputs: output `o` is gone", "outputs: output `p` is new"]),
        ("budget: {usd: 2}\n", "", ["!budgets: budget.usd `2.0` → none"]),
        ("", "on: {schedule: '0 6 * * *'}\n", None),
        ("timeout: 5m\n", "timeout: 6m\n", ["settings: `timeout` `\"5m\"` → `\"6m\"`"]),
        ("state: {n: {reduce: sum}}\n", "state: {n: {reduce: max}}\n", None),
        ("version: 1.0.0\n", "version: 1.1.0\n", ["prose: version 1.0.0 → 1.1.0"]),
    ],
)  # fmt: skip
def test_a_change_around_the_steps_is_told(
    tmp_path: Path, old: str, new: str, said: list[str] | None
) -> None:
    found = told(tmp_path, (A, old), (A, new))
    if said is not None:
        assert found == said
        return
    mark = {
        "allow": "!network: allow.network + `a.example`",
        "on": "!triggers: it is started by schedule now",
        "state": "state: state `n`: ",
    }
    assert any(one.startswith(mark[new.partition(":")[0]]) for one in found), found


def test_files_and_operations_are_told(tmp_path: Path) -> None:
    tools = TOOLS.replace("inputs: {body: string}", "inputs: {body: string, more?: string}")
    files = {
        "tools.yaml": tools,
        "tools/plain.py": "print(2)\n",
        "data.json": "{}",
        "README.md": "x",
    }
    found = told(tmp_path, (SAY, HEAD), (SAY, HEAD), **files)
    assert found == [
        "!tools: `tools/plain.py` is another",
        "tools: `say`: what `github.comment` is declared to be",
        "files: `data.json` is new",
        "prose: `README.md` is new",
    ]


def test_a_new_bundle_is_all_risks_that_it_has(tmp_path: Path) -> None:
    new = side(tmp_path, SAY)
    found = [one for one in differences(Side(nothing_like(new.plan)), new) if one.risk]
    assert [one.kind for one in found] == ["secrets", "allow", "tools", "tools", "steps"]


def test_prose_is_compared_by_words_and_code_by_lines() -> None:
    was = "one two three four five six seven eight nine ten"
    assert word_diff(was, was.replace("five", "FIVE")) == [
        "one two three four [-five-] {+FIVE+} six seven eight nine …"
    ]
    assert line_diff("a\nb\nc\n", "a\nx\nc\n") == ["-b", "+x"]
    assert len(line_diff("", "\n".join(map(str, range(100))))) == 12


def test_a_template_is_shown_as_it_is_written() -> None:
    prose = "For {{ inputs.x }}: {% if inputs.x == 'a' %}A{% else %}{% for i in [1, 2] %}{{ i }}{% endfor %}{% endif %}"
    workflow = read(agent("ask", prose), "inputs: {x: string}\n").workflow
    assert workflow is not None
    action = workflow.steps[0].action
    assert template_text(action.prompt).strip() == prose  # type: ignore[union-attr]
