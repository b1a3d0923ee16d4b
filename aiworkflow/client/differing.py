"""Bundles at two git revisions, or at one and in the working tree, and what the change means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.bundle import list_bundles
from aiworkflow.client.bounds import default_agents
from aiworkflow.client.in_force import in_force
from aiworkflow.errors import UsageError
from aiworkflow.plan.meaning import Side, differences, nothing_like
from aiworkflow.records import record
from aiworkflow.runtime.gitwords import Git

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.client.project import Project
    from aiworkflow.engine.carried import Json
    from aiworkflow.plan.difference import Difference

WORKING_TREE = "the working tree"


@record
class BundleDifference:
    """What is another in one bundle.

    Attributes:
        is_new, is_gone: whether it is on one side only.
    """

    bundle: str
    differences: Sequence[Difference]
    is_new: bool = False
    is_gone: bool = False

    def to_json(self) -> dict[str, Json]:
        """As `bundle diff --json` prints it."""
        return {
            "bundle": self.bundle,
            "new": self.is_new,
            "gone": self.is_gone,
            "differences": [one.to_json() for one in self.differences],
        }


def compare_bundles(
    project: Project, old: str, new: str | None, bundle: str | None
) -> list[BundleDifference]:
    """What the change between two revisions means, bundle by bundle; those alike are left out.

    Args:
        new: None for the working tree.
        bundle: only this one.

    Raises:
        UsageError: there is no such revision, or the bundle is on neither side.
        BundleInvalid: it cannot be read on one side.
    """
    commits = project.commit_of(old), project.commit_of(new) if new is not None else None
    labels = [_label(project, bundle)] if bundle is not None else _all(project, commits)
    found = []
    for label in labels:
        was = _side(project, commits[0], label)
        now = _side(project, commits[1], label)
        if was is None and now is None:
            raise UsageError(f"there is no bundle `{label}` on either side")
        if was is not None and now is not None and was.plan.digest == now.plan.digest:
            continue
        one = was or now
        assert one is not None
        nothing = Side(nothing_like(one.plan))
        listed = differences(was or nothing, now or nothing)
        if listed:
            found.append(BundleDifference(label, listed, was is None, now is None))
    return found


def _label(project: Project, bundle: str) -> str:
    label = project.label_of(bundle)
    if label is None:  # it may have been there
        label = bundle if "/" in bundle else f"bundles/{bundle}"
    absolute = (project.root / label).resolve()
    try:
        return absolute.relative_to(project.root.resolve()).as_posix()
    except ValueError as error:
        raise UsageError(f"`{bundle}` is not in this project") from error


def _all(project: Project, commits: tuple[str, str | None]) -> list[str]:
    """The bundles below bundles/ on either side."""
    found: set[str] = set()
    for commit in commits:
        if commit is None:
            root = project.root
            found |= {one.path.relative_to(root).as_posix() for one in list_bundles(root)}
            continue
        listed = _git(project).get("ls-tree", "-z", "--name-only", commit, "bundles/")
        for name in os.fsdecode(listed).split("\0"):
            is_lone = name.endswith(".md") and Path(name).name not in {"README.md"}
            if name and (is_lone or _is_bundle(project, commit, name)):
                found.add(name)
    return sorted(found)


def _is_bundle(project: Project, commit: str, folder: str) -> bool:
    return any(_has(project, commit, f"{folder}/{name}") for name in ("workflow.md", "main.md"))


def _has(project: Project, commit: str, path: str) -> bool:
    """Whether a commit has a file or folder; the path is below the project's root."""
    return _git(project).ask("cat-file", "-e", f"{commit}:{path}")[0] == 0


def _git(project: Project) -> Git:
    return Git(project.root, project.environ)


def _side(project: Project, commit: str | None, label: str) -> Side | None:
    """The bundle on one side; None where there is none."""
    if commit is None:
        if not (project.root / label).exists():
            return None
        checked = project.check(project.root / label)
    else:
        if not _has(project, commit, label):
            return None
        checked = project.check_at(commit, label)
    plan = project.sealed(checked)
    default, choice = default_agents(in_force(checked.settings))
    return Side(plan, checked.workflow, default, choice)
