"""The front door: any bytes end in a workflow or in findings, never in an exception."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aiworkflow.bundle.read import read_bundle, read_document
from aiworkflow.bundle.workflow import AgentCall, Gate, Group, Kind, Script, ToolCall
from aiworkflow.diagnostics import Report
from aiworkflow.diagnostics.render import to_json, to_text
from aiworkflow.plan import compile_plan

HEAD = "---\nname: b\n---\n\n# B\n\n"
PARTS = st.sampled_from(
    ["---\n", "name: b\n", "# B\n", "## A\n", "### C\n", "```yaml step\n", "```bash step id=x\n", "```\n",
     "uses: file.read\n", "with: {path: a}\n", "if: steps.a.output\n", "text {{ steps.a }}\n", "{% if a %}\n",
     "{% endif %}\n", "\n", "each: [1]\n", "until: x\n", "needs: [a]\n", "else: true\n", "> [!NOTE]\n",
     "<!-- x -->\n", "\u200b\n", "\x00", "\r\n", "\ufeff", "- a\n", "  b: {\n", "|a|\n|-|\n", "output: {a: b}\n",
     "parallel: true\n", "```bash undo\n", "allow: {write: [x.y]}\n", "on: {schedule: \"* * * * *\"}\n"]
)  # fmt: skip
DOCUMENTS = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(PARTS, max_size=30).map(lambda parts: "".join(parts).encode()),
    st.lists(PARTS, max_size=30).map(lambda parts: (HEAD + "".join(parts)).encode()),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("project") / "b"
    path.mkdir()
    return path


@given(DOCUMENTS)
@example(b"")
@example(b"---\n---\n")
@example(b"---\n\n---\n## \n```a undo\n")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_end_in_a_workflow_or_in_findings(bundle: Path, content: bytes) -> None:
    (bundle / "workflow.md").write_bytes(content)
    reading = read_bundle(bundle)
    if reading.workflow is not None:
        compile_plan(reading.workflow, reading.report)
    found = reading.report.sorted()
    assert reading.workflow is not None or reading.report.has_errors
    assert len(to_json(found)) == len(found)
    to_text(found, colour=False)


@given(st.lists(PARTS, max_size=30).map(lambda parts: HEAD + "".join(parts)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_carriage_returns_change_nothing(bundle: Path, text: str) -> None:
    text = text.replace("\r", "")

    def findings(content: str) -> list[object]:
        (bundle / "workflow.md").write_bytes(content.encode())
        return list(to_json(read_bundle(bundle).report.sorted()))

    assert findings(text) == findings(text.replace("\n", "\r\n"))


STEPS = """\
## Script

```python step id=s output=lines timeout=5m cwd=docs
print(1)
```

## Tool

```yaml step
uses: file.read
with: {path: "{{ steps.s.output[0] }}"}
```

## Gate

```yaml step
approve: true
```

Go on?

## Group

```yaml step
```

### Child one

```yaml step
```

Do one thing.

### Child two

```bash step
make
```
"""


def test_every_section_with_a_step_block_is_a_step_of_its_kind() -> None:
    reading = read_document(HEAD + STEPS, name="b")
    assert reading.report.diagnostics == []
    assert reading.workflow is not None
    script, tool, gate, group = reading.workflow.steps
    assert [step.id for step in reading.workflow.steps] == ["s", "tool", "gate", "group"]
    assert [step.kind for step in (script, tool, gate, group)] == [
        Kind.SCRIPT, Kind.TOOL, Kind.GATE, Kind.GROUP,
    ]  # fmt: skip
    assert isinstance(script.action, Script)
    assert (script.action.language, script.action.code, script.action.cwd) == (
        "python", "print(1)\n", "docs",
    )  # fmt: skip
    assert script.timeout_s == 300
    assert isinstance(tool.action, ToolCall)
    assert tool.action.name == "file.read"
    assert isinstance(gate.action, Gate)
    assert gate.action.message is not None
    assert gate.action.message.text == "Go on?"
    assert isinstance(group.action, Group)
    one, two = group.action.steps
    assert (one.id, two.id) == ("child_one", "child_two")
    assert isinstance(one.action, AgentCall)
    assert one.action.prompt.text == "Do one thing."


@pytest.mark.parametrize(
    ("title", "id_"),
    [("Collect the diff", "collect_the_diff"), ("A -- b!", "a_b"), ("Über `x_y`", "über_x_y"),
     ("Cafe\u0301", "café"), ("[Read](https://a.example) this", "read_this"), ("日本 語", "日本_語")],
)  # fmt: skip
def test_ids_come_from_headings(title: str, id_: str) -> None:
    reading = read_document(f"{HEAD}## {title}\n\n```bash step\nmake\n```\n", name="b")
    assert reading.workflow is not None
    assert [step.id for step in reading.workflow.steps] == [id_]


def test_a_step_that_is_broken_is_no_reason_for_more_findings() -> None:
    text = (
        HEAD + "## A\n\n```yaml step\n```\n\n{{ 1 + }}\n\n## B\n\n```yaml step\nuses: ''\n```\n\n"
        "## C\n\n```yaml step\nif: steps.a.output.x and steps.b.output.y\n```\n\nDo it.\n"
    )
    reading = read_document(text, name="b")
    assert reading.workflow is not None
    compile_plan(reading.workflow, reading.report)
    assert [one.place.line for one in reading.report] == [12, 17]


def test_all_findings_of_a_bundle_come_in_one_pass(bundle: Path) -> None:
    (bundle / "tools").mkdir(exist_ok=True)
    (bundle / "tools" / "a.py").write_text("")
    (bundle / "tools.yaml").write_text("a: {efect: write}\n")
    (bundle / "config.yaml").write_text("limit: 3\n")
    (bundle / "workflow.md").write_text(
        "---\nname: c\ntimeuot: 5m\n---\n\n# B\n\n## A\n\n```yaml step\nretries: 3\n```\n\n{{ a && b }}\n"
    )
    reading = read_bundle(bundle)
    assert [(one.code, one.place.path.rpartition("/")[2]) for one in reading.report] == [
        ("AW651", "config.yaml"), ("AW601", "tools.yaml"), ("AW107", "workflow.md"),
        ("AW501", "workflow.md"), ("AW501", "workflow.md"), ("AW404", "workflow.md"),
    ]  # fmt: skip


def test_reading_text_needs_no_files() -> None:
    reading = read_document("\ufeff" + HEAD + "## A\n\n```bash step\nmake\n```\n", name="b")
    assert isinstance(reading.report, Report)
    assert reading.workflow is not None
    assert [file.path for file in reading.workflow.files] == ["b.md"]
