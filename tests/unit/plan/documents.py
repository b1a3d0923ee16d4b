"""Workflows for the tests of plans, written as their authors write them."""

from __future__ import annotations

from pathlib import Path

from aiworkflow.bundle.read import Reading, read_bundle, read_document
from aiworkflow.diagnostics import Diagnostic
from aiworkflow.plan import Plan, compile_plan

TOOLS = """\
github:
  operations:
    show: {effect: read, inputs: {number: integer, verbose?: boolean}, output: {title: string}}
    comment: {effect: write, inputs: {body: string}, output: {id: integer}, secrets: [GITHUB_TOKEN]}
    search: {effect: read, inputs: {query: string}, network: [api.github.com]}
    vague: {effect: read}
    merge: {effect: read}
"""


def document(body: str, head: str = "") -> str:
    return f"---\nname: flow\ndescription: A test.\n{head}---\n\n# Flow\n\n{body}"


def read(body: str, head: str = "") -> Reading:
    return read_document(document(body, head), name="flow")


def read_with_tools(folder: Path, body: str, head: str = "", **files: str) -> Reading:
    """A bundle with the tools `github` (declared) and `plain` (not declared)."""
    root = folder / "flow"
    (root / "tools").mkdir(parents=True, exist_ok=True)
    for name in ("github", "plain"):
        (root / "tools" / f"{name}.py").write_text("print()\n", encoding="utf-8")
    (root / "tools.yaml").write_text(TOOLS, encoding="utf-8")
    for path, text in files.items():
        (root / path).write_text(text, encoding="utf-8")
    (root / "workflow.md").write_text(document(body, head), encoding="utf-8")
    return read_bundle(root)


def compiled(reading: Reading) -> tuple[Plan | None, list[Diagnostic]]:
    assert reading.workflow is not None, [str(one.message) for one in reading.report]
    return compile_plan(reading.workflow, reading.report), reading.report.sorted()


def plan(body: str, head: str = "") -> Plan:
    """The plan of a workflow in which nothing is wrong."""
    found, problems = compiled(read(body, head))
    assert found is not None, shown(problems)
    return found


def findings(body: str, head: str = "") -> list[str]:
    """`CODE text-at-the-place` of each finding."""
    return [said(one) for one in compiled(read(body, head))[1]]


def said(one: Diagnostic) -> str:
    span = one.place.span
    return f"{one.code} {one.place.source.text[span.start : span.end]}".strip()


def shown(problems: list[Diagnostic]) -> list[str]:
    return [f"{one.code} {one.place} {one.message} | {one.hint}" for one in problems]


def step(id_: str, settings: str = "", code: str = "true", level: int = 2) -> str:
    """A bash step; `settings` are lines of YAML."""
    lines = f"id: {id_}\n{settings}".rstrip("\n")
    return (
        f"{'#' * level} Step {id_}\n\n```yaml step\n{lines}\n```\n\n```bash step\n{code}\n```\n\n"
    )


def agent(id_: str, prompt: str, settings: str = "", level: int = 2) -> str:
    lines = f"id: {id_}\n{settings}".rstrip("\n")
    return f"{'#' * level} Step {id_}\n\n```yaml step\n{lines}\n```\n\n{prompt}\n\n"


def does(id_: str, settings: str, level: int = 2, prose: str = "") -> str:
    """A step that its settings say all of: a tool call, a `set`, a wait."""
    lines = f"id: {id_}\n{settings}".rstrip("\n")
    return f"{'#' * level} Step {id_}\n\n```yaml step\n{lines}\n```\n\n{prose}\n\n"


def group(id_: str, settings: str, *children: str, level: int = 2) -> str:
    return does(id_, settings, level) + "".join(children)
