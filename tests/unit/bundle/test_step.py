"""A section with step blocks → a step: its kind by its settings, and what is reported on the way."""

from __future__ import annotations

import pytest

from aiworkflow.bundle.read import read_document
from aiworkflow.bundle.step import id_from_title
from aiworkflow.bundle.workflow import Group, Kind, Step

HEAD = "---\nname: b\n---\n\n# B\n\n"


def step(section: str) -> Step:
    reading = read_document(HEAD + section, name="b")
    assert reading.report.diagnostics == []
    assert reading.workflow is not None
    [found] = reading.workflow.steps
    return found


def codes(section: str) -> list[str]:
    return [f"{one.code} {one.message}" for one in read_document(HEAD + section, name="b").report]


@pytest.mark.parametrize(
    ("settings", "prose", "kind"),
    [
        ("", "Do it.", Kind.AGENT),
        ("agent: claude-code", "Do it.", Kind.AGENT),
        ("approve: true\nagent: claude-code", "Do it.", Kind.AGENT),
        ("approve: true", "Go on?", Kind.GATE),
        ("approve: true", "", Kind.GATE),
        ("uses: git.status", "Documentation.", Kind.TOOL),
        ("workflow: ../other", "", Kind.CHILD),
        ("ask: {fields: {name: string}}", "Who?", Kind.ASK),
        ("wait: 10m", "", Kind.WAIT),
        ("set: {a: 1}", "", Kind.ASSIGN),
    ],
)
def test_settings_decide_what_a_step_is(settings: str, prose: str, kind: Kind) -> None:
    assert step(f"## A\n\n```yaml step\n{settings}\n```\n\n{prose}\n").kind is kind


@pytest.mark.parametrize(
    ("one", "two"),
    [("uses: git.status", "wait: 1m"), ("ask: {fields: {a: string}}", "set: {a: 1}"),
     ("workflow: ../x", "uses: git.status")],
)  # fmt: skip
def test_a_step_does_one_thing(one: str, two: str) -> None:
    names = [text.partition(":")[0] for text in (one, two)]
    [found] = codes(f"## A\n\n```yaml step\n{one}\n{two}\n```\n")
    assert found.startswith("AW104 a step does one thing, and this one has ")
    assert all(f"`{name}`" in found for name in names)


def test_prose_never_makes_a_script_an_agent() -> None:
    found = step("## A\n\nYou are an agent. Do as I say.\n\n```bash step\nmake\n```\n\nPlease.\n")
    assert found.kind is Kind.SCRIPT


def test_settings_and_code_stand_in_any_order() -> None:
    one = step("## A\n\n```yaml step\ntimeout: 5m\n```\n\n```bash step\nmake\n```\n")
    two = step("## A\n\n```bash step\nmake\n```\n\n```yaml step\ntimeout: 5m\n```\n")
    assert one.timeout_s == two.timeout_s == 300
    assert one.action == two.action


def test_settings_beside_the_language_count_as_settings() -> None:
    found = step("## A\n\n```bash step id=x timeout=90 output=json cwd=docs/a\nmake\n```\n")
    assert (found.id, found.timeout_s) == ("x", 90)
    assert found.settings == {"id": "x", "timeout": 90, "output": "json", "cwd": "docs/a"}
    assert [str(found.where[name]) for name in ("id", "timeout")] == ["b.md:9:17", "b.md:9:27"]


def test_an_id_beside_the_language_is_shown_there() -> None:
    text = "## A\n\n```bash step id=x\nmake\n```\n\n## B\n\n```bash step id=x\nmake\n```\n"
    [found] = read_document(HEAD + text, name="b").report
    assert (found.code, found.place.line, found.place.column) == ("AW102", 15, 17)
    assert found.labels[0].place.line == 9


def test_code_is_never_templated_and_says_so() -> None:
    assert codes("## A\n\n```bash step\necho {{ inputs.x }} {{ other }} ${{a}}\n```\n") == [
        "AW803 code is never templated: this stands in the script as it is"
    ]


def test_an_undo_block_is_kept_with_its_language() -> None:
    found = step("## A\n\n```bash step\nmake\n```\n\n```python undo\nprint()\n```\n")
    assert found.undo is not None
    assert (found.undo.action.language, found.undo.action.code) == ("python", "print()\n")


def test_steps_below_a_heading_without_a_step_block_belong_to_the_nearest_step() -> None:
    reading = read_document(
        HEAD
        + "## Group\n\n```yaml step\n```\n\n### Part\n\n#### One\n\n```bash step\nmake\n```\n\n"
        "## Chapter\n\n### Two\n\n```bash step\nmake\n```\n",
        name="b",
    )
    assert reading.workflow is not None
    assert [found.id for found in reading.workflow.steps] == ["group", "two"]
    group = reading.workflow.steps[0].action
    assert isinstance(group, Group)
    assert [found.id for found in group.steps] == ["one"]


@pytest.mark.parametrize(
    ("title", "expected"),
    [("", ""), ("!!!", ""), ("a" * 10_000, "a" * 500), ("[" * 10_000, ""), ("A_b", "a_b"),
     ("ﬁ ﬂ", "ﬁ_ﬂ"), ("~~old~~ new", "old_new")],
)  # fmt: skip
def test_any_title_gives_an_id_or_nothing(title: str, expected: str) -> None:
    assert id_from_title(title) == expected


def test_a_name_that_is_empty_does_no_harm() -> None:
    text = (
        "---\nname: a\n---\n\n# A\n\n## A\n\n```bash step timeout=5s\nmake\n```\n\n```yaml step\n"
    )
    reading = read_document(text + 'with: {"": x}\n```\n', name="a")
    assert reading.workflow is not None
    assert reading.workflow.steps[0].timeout_s == 5.0
    assert reading.report.has_errors
