"""The catalogue: every code that is emitted has a page, and the examples on the pages are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import aiworkflow
from aiworkflow.bundle.children import read_children
from aiworkflow.bundle.read import read_bundle
from aiworkflow.diagnostics import Fragment, Report, Severity
from aiworkflow.diagnostics.catalogue import FAMILIES, all_rules, rule
from aiworkflow.diagnostics.rule import Rule
from aiworkflow.expr import parse_template
from aiworkflow.plan import compile_plan

HEAD = "---\nname: code-review\n---\n\n# Code review\n\n"
INPUTS = "---\nname: code-review\ninputs: {name: string, target: string}\n---\n\n# Code review\n\n"
TOOLS = (
    "github: {operations: {show: {effect: read, inputs: {number: integer}}, "
    "comment: {effect: write, inputs: {body: string}}}}\n"
)
HOUSE = Path(aiworkflow.__file__).parent
TREE = Path(__file__).parents[2]

DOCUMENTS = [found for found in all_rules() if re.match(r"AW(1(?!18)|2|7|8|43)", found.code)]
TEXTS = [found for found in all_rules() if re.match(r"AW4[012]", found.code)]
NO_TEXT = {"AW401", "AW402", "AW408", "AW410", "AW411"}  # need a setting, size or files


def findings(text: str, tmp_path: Path) -> list[tuple[str, Severity]]:
    """What is found in a document, with the head it needs where the example shows the body only."""
    head = "" if text.startswith(("---", "# Code review")) else HEAD
    if "INPUT_NAME" in text or "inputs.target" in text:
        head = INPUTS
    folder = tmp_path / "code-review"
    (folder / "tools").mkdir(parents=True)
    for name in ("github", "open"):
        (folder / "tools" / f"{name}.py").write_text("print()\n", encoding="utf-8")
    (folder / "tools.yaml").write_text(TOOLS, encoding="utf-8")
    (folder / "workflow.md").write_text(head + text, encoding="utf-8")
    (tmp_path / "release").mkdir(exist_ok=True)
    release = HEAD + "## Tag\n\n```bash step\ntrue\n```\n"
    (tmp_path / "release" / "workflow.md").write_text(
        release.replace("code-review", "release"), encoding="utf-8"
    )
    reading = read_bundle(folder)
    if reading.workflow is not None:
        read_children(reading.workflow, tmp_path, reading.report)
        compile_plan(reading.workflow, reading.report)
    return [(found.code, found.severity) for found in reading.report]


@pytest.mark.parametrize("example", DOCUMENTS, ids=lambda found: found.code)
def test_the_bad_example_of_a_document_is_reported(example: Rule, tmp_path: Path) -> None:
    assert example.code in [code for code, _ in findings(example.bad, tmp_path)]


@pytest.mark.parametrize(
    "example", [one for one in DOCUMENTS if one.code != "AW209"], ids=lambda found: found.code
)
def test_the_good_example_of_a_document_is_right(example: Rule, tmp_path: Path) -> None:
    assert findings(example.good, tmp_path) == []


@pytest.mark.parametrize(
    "example", [one for one in TEXTS if one.code not in NO_TEXT], ids=lambda found: found.code
)
def test_the_examples_of_texts_are_true(example: Rule) -> None:
    def codes(text: str) -> list[str]:
        report = Report()
        parse_template(
            Fragment.of(text), report, blocks=True, include=lambda path, _: Fragment.of(path)
        )
        return [found.code for found in report]

    assert codes(example.bad) == [example.code]
    assert codes(example.good) == []


def test_every_code_that_is_emitted_has_a_rule_and_every_rule_is_emitted() -> None:
    emitted = {
        code
        for path in HOUSE.rglob("*.py")
        if "catalogue" not in path.parts
        for code in re.findall(r'"(AW\d{3})"', path.read_text(encoding="utf-8"))
    }
    assert emitted == {found.code for found in all_rules()}


def test_every_code_has_a_case_or_a_unit_test() -> None:
    tested = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("diagnostics", "unit")
        for path in (TREE / folder).rglob("*")
        if path.suffix in {".md", ".py"} and path != Path(__file__)
    )
    untested = [found.code for found in all_rules() if found.code not in tested]
    assert untested == []


def test_rules_are_complete_sorted_and_named_once() -> None:
    rules = all_rules()
    assert [found.code for found in rules] == sorted({found.code for found in rules})
    assert len({found.name for found in rules}) == len(rules)
    for found in rules:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", found.name), found.code
        assert found.title, found.code
        assert found.why.endswith("."), found.code
        assert found.bad, found.code
        assert found.good, found.code


def test_a_code_finds_its_rule() -> None:
    found = rule("AW103")
    assert found is not None
    assert found.name == "unknown-step"
    assert rule("AW000") is None


def test_every_family_is_a_module_and_every_module_a_family() -> None:
    modules = {path.stem for path in (HOUSE / "diagnostics" / "catalogue").glob("*.py")}
    assert modules - {"__init__"} == set(FAMILIES)
