"""Pictures show what runs in which order, and nothing in a workflow can break them."""

from __future__ import annotations

import dataclasses
import re

import pytest

from aiworkflow.plan import draw_dot, draw_mermaid, draw_terminal
from tests.unit.plan.documents import agent, does, group, plan, step

BODY = (
    group("facts", "parallel: majority\n", step("one", level=3), step("two", level=3))
    + agent("think", "About {{ steps.one.output }}.", "agent: ollama/llama3\n")
    + does("post", 'if: steps.think.output != ""\nuses: git.commit\nwith: {message: x}\n')
    + step("quiet", "else: true\n")
    + step("other", "needs: [facts]\neach: range(3)\n")
    + step("bye", "finally: true\n")
)
HEAD = "allow: {write: [git.commit]}\n"


def test_the_terminal_shows_the_tree_with_order_and_effects() -> None:
    assert draw_terminal(plan(BODY, HEAD), 100).splitlines() == [
        "Flow",
        "├─ ▣ facts  parallel: majority",
        "│  ╠─ $ one  bash  (write)",
        "│  ╚─ $ two  bash  (write)",
        "├─ ✦ think  ollama/llama3",
        '├─ ⚙ post  git.commit  (if steps.think.output != ""; write)',
        "├─ $ quiet  bash  (else; write)",
        "├─ $ other  bash  (after facts; each range(3); write)",
        "└─ $ bye  bash  (finally; write)",
    ]


def test_a_terminal_of_any_width_is_kept_to() -> None:
    found = plan(BODY.replace("Step think", "Step 考える"), HEAD)
    for width in (1, 10, 30, 41):
        for line in draw_terminal(found, width).splitlines():
            assert len(line) <= width


def test_wide_characters_take_two_columns() -> None:
    found = plan(step("a", 'if: run.id == "漢字漢字漢字漢字漢字"\n'))
    line = draw_terminal(found, 36).splitlines()[1]
    assert line.endswith("…")
    assert len(line) + sum(char in "漢字" for char in line) <= 36


def test_colour_is_there_when_asked_for_and_changes_no_text() -> None:
    found = plan(BODY, HEAD)
    painted = draw_terminal(found, 60, colour=True)
    assert "\x1b[" in painted
    bare = re.sub(r"\x1b\[[0-9;]*m", "", painted)
    assert [line.rstrip() for line in bare.splitlines()] == draw_terminal(found, 60).splitlines()


def test_nothing_that_a_terminal_obeys_gets_through() -> None:
    found = dataclasses.replace(plan(BODY, HEAD), title="\x1b[2J\u202egnp.exe\nmore")
    for colour in (True, False):
        text = re.sub(r"\x1b\[[0-9;]*m", "", draw_terminal(found, 100, colour=colour))
        assert all(char == "\n" or char.isprintable() for char in text)


def test_mermaid_has_every_step_and_every_edge() -> None:
    assert draw_mermaid(plan(BODY, HEAD)) == (
        "flowchart TD\n"
        '  subgraph n_facts["facts: parallel: majority"]\n'
        '    n_one["one: bash<br/>write"]\n'
        '    n_two["two: bash<br/>write"]\n'
        "  end\n"
        '  n_think(["think: ollama/llama3"])\n'
        '  n_post["post: git.commit<br/>if steps.think.output != #34;#34;<br/>write"]\n'
        '  n_quiet["quiet: bash<br/>else<br/>write"]\n'
        '  n_other["other: bash<br/>each range(3)<br/>write"]\n'
        '  n_bye["bye: bash<br/>finally<br/>write"]\n'
        "  n_facts --> n_think\n"
        "  n_think --> n_post\n"
        "  n_post -. else .-> n_quiet\n"
        "  n_facts --> n_other\n"
        "  n_quiet -. finally .-> n_bye\n"
        "  n_other -. finally .-> n_bye\n"
    )


@pytest.mark.parametrize("hostile", ['"]; x[', "<script>", "a;b", "#quot;", "`x`", "a\\nb", "]]"])
def test_text_in_mermaid_stays_in_its_label(hostile: str) -> None:
    quoted = hostile.replace("\\n", "\n      ").replace("'", "''")
    found = plan(step("a", f"if: |\n  run.id == '{quoted}'\n"))
    (line,) = [line for line in draw_mermaid(found).splitlines() if "n_a[" in line]
    label = re.fullmatch(r'  n_a\["(.*)"\]', line)
    assert label is not None
    assert not re.search(r'["<>`]', label[1].replace("<br/>", ""))


def test_dot_has_every_step_and_every_edge() -> None:
    assert draw_dot(plan(BODY, HEAD)).splitlines() == [
        'digraph "flow" {',
        "  rankdir=TB; compound=true; node [shape=box, style=rounded];",
        '  subgraph "cluster_facts" {',
        '    label="facts: parallel: majority";',
        '    "one" [label="one: bash\\nwrite"];',
        '    "two" [label="two: bash\\nwrite"];',
        "  }",
        '  "think" [label="think: ollama/llama3"];',
        '  "post" [label="post: git.commit\\nif steps.think.output != \\"\\"\\nwrite"];',
        '  "quiet" [label="quiet: bash\\nelse\\nwrite"];',
        '  "other" [label="other: bash\\neach range(3)\\nwrite"];',
        '  "bye" [label="bye: bash\\nfinally\\nwrite"];',
        '  "two" -> "think" [ltail="cluster_facts"];',
        '  "think" -> "post";',
        '  "post" -> "quiet" [style=dashed, label="else"];',
        '  "two" -> "other" [ltail="cluster_facts"];',
        '  "quiet" -> "bye" [style=dashed, label="finally"];',
        '  "other" -> "bye" [style=dashed, label="finally"];',
        "}",
    ]


def test_groups_in_groups_are_drawn_in_each_other() -> None:
    rounds = group("h", "until: round > 1\nmax_rounds: 4\n", step("a", level=4), level=3)
    found = plan(group("g", "", rounds) + step("z", "needs: [g]\n"))
    assert "│  └─ ▣ h  until  (until round > 1, 4 rounds)" in draw_terminal(found)
    assert 'subgraph n_h["h: until<br/>until round #62; 1, 4 rounds"]' in draw_mermaid(found)
    assert '"a" -> "z" [ltail="cluster_g"];' in draw_dot(found)


def test_every_kind_of_step_is_drawn() -> None:
    body = (
        does("q", "ask: {fields: {go: boolean}}\n", prose="Go?")
        + does("w", "wait: 10m\n")
        + does("ok", "approve: true\n", prose="Sure?")
        + does("s", "set: {x: 1}\n")
        + does("c", "workflow: ../x\n")
    )
    found = plan(body, "state: {x: {reduce: sum}}\n")
    drawn = draw_terminal(found)
    assert all(mark in drawn for mark in "?◷⛨=↳")
    assert 'n_q{{"q: ask"}}' in draw_mermaid(found)
    assert draw_dot(found).count("label=") == 5
