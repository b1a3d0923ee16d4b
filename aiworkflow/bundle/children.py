"""Workflows that a workflow calls (`workflow: path`), read with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.read import read_bundle
from aiworkflow.bundle.workflow import Child, Group, Workflow
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aiworkflow.bundle.workflow import Step
    from aiworkflow.diagnostics import Place, Report

DEEPEST: Final = 10
"""How many workflows may call each other in a chain."""


@record
class ChildWorkflow:
    """A workflow that is called.

    Attributes:
        label: its path within the project.
        children: what it calls itself, by path as written there.
    """

    label: str
    workflow: Workflow
    children: Mapping[str, ChildWorkflow]


def read_children(
    workflow: Workflow, root: Path, report: Report, above: Sequence[Path] = ()
) -> dict[str, ChildWorkflow]:
    """Read what a workflow calls, and what that calls; by path as written.

    Args:
        root: the project's root; nothing outside of it is read.
        report: gets what cannot be called, and the findings in the called workflows.
        above: the workflows that this one is being called by, the outermost first.
    """
    found: dict[str, ChildWorkflow] = {}
    here = Path(workflow.root)
    chain = [*above, here.resolve()]
    home = here if here.is_dir() else here.parent
    for path, place in _calls(workflow.steps):
        if path in found:
            continue
        target = (home / path).resolve()
        if not target.is_relative_to(root.resolve()):
            report.error(
                "AW132",
                place,
                f"`{path}` lies outside of the project",
                "call a workflow of this project",
            )
        elif target in chain:
            names = " → ".join(one.name for one in [*chain[chain.index(target) :], target])
            report.error(
                "AW133",
                place,
                f"these workflows call each other: {names}",
                "repeat steps with `until`, `each` or `goto`",
            )
        elif len(chain) >= DEEPEST:
            report.error(
                "AW133",
                place,
                f"more than {DEEPEST} workflows call each other in a chain",
                "call them one after the other instead",
            )
        elif not _is_workflow(target):
            report.error(
                "AW132",
                place,
                f"there is no workflow at `{path}`",
                "the path is relative to this bundle's folder: `../release`",
            )
        else:
            child = _read(target, root, report, chain)
            if child is not None:
                found[path] = child
    return found


def _read(target: Path, root: Path, report: Report, chain: Sequence[Path]) -> ChildWorkflow | None:
    reading = read_bundle(target)
    for one in reading.report.diagnostics:
        report.add(one.code, one.place, one.message, one.hint, *one.labels, severity=one.severity)
    if reading.workflow is None:
        return None
    label = target.relative_to(root.resolve()).as_posix()
    children = read_children(reading.workflow, root, report, chain)
    return ChildWorkflow(label, reading.workflow, children)


def _is_workflow(path: Path) -> bool:
    if path.is_file():
        return path.suffix == ".md"
    return path.is_dir() and any(one.suffix == ".md" for one in path.iterdir())


def _calls(steps: Sequence[Step]) -> Iterator[tuple[str, Place]]:
    for step in steps:
        if isinstance(step.action, Child):
            yield step.action.path, step.where.get("workflow") or step.place
        elif isinstance(step.action, Group):
            yield from _calls(step.action.steps)
