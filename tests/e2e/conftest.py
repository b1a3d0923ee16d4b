"""Every test here sees the product as a user does: a project on disk, and the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project in a git repository of its own."""
    return Project(tmp_path / "project")


@pytest.fixture
def committed(project: Project) -> Project:
    """A project with a commit, whose bundles and state git does not see."""
    project.write(".gitignore", "/.home/\n/.aiworkflow/\n/bundles/\n*.log\n")
    project.write("a.txt", "one\n")
    project.git("add", ".")
    project.git("commit", "-qm", "first")
    return project
