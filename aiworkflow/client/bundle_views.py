"""What a face shows of a project's bundles, as plain data: the objects of `--json` and of HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.client.project import BundleInvalid

if TYPE_CHECKING:
    from aiworkflow.client.project import Checked, Project
    from aiworkflow.engine.carried import Json


def list_view(project: Project) -> list[dict[str, Json]]:
    """The bundles of a project: name, path, version, description, whether they are valid."""
    from aiworkflow.bundle import list_bundles

    shown: list[dict[str, Json]] = []
    for found in list_bundles(project.root):
        checked = project.check(found.path)
        about = checked.workflow
        shown.append(
            {
                "name": found.name,
                "path": checked.label,
                "version": about.version if about is not None else None,
                "description": about.description if about is not None else "",
                "valid": checked.is_valid,
            }
        )
    return shown


def validity_view(checked: Checked) -> dict[str, Json]:
    """Whether a bundle is valid, and all that was found."""
    from aiworkflow.diagnostics import render

    listed: list[Json] = [dict(one) for one in render.to_json(checked.report.sorted())]
    return {"valid": checked.is_valid, "diagnostics": listed}


def info_view(project: Project, checked: Checked) -> dict[str, Json]:
    """What a bundle takes, does and may touch, and what a run of it may cost.

    Raises:
        BundleInvalid: it has errors.
    """
    from aiworkflow.client.bounds import outlay
    from aiworkflow.plan import describe_plan, seal

    if checked.plan is None or checked.workflow is None or not checked.is_valid:
        raise BundleInvalid(checked.label, checked.report.sorted())
    about = describe_plan(seal(checked.plan, checked.workflow))
    about["bundle"] = checked.label
    about["not_executable_yet"] = [d.message.split("`")[1] for d in checked.refused]
    about["cost"] = outlay(project, checked).to_json()
    return about


def document_view(checked: Checked) -> dict[str, Json]:
    """A workflow's document as it stands.

    Raises:
        BundleInvalid: it cannot be read.
    """
    found = checked.workflow
    if found is None:
        raise BundleInvalid(checked.label, checked.report.sorted())
    text = next(f.content for f in found.files if f.path == found.document).decode("utf-8")
    return {"name": found.name, "path": checked.label, "document": text}
