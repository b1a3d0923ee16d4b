"""Whoever would give something short is told that the settings cannot be read, however often they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiworkflow.app import open_project
from aiworkflow.client.tools import server_settings
from aiworkflow.diagnostics import Report
from aiworkflow.errors import UsageError


def test_it_is_told_also_where_they_were_looked_at_before(tmp_path: Path) -> None:
    (tmp_path / ".aiworkflow").mkdir()
    config = tmp_path / ".aiworkflow" / "config.yaml"
    config.write_text("serve: {port: 1\n")
    project = open_project(str(tmp_path))
    first = Report()
    project.layered(first)
    assert first.has_errors
    for _ in range(2):
        with pytest.raises(UsageError, match="so it is not known which MCP servers there are"):
            server_settings(project, None)
        with pytest.raises(UsageError, match="so it is not known where runs are kept"):
            project.journals()
    config.write_text("serve: {port: 1}\n")
    project.forget_settings()
    assert server_settings(project, None) == {}
    assert project.journals()
